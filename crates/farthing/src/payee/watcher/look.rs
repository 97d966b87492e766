//! One node's looks: what its new blocks touched, and what it says of that.

use super::sightings::Sightings;
use super::{Accounts, WatchError, age_of_views, logs};
use crate::chain::{Block, ChainError};
use crate::clock;
use crate::escrow::{Escrow, EscrowError};
use crate::payee::nodes::Trouble;
use crate::payee::views::BoxFuture;
use alloy::eips::BlockNumberOrTag;
use alloy::rpc::types::Log;
use farthing_core::exposure::{AccountView, ChannelFunds, ChannelView};
use farthing_core::{AccountId, Channel};
use futures_util::future::select_all;
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A gap of more blocks than this is not replayed: reading every account anew is cheaper.
const CATCH_UP_MAX: u64 = 50_000;

/// How often within an exit delay all accounts are read anew, whatever a node says has changed: a close request that it
/// has left out of its events must be found while there is time.
pub(super) const ALL_READ_TIMES: u64 = 24;

/// How many channels a node is asked about at once.
const READS_AT_ONCE: usize = 32;

/// How far in the future a node's newest block may be: clocks differ.
const FUTURE_MAX: Duration = Duration::from_secs(60);

/// How long after a failed look the node is asked once more before it counts as failing: a block that is undone while
/// it is looked at is no fault of the node.
const SECOND_TRY_AFTER: Duration = Duration::from_millis(100);

/// How long after an announcement the nodes are asked: the others may be as far by then.
const PAUSE_AFTER_NEWS: Duration = Duration::from_millis(100);

/// What one node has shown so far, and what it still has to be asked.
#[derive(Debug)]
pub(super) struct NodeWatch {
    index: usize,
    /// Whether it was found to serve this chain, since it was in trouble last: behind a URL may be another node by now.
    is_checked: bool,
    /// Up to here its events have been looked at.
    last: Option<Block>,
    confirmed: Option<Block>,
    /// Accounts that changed in a block that is not final yet: they are read again when more is final.
    unsettled: HashMap<AccountId, u64>,
    /// Accounts to be read before this node's look is complete.
    unread: Accounts,
    /// When all of them were to be read last.
    all_read_at: Option<Instant>,
    range: logs::LogRange,
}

impl NodeWatch {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            is_checked: false,
            last: None,
            confirmed: None,
            unsettled: HashMap::new(),
            unread: Accounts::new(),
            all_read_at: None,
            range: logs::LogRange::default(),
        }
    }

    /// Looks at every block that any node announces, and every `interval`, until dropped.
    pub(super) async fn run(&mut self, sightings: &Sightings, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut announcements = sightings.nodes.announcements();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = announced(&mut announcements) => {
                    // A node that announces without end must not be answered without end.
                    tokio::time::sleep(PAUSE_AFTER_NEWS).await;
                    announcements.iter_mut().for_each(|heads| {
                        heads.mark_unchanged();
                    });
                }
            }
            match self.step(sightings).await {
                Err(WatchError::Store(error)) => {
                    let age = age_of_views(&sightings.payee);
                    tracing::error!(%error, age, "the ledger fails, so the chain can't be watched");
                }
                // What is wrong with a node is said once, when it begins.
                Err(WatchError::Escrow(error)) => tracing::debug!(%error, node = self.index, "a look failed"),
                Ok(()) => {}
            }
        }
    }

    /// One look. Whatever of it succeeds is kept, and the next one goes on from there.
    pub(super) async fn step(&mut self, sightings: &Sightings) -> Result<(), WatchError> {
        sightings.take_in_the_ledger().await?;
        let mut looked = self.look(sightings).await;
        if let Err(WatchError::Escrow(error)) = &looked
            && !is_silence(error)
        {
            tokio::time::sleep(SECOND_TRY_AFTER).await;
            looked = self.look(sightings).await;
        }
        if let Err(WatchError::Escrow(error)) = &looked {
            self.is_checked = false;
            sightings.nodes.note_trouble(self.index, Trouble::Failing { reason: error.to_string() });
            sightings.reconsider().await?;
        }
        looked
    }

    async fn look(&mut self, sightings: &Sightings) -> Result<(), WatchError> {
        if !self.is_checked {
            sightings.nodes.answer(self.index, self.escrow(sightings).check()).await?;
            self.is_checked = true;
        }
        let (head, confirmed) = self.newest(sightings).await?;
        let trouble = judge(head, sightings.head_age_max);
        if let Some(trouble @ Trouble::Future { .. }) = trouble {
            // Nothing of what it shows now has happened yet.
            sightings.nodes.note_trouble(self.index, trouble);
            sightings.reconsider().await?;
            return Ok(());
        }
        // Before the events: whoever is met from here on is met again at the next look.
        let fresh = sightings.take_fresh(self.index);
        self.note_changed(fresh, head);
        let is_undone = self.follow(sightings, head).await?;
        self.read_all_in_time(sightings, head);
        if is_undone || self.confirmed != confirmed {
            self.unread.extend(self.unsettled.keys());
        }
        let read = self.read_unread(sightings, head, confirmed).await?;
        let confirmed_number = confirmed.map_or(0, |block| block.number);
        self.unsettled.retain(|_, block| *block > confirmed_number);
        self.confirmed = confirmed;
        sightings.finish(self.index, head, confirmed, trouble, &read).await
    }

    /// The node's newest block, and its last final one if it names any.
    async fn newest(&self, sightings: &Sightings) -> Result<(Block, Option<Block>), WatchError> {
        let chain = self.escrow(sightings).chain();
        let newest = async { Ok::<_, EscrowError>(tokio::try_join!(chain.head(), chain.final_block())?) };
        let (head, confirmed) = sightings.nodes.answer(self.index, newest).await?;
        sightings.nodes.note_final(self.index, confirmed.is_some());
        Ok((head, confirmed))
    }

    /// Goes through the events up to the head. Returns whether blocks that this had seen are undone.
    async fn follow(&mut self, sightings: &Sightings, head: Block) -> Result<bool, WatchError> {
        let Some(last) = self.last else {
            // All accounts are read in the first look.
            self.last = Some(head);
            return Ok(false);
        };
        if last == head {
            return Ok(false);
        }
        let is_continued = self.is_continued(sightings, last, head).await?;
        // If the chain this knew is not the chain there is, all that was not final may have changed.
        let from = if is_continued { last.number } else { self.confirmed.map_or(0, |block| block.number) };
        if head.number.saturating_sub(from) > CATCH_UP_MAX {
            self.note_changed(sightings.known_accounts(), head);
        } else {
            self.follow_events(sightings, from, head).await?;
        }
        self.last = Some(head);
        Ok(!is_continued)
    }

    fn read_all_in_time(&mut self, sightings: &Sightings, head: Block) {
        if self.all_read_at.is_some_and(|at| at.elapsed() < sightings.all_read_every) {
            return;
        }
        self.all_read_at = Some(Instant::now());
        self.note_changed(sightings.known_accounts(), head);
    }

    /// Whether the block seen last is still part of the chain.
    async fn is_continued(&self, sightings: &Sightings, last: Block, head: Block) -> Result<bool, WatchError> {
        if head.number <= last.number {
            return Ok(false);
        }
        let chain = self.escrow(sightings).chain();
        let there = async { Ok::<_, EscrowError>(chain.block(BlockNumberOrTag::Number(last.number)).await?) };
        Ok(sightings.nodes.answer(self.index, there).await? == Some(last))
    }

    /// Takes note of the accounts that the escrow's events name, in the blocks after `from` up to the head. Range by
    /// range, so that what is held is bounded by one of them.
    async fn follow_events(&mut self, sightings: &Sightings, from: u64, head: Block) -> Result<(), WatchError> {
        let mut first = from + 1;
        while first < head.number {
            let last = self.range.last(first, head.number - 1);
            let asked = async { Ok::<_, EscrowError>(logs::in_range(self.escrow(sightings), first, last).await?) };
            match sightings.nodes.answer(self.index, asked).await {
                Ok(events) => {
                    self.range.answered(events.len());
                    self.take_events(sightings, &events, head).await?;
                    first = last + 1;
                }
                Err(EscrowError::Chain(error)) => {
                    let is_smaller = self.range.refused();
                    if !is_smaller || !logs::is_about_range(&error) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if first <= head.number {
            let asked = async { Ok::<_, EscrowError>(logs::in_block(self.escrow(sightings), head).await?) };
            let events = sightings.nodes.answer(self.index, asked).await?;
            self.take_events(sightings, &events, head).await?;
        }
        Ok(())
    }

    async fn take_events(&mut self, sightings: &Sightings, events: &[Log], head: Block) -> Result<(), WatchError> {
        for event in events {
            sightings.alarm(event).await?;
            sightings.note_withdrawing(event);
            let met = sightings.meet(event).await?;
            self.note_changed(met, head);
            let named = logs::named_ids(event);
            let touched = named.into_iter().filter_map(|named| sightings.account_named(named)).collect();
            self.note_changed(touched, head);
        }
        Ok(())
    }

    fn note_changed(&mut self, accounts: Accounts, head: Block) {
        for account in accounts {
            self.unsettled.insert(account, head.number);
            self.unread.insert(account);
        }
    }

    /// Reads what is to be read, as it is in these very blocks. What was read stays read if the rest fails.
    async fn read_unread(
        &mut self,
        sightings: &Sightings,
        head: Block,
        confirmed: Option<Block>,
    ) -> Result<Accounts, WatchError> {
        let (mut wanted, mut channels) = (HashMap::<AccountId, usize>::new(), Vec::new());
        for account in &self.unread {
            let of_account = sightings.channels_of(*account);
            wanted.insert(*account, of_account.len());
            channels.extend(of_account.into_iter().map(|channel| (*account, channel)));
        }
        let (index, escrow) = (self.index, self.escrow(sightings));
        // Boxed, or the compiler can't tell that the whole may move between threads.
        let read = |(account, channel): (AccountId, Channel)| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let view = sightings.nodes.answer(index, view_of(escrow, &channel, head, confirmed)).await;
                (account, channel, view)
            })
        };
        let reads = channels.into_iter().map(read);
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        let (mut views, mut failed) = (HashMap::<AccountId, AccountView>::new(), None);
        while let Some((account, channel, view)) = reads.next().await {
            match view {
                Ok((balance, view)) => {
                    let account = views.entry(account).or_default();
                    account.balance = balance;
                    account.channels.insert(channel.id(&escrow.deployment()), (channel, view));
                }
                // The others would fail in the same way, one time limit after the other.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(reads);
        // Half of an account is none: its channels share a balance.
        views.retain(|account, view| wanted.get(account) == Some(&view.channels.len()));
        self.unread.retain(|account| {
            !views.contains_key(account) && wanted.get(account).is_some_and(|channels| *channels > 0)
        });
        let read = views.keys().copied().collect();
        sightings.show(index, views);
        failed.map_or(Ok(read), |error| Err(error.into()))
    }

    fn escrow<'a>(&self, sightings: &'a Sightings) -> &'a Escrow {
        sightings.nodes.escrow(self.index)
    }
}

/// Waits for the next block that any node announces; for ever if none does.
async fn announced(announcements: &mut Vec<watch::Receiver<u64>>) {
    loop {
        if announcements.is_empty() {
            return std::future::pending().await;
        }
        let news = announcements.iter_mut().map(|heads| Box::pin(heads.changed()));
        let (changed, index, _) = select_all(news).await;
        match changed {
            Ok(()) => return,
            Err(_) => drop(announcements.remove(index)),
        }
    }
}

/// What is behind a channel in these very blocks. By their hashes: of a node that lacks one, perhaps one of several
/// behind the same URL, that is an error, where a tag would be answered with an older state.
pub(super) async fn view_of(
    escrow: &Escrow,
    channel: &Channel,
    head: Block,
    confirmed: Option<Block>,
) -> Result<(farthing_core::Amount, ChannelView), EscrowError> {
    let confirmed = async {
        let Some(confirmed) = confirmed else { return Ok(ChannelFunds::default()) };
        match escrow.funds_at(channel, (confirmed.hash, Some(true)).into()).await {
            Ok(funds) => Ok(funds.channel),
            // The escrow is younger than the last final block: nothing in it is final.
            Err(EscrowError::NoCode { .. }) => Ok(ChannelFunds::default()),
            Err(error) => Err(error),
        }
    };
    let (head, confirmed) = tokio::try_join!(escrow.funds_at(channel, (head.hash, Some(true)).into()), confirmed)?;
    Ok((head.account_balance, ChannelView { head: head.channel, confirmed }))
}

/// What is wrong with a node's newest block, by this machine's clock.
fn judge(head: Block, age_max: Option<Duration>) -> Option<Trouble> {
    let age_max = age_max?;
    let now = clock::now();
    let (age, ahead) = (now.seconds_since(head.at), head.at.seconds_since(now));
    if ahead > FUTURE_MAX.as_secs() {
        return Some(Trouble::Future { block: head.number, ahead });
    }
    (age > age_max.as_secs()).then_some(Trouble::Old { block: head.number, age })
}

/// Whether nothing was answered at all: asking again at once would only take as long again.
fn is_silence(error: &EscrowError) -> bool {
    let EscrowError::Chain(ChainError::Unreachable { reason, .. }) = error else { return false };
    reason.contains("no answer within") || reason.contains("error sending request")
}
