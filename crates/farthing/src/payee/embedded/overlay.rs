//! What is in the journal and not in the tables yet, in memory: the changes of the newest batches, and those that are
//! frozen while they are written to the tables.
//!
//! Each row in the tables is on a page with some of its neighbours. So what is written is a part of all channels, the
//! one that was not for longest: the more of its rows have changed meanwhile, the more of them share a page.

use super::journal::pages_of;
use crate::payee::posting::{Changes, ChargeId};
use crate::payee::store::{Redemption, Relayed};
use farthing_core::ledger::{ChannelBooks, Charge, Credit, FinalRedemption, Purchase};
use farthing_core::{AccountId, Address, Amount, B256, ChannelId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// In how many parts the channels are written, each as many ids in a row as the others.
const PARTS: usize = 8;

/// What a channel takes in memory beside its charges, about.
const CHANNEL_BYTES: usize = 768;

/// What a charge takes beside its item, about.
const CHARGE_BYTES: usize = 320;

/// A channel as far as a generation knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) books: ChannelBooks,
    pub(super) charges: BTreeMap<Amount, Arc<Charge>>,
}

/// The first batch of which something is here, and how much the journal had before it.
#[derive(Clone, Copy, Debug)]
struct Since {
    batch: u64,
    written: Written,
}

/// How much was written to the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// In whole pages.
    pub(super) room: u64,
    /// Of that, the batches themselves.
    pub(super) content: u64,
}

/// The changes to some of the channels.
#[derive(Debug, Default)]
struct Part {
    channels: HashMap<ChannelId, Known>,
    new_channels: HashMap<AccountId, Vec<ChannelId>>,
    /// Which channels with new charges a key signs for.
    signers: HashMap<Address, Vec<ChannelId>>,
    since: Option<Since>,
    bytes: usize,
}

impl Part {
    fn change(&mut self, channel_id: ChannelId, books: ChannelBooks, since: Since) {
        self.since.get_or_insert(since);
        let (signers, bytes) = (&mut self.signers, &mut self.bytes);
        let known = self.channels.entry(channel_id).or_insert_with(|| {
            *bytes += CHANNEL_BYTES;
            signers.entry(books.channel.authorized_signer).or_default().push(channel_id);
            Known { books, charges: BTreeMap::new() }
        });
        known.books = books;
    }

    fn charge(&mut self, channel_id: ChannelId, charge: Arc<Charge>) {
        // Whatever has a charge has books: a batch that adds one changes the other.
        if let Some(known) = self.channels.get_mut(&channel_id) {
            self.bytes += CHARGE_BYTES + charge.item.len();
            known.charges.insert(charge.cumulative_amount, charge);
        }
    }

    fn purchase(&self, purchase: &Purchase) -> Option<(ChannelId, Charge)> {
        self.signers.get(&purchase.signer)?.iter().find_map(|id| {
            let charges = &self.channels.get(id)?.charges;
            let charge = charges.values().find(|charge| charge.request == purchase.request)?;
            Some((*id, Charge::clone(charge)))
        })
    }
}

/// What else was changed: there is little of it, and whatever is written next, this is written with it.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) credits: BTreeMap<ChargeId, Credit>,
    pub(super) final_redemptions: Vec<(ChannelId, FinalRedemption)>,
    pub(super) redemptions: BTreeMap<B256, Redemption>,
    pub(super) relayed: BTreeMap<B256, Relayed>,
    pub(super) relayed_by_request: BTreeMap<B256, B256>,
    pub(super) strangers: BTreeMap<u64, Amount>,
    pub(super) relay_spent: BTreeMap<u64, Amount>,
}

/// What batches have changed.
#[derive(Debug, Default)]
pub(super) struct Generation {
    parts: [Part; PARTS],
    pub(super) rest: Rest,
    /// Since when the rest is here, if anything is.
    rest_since: Option<Since>,
    /// The newest batch of which something is here.
    last: Option<u64>,
}

impl Generation {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// By the first bits of its id, so that a part's rows are beside each other in the tables.
    fn part(&self, channel_id: ChannelId) -> &Part {
        &self.parts[part_of(channel_id)]
    }

    fn known(&self, channel_id: ChannelId) -> Option<&Known> {
        self.part(channel_id).channels.get(&channel_id)
    }

    pub(super) fn books(&self, channel_id: ChannelId) -> Option<ChannelBooks> {
        self.known(channel_id).map(|known| known.books)
    }

    pub(super) fn charge(&self, id: &ChargeId) -> Option<&Arc<Charge>> {
        self.known(id.0)?.charges.get(&id.1)
    }

    /// The channel's lowest charge from this amount on, of those that are here.
    pub(super) fn at_or_above(&self, channel_id: ChannelId, amount: Amount) -> Option<&Arc<Charge>> {
        self.known(channel_id)?.charges.range(amount..).next().map(|(_, charge)| charge)
    }

    /// The channel's highest charge up to this amount, of those that are here.
    pub(super) fn at_or_below(&self, channel_id: ChannelId, amount: Amount) -> Option<&Arc<Charge>> {
        self.known(channel_id)?.charges.range(..=amount).next_back().map(|(_, charge)| charge)
    }

    pub(super) fn purchase(&self, purchase: &Purchase) -> Option<(ChannelId, Charge)> {
        self.parts.iter().find_map(|part| part.purchase(purchase))
    }

    /// The channels of an account that are not in the tables.
    pub(super) fn new_channels_of(&self, account: AccountId) -> impl Iterator<Item = ChannelId> {
        self.parts.iter().filter_map(move |part| part.new_channels.get(&account)).flatten().copied()
    }

    /// The channels that are not in the tables, by account.
    pub(super) fn new_channels(&self) -> impl Iterator<Item = (&AccountId, &Vec<ChannelId>)> {
        self.parts.iter().flat_map(|part| &part.new_channels)
    }

    /// The channels that it has changed, in the order of their ids.
    pub(super) fn changed(&self) -> Vec<(ChannelId, &Known)> {
        let mut changed: Vec<(ChannelId, &Known)> =
            self.parts.iter().flat_map(|part| &part.channels).map(|(id, known)| (*id, known)).collect();
        changed.sort_unstable_by_key(|(id, _)| *id);
        changed
    }

    fn apply(&mut self, changes: Changes, since: Since) {
        self.last = Some(since.batch);
        self.rest_since.get_or_insert(since);
        for (channel_id, books) in changes.books {
            self.parts[part_of(channel_id)].change(channel_id, books, since);
        }
        for (account, channel_id) in changes.new_channels {
            self.parts[part_of(channel_id)].new_channels.entry(account).or_default().push(channel_id);
        }
        for (channel_id, charge) in changes.charges {
            self.parts[part_of(channel_id)].charge(channel_id, charge);
        }
        let rest = &mut self.rest;
        rest.credits.extend(changes.credits.into_iter().map(|(id, credit)| ((id, credit.cumulative_amount), credit)));
        rest.final_redemptions.extend(changes.final_redemptions);
        rest.redemptions.extend(changes.redemptions);
        rest.relayed.extend(changes.relayed);
        rest.relayed_by_request.extend(changes.relayed_by_request);
        rest.strangers.extend(changes.strangers);
        rest.relay_spent.extend(changes.relay_spent);
    }

    /// The part whose first batch is the oldest, and that batch.
    fn oldest(&self) -> Option<(usize, Since)> {
        let parts = self.parts.iter().enumerate().filter_map(|(index, part)| Some((index, part.since?)));
        parts.min_by_key(|(_, since)| since.batch)
    }

    /// The first batch of which anything is here.
    fn since(&self) -> Option<Since> {
        self.oldest().map(|(_, since)| since).into_iter().chain(self.rest_since).min_by_key(|since| since.batch)
    }

    /// Takes out what was not written for longest, and the rest.
    fn take_oldest(&mut self) -> Self {
        let mut taken = Self { last: self.last, rest: std::mem::take(&mut self.rest), ..Self::default() };
        self.rest_since = None;
        if let Some((index, _)) = self.oldest() {
            taken.parts[index] = std::mem::take(&mut self.parts[index]);
        }
        if self.oldest().is_none() {
            self.last = None;
        }
        taken
    }
}

/// An id is a hash: each part has about as many.
fn part_of(channel_id: ChannelId) -> usize {
    usize::from(channel_id.0[0]) * PARTS / 256
}

/// What is being written to the tables.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) generation: Generation,
    /// Up to which batch the tables have everything when this is there as well.
    pub(super) folded: u64,
}

/// What is not in the tables.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) current: Generation,
    /// Being written to the tables.
    pub(super) frozen: Option<Arc<Frozen>>,
    /// Up to this batch the tables have everything.
    pub(super) folded: u64,
    /// How many wait for tables that have whole batches only: meanwhile no part is frozen.
    pub(super) waiting: u64,
    written: Written,
    /// Why nothing is answered any more.
    pub(super) failed: Option<String>,
    /// Nobody uses the store any more.
    pub(super) is_closing: bool,
}

impl Overlay {
    /// What is not in tables that have everything up to a batch, and perhaps, after a kill, some of the next ones.
    pub(super) fn after(folded: u64) -> Self {
        Self { folded, ..Self::default() }
    }

    /// Takes in what a batch has changed, which is so many bytes long in the journal.
    pub(super) fn apply(&mut self, changes: Changes, batch: u64, length: usize) {
        let since = Since { batch, written: self.written };
        self.written.room += pages_of(length);
        self.written.content += length as u64;
        self.current.apply(changes, since);
    }

    /// What it takes in memory without what is frozen, about.
    pub(super) fn bytes(&self) -> usize {
        self.current.bytes()
    }

    /// What the journal keeps for it.
    pub(super) fn kept(&self) -> Written {
        let before = self.current.since().map_or(self.written, |since| since.written);
        Written { room: self.written.room - before.room, content: self.written.content - before.content }
    }

    /// The newest batch that is not in the tables, or not all of it.
    pub(super) fn newest(&self) -> Option<u64> {
        self.current.last.or_else(|| self.frozen.as_ref()?.generation.last)
    }

    /// Has the part written that was not for longest, unless something is being written.
    pub(super) fn freeze_oldest(&mut self) -> Option<Arc<Frozen>> {
        self.freeze(Generation::take_oldest)
    }

    /// Has everything written, unless something is being written.
    pub(super) fn freeze_all(&mut self) -> Option<Arc<Frozen>> {
        self.freeze(std::mem::take)
    }

    fn freeze(&mut self, take: impl FnOnce(&mut Generation) -> Generation) -> Option<Arc<Frozen>> {
        if self.frozen.is_some() {
            return None;
        }
        let newest = self.current.last?;
        let generation = take(&mut self.current);
        let folded = self.current.oldest().map_or(newest, |(_, since)| since.batch - 1);
        let frozen = Arc::new(Frozen { generation, folded });
        self.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// What was frozen is in the tables.
    pub(super) fn fold(&mut self, frozen: &Frozen) {
        self.folded = frozen.folded;
        self.frozen = None;
    }

    /// The first that one of the generations has, the newer one before the older.
    pub(super) fn find<T>(&self, look: impl Fn(&Generation) -> Option<T>) -> Option<T> {
        look(&self.current).or_else(|| look(&self.frozen.as_ref()?.generation))
    }

    /// The generations, the older one before the newer.
    pub(super) fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.frozen.iter().map(|frozen| &frozen.generation).chain([&self.current])
    }

    /// Nothing answers any more until the ledger is opened again.
    pub(super) fn fail(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }
}
