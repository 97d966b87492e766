//! The payee's rules: when a voucher counts, what it pays for, and how much may be owed.
//!
//! Everything here is a pure function of what the payee has written down, what it knows of the chain, and the voucher
//! in hand. The store runs [`accept`] inside its own transaction and makes the result durable; nothing is served
//! before that. The signature is checked before anything here is reached: that is what [`VerifiedVoucher`] means.

use crate::Deployment;
use crate::{AcceptedVoucher, Amount, Channel, SignedVoucher, Timestamp, VerifiedVoucher, Voucher, VoucherSignature};
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
    /// Paid on-chain, by final events only.
    pub redeemed: Amount,
}

impl ChannelBooks {
    /// The books of a channel that nothing was ever charged to.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self { channel, accepted: Amount::ZERO, spent: Amount::ZERO, redeemed: Amount::ZERO }
    }

    /// What the channel owes in total for what was served.
    #[must_use]
    pub const fn due(&self) -> Amount {
        self.spent
    }

    /// Notes what the chain has finally paid. A lower figure than known changes nothing: a final event can't be undone.
    pub fn note_redeemed(&mut self, redeemed: Amount) {
        self.redeemed = self.redeemed.max(redeemed);
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
    /// When.
    pub at: Timestamp,
}

impl Charge {
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

/// A channel's money on the chain, at one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFunds {
    /// Paid to the payee so far.
    pub redeemed: Amount,
    /// What only the payee can have until the exit delay has run.
    pub reserved: Amount,
    /// When a requested close can be finalized; `None` while none is requested.
    pub close_at: Option<Timestamp>,
}

/// A channel's money as the chain shows it now and as it can no longer be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelView {
    /// At the head of the chain: bad news counts from here.
    pub head: ChannelFunds,
    /// At the last final block: good news counts from here.
    pub confirmed: ChannelFunds,
}

impl ChannelView {
    /// What the payee would lose of `due` if everything that is not guaranteed went away.
    ///
    /// The worse of the two views: a reservation counts when it is final, and as zero once its close is requested,
    /// whether or not that request is final; a redemption relieves when it is final.
    #[must_use]
    pub fn unsecured(&self, due: Amount) -> Amount {
        let at = |funds: &ChannelFunds| {
            // Requested in either view: at the head the close may be over and the channel open again, unconfirmed.
            let is_closing = self.head.close_at.or(funds.close_at).is_some();
            let reserved = if is_closing { Amount::ZERO } else { funds.reserved };
            due.saturating_sub(funds.redeemed).saturating_sub(reserved)
        };
        at(&self.head).max(at(&self.confirmed))
    }
}

/// How much a creator lets accounts owe before redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditTerms {
    /// The most that one account may owe, over all its channels.
    pub limit: Amount,
    /// What an account may owe that was never redeemed from; `None` is one item.
    pub first: Option<Amount>,
    /// What all accounts without history may be served for in one UTC day, together.
    pub strangers_per_day: Amount,
}

impl CreditTerms {
    /// The most an account may owe once this item is charged: one item at first, doubling with what was redeemed.
    fn allowance(&self, redeemed: Amount, price: Amount) -> Amount {
        let doubled = redeemed.saturating_add(redeemed);
        doubled.max(self.first.unwrap_or(price)).min(self.limit)
    }
}

/// How well the payee sees the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Seen lately.
    #[default]
    Clear,
    /// Not seen lately: no credit is given, reservations still count.
    Stale,
    /// Not seen for so long that a reservation may have been asked back and be gone soon: nothing counts.
    Blind,
}

/// Where an account stands when a voucher arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPosition {
    /// The account's balance at the head of the chain.
    pub balance: Amount,
    /// The voucher's channel on the chain.
    pub channel: ChannelView,
    /// Unsecured debts of the account's other channels here.
    pub other_exposure: Amount,
    /// What was ever redeemed from this account's channels here.
    pub redeemed: Amount,
    /// What accounts without history were served for today.
    pub strangers_today: Amount,
    /// How well the chain is in view.
    pub sight: Sight,
    /// The creator's terms.
    pub credit: CreditTerms,
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
        /// What of it no history has earned, and the day's share for accounts without history pays for.
        unearned_credit: Amount,
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
        at: request.at,
    };
    Ok(Acceptance::Charged { books: after, charge, unearned_credit })
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
    if position.strangers_today.saturating_add(unearned) > limit {
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
    charge.cumulative_amount >= books.due() && charge.cumulative_amount > books.redeemed
}
