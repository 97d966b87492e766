//! Gives a price back, off-chain: less is due from the channel from then on, so less is redeemed.

use super::store::{Entry, Outcome, PayeeStore, StoreError};
use super::{Payee, posting::ChargeId};
use crate::clock;
use farthing_core::ledger::{ChannelBooks, CreditRefusal};
use farthing_core::{Amount, ChannelId};
use serde::{Deserialize, Serialize};

/// Thrown when nothing is given back. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefundError {
    /// The ledger can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The charge is not there, or other than was asked for.
    #[error(transparent)]
    Refused(#[from] CreditRefusal),
}

/// What was given back, and what the channel owes since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// The charge's channel.
    pub channel_id: ChannelId,
    /// The cumulative amount of the charge's voucher.
    pub cumulative_amount: Amount,
    /// What was sold.
    pub item: String,
    /// What it cost.
    pub price: Amount,
    /// What of it was given back.
    pub credited: Amount,
    /// Whether that was done before, and not again now.
    pub again: bool,
    /// What the channel owes in total.
    pub due: Amount,
    /// What of it the chain has finally paid. What goes beyond counts towards later items.
    pub redeemed: Amount,
}

impl Payee {
    /// Gives back a charge's price, or a part of it; the buyer keeps what it bought. A charge is given back from once:
    /// the same again is answered as before, another amount is refused.
    ///
    /// # Errors
    ///
    /// If there is no such charge, it cost less, or another amount of it was given back before.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may be given back all the same; the same call again finds out.
    pub async fn refund(&self, charge: ChargeId, amount: Option<Amount>) -> Result<Refund, RefundError> {
        let outcome = self.writer().write(entry(charge, amount)).await?;
        describe(self.store().as_ref(), charge, outcome).await
    }
}

/// The same in a ledger that no payee runs on.
///
/// # Errors
///
/// As [`Payee::refund`].
pub async fn refund(store: &dyn PayeeStore, charge: ChargeId, amount: Option<Amount>) -> Result<Refund, RefundError> {
    let outcome = store.accept_batch(&[entry(charge, amount)]).await?.pop().unwrap_or(Outcome::Noted);
    describe(store, charge, outcome).await
}

fn entry((channel_id, cumulative_amount): ChargeId, amount: Option<Amount>) -> Entry {
    Entry::Credit { channel_id, cumulative_amount, amount, at: clock::now() }
}

async fn describe(store: &dyn PayeeStore, charge: ChargeId, outcome: Outcome) -> Result<Refund, RefundError> {
    let (channel_id, cumulative_amount) = charge;
    let (books, credit, again) = match outcome {
        Outcome::Credited { books, credit, again } => (books, credit, again),
        Outcome::NotCredited(refusal) => return Err(refusal.into()),
        // No store answers a credit with anything else.
        _ => return Err(StoreError::Closed.into()),
    };
    let charged = store.charge(channel_id, cumulative_amount).await?;
    let charged = charged.ok_or(CreditRefusal::NoSuchCharge { cumulative_amount })?;
    let ChannelBooks { redeemed, .. } = books;
    Ok(Refund {
        channel_id,
        cumulative_amount,
        item: charged.item,
        price: charged.price,
        credited: credit.amount,
        again,
        due: books.due(),
        redeemed,
    })
}
