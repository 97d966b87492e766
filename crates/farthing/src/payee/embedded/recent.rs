//! Accounts that bought lately: all their channels, and the newest books of these.
//!
//! Of many accounts each has its rows on other pages: to look them up takes longer than to check a signature. Who buys
//! a song is likely to buy another, so what the first one needed is kept for the next.

use crate::payee::bounded::Bounded;
use farthing_core::ledger::ChannelBooks;
use farthing_core::{AccountId, ChannelId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many accounts are kept at most. One with one channel is some 300 bytes: 80 MB, if there are so many.
const ACCOUNTS_MAX: usize = 262_144;

/// Accounts with more channels than this are looked up each time: memory is bounded.
const CHANNELS_MAX: usize = 4;

/// All channels of an account, and their books.
pub(super) type Channels = Arc<[(ChannelId, ChannelBooks)]>;

/// The accounts that bought lately, for the one writer, who tells it of all that changes. Room for them is made when
/// the first comes.
#[derive(Default)]
pub(super) struct Recent(OnceLock<Bounded<AccountId, Channels>>);

impl fmt::Debug for Recent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Recent").finish_non_exhaustive()
    }
}

impl Recent {
    pub(super) fn get(&self, account: AccountId) -> Option<Channels> {
        self.0.get()?.get(&account)
    }

    /// Keeps all channels of an account that has any: anybody can think of one that has none.
    pub(super) fn keep(&self, account: AccountId, channels: Channels) {
        if (1..=CHANNELS_MAX).contains(&channels.len()) {
            self.0.get_or_init(|| Bounded::new(ACCOUNTS_MAX)).insert(account, channels);
        }
    }

    /// Takes in what is in the journal now.
    pub(super) fn change(&self, changed: &BTreeMap<ChannelId, ChannelBooks>) {
        let Some(kept) = self.0.get() else { return };
        for (channel_id, books) in changed {
            kept.change(&books.channel.account().id(), |channels| with(channels, *channel_id, *books));
        }
    }
}

/// An account's channels with these books, unless there are too many of them. One that is not among them is new.
fn with(mut channels: Channels, channel_id: ChannelId, books: ChannelBooks) -> Option<Channels> {
    if let Some(at) = channels.iter().position(|(known, _)| *known == channel_id) {
        Arc::make_mut(&mut channels)[at].1 = books;
        return Some(channels);
    }
    let with = channels.iter().copied().chain([(channel_id, books)]);
    (channels.len() < CHANNELS_MAX).then(|| with.collect())
}
