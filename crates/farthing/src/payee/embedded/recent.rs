//! What the tables have of accounts that bought lately.
//!
//! Of many accounts each has its rows on other pages: to look them up takes longer than to check a signature. Who buys
//! a song is likely to buy another, so what the first one needed is kept for the next.

use super::overlay::Generation;
use crate::payee::bounded::Bounded;
use farthing_core::ledger::ChannelBooks;
use farthing_core::{AccountId, ChannelId};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many accounts are kept at most. One with one channel is some 300 bytes: 80 MB, if there are so many.
const ACCOUNTS_MAX: usize = 262_144;

/// Accounts with more channels than this are looked up each time: memory is bounded.
const CHANNELS_MAX: usize = 4;

/// All channels of an account, and their books.
pub(super) type Channels = Arc<[(ChannelId, ChannelBooks)]>;

/// The accounts that bought lately, as they are in the tables. Room for them is made when the first comes.
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

    /// Takes in what has come to the tables. To be called before the generation leaves memory: until then whatever it
    /// has goes before what is here, and afterwards this is as new.
    pub(super) fn turn(&self, folded: &Generation) {
        // Nothing was looked up in what is taken from a journal when a ledger is opened, and nothing is here yet.
        if self.0.get().is_none() && folded.accounts().next().is_none() {
            return;
        }
        let kept = self.0.get_or_init(|| Bounded::new(ACCOUNTS_MAX));
        let mut whole = HashSet::new();
        for (account, channels) in folded.accounts() {
            let books = channels.iter().map(|id| Some((*id, folded.books(*id)?)));
            match books.collect::<Option<Channels>>() {
                Some(channels) if channels.len() <= CHANNELS_MAX => {
                    whole.extend(channels.iter().map(|(id, _)| *id));
                    kept.insert(*account, channels);
                }
                _ => kept.remove(account),
            }
        }
        // Of their accounts the generation does not know all channels; what is here of them is old now.
        for (channel_id, known) in folded.changed() {
            if !whole.contains(&channel_id) {
                kept.remove(&known.books.channel.account().id());
            }
        }
    }
}
