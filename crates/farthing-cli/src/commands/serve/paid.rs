//! Who is paid: the wallet's own address, an offline key's, or a split; and why receipts of this wallet are the
//! payee's.

use crate::context::Context;
use crate::failure::{Code, Failure};
use clap::Args;
use farthing::clock;
use farthing::core::wire::{Delegation, SignedDelegation};
use farthing::core::{Address, SplitTerms};
use farthing::delegation;
use farthing::escrow::Escrow;
use farthing::split::{Split, SplitError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// So long before a delegation expires its owner is told: a month, in seconds.
const EXPIRES_SOON: u64 = 30 * 86_400;

/// How often the owner of an expired delegation is told.
const DAY: Duration = Duration::from_secs(86_400);

/// Who is paid.
#[derive(Debug, Args)]
pub(super) struct Paid {
    /// Be paid at this address, an offline key's or a split's; your wallet signs receipts and sends redemptions
    /// [default: the wallet's]
    #[arg(long, value_name = "ADDRESS", env = "FARTHING_PAYEE")]
    payee: Option<Address>,

    /// Show listeners this delegation, so that they take your wallet's receipts for the payee's; a split needs none
    #[arg(long, value_name = "FILE", requires = "payee")]
    delegation: Option<PathBuf>,
}

impl Paid {
    /// The payee, and what listeners are shown for receipts by `wallet`. Nothing is sold if they would not be good.
    pub(super) async fn settle(
        &self,
        context: &Context,
        escrow: &Escrow,
        wallet: Address,
    ) -> Result<(Address, Option<Delegation>), Failure> {
        let Some(payee) = self.payee.filter(|payee| *payee != wallet) else { return Ok((wallet, None)) };
        let delegation = match &self.delegation {
            Some(file) => Some(Delegation::Signature(read(file)?)),
            None if escrow.chain().has_code(payee).await? => Some(Delegation::Split(terms_of(escrow, payee).await?)),
            None => None,
        };
        delegation::check(delegation.as_ref(), escrow.deployment(), payee, wallet, clock::now())?;
        warn(context, escrow, payee, wallet, delegation.as_ref()).await?;
        Ok((payee, delegation))
    }
}

/// The terms of the split that a payee is.
async fn terms_of(escrow: &Escrow, payee: Address) -> Result<SplitTerms, Failure> {
    match Split::bind(escrow.chain().clone(), payee).await {
        Ok(split) => Ok(split.terms().clone()),
        // A key's account may have code as well (EIP-7702), and sign all the same.
        Err(error @ SplitError::NotGenuine { .. }) => Err(Failure::new(Code::Policy, error)
            .hint("be paid by a split of farthing split deploy, or at a key's address with its --delegation")),
        Err(error) => Err(error.into()),
    }
}

/// Says what this wallet can't do, or not for much longer.
async fn warn(
    context: &Context,
    escrow: &Escrow,
    payee: Address,
    wallet: Address,
    delegation: Option<&Delegation>,
) -> Result<(), Failure> {
    let remedy = match delegation {
        Some(Delegation::Split(terms)) => format!("only the split's operator {} can", terms.operator()),
        Some(Delegation::Signature(SignedDelegation { expires, .. })) => {
            if expires.seconds_since(clock::now()) < EXPIRES_SOON {
                let note =
                    format!("note: after {expires} receipts by this wallet are no good; have them delegated again");
                context.output.note(note);
            }
            format!("farthing operator set {wallet}, run with the payee's wallet, lets it")
        }
        None => return Ok(()),
    };
    if !escrow.is_operator(payee, wallet).await? {
        context.output.note(format!("note: this wallet can redeem for {payee}, and close no channel; {remedy}"));
    }
    Ok(())
}

/// Says, once a day, that the delegation has expired: receipts are no good from then on.
pub(super) async fn watch(delegation: Option<Delegation>) {
    let Some(Delegation::Signature(SignedDelegation { expires, .. })) = delegation else { return };
    // One second later, so that it has.
    let left = expires.seconds_since(clock::now()).saturating_add(1);
    let mut days = tokio::time::interval_at(Instant::now() + Duration::from_secs(left), DAY);
    loop {
        days.tick().await;
        tracing::error!(%expires, "the delegation has expired, and listeners take no receipt; have another one signed");
    }
}

fn read(file: &Path) -> Result<SignedDelegation, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(Code::Usage, format!("{} is no delegation: {error}", file.display()))
            .hint("farthing --json operator delegate ADDRESS, run with the payee's wallet, writes one")
    })
}
