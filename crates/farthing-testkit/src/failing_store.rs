//! A store that fails when a test says so.

use farthing::core::ledger::{ChannelBooks, Charge, Purchase};
use farthing::core::wire::ChallengeSecret;
use farthing::core::{AccountId, Amount, B256, ChannelId};
use farthing::payee::store::{Entry, Outcome, OwingVisitor, Record, RecordKind, Redemption, Relayed, Visitor};
use farthing::payee::views::BoxFuture;
use farthing::payee::{PayeeStore, StoreError};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A real store behind a disk that can fill up. Reads go on.
#[derive(Debug)]
pub struct FailingStore {
    store: Arc<dyn PayeeStore>,
    is_full: AtomicBool,
}

impl FailingStore {
    /// Puts a store on such a disk.
    #[must_use]
    pub const fn new(store: Arc<dyn PayeeStore>) -> Self {
        Self { store, is_full: AtomicBool::new(false) }
    }

    /// Fills the disk, or makes room on it again.
    pub fn fill_disk(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    fn full<T: Send + 'static>(&self) -> Option<BoxFuture<'_, Result<T, StoreError>>> {
        let error = StoreError::Failed { path: "ledger".to_owned(), reason: "no space left".to_owned() };
        self.is_full.load(Ordering::SeqCst).then(|| Box::pin(ready(Err(error))) as BoxFuture<'_, _>)
    }
}

impl PayeeStore for FailingStore {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        self.full().unwrap_or_else(|| self.store.accept_batch(batch))
    }

    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.full().unwrap_or_else(|| self.store.restore(records))
    }

    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>> {
        self.store.challenge_secret()
    }

    fn books(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>> {
        self.store.books(channel_id)
    }

    fn books_of(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>> {
        self.store.books_of(account)
    }

    fn charge(
        &self,
        channel_id: ChannelId,
        cumulative_amount: Amount,
    ) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.store.charge(channel_id, cumulative_amount)
    }

    fn purchase(&self, purchase: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>> {
        self.store.purchase(purchase)
    }

    fn redeemable(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.store.redeemable(channel_id)
    }

    fn last_resort(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.store.last_resort(channel_id)
    }

    fn relayed(&self, request: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        self.store.relayed(request)
    }

    fn relayed_in(&self, hash: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        self.store.relayed_in(hash)
    }

    fn relay_spent(&self, day: u64) -> BoxFuture<'_, Result<Amount, StoreError>> {
        self.store.relay_spent(day)
    }

    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>> {
        self.store.unsettled()
    }

    fn redemption(&self, hash: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>> {
        self.store.redemption(hash)
    }

    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.visit_owing(visitor)
    }

    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.visit(kinds, visitor)
    }
}
