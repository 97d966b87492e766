//! Having a site send what the wallet signs: for listeners who hold dollars and no gas.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::progress::waiting;
use crate::purse::{Allowed, Purse};
use farthing::chain::ChainError;
use farthing::core::wire::{ProblemType, RelayOrder};
use farthing::core::{Address, Amount, B256, Timestamp, Token};
use farthing::escrow::{Escrow, EscrowError};
use farthing::payer::{OpenOrder, OrderError, Payer, PayerStore, Relayed, Wish};
use serde::Serialize;

/// An order that was signed and can still be carried out.
#[derive(Debug, Serialize)]
pub(crate) struct Pending {
    /// `deposit`, `open` or `withdrawal`.
    kind: &'static str,
    amount: Amount,
    site: String,
    until: Timestamp,
}

/// The orders of a wallet in a token that can still be carried out.
pub(crate) async fn pending(
    store: &PayerStore,
    escrow: &Escrow,
    payer: Address,
    token: &Token,
) -> Result<Vec<Pending>, Failure> {
    let open = store.open_orders().await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let (deployment, now) = (escrow.deployment(), escrow.chain().time().await?);
    let of_this_wallet = open.into_iter().filter(|open| {
        let order = &open.request.order;
        let is_ours = order.payer() == payer && order.token() == token.address;
        is_ours && open.request.deployment == deployment && order.expires() > now
    });
    Ok(of_this_wallet.map(Pending::from).collect())
}

impl From<OpenOrder> for Pending {
    fn from(open: OpenOrder) -> Self {
        let order = open.request.order;
        let kind = match order {
            RelayOrder::Deposit { .. } => "deposit",
            RelayOrder::Open { .. } => "open",
            RelayOrder::Withdrawal { .. } => "withdrawal",
        };
        Self { kind, amount: order.amount(), site: open.site, until: order.expires() }
    }
}

impl Pending {
    /// In two lines, neither of which is long.
    pub(crate) fn lines(&self, token: &Token) -> [String; 2] {
        let (kind, amount, site, until) = (self.kind, token.format(self.amount), &self.site, self.until);
        [format!("a relayed {kind} of {amount}, signed for {site},"), format!("may still be carried out until {until}")]
    }

    pub(crate) fn is_deposit(&self) -> bool {
        self.kind == "deposit"
    }
}

/// Who sent what was signed here.
#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    site: String,
    /// Nothing if its answer was lost.
    transaction: Option<B256>,
}

/// The payer that signs orders, under the owner's policy.
pub(crate) async fn payer(context: &Context) -> Result<Payer, Failure> {
    Purse::new(context, &Allowed::default())?.payer(None).await
}

/// Signs an order, has a site send it, and waits until the chain shows it.
pub(crate) async fn relay(
    context: &Context,
    payer: &Payer,
    escrow: &Escrow,
    site: &str,
    wish: Wish,
) -> Result<Sent, Failure> {
    let spinner = waiting(format!("waiting until {site} has sent it and the chain shows it"));
    let Relayed { transaction, was_open, .. } = payer.relay(escrow, site, wish).await?;
    drop(spinner);
    if was_open {
        context.output.note("note: this is the order of before, whose outcome was not known; nothing was signed twice");
    }
    Ok(Sent { site: site.to_owned(), transaction })
}

impl Sent {
    pub(crate) fn text(&self) -> String {
        match self.transaction {
            Some(transaction) => format!("\nsent by {} in transaction {transaction}; it cost you no gas", self.site),
            None => "\nsent by somebody else; it cost you no gas".to_owned(),
        }
    }
}

/// Fails if the wallet could not pay for any gas: said before a password is asked for, with the way around it.
pub(crate) async fn check_gas(escrow: &Escrow, sender: Address, token: &Token, command: &str) -> Result<(), Failure> {
    if escrow.chain().balance(sender).await?.is_zero() {
        return Err(no_gas(sender, token, command));
    }
    Ok(())
}

/// Adds the way around a wallet whose coin does not last.
pub(crate) fn with_way_around(error: EscrowError, token: &Token, command: &str) -> Failure {
    match error {
        EscrowError::Chain(ChainError::NoGas { sender, .. }) => no_gas(sender, token, command),
        error => error.into(),
    }
}

fn no_gas(sender: Address, token: &Token, command: &str) -> Failure {
    let failure = Failure::new(Code::Funds, format!("the wallet {sender} has not enough ETH to pay for gas"));
    if token.address.is_zero() {
        return failure.hint(format!("send {sender} some ETH"));
    }
    failure.hint(format!(
        "have a site that relays send it for you: {command} --relay https://SITE; or send {sender} some ETH"
    ))
}

/// What to do after an order was signed and nobody knows what came of it.
const SAME_ORDER: &str =
    "run the same command again, with this site or another: it sends the same order, which counts once";

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        let error = match error {
            OrderError::Payer(error) => return error.into(),
            OrderError::Escrow(error) => return error.into(),
            OrderError::Token(error) => return error.into(),
            error => error,
        };
        let failure = |code| Self::new(code, &error);
        match &error {
            OrderError::NoRelay { .. } | OrderError::NotTheirs { .. } => {
                failure(Code::Creator).hint("nothing was signed; name another site that relays")
            }
            OrderError::Minimum { .. } => {
                failure(Code::Creator).hint("nothing was signed; move that much, or name another site")
            }
            OrderError::NotPayer { .. } => failure(Code::Wallet).hint("use the wallet whose money it is"),
            OrderError::TooLittle { .. } => failure(Code::Funds).hint("farthing balance shows where your money is"),
            OrderError::Open { .. } => failure(Code::Policy)
                .hint("nothing was signed; ask for that amount again, or wait until its time is over"),
            OrderError::Refused { problem, .. } => failure(Code::Creator).hint(match problem.problem_type() {
                Some(ProblemType::RelayWouldFail) => "nothing has moved; farthing balance shows how things stand",
                Some(ProblemType::RelayExhausted | ProblemType::RelayTooMany) => {
                    "nothing has moved; ask again later, or name another site: it sends the same order"
                }
                _ => "nothing has moved; name another site that relays: it sends the same order, which counts once",
            }),
            OrderError::OutcomeUnknown { .. } | OrderError::NotSeen { .. } => failure(Code::Site).hint(SAME_ORDER),
            OrderError::Superseded { .. } => failure(Code::Policy).hint("farthing balance shows how things stand"),
            OrderError::Expired { .. } => {
                failure(Code::Site).hint("nothing has moved; ask again, or name another site that relays")
            }
            _ => failure(Code::Unexpected),
        }
    }
}
