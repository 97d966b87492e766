//! `farthing operator`: a payee's offline key, and the gateway's key that works for it.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use clap::{Args, Subcommand};
use farthing::clock;
use farthing::core::wire::SignedDelegation;
use farthing::core::{Address, Deployment};
use farthing::delegation::{DelegationError, delegate};
use serde::Serialize;
use std::collections::BTreeSet;

/// A day, in seconds.
const DAY: u64 = 86_400;

/// Keep the key that is paid offline, and let a gateway's key work for it
///
/// Run set and delegate with the wallet that is paid; then the gateway serves with its own wallet, for --payee. An
/// operator can close channels, and a delegated key can sign receipts. Neither can say where money goes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let a key close your channels, or take that back
    ///
    /// An operator redeems and gives unused reservations back; the money goes to you and to the payer. A stolen
    /// operator's key can give your guarantees up, and nothing more.
    #[command(after_help = "\
Examples:
  farthing operator set ADDRESS
  farthing operator set ADDRESS --revoke")]
    Set(Set),
    /// Show which keys may close a payee's channels
    #[command(after_help = "\
Examples:
  farthing operator show
  farthing operator show ADDRESS --payee ADDRESS")]
    Show(Show),
    /// Sign, for listeners, that a gateway's key signs your receipts
    ///
    /// Sends nothing, and with --chain-id asks no chain either. Give what it writes to the gateway.
    #[command(after_help = "\
Example:
  farthing --json operator delegate ADDRESS > delegation.json
  farthing serve FOLDER --payee ADDRESS --delegation delegation.json   # on the gateway")]
    Delegate(Delegate),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Let this key close your channels
    #[arg(value_name = "ADDRESS")]
    operator: Address,

    /// Forbid it instead
    #[arg(long)]
    revoke: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Look at this key alone
    #[arg(value_name = "ADDRESS")]
    operator: Option<Address>,

    /// Look at this payee's channels [default: your own]
    #[arg(long, value_name = "ADDRESS")]
    payee: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct Delegate {
    /// Let this key sign your receipts
    #[arg(value_name = "ADDRESS")]
    receipt_key: Address,

    /// Let it for so long
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3_650))]
    days: u64,

    /// Let it on this chain, without asking any; the escrow is the genuine one, or the one of --escrow
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,
}

#[derive(Serialize)]
struct Shown {
    payee: Address,
    operator: Address,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Transaction>>,
}

#[derive(Serialize)]
struct Listed {
    payee: Address,
    operators: BTreeSet<Address>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delegated {
    payee: Address,
    #[serde(flatten)]
    deployment: Deployment,
    #[serde(flatten)]
    delegation: SignedDelegation,
}

pub(super) async fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Set(command) => set(context, command).await,
        Command::Show(command) => show(context, command).await,
        Command::Delegate(command) => sign(context, command).await,
    }
}

async fn set(context: &Context, command: &Set) -> Result<(), Failure> {
    let (payee, operator, allowed) = (context.address()?, command.operator, !command.revoke);
    if operator == payee {
        return Err(Failure::new(Code::Usage, format!("{operator} is the payee itself, which may close anyway"))
            .hint("name the gateway's address: farthing wallet show, there"));
    }
    let escrow = context.escrow(context.chain().await?).await?;
    let mut mined = Vec::new();
    if escrow.is_operator(payee, operator).await? != allowed {
        let escrow = context.sending(&escrow).await?;
        let _waiting = waiting("waiting for the transaction to be mined");
        mined.push(escrow.set_operator(operator, allowed).await?);
    }
    let shown = Shown { payee, operator, allowed, transactions: Some(transactions(&mined)) };
    context.output.result(&shown, || with_transactions(shown.text(), &mined))
}

async fn show(context: &Context, command: &Show) -> Result<(), Failure> {
    let payee = match command.payee {
        Some(payee) => payee,
        None => context.address()?,
    };
    let escrow = context.escrow(context.chain().await?).await?;
    let Some(operator) = command.operator else {
        let listed = Listed { payee, operators: escrow.operators_of(payee).await? };
        return context.output.result(&listed, || listed.text());
    };
    let allowed = escrow.is_operator(payee, operator).await?;
    let shown = Shown { payee, operator, allowed, transactions: None };
    context.output.result(&shown, || shown.text())
}

impl Listed {
    fn text(&self) -> String {
        if self.operators.is_empty() {
            return format!("no other key may close the channels of {}", self.payee);
        }
        let operators: Vec<String> = self.operators.iter().map(Address::to_string).collect();
        format!("the channels of {} may be closed by\n{}", self.payee, operators.join("\n"))
    }
}

impl Shown {
    fn text(&self) -> String {
        let may = if self.allowed { "may close" } else { "may not close" };
        format!("{} {may} the channels of {}", self.operator, self.payee)
    }
}

async fn sign(context: &Context, command: &Delegate) -> Result<(), Failure> {
    let deployment = match command.chain_id {
        Some(chain_id) => Deployment { chain_id, escrow: context.escrow_address() },
        None => context.escrow(context.chain().await?).await?.deployment(),
    };
    let payee = context.key()?;
    let expires = clock::now().plus_seconds(command.days.saturating_mul(DAY));
    let delegation = delegate(&payee, command.receipt_key, expires, deployment)?;
    let delegated = Delegated { payee: payee.address(), deployment, delegation };
    context.output.result(&delegated, || {
        let SignedDelegation { receipt_key, expires, signature } = &delegated.delegation;
        let payee = delegated.payee;
        format!(
            "{receipt_key} signs receipts of {payee}\nin {deployment} until {expires}\nsignature {signature}\n\
             with --json this is a file for farthing serve --delegation"
        )
    })
}

impl From<DelegationError> for Failure {
    fn from(error: DelegationError) -> Self {
        let failure = |code| Self::new(code, &error);
        match &error {
            DelegationError::None { receipt_key, .. } | DelegationError::OtherKey { receipt_key, .. } => {
                failure(Code::Policy).hint(format!(
                    "with the payee's wallet run farthing --json operator delegate {receipt_key} > FILE, \
                     and serve with --delegation FILE; a split's receipt key is fixed"
                ))
            }
            DelegationError::OtherEscrow { actual, .. } => {
                failure(Code::Policy).hint(format!("name its escrow with --escrow {actual}"))
            }
            DelegationError::Key(_) => failure(Code::Wallet),
            _ => failure(Code::Policy)
                .hint("have the payee sign another one with farthing operator delegate, for this escrow and chain"),
        }
    }
}
