//! The payee's rules: when a voucher counts, what it pays for, and how much may be owed.
//!
//! Everything here is a pure function of what the payee has written down, what it knows of the chain, and the voucher
//! in hand. The store runs [`accept`] inside its own transaction and makes the result durable; nothing is served
//! before that. The signature is checked before anything here is reached: that is what [`VerifiedVoucher`] means.

use crate::Deployment;
use crate::exposure::{AccountPosition, Sight};
use crate::{
    AcceptedVoucher, Address, Amount, Channel, SignedVoucher, Timestamp, VerifiedVoucher, Voucher, VoucherSignature,
};
use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// What the payee has written down about one channel. Every amount only grows, and `spent ≤ accepted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelBooks {
    /// The channel's terms.
    pub channel: Channel,
    /// The highest voucher held.
    pub accepted: Amount,
    /// The sum of all charges.
    pub spent: Amount,
    /// The sum of all credits: given back off-chain.
    pub credited: Amount,
    /// Paid on-chain, by final events only.
    pub redeemed: Amount,
}

impl ChannelBooks {
    /// The books of a channel that nothing was ever charged to.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        let nothing = Amount::ZERO;
        Self { channel, accepted: nothing, spent: nothing, credited: nothing, redeemed: nothing }
    }

    /// What the channel owes in total for what was served and not given back.
    #[must_use]
    pub fn due(&self) -> Amount {
        // Credits never exceed their charges, so this never saturates.
        self.spent.saturating_sub(self.credited)
    }

    /// What of it the chain has not finally paid.
    #[must_use]
    pub fn outstanding(&self) -> Amount {
        self.due().saturating_sub(self.redeemed)
    }

    /// Notes what the chain has finally paid, and returns by how much that is more than was known. A lower figure
    /// changes nothing: a final event can't be undone.
    pub fn note_redeemed(&mut self, redeemed: Amount) -> Amount {
        let paid = redeemed.saturating_sub(self.redeemed);
        self.redeemed = self.redeemed.max(redeemed);
        paid
    }
}

/// Which request a charge answers: the hash of method and path, so that a retry is recognised and anything else is
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub B256);

impl RequestId {
    /// The id of a request.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        // A method holds no space, so the separator is unambiguous.
        Self(keccak256(format!("{method} {path}")))
    }
}

/// One item sold. Its id is (channel, cumulative amount): each voucher pays once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The voucher's cumulative amount.
    pub cumulative_amount: Amount,
    /// The voucher's signature: what makes the charge redeemable.
    pub signature: VoucherSignature,
    /// What the item cost.
    pub price: Amount,
    /// What was sold: the item's path.
    pub item: String,
    /// The request that it answers.
    pub request: RequestId,
    /// What of the price was credit that no history had earned: the day's share for accounts without history paid it.
    pub unearned_credit: Amount,
    /// When.
    pub at: Timestamp,
}

/// Something bought belongs to the key that signed for it, never to the address named as payer: anyone can fund an
/// account in another's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Purchase {
    /// Whose it is.
    pub signer: Address,
    /// The request that it answers.
    pub request: RequestId,
}

/// What was given back, off-chain, of one charge: at most once each, so its id is the charge's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credit {
    /// The cumulative amount of the charge's voucher.
    pub cumulative_amount: Amount,
    /// How much of its price.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
}

/// What the chain has finally paid, as far as one look at it showed: the channel's `redeemed` rose to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalRedemption {
    /// What the channel has been paid in total.
    pub redeemed: Amount,
    /// By how much it rose.
    pub paid: Amount,
    /// The final block that showed it.
    pub block: u64,
    /// When that was seen.
    pub at: Timestamp,
}

impl Charge {
    /// Whose purchase it is.
    #[must_use]
    pub const fn purchase(&self, channel: &Channel) -> Purchase {
        Purchase { signer: channel.authorized_signer, request: self.request }
    }

    /// The voucher behind the charge. Charges are made by [`accept`] alone, so it was verified and accepted; it is
    /// verified again here because a store's file is not to be trusted with money.
    ///
    /// # Errors
    ///
    /// If the signature is not the channel's: the stored entry was damaged.
    pub fn voucher(
        &self,
        channel: &Channel,
        domain: &crate::voucher::Domain,
    ) -> Result<AcceptedVoucher, crate::voucher::SignatureError> {
        let deployment: &Deployment = domain.deployment();
        let voucher = Voucher { channel_id: channel.id(deployment), cumulative_amount: self.cumulative_amount };
        let signed = SignedVoucher { voucher, signature: self.signature };
        signed.verify(domain, channel).map(VerifiedVoucher::into_accepted)
    }
}

/// What is to be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRequest {
    /// What the item costs.
    pub price: Amount,
    /// What is sold: the item's path.
    pub item: String,
    /// Tells a retry from another purchase.
    pub request: RequestId,
    /// Whether this payee serves only what a reservation guarantees.
    pub reservation_required: bool,
    /// Now.
    pub at: Timestamp,
}

/// Why a voucher was refused. A refusal changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More than the escrow can count, so it could never be redeemed in full.
    #[error("the voucher promises {cumulative_amount}, more than the escrow can count")]
    TooLarge {
        /// What the voucher promises.
        cumulative_amount: Amount,
    },
    /// The voucher has paid for another request.
    #[error("the voucher for {cumulative_amount} has already paid for {item}")]
    AlreadyCharged {
        /// What the voucher promises.
        cumulative_amount: Amount,
        /// What it has paid for.
        item: String,
    },
    /// The voucher leaves too little above what was spent.
    #[error("the item costs {price}, but only {available} of the {accepted} promised is unspent")]
    Underpaid {
        /// What the item costs.
        price: Amount,
        /// The highest promise, this one included.
        accepted: Amount,
        /// What is left of it.
        available: Amount,
    },
    /// This payee serves only what a final reservation covers.
    #[error("a reservation must cover {required}; {reserved} is reserved and final")]
    ReservationRequired {
        /// What must be covered.
        required: Amount,
        /// What counts now.
        reserved: Amount,
    },
    /// The payer has started the clock on the reservation.
    #[error("the channel's close is requested, its reservation no longer counts")]
    CloseRequested,
    /// The account holds less than would be owed.
    #[error("the account holds {balance}, and {required} would be owed")]
    InsufficientBalance {
        /// What it holds.
        balance: Amount,
        /// What would be owed.
        required: Amount,
    },
    /// The account would owe more than this payee trusts it with before redemption.
    #[error("{required} would be owed before redemption; this account may owe {allowance}")]
    CreditExhausted {
        /// What would be owed.
        required: Amount,
        /// What may be owed.
        allowance: Amount,
    },
    /// Accounts without history have used up today's share.
    #[error("today's credit of {limit} for new accounts is used up")]
    StrangersExhausted {
        /// The day's share.
        limit: Amount,
    },
    /// The chain has not been seen for too long to give credit, or to rely on a reservation.
    #[error("the chain was not seen lately, so this can't be served")]
    StaleChain,
}

/// What the ledger decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acceptance {
    /// A new charge: both must be durable before anything is served.
    Charged {
        /// The channel's books from now on.
        books: ChannelBooks,
        /// The new entry.
        charge: Charge,
    },
    /// The same request once more: the same answer, no second charge.
    Again {
        /// The entry that was made then.
        charge: Charge,
    },
}

/// Decides on a voucher: takes it into the books and charges the item, or says why not.
///
/// A voucher raises `accepted`, or, at or below it, pays once if its id is unused and `spent + price ≤ accepted`: so
/// requests that run in parallel may arrive in any order.
///
/// `existing` is the charge under this voucher's id (channel, cumulative amount), if there is one.
///
/// # Errors
///
/// A [`Refusal`]; the books are as they were.
pub fn accept(
    voucher: &VerifiedVoucher,
    request: &ChargeRequest,
    books: &ChannelBooks,
    existing: Option<&Charge>,
    position: &AccountPosition,
) -> Result<Acceptance, Refusal> {
    let cumulative_amount = voucher.voucher().cumulative_amount;
    if let Some(charge) = existing {
        return if charge.request == request.request {
            Ok(Acceptance::Again { charge: charge.clone() })
        } else {
            Err(Refusal::AlreadyCharged { cumulative_amount, item: charge.item.clone() })
        };
    }
    if cumulative_amount > Amount::MAX_ON_CHAIN {
        return Err(Refusal::TooLarge { cumulative_amount });
    }
    let accepted = books.accepted.max(cumulative_amount);
    let available = accepted.saturating_sub(books.spent);
    let underpaid = Refusal::Underpaid { price: request.price, accepted, available };
    let spent = books.spent.checked_add(request.price).filter(|spent| *spent <= accepted).ok_or(underpaid)?;
    let after = ChannelBooks { accepted, spent, ..*books };
    let unearned_credit = check_funds(request, books, &after, position)?;
    let charge = Charge {
        cumulative_amount,
        signature: voucher.signature(),
        price: request.price,
        item: request.item.clone(),
        request: request.request,
        unearned_credit,
        at: request.at,
    };
    Ok(Acceptance::Charged { books: after, charge })
}

/// Why nothing is given back. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreditRefusal {
    /// No item was charged to that voucher.
    #[error("nothing was charged to a voucher for {cumulative_amount}")]
    NoSuchCharge {
        /// What the voucher promises.
        cumulative_amount: Amount,
    },
    /// More than the item cost.
    #[error("{item} cost {price}, so {amount} can't be given back")]
    TooMuch {
        /// What was sold.
        item: String,
        /// What it cost.
        price: Amount,
        /// What was to be given back.
        amount: Amount,
    },
    /// Nothing, which is not worth an entry.
    #[error("nothing is to be given back for {item}")]
    Nothing {
        /// What was sold.
        item: String,
    },
    /// Another amount was given back already.
    #[error("{credited} was given back for {item} before")]
    AlreadyCredited {
        /// What was sold.
        item: String,
        /// What was given back.
        credited: Amount,
    },
}

/// What became of a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Crediting {
    /// A new entry.
    Credited {
        /// The channel's books from now on.
        books: ChannelBooks,
        /// The entry.
        credit: Credit,
    },
    /// It was given back before.
    Again {
        /// The entry that was made then.
        credit: Credit,
    },
}

/// Gives back a charge's price, or a part of it: less is due from the channel from now on, and so the payee redeems
/// less. What was redeemed already counts towards later items. The buyer keeps what it bought.
///
/// `amount` is `None` for the whole price; `existing` is what was given back for this charge before.
///
/// # Errors
///
/// A [`CreditRefusal`]; the books are as they were.
pub fn credit(
    books: &ChannelBooks,
    charge: &Charge,
    existing: Option<&Credit>,
    amount: Option<Amount>,
    at: Timestamp,
) -> Result<Crediting, CreditRefusal> {
    let item = || charge.item.clone();
    let amount = amount.unwrap_or(charge.price);
    match existing {
        Some(credit) if credit.amount == amount => return Ok(Crediting::Again { credit: *credit }),
        Some(credit) => return Err(CreditRefusal::AlreadyCredited { item: item(), credited: credit.amount }),
        None if amount.is_zero() => return Err(CreditRefusal::Nothing { item: item() }),
        None if amount > charge.price => {
            return Err(CreditRefusal::TooMuch { item: item(), price: charge.price, amount });
        }
        None => {}
    }
    let credited = books.credited.saturating_add(amount);
    let credit = Credit { cumulative_amount: charge.cumulative_amount, amount, at };
    Ok(Crediting::Credited { books: ChannelBooks { credited, ..*books }, credit })
}

/// Whether the account may owe what it would owe after this charge; returns how much of the charge is credit that the
/// account's history has not earned.
fn check_funds(
    request: &ChargeRequest,
    before: &ChannelBooks,
    after: &ChannelBooks,
    position: &AccountPosition,
) -> Result<Amount, Refusal> {
    let unsecured = position.channel.unsecured(after.due());
    let increase = unsecured.saturating_sub(position.channel.unsecured(before.due()));
    if position.sight == Sight::Blind {
        return Err(Refusal::StaleChain);
    }
    if increase.is_zero() {
        return Ok(increase);
    }
    if request.reservation_required {
        if position.channel.head.close_at.is_some() {
            return Err(Refusal::CloseRequested);
        }
        let required = after.due().saturating_sub(position.channel.confirmed.redeemed);
        return Err(Refusal::ReservationRequired { required, reserved: required.saturating_sub(unsecured) });
    }
    if position.sight != Sight::Clear {
        return Err(Refusal::StaleChain);
    }
    let required = position.other_exposure.saturating_add(unsecured);
    if required > position.balance {
        return Err(Refusal::InsufficientBalance { balance: position.balance, required });
    }
    let allowance = position.credit.allowance(position.redeemed, request.price);
    if required > allowance {
        return Err(Refusal::CreditExhausted { required, allowance });
    }
    // History earns credit of twice what was redeemed and no more: redeeming dust does not lift the day's share.
    let earned = position.redeemed.saturating_add(position.redeemed);
    let unearned = increase.min(required.saturating_sub(earned));
    let limit = position.credit.strangers_per_day;
    if !unearned.is_zero() && position.strangers_today.saturating_add(unearned) > limit {
        return Err(Refusal::StrangersExhausted { limit });
    }
    Ok(unearned)
}

/// Whether this charge's voucher is worth sending to the chain: above what was redeemed and at or below what is due.
///
/// While a channel goes on, the payee never shows the chain a voucher above `due`: anyone could redeem the rest of it.
/// Only when its reservation is about to leave is one above it the last resort; see [`is_last_resort`].
#[must_use]
pub fn is_redeemable(books: &ChannelBooks, charge: &Charge) -> bool {
    charge.cumulative_amount <= books.due() && charge.cumulative_amount > books.redeemed
}

/// Whether this charge's voucher makes good for all that is due, though it promises more.
///
/// A payer that skips amounts leaves debts that no voucher at or below them covers. It would take its reservation back and
/// owe them for ever. It did sign the larger promise, so when the reservation is about to leave, the lowest such voucher
/// is redeemed; what it pays beyond what is due counts towards later items.
#[must_use]
pub fn is_last_resort(books: &ChannelBooks, charge: &Charge) -> bool {
    !books.outstanding().is_zero()
        && charge.cumulative_amount >= books.due()
        && charge.cumulative_amount > books.redeemed
}
