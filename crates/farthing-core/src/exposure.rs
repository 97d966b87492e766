//! How much of what is owed could be lost: what an account's channels owe beyond what is guaranteed, and how much of
//! that a creator allows.

mod channels;

pub use channels::ChannelViews;

use crate::ledger::ChannelBooks;
use crate::{Amount, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};

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

impl ChannelFunds {
    /// The safer of two answers to one question: less redeemed, less reserved, and any close request, the earlier one.
    /// Whoever goes by it believes no more than either says.
    #[must_use]
    pub fn safer(self, other: Self) -> Self {
        Self {
            redeemed: self.redeemed.min(other.redeemed),
            reserved: self.reserved.min(other.reserved),
            close_at: [self.close_at, other.close_at].into_iter().flatten().min(),
        }
    }
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
    /// The safer of two answers, at the head and at the last final block.
    #[must_use]
    pub fn safer(self, other: Self) -> Self {
        Self { head: self.head.safer(other.head), confirmed: self.confirmed.safer(other.confirmed) }
    }

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
    pub(crate) fn allowance(&self, redeemed: Amount, price: Amount) -> Amount {
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

/// One account and its channels to this payee, as the chain shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountView {
    /// The account's balance at the head.
    pub balance: Amount,
    /// Its channels here.
    pub channels: ChannelViews,
}

impl AccountView {
    /// Keeps the safer of what this shows and what `other` does. What only one of them shows is kept as it is.
    pub fn keep_safer(&mut self, other: &Self) {
        self.balance = self.balance.min(other.balance);
        for (channel_id, (channel, view)) in other.channels.iter() {
            let kept = self.channels.get_or_insert(channel_id, (*channel, *view));
            kept.1 = kept.1.safer(*view);
        }
    }

    /// What one of the account's channels shows; nothing if it was never looked at.
    #[must_use]
    pub fn channel(&self, channel_id: ChannelId) -> Option<ChannelView> {
        self.channels.get(channel_id).map(|(_, view)| *view)
    }

    /// The debt of one of the account's channels that nothing guarantees.
    #[must_use]
    pub fn exposure_of(&self, channel_id: ChannelId, books: &ChannelBooks) -> Amount {
        // A channel that has not been looked at yet counts with all that its books say.
        self.channel(channel_id).map_or(books.outstanding(), |view| view.unsecured(books.due()))
    }
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

impl AccountPosition {
    /// Where the account of `channel_id` stands: its channels' books added up, against what the chain shows of it.
    ///
    /// `books` are those of all the account's channels here, `channel_id`'s own among them or not; `strangers_today` is
    /// what accounts without history were served for on this day.
    #[must_use]
    pub fn of<'a>(
        channel_id: ChannelId,
        account: &AccountView,
        books: impl IntoIterator<Item = (ChannelId, &'a ChannelBooks)>,
        strangers_today: Amount,
        sight: Sight,
        credit: CreditTerms,
    ) -> Self {
        let (mut other_exposure, mut redeemed) = (Amount::ZERO, Amount::ZERO);
        for (id, books) in books {
            redeemed = redeemed.saturating_add(books.redeemed);
            if id != channel_id {
                other_exposure = other_exposure.saturating_add(account.exposure_of(id, books));
            }
        }
        let channel = account.channel(channel_id).unwrap_or_default();
        Self { balance: account.balance, channel, other_exposure, redeemed, strangers_today, sight, credit }
    }
}
