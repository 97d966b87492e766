//! Keeps the payee's views of the chain current: one look at every new block, and only at accounts it touched.
//!
//! Deposits and withdrawals, redemptions and close requests count from the head; reservations and redemptions count as
//! good news when they are final.

use super::nodes::{Nodes, Trouble};
use super::store::Entry;
use super::{Payee, StoreError, alarm};
use crate::chain::{Block, ChainError};
use crate::clock;
use crate::escrow::bindings::Escrow as abi;
use crate::escrow::{Escrow, EscrowError};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;
use farthing_core::batch::unpack_entries;
use farthing_core::{Account, AccountId, ChannelId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The most blocks that one `eth_getLogs` asks for; public RPCs refuse more.
const LOG_RANGE_MAX: u64 = 1_000;

/// A gap of more blocks than this is not replayed: reading every account anew is cheaper.
const CATCH_UP_MAX: u64 = 50_000;

/// Thrown when a look at the chain fails. The views stay as they are and age.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The chain.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ChainError> for WatchError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}

/// Watches one escrow for one payee.
#[derive(Debug)]
pub struct Watcher {
    payee: Payee,
    nodes: Nodes,
    escrow: Escrow,
    head_age_max: Option<Duration>,
    last: Option<Block>,
    confirmed: u64,
    /// Accounts that changed in a block that is not final yet: they are read again until it is.
    unsettled: HashMap<AccountId, u64>,
}

impl Watcher {
    /// Begins to watch. Channels that the ledger knows are looked at in the first step.
    #[must_use]
    pub fn new(payee: Payee, nodes: impl Into<Nodes>) -> Self {
        let nodes = nodes.into();
        let escrow = nodes.escrow(0).clone();
        Self { payee, nodes, escrow, head_age_max: None, last: None, confirmed: 0, unsettled: HashMap::new() }
    }

    /// Trusts no view of the chain whose newest block is older than this. For chains that move by themselves.
    #[must_use]
    pub fn with_head_age_max(self, age: Duration) -> Self {
        Self { head_age_max: Some(age), ..self }
    }

    /// Looks at the chain every `interval` until the future is dropped. A failed look is logged and tried again.
    pub async fn run(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.step().await {
                let age = clock::now().seconds_since(self.payee.views().seen_at());
                tracing::warn!(%error, age, "the chain can't be watched; credit stops when the view is too old");
            }
        }
    }

    /// One look: finds what new blocks touched and reads that anew.
    ///
    /// # Errors
    ///
    /// If the chain does not answer or the store fails; the next step makes up for it.
    pub async fn step(&mut self) -> Result<(), WatchError> {
        let looked = self.look().await;
        if let Err(WatchError::Escrow(error)) = &looked {
            self.nodes.note_trouble(0, Trouble::Failing { reason: error.to_string() });
        }
        looked
    }

    async fn look(&mut self) -> Result<(), WatchError> {
        let chain = self.escrow.chain();
        let head = chain.block(BlockNumberOrTag::Latest).await?;
        let head = head.ok_or_else(|| EscrowError::Answer("no latest block".to_owned()))?;
        let confirmed = chain.block(BlockNumberOrTag::Finalized).await?;
        self.nodes.note_final(0, confirmed.is_some());
        let confirmed = confirmed.map_or(0, |block| block.number);
        // Whoever was met since the last look may have been read before a block that the last look passed.
        let fresh = self.payee.views().take_fresh();
        self.unsettled.extend(fresh.into_iter().map(|account| (account, head.number)));
        let touched = match self.last {
            None => {
                self.enter_known_channels().await?;
                self.all_accounts()
            }
            Some(last) if last == head => HashSet::new(),
            Some(last) if self.is_continued(last, head).await? => self.touched(last.number, head.number).await?,
            // The chain we knew is not the chain there is: all that was not final may have changed.
            Some(_) if head.number.saturating_sub(self.confirmed) <= CATCH_UP_MAX => {
                self.touched(self.confirmed, head.number).await?
            }
            Some(_) => self.all_accounts(),
        };
        self.unsettled.extend(touched.into_iter().map(|account| (account, head.number)));
        let unsettled: Vec<AccountId> = self.unsettled.keys().copied().collect();
        for account in unsettled {
            self.refresh(account, confirmed).await?;
        }
        self.unsettled.retain(|_, block| *block > confirmed);
        self.confirmed = confirmed;
        self.last = Some(head);
        self.note_seen(&head);
        Ok(())
    }

    /// The chain counts as seen only while it moves: a node that has stopped following it answers all the same.
    fn note_seen(&self, head: &Block) {
        let now = clock::now();
        let age = now.seconds_since(head.at);
        match self.head_age_max {
            Some(age_max) if age > age_max.as_secs() => {
                self.nodes.note_trouble(0, Trouble::Old { block: head.number, age });
            }
            _ => {
                self.nodes.note_well(0, *head);
                self.payee.views().note_seen(now);
            }
        }
    }

    /// Looks at channels that were charged in an earlier run and are not paid: a payer may be leaving.
    async fn enter_known_channels(&self) -> Result<(), WatchError> {
        for (_, books) in self.payee.store().all_books().await? {
            if !books.outstanding().is_zero() && self.payee.views().account_of(&books.channel).is_none() {
                let reading = self.payee.source().funds_of(&books.channel).await?;
                self.payee.views().enter(&books.channel, &reading);
            }
        }
        Ok(())
    }

    fn all_accounts(&self) -> HashSet<AccountId> {
        self.payee.views().accounts().into_keys().collect()
    }

    /// Whether the block seen last is still part of the chain, and near enough to go on from.
    async fn is_continued(&self, last: Block, head: Block) -> Result<bool, WatchError> {
        if head.number <= last.number || head.number - last.number > CATCH_UP_MAX {
            return Ok(false);
        }
        let there = self.escrow.chain().block(BlockNumberOrTag::Number(last.number)).await?;
        Ok(there == Some(last))
    }

    /// The accounts of ours that the escrow's events name, in the blocks after `from` up to `to`.
    async fn touched(&self, from: u64, to: u64) -> Result<HashSet<AccountId>, WatchError> {
        let accounts = self.payee.views().accounts();
        let channels: HashMap<ChannelId, AccountId> = accounts
            .iter()
            .flat_map(|(account, channels)| channels.iter().map(|channel| (*channel, *account)))
            .collect();
        let mut touched = HashSet::new();
        let mut first = from + 1;
        while first <= to {
            let last = to.min(first + (LOG_RANGE_MAX - 1));
            let filter = Filter::new().address(self.escrow.deployment().escrow).from_block(first).to_block(last);
            let chain = self.escrow.chain();
            let logs = chain.provider().get_logs(&filter).await.map_err(|error| chain.error(&error))?;
            for log in &logs {
                alarm::look(&self.payee, &channels, log).await?;
            }
            for named in logs.iter().flat_map(named_ids) {
                let account = channels.get(&ChannelId(named)).copied().unwrap_or(AccountId(named));
                if accounts.contains_key(&account) {
                    touched.insert(account);
                }
            }
            for log in &logs {
                touched.extend(self.meet(&channels, log).await?);
            }
            first = last + 1;
        }
        Ok(touched)
    }

    /// Takes into view what an event does to a channel that another gateway on the same ledger has sold to: that one may be
    /// gone. Returns the accounts. Other payees' events cost no look at the ledger.
    async fn meet(&self, known: &HashMap<ChannelId, AccountId>, log: &Log) -> Result<HashSet<AccountId>, WatchError> {
        let payee = self.payee.address();
        let named = match named_by_payee(log) {
            Some((named_payee, Named::Channel(channel_id))) if named_payee == payee => {
                let is_known = known.contains_key(&channel_id);
                let books = if is_known { None } else { self.payee.store().books(channel_id).await? };
                books.into_iter().map(|books| (channel_id, books)).collect()
            }
            Some((named_payee, Named::Accounts(accounts))) if named_payee == payee => {
                let mut all = Vec::new();
                for account in accounts {
                    all.extend(self.payee.store().books_of(account).await?);
                }
                all
            }
            _ => Vec::new(),
        };
        let mut met = HashSet::new();
        for (channel_id, books) in named {
            if !known.contains_key(&channel_id) {
                let reading = self.payee.source().funds_of(&books.channel).await?;
                self.payee.views().enter(&books.channel, &reading);
                met.insert(books.channel.account().id());
            }
        }
        Ok(met)
    }

    /// Reads an account and its channels anew, and writes down what was finally redeemed.
    async fn refresh(&self, account: AccountId, confirmed: u64) -> Result<(), WatchError> {
        for channel in self.payee.views().channels_of(account) {
            let reading = self.payee.source().funds_of(&channel).await?;
            self.payee.views().enter(&channel, &reading);
            let channel_id = channel.id(&self.escrow.deployment());
            let redeemed = reading.confirmed.redeemed;
            let known = self.payee.store().books(channel_id).await?;
            if known.is_some_and(|books| books.redeemed < redeemed) {
                let entry = Entry::Redeemed { channel_id, redeemed, block: confirmed, at: clock::now() };
                self.payee.writer().write(entry).await?;
            }
        }
        Ok(())
    }
}

/// What an event that names a payee says it is about.
enum Named {
    Channel(ChannelId),
    Accounts(Vec<AccountId>),
}

/// The payee of an event that changes what is owed to it, and what it is about.
fn named_by_payee(log: &Log) -> Option<(Address, Named)> {
    if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
        let accounts = batch_accounts(&event);
        return Some((event.payee, Named::Accounts(accounts)));
    }
    let redeemed = abi::Redeemed::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let from_account = || abi::RedeemedFromAccount::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let requested = || abi::CloseRequested::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let closed = || abi::Closed::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let found = redeemed.or_else(|_| from_account()).or_else(|_| requested()).or_else(|_| closed());
    found.ok().map(|(payee, channel_id)| (payee, Named::Channel(ChannelId(channel_id))))
}

/// The account and channel ids that an event names: in its topics, or, of a batch and a reservation, in its data.
fn named_ids(log: &Log) -> Vec<B256> {
    let mut named = log.topics().get(1..).unwrap_or_default().to_vec();
    if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
        named.extend(batch_accounts(&event).into_iter().map(|account| account.0));
    } else if let Ok(event) = abi::Reserved::decode_log(&log.inner) {
        let account = Account { payer: event.payer, authorized_signer: event.authorizedSigner, token: event.token };
        named.push(account.id().0);
    }
    named
}

/// The accounts of a batch's channels; none if its entries can't be read.
fn batch_accounts(event: &abi::BatchRedeemed) -> Vec<AccountId> {
    let entries = unpack_entries(event.payee, event.token, &event.entries).unwrap_or_default();
    entries.iter().map(|(channel, _)| channel.account().id()).collect()
}
