//! What the payee knows of the chain: the money behind its channels, as of the watcher's last look.
//!
//! Vouchers are judged against these views, so that none of them waits for the chain. An account enters at first
//! contact; from then on the [watcher](super::watcher) keeps it current.

use super::sync::RwLock;
use crate::escrow::{Escrow, EscrowError, Funds};
use alloy::eips::BlockNumberOrTag;
use farthing_core::exposure::{AccountView, ChannelFunds, ChannelView};
use farthing_core::{AccountId, B256, Channel, ChannelId, Deployment, Timestamp};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

/// One look at the money behind a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// At the head of the chain.
    pub head: Funds,
    /// At the last final block.
    pub confirmed: ChannelFunds,
}

impl Reading {
    /// Whether there is no money behind the channel, and never was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The safer of two answers about the same channel.
    #[must_use]
    pub fn safer(self, other: Self) -> Self {
        let head = Funds {
            channel: self.head.channel.safer(other.head.channel),
            account_balance: self.head.account_balance.min(other.head.account_balance),
        };
        Self { head, confirmed: self.confirmed.safer(other.confirmed) }
    }

    /// Notes in an account's view what was read of it and of one of its channels.
    pub fn note_in(&self, account: &mut AccountView, channel_id: ChannelId, channel: &Channel) {
        account.balance = self.head.account_balance;
        let view = ChannelView { head: self.head.channel, confirmed: self.confirmed };
        account.channels.insert(channel_id, (*channel, view));
    }
}

/// A boxed future, so that a source can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where readings come from: an [`Escrow`] on a chain, or in tests something that misbehaves on purpose.
pub trait FundsSource: fmt::Debug + Send + Sync {
    /// Reads the money behind a channel.
    fn funds_of<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>>;
}

impl FundsSource for Escrow {
    fn funds_of<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        Box::pin(async move {
            let (head, confirmed) = tokio::join!(
                Self::funds_of(self, channel, BlockNumberOrTag::Latest),
                Self::funds_of(self, channel, BlockNumberOrTag::Finalized),
            );
            let confirmed = match confirmed {
                Ok(funds) => funds.channel,
                // The escrow is younger than the last final block: nothing in it is final.
                Err(EscrowError::NoCode { .. }) => ChannelFunds::default(),
                Err(error) => return Err(error),
            };
            Ok(Reading { head: head?, confirmed })
        })
    }
}

/// All views, and when the chain was last seen.
#[derive(Debug)]
pub struct ChainViews {
    deployment: Deployment,
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    accounts: HashMap<AccountId, Arc<AccountView>>,
    /// Whose channel it is: events name channels.
    channels: HashMap<ChannelId, AccountId>,
    /// Entered since the watcher looked last: what they were entered with may be older than its look.
    fresh: HashSet<AccountId>,
    /// Payers were seen to take money out of these.
    withdrawing: HashSet<AccountId>,
    seen_at: Timestamp,
    is_disputed: bool,
}

impl ChainViews {
    /// No views yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        let inner = Inner {
            accounts: HashMap::new(),
            channels: HashMap::new(),
            fresh: HashSet::new(),
            withdrawing: HashSet::new(),
            seen_at: Timestamp::from_unix_seconds(0),
            is_disputed: false,
        };
        Self { deployment, inner: RwLock::new(inner) }
    }

    /// The account behind a channel, if both are known.
    #[must_use]
    pub fn account_of(&self, channel: &Channel) -> Option<Arc<AccountView>> {
        self.account_by_id(channel.account().id(), channel.id(&self.deployment))
    }

    /// The same for a channel whose ids are known.
    #[must_use]
    pub(crate) fn account_by_id(&self, account_id: AccountId, channel_id: ChannelId) -> Option<Arc<AccountView>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let view = inner.accounts.get(&account_id)?;
        view.channels.contains(channel_id).then(|| Arc::clone(view))
    }

    /// The terms of a channel that is in view.
    #[must_use]
    pub(crate) fn terms_of(&self, channel_id: ChannelId) -> Option<Channel> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let view = inner.accounts.get(inner.channels.get(&channel_id)?)?;
        view.channels.get(channel_id).map(|(channel, _)| *channel)
    }

    /// Enters what was read at first contact, for the watcher to read again: it may have passed the very block that this
    /// reading is older than.
    pub fn enter_fresh(&self, channel: &Channel, reading: &Reading) -> Arc<AccountView> {
        let view = self.enter(channel, reading);
        // In this order: a watcher that took the account before its channel is in view would read nothing, and let go.
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.fresh.insert(channel.account().id());
        view
    }

    /// Takes the accounts that were entered fresh since this was last called.
    #[must_use]
    pub fn take_fresh(&self) -> HashSet<AccountId> {
        std::mem::take(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner).fresh)
    }

    /// Enters what was read, and returns the account as it is seen now.
    pub fn enter(&self, channel: &Channel, reading: &Reading) -> Arc<AccountView> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let (account_id, channel_id) = (channel.account().id(), channel.id(&self.deployment));
        inner.channels.insert(channel_id, account_id);
        let account = inner.accounts.entry(account_id).or_default();
        reading.note_in(Arc::make_mut(account), channel_id, channel);
        Arc::clone(account)
    }

    /// Enters what a look has shown of an account. A channel that it lacks stays as it was. If the look is `partial`, for
    /// not all nodes have shown the account that are to be believed, what was in view counts as well, where it is the
    /// safer.
    pub(crate) fn enter_look(&self, account_id: AccountId, mut look: AccountView, partial: bool) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.accounts.get(&account_id) {
            if partial {
                look.keep_safer(known);
            } else {
                for (channel_id, known) in known.channels.iter() {
                    look.channels.get_or_insert(channel_id, *known);
                }
            }
            if **known == look {
                return;
            }
        }
        inner.channels.extend(look.channels.iter().map(|(channel_id, _)| (channel_id, account_id)));
        inner.accounts.insert(account_id, Arc::new(look));
    }

    /// What was read as it would be seen, without a trace.
    pub(crate) fn unremembered(&self, channel: &Channel, reading: &Reading) -> Arc<AccountView> {
        let mut account = AccountView::default();
        reading.note_in(&mut account, channel.id(&self.deployment), channel);
        Arc::new(account)
    }

    /// The channels of an account.
    #[must_use]
    pub fn channels_of(&self, account: AccountId) -> Vec<Channel> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let view = inner.accounts.get(&account);
        view.map(|view| view.channels.iter().map(|(_, (channel, _))| *channel).collect()).unwrap_or_default()
    }

    /// The account that has this id, or a channel with this id.
    #[must_use]
    pub fn account_named(&self, id: B256) -> Option<AccountId> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let of_channel = inner.channels.get(&ChannelId(id)).copied();
        of_channel.or_else(|| inner.accounts.contains_key(&AccountId(id)).then_some(AccountId(id)))
    }

    /// The ids of all accounts.
    #[must_use]
    pub fn accounts(&self) -> HashSet<AccountId> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).accounts.keys().copied().collect()
    }

    /// A payer has taken money out of an account.
    pub(crate) fn note_withdrawing(&self, account: AccountId) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).withdrawing.insert(account);
    }

    /// What it owed is on its way to the payee: what it takes out from here on is news again.
    pub(crate) fn note_redeemed_from(&self, account: AccountId) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).withdrawing.remove(&account);
    }

    /// Whether a payer was seen to take money out of an account.
    #[must_use]
    pub fn is_withdrawing(&self, account: AccountId) -> bool {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).withdrawing.contains(&account)
    }

    /// The accounts that payers were seen to take money out of.
    #[must_use]
    pub fn withdrawing(&self) -> Vec<AccountId> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).withdrawing.iter().copied().collect()
    }

    /// The channels whose close is requested at the head, each with its view.
    #[must_use]
    pub fn closing(&self) -> Vec<(ChannelId, ChannelView)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let channels = inner.accounts.values().flat_map(|account| account.channels.iter());
        let closing = channels.filter(|(_, (_, view))| view.head.close_at.is_some());
        closing.map(|(channel_id, (_, view))| (channel_id, *view)).collect()
    }

    /// The chain was reached just now.
    pub fn note_seen(&self, now: Timestamp) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).seen_at = now;
    }

    /// Whether nodes contradict each other about what is final. No credit is given then.
    pub fn dispute(&self, is_disputed: bool) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).is_disputed = is_disputed;
    }

    /// Whether they do.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).is_disputed
    }

    /// When the chain was last reached.
    #[must_use]
    pub fn seen_at(&self) -> Timestamp {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).seen_at
    }
}
