//! What is in the journal and not in the tables yet, in memory: two generations. Batches go to the current one while
//! the one before it, frozen, is written to the tables.

use super::journal::pages_of;
use crate::payee::posting::{Changes, ChargeId};
use crate::payee::store::{Redemption, Relayed};
use farthing_core::ledger::{ChannelBooks, Charge, Credit, FinalRedemption, Purchase};
use farthing_core::{AccountId, Address, Amount, B256, ChannelId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a channel takes in memory beside what is in the journal of it, about.
const CHANNEL_BYTES: usize = 512;

/// A channel as far as a generation knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) books: ChannelBooks,
    /// Whether this generation has changed it, or has only looked it up.
    is_changed: bool,
    pub(super) charges: BTreeMap<Amount, Arc<Charge>>,
}

/// What some batches, one after the other, have changed.
#[derive(Debug, Default)]
pub(super) struct Generation {
    channels: HashMap<ChannelId, Known>,
    /// All channels of accounts that were looked up.
    accounts: HashMap<AccountId, Vec<ChannelId>>,
    pub(super) new_channels: HashMap<AccountId, Vec<ChannelId>>,
    /// Which channels with new charges a key signs for.
    signers: HashMap<Address, Vec<ChannelId>>,
    pub(super) credits: BTreeMap<ChargeId, Credit>,
    pub(super) final_redemptions: Vec<(ChannelId, FinalRedemption)>,
    pub(super) redemptions: BTreeMap<B256, Redemption>,
    pub(super) relayed: BTreeMap<B256, Relayed>,
    pub(super) relayed_by_request: BTreeMap<B256, B256>,
    pub(super) strangers: BTreeMap<u64, Amount>,
    pub(super) relay_spent: BTreeMap<u64, Amount>,
    last: Option<u64>,
    bytes: usize,
    room: u64,
}

impl Generation {
    /// The newest batch in it.
    pub(super) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// What it takes in memory, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it takes in the journal.
    pub(super) const fn room(&self) -> u64 {
        self.room
    }

    pub(super) fn books(&self, channel_id: ChannelId) -> Option<ChannelBooks> {
        self.channels.get(&channel_id).map(|known| known.books)
    }

    pub(super) fn charge(&self, id: &ChargeId) -> Option<&Arc<Charge>> {
        self.channels.get(&id.0)?.charges.get(&id.1)
    }

    /// The channel's lowest charge from this amount on, of those that are here.
    pub(super) fn at_or_above(&self, channel_id: ChannelId, amount: Amount) -> Option<&Arc<Charge>> {
        self.channels.get(&channel_id)?.charges.range(amount..).next().map(|(_, charge)| charge)
    }

    /// The channel's highest charge up to this amount, of those that are here.
    pub(super) fn at_or_below(&self, channel_id: ChannelId, amount: Amount) -> Option<&Arc<Charge>> {
        self.channels.get(&channel_id)?.charges.range(..=amount).next_back().map(|(_, charge)| charge)
    }

    pub(super) fn purchase(&self, purchase: &Purchase) -> Option<(ChannelId, Charge)> {
        let channels = self.signers.get(&purchase.signer)?;
        channels.iter().find_map(|id| {
            let charges = &self.channels.get(id)?.charges;
            let charge = charges.values().find(|charge| charge.request == purchase.request)?;
            Some((*id, Charge::clone(charge)))
        })
    }

    /// All channels of an account, if they were looked up here before.
    pub(super) fn channels_of(&self, account: AccountId) -> Option<&[ChannelId]> {
        self.accounts.get(&account).map(Vec::as_slice)
    }

    /// The accounts that were looked up, each with all of its channels.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (&AccountId, &[ChannelId])> {
        self.accounts.iter().map(|(account, channels)| (account, channels.as_slice()))
    }

    pub(super) fn new_channels_of(&self, account: AccountId) -> &[ChannelId] {
        self.new_channels.get(&account).map(Vec::as_slice).unwrap_or_default()
    }

    /// The channels that it has changed, in the order of their ids.
    pub(super) fn changed(&self) -> Vec<(ChannelId, &Known)> {
        let changed = self.channels.iter().filter(|(_, known)| known.is_changed);
        let mut changed: Vec<(ChannelId, &Known)> = changed.map(|(id, known)| (*id, known)).collect();
        changed.sort_unstable_by_key(|(id, _)| *id);
        changed
    }

    /// Notes what was looked up elsewhere, so that the next batch finds it here.
    pub(super) fn note_account(&mut self, account: AccountId, channels: Vec<ChannelId>) {
        self.bytes += CHANNEL_BYTES;
        self.accounts.insert(account, channels);
    }

    /// See [`Self::note_account`].
    pub(super) fn note_books(&mut self, channel_id: ChannelId, books: ChannelBooks) {
        self.bytes += CHANNEL_BYTES;
        let known = || Known { books, is_changed: false, charges: BTreeMap::new() };
        self.channels.entry(channel_id).or_insert_with(known);
    }

    /// Takes in what a batch has changed, which is so many bytes long in the journal.
    pub(super) fn apply(&mut self, changes: Changes, batch: u64, length: usize) {
        self.bytes += length;
        self.room += pages_of(length);
        self.last = Some(batch);
        for (account, channel_id) in changes.new_channels {
            self.new_channels.entry(account).or_default().push(channel_id);
            let channels = self.accounts.get_mut(&account);
            if let Some(channels) = channels.filter(|channels| !channels.contains(&channel_id)) {
                channels.push(channel_id);
            }
        }
        for (channel_id, books) in changes.books {
            self.change(channel_id, books);
        }
        for (channel_id, charge) in changes.charges {
            // Whatever has a charge has books: a batch that adds one changes the other.
            if let Some(known) = self.channels.get_mut(&channel_id) {
                known.charges.insert(charge.cumulative_amount, charge);
            }
        }
        self.credits.extend(changes.credits.into_iter().map(|(id, credit)| ((id, credit.cumulative_amount), credit)));
        self.final_redemptions.extend(changes.final_redemptions);
        self.redemptions.extend(changes.redemptions);
        self.relayed.extend(changes.relayed);
        self.relayed_by_request.extend(changes.relayed_by_request);
        self.strangers.extend(changes.strangers);
        self.relay_spent.extend(changes.relay_spent);
    }

    fn change(&mut self, channel_id: ChannelId, books: ChannelBooks) {
        let known = self.channels.entry(channel_id).or_insert_with(|| {
            self.bytes += CHANNEL_BYTES;
            Known { books, is_changed: false, charges: BTreeMap::new() }
        });
        known.books = books;
        if !known.is_changed {
            known.is_changed = true;
            self.signers.entry(books.channel.authorized_signer).or_default().push(channel_id);
        }
    }
}

/// What is not in the tables.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) current: Generation,
    /// Being written to the tables.
    pub(super) frozen: Option<Arc<Generation>>,
    /// How often a generation was frozen.
    pub(super) turns: u64,
    /// The newest batch in the tables.
    pub(super) folded: u64,
    /// Why nothing is answered any more.
    pub(super) failed: Option<String>,
    /// Nobody uses the store any more.
    pub(super) is_closing: bool,
}

impl Overlay {
    /// Has the current generation written to the tables, unless another one is.
    pub(super) fn freeze(&mut self) -> Option<Arc<Generation>> {
        if self.frozen.is_some() {
            return None;
        }
        let frozen = Arc::new(std::mem::take(&mut self.current));
        self.turns += 1;
        self.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// The first that one of the generations has, the newer one before the older.
    pub(super) fn find<T>(&self, look: impl Fn(&Generation) -> Option<T>) -> Option<T> {
        look(&self.current).or_else(|| look(self.frozen.as_ref()?))
    }

    /// The generations, the older one before the newer.
    pub(super) fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.frozen.iter().map(AsRef::as_ref).chain([&self.current])
    }

    /// Nothing answers any more until the ledger is opened again.
    pub(super) fn fail(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }
}
