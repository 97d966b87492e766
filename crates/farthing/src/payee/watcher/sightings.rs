//! What the nodes have shown, each for itself, and what of that the payee goes by.

use super::agreement::Agreement;
use super::look::ALL_READ_TIMES;
use super::{Accounts, WatchError, logs};
use crate::chain::Block;
use crate::clock;
use crate::payee::nodes::{Nodes, Trouble};
use crate::payee::store::{Entry, Owing};
use crate::payee::{Payee, StoreError, alarm};
use alloy::rpc::types::Log;
use farthing_core::exposure::AccountView;
use farthing_core::{AccountId, Amount, B256, Channel, ChannelId, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many events are remembered as talked about.
const TALKED_ABOUT_MAX: usize = 10_000;

/// What the nodes have shown.
#[derive(Debug)]
pub(super) struct Sightings {
    pub(super) payee: Payee,
    pub(super) nodes: Nodes,
    pub(super) head_age_max: Option<Duration>,
    /// How often all accounts are read anew.
    pub(super) all_read_every: Duration,
    /// Whether what the ledger knows has been taken in. Held while it is.
    knows_ledger: tokio::sync::Mutex<bool>,
    seen: Mutex<Seen>,
}

/// All that, by node.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) nodes: Vec<SeenByNode>,
    pub(super) agreement: Agreement,
    /// Channels that the ledger knows and that are not in view yet.
    pending: HashMap<AccountId, Vec<Channel>>,
    /// What the ledger has as redeemed.
    redeemed: HashMap<ChannelId, Amount>,
    /// Accounts of which the ledger has more as redeemed than is final: until which block that may be a node that lags.
    doubted: HashMap<AccountId, Doubt>,
    /// Events that the owner has been told of: several nodes show them.
    talked_about: HashSet<(B256, u64)>,
}

/// What one node has shown.
#[derive(Debug, Default)]
pub(super) struct SeenByNode {
    pub(super) accounts: HashMap<AccountId, AccountView>,
    pub(super) head: Option<Block>,
    pub(super) confirmed: Option<Block>,
    /// When its last look with a good head was complete.
    seen_at: Option<Timestamp>,
    /// Accounts that it is to be asked about at its next look.
    fresh: Accounts,
    /// Whether its answers count, as of when they were added up last.
    counted: bool,
    /// Whether it was healthy then.
    healthy: bool,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    until: u64,
    is_said: bool,
}

impl Sightings {
    pub(super) fn new(payee: Payee, nodes: Nodes) -> Self {
        let seen = Seen {
            nodes: (0..nodes.len()).map(|_| SeenByNode::default()).collect(),
            agreement: Agreement::default(),
            pending: HashMap::new(),
            redeemed: HashMap::new(),
            doubted: HashMap::new(),
            talked_about: HashSet::new(),
        };
        let knows_ledger = tokio::sync::Mutex::new(false);
        let all_read_every = Duration::from_secs(payee.options().exit_delay / ALL_READ_TIMES);
        Self { payee, nodes, head_age_max: None, all_read_every, knows_ledger, seen: Mutex::new(seen) }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in, once, the channels that were charged in an earlier run and are not paid: a payer may be leaving.
    pub(super) async fn take_in_the_ledger(&self) -> Result<(), StoreError> {
        let mut knows_ledger = self.knows_ledger.lock().await;
        if *knows_ledger {
            return Ok(());
        }
        let views = self.payee.views();
        let store = self.payee.store();
        store
            .visit_owing(&mut |Owing { channel_id, books, .. }| {
                let mut seen = self.seen();
                seen.redeemed.insert(channel_id, books.redeemed);
                seen.expect(views.account_named(channel_id.0), &books.channel);
                Ok(())
            })
            .await?;
        *knows_ledger = true;
        Ok(())
    }

    /// Takes the accounts that were met since a node looked last: what they were met with may be older than its look.
    pub(super) fn take_fresh(&self, index: usize) -> Accounts {
        let met = self.payee.views().take_fresh();
        let mut seen = self.seen();
        seen.all_to_ask(&met);
        std::mem::take(&mut seen.nodes[index].fresh)
    }

    /// All accounts that are watched.
    pub(super) fn known_accounts(&self) -> Accounts {
        let mut accounts = self.payee.views().accounts();
        accounts.extend(self.seen().pending.keys());
        accounts
    }

    /// The channels of an account.
    pub(super) fn channels_of(&self, account: AccountId) -> Vec<Channel> {
        let mut channels = self.payee.views().channels_of(account);
        let seen = self.seen();
        for pending in seen.pending.get(&account).into_iter().flatten() {
            if !channels.contains(pending) {
                channels.push(*pending);
            }
        }
        channels
    }

    /// The account of ours that an event's id is about.
    pub(super) fn account_named(&self, id: B256) -> Option<AccountId> {
        let in_view = self.payee.views().account_named(id);
        in_view.or_else(|| self.seen().pending.contains_key(&AccountId(id)).then_some(AccountId(id)))
    }

    /// Tells the owner of what an operator's key does, once, however many nodes show it.
    pub(super) async fn alarm(&self, event: &Log) -> Result<(), WatchError> {
        let Some(alarm) = alarm::look(&self.payee, event).await? else { return Ok(()) };
        let id = (event.transaction_hash.unwrap_or_default(), event.log_index.unwrap_or_default());
        let mut seen = self.seen();
        if seen.talked_about.len() >= TALKED_ABOUT_MAX {
            seen.talked_about.clear();
        }
        if seen.talked_about.insert(id) {
            alarm.raise();
        }
        Ok(())
    }

    /// Tells the redeemer of an account of ours that money was withdrawn from: the rest may go with the next transaction.
    pub(super) fn note_withdrawing(&self, event: &Log) {
        let account = logs::withdrawn_from(event).filter(|account| self.account_named(account.0).is_some());
        if let Some(account) = account {
            self.payee.views().note_withdrawing(account);
        }
    }

    /// Takes in what an event does to a channel that another gateway on the same ledger has sold to: that one may be gone.
    /// Returns the account, if it is one to read. Other payees' events cost no look at the ledger.
    pub(super) async fn meet(&self, event: &Log) -> Result<Accounts, WatchError> {
        let named = logs::named_by_payee(event, &self.nodes.deployment());
        let Some((_, channels)) = named.filter(|(payee, _)| *payee == self.payee.address()) else {
            return Ok(Accounts::new());
        };
        let mut met = Accounts::new();
        for channel_id in channels {
            if self.payee.views().account_named(channel_id.0).is_some() {
                continue;
            }
            let Some(books) = self.payee.store().books(channel_id).await? else { continue };
            let account = books.channel.account().id();
            let mut seen = self.seen();
            seen.expect(None, &books.channel);
            seen.all_to_ask(&Accounts::from([account]));
            met.insert(account);
        }
        Ok(met)
    }

    /// A node has shown accounts.
    pub(super) fn show(&self, index: usize, accounts: HashMap<AccountId, AccountView>) {
        let mut seen = self.seen();
        seen.agreement.note_read(accounts.keys().copied());
        seen.nodes[index].accounts.extend(accounts);
    }

    /// A node's look is complete: what it has `read`, and what follows from its being in or out of trouble, counts.
    pub(super) async fn finish(
        &self,
        index: usize,
        head: Block,
        confirmed: Option<Block>,
        trouble: Option<Trouble>,
        read: &Accounts,
    ) -> Result<(), WatchError> {
        {
            let mut seen = self.seen();
            let node = &mut seen.nodes[index];
            (node.head, node.confirmed) = (Some(head), confirmed);
            if trouble.is_none() {
                node.seen_at = Some(clock::now());
            }
        }
        match trouble {
            Some(trouble) => self.nodes.note_trouble(index, trouble),
            None => self.nodes.note_well(index, head),
        }
        // Before anything better is believed, and before the chain counts as seen.
        self.compare_final_blocks(index).await;
        self.count(read).await?;
        self.compare_accounts(index).await;
        self.payee.views().note_seen(self.seen_at());
        Ok(())
    }

    /// A node has come into trouble, or out of it.
    pub(super) async fn reconsider(&self) -> Result<(), WatchError> {
        self.count(&Accounts::new()).await
    }

    /// Adds up what the nodes show of accounts, of all of them if another node counts than before.
    async fn count(&self, read: &Accounts) -> Result<(), WatchError> {
        let accounts: Vec<AccountId> = {
            let mut seen = self.seen();
            let accounts = if seen.recount(&self.nodes) { seen.shown() } else { read.iter().copied().collect() };
            for account in &accounts {
                self.enter(&mut seen, *account);
            }
            accounts
        };
        for account in accounts {
            if self.settle(account).await? {
                self.enter(&mut self.seen(), account);
            }
        }
        if !read.is_empty() {
            self.payee.news().notify_one();
        }
        Ok(())
    }

    /// Puts an account into view as the nodes show it.
    fn enter(&self, seen: &mut Seen, account: AccountId) {
        let Some((mut look, is_partial)) = seen.combine(account, self.nodes.required()) else { return };
        let views = self.payee.views();
        if seen.is_doubtful(account, &look) {
            look.balance = Amount::ZERO;
        }
        if is_partial && views.channels_of(account).is_empty() {
            // Shown by too few to be believed: it enters with what is wrong about it only.
            look.balance = Amount::ZERO;
            look.channels.views_mut().for_each(|view| view.confirmed.reserved = Amount::ZERO);
        }
        views.enter_look(account, look, is_partial);
        seen.pending.remove(&account);
    }

    /// Writes down what was finally redeemed. Returns whether the ledger has more than is final, and it was not known to.
    async fn settle(&self, account: AccountId) -> Result<bool, WatchError> {
        let views = self.payee.views();
        let mut is_more = false;
        for channel in views.channels_of(account) {
            let channel_id = channel.id(&self.nodes.deployment());
            let view = views.account_of(&channel).and_then(|account| account.channel(channel_id));
            let Some(redeemed) = view.map(|view| view.confirmed.redeemed) else { continue };
            if self.seen().redeemed.get(&channel_id).is_some_and(|known| *known >= redeemed) {
                continue;
            }
            let Some(books) = self.payee.store().books(channel_id).await? else { continue };
            if books.redeemed < redeemed {
                let block = self.seen().confirmed(&self.nodes).unwrap_or_default();
                let entry = Entry::Redeemed { channel_id, redeemed, block, at: clock::now() };
                self.payee.writer().write(entry).await?;
            }
            is_more |= books.redeemed > redeemed;
            self.seen().redeemed.insert(channel_id, books.redeemed.max(redeemed));
        }
        Ok(is_more)
    }

    /// When the chain was last seen by as many nodes as have to see it.
    fn seen_at(&self) -> Timestamp {
        let seen = self.seen();
        let healthy = seen.nodes.iter().enumerate().filter(|(index, _)| self.nodes.is_healthy(*index));
        let mut seen_at: Vec<Timestamp> = healthy.filter_map(|(_, node)| node.seen_at).collect();
        seen_at.sort_unstable_by(|one, other| other.cmp(one));
        let known = self.payee.views().seen_at();
        seen_at.get(self.nodes.required() - 1).map_or(known, |seen_at| known.max(*seen_at))
    }
}

impl Seen {
    /// A channel that is not in view is to be read.
    fn expect(&mut self, in_view: Option<AccountId>, channel: &Channel) {
        if in_view.is_none() {
            let pending = self.pending.entry(channel.account().id()).or_default();
            if !pending.contains(channel) {
                pending.push(*channel);
            }
        }
    }

    fn all_to_ask(&mut self, accounts: &Accounts) {
        for node in &mut self.nodes {
            node.fresh.extend(accounts);
        }
    }

    /// All accounts that any node has shown.
    fn shown(&self) -> Vec<AccountId> {
        let all: Accounts = self.nodes.iter().flat_map(|node| node.accounts.keys().copied()).collect();
        all.into_iter().collect()
    }

    /// Finds out whose answers count now. Returns whether others than before.
    ///
    /// A healthy node's do. Of one that is left out, what it has shown counts on until as many others as are required have
    /// seen a block as late as its last one: else an honest node that dies would leave a lagging one to say how much
    /// there was before.
    fn recount(&mut self, nodes: &Nodes) -> bool {
        let is_healthy = |index: usize| nodes.is_healthy(index);
        let healthy: Vec<Timestamp> = (0..self.nodes.len())
            .filter(|index| is_healthy(*index))
            .filter_map(|index| self.nodes[index].head.map(|head| head.at))
            .collect();
        let mut has_changed = false;
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let counts = node.head.is_some_and(|head| {
                let others = healthy.iter().filter(|at| **at >= head.at).count();
                is_healthy(index) || others < nodes.required()
            });
            has_changed |= (counts, is_healthy(index)) != (node.counted, node.healthy);
            (node.counted, node.healthy) = (counts, is_healthy(index));
        }
        has_changed
    }

    /// What the nodes show of an account: of every figure the safer. And whether that is not all that there is to know:
    /// too few nodes are healthy, or one that counts has not shown this account yet.
    fn combine(&self, account: AccountId, required: usize) -> Option<(AccountView, bool)> {
        let shown = || self.nodes.iter().enumerate().filter(|(_, node)| node.accounts.contains_key(&account));
        let healthy = shown().filter(|(_, node)| node.counted && node.healthy).count();
        let is_enough = healthy >= required;
        let is_partial =
            !is_enough || self.nodes.iter().any(|node| node.counted && !node.accounts.contains_key(&account));
        let mut look: Option<AccountView> = None;
        // With too few of them even a word that does not count any more may be the only true one.
        for (_, node) in shown().filter(|(_, node)| node.counted || !is_enough) {
            let view = &node.accounts[&account];
            match &mut look {
                Some(look) => look.keep_safer(view),
                None => look = Some(view.clone()),
            }
        }
        Some((look?, is_partial))
    }

    /// The last block that all healthy nodes call final.
    fn confirmed(&self, nodes: &Nodes) -> Option<u64> {
        let healthy =
            self.nodes.iter().enumerate().filter(|(index, node)| nodes.is_healthy(*index) && node.head.is_some());
        healthy.map(|(_, node)| node.confirmed.map(|block| block.number)).min().flatten()
    }

    /// Whether the ledger has more as redeemed than the last final block shows: an account to give no credit to. It may
    /// be a node that lags, or a final block that was undone, which should be impossible, and is said.
    fn is_doubtful(&mut self, account: AccountId, look: &AccountView) -> bool {
        let less = look.channels.iter().any(|(channel_id, (_, view))| {
            self.redeemed.get(&channel_id).is_some_and(|known| *known > view.confirmed.redeemed)
        });
        if !less {
            if self.doubted.remove(&account).is_some_and(|doubt| doubt.is_said) {
                tracing::info!(account = %account.0, "what the ledger has as redeemed is final again");
            }
            return false;
        }
        let head = self.nodes.iter().filter_map(|node| node.head).map(|head| head.number).max().unwrap_or_default();
        let confirmed = self.nodes.iter().filter(|node| node.counted).map(|node| node.confirmed);
        let confirmed = confirmed.map(|block| block.map(|block| block.number)).min().flatten();
        let doubt = self.doubted.entry(account).or_insert(Doubt { until: head, is_said: false });
        if !doubt.is_said && confirmed.is_some_and(|confirmed| confirmed >= doubt.until) {
            doubt.is_said = true;
            tracing::error!(
                account = %account.0,
                "the ledger has more as redeemed than the chain's final block shows: a final block was undone, or the \
                 node shows another chain; the account gets no credit"
            );
        }
        true
    }
}
