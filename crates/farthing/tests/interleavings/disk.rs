//! A ledger in memory with the rules of the real ones, over a disk that takes its time.

use farthing::core::ledger::{ChannelBooks, Charge, Purchase};
use farthing::core::wire::ChallengeSecret;
use farthing::core::{AccountId, Amount, B256, ChannelId};
use farthing::payee::posting::{Changes, ChargeId, Rows, post};
use farthing::payee::store::{
    Entry, Outcome, OwingVisitor, PayeeStore, Record, RecordKind, Redemption, Relayed, StoreError, Visitor,
};
use farthing::payee::views::BoxFuture;
use shuttle::sync::mpsc::Sender;
use shuttle::sync::{Mutex, MutexGuard};
use shuttle::thread;
use std::sync::Arc;

/// What a power cut would leave.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Held by whoever is writing, as a database's one write transaction is.
    writing: Mutex<()>,
    durable: Mutex<Rows>,
    /// What a store that answers too early believes to be there.
    believed: Mutex<Rows>,
}

impl Disk {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.durable.lock().unwrap()
    }

    /// The charge under a voucher's id.
    pub(crate) fn charge(&self, id: ChargeId) -> Option<Charge> {
        self.rows().charges.get(&id).map(|charge| charge.as_ref().clone())
    }

    /// All charges.
    pub(crate) fn charges(&self) -> Vec<Charge> {
        self.rows().charges.values().map(|charge| charge.as_ref().clone()).collect()
    }

    /// Panics unless every channel's books are the sums of its charges.
    pub(crate) fn assert_adds_up(&self) {
        let rows = self.rows();
        for (channel_id, books) in &rows.books {
            let charges = rows.charges.iter().filter(|(id, _)| id.0 == *channel_id);
            let spent: u128 = charges.clone().map(|(_, charge)| charge.price.base_units()).sum();
            let accepted = charges.map(|(id, _)| id.1).max().unwrap_or_default();
            assert_eq!((books.spent.base_units(), books.accepted), (spent, accepted), "the books do not add up");
        }
    }
}

/// What a store may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreMistake {
    /// It reads, decides and then writes, without keeping others out meanwhile.
    GetThenPut,
    /// It answers, and then writes.
    AnswersBeforeItIsDurable,
}

/// How a batch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing of it was written.
    Lost,
    /// All of it was written, and nobody knows.
    Kept,
}

/// A store on a [`Disk`].
#[derive(Debug)]
pub(crate) struct DiskStore {
    disk: Arc<Disk>,
    mistake: Option<StoreMistake>,
    /// How the next batches end, from the last to the first; those after them succeed.
    failures: Mutex<Vec<Failure>>,
    /// Hears when the store is closed.
    closed: Option<Sender<()>>,
}

impl DiskStore {
    pub(crate) fn new(disk: &Arc<Disk>) -> Self {
        Self { disk: Arc::clone(disk), mistake: None, failures: Mutex::new(Vec::new()), closed: None }
    }

    pub(crate) fn with_mistake(mut self, mistake: Option<StoreMistake>) -> Self {
        self.mistake = mistake;
        self
    }

    pub(crate) fn with_failures(mut self, failures: &[Failure]) -> Self {
        self.failures = Mutex::new(failures.to_vec());
        self
    }

    pub(crate) fn telling_when_closed(mut self, closed: Sender<()>) -> Self {
        self.closed = Some(closed);
        self
    }

    fn accept(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        let keeps_others_out = self.mistake != Some(StoreMistake::GetThenPut);
        let _writing = keeps_others_out.then(|| self.disk.writing.lock().unwrap());
        if self.mistake == Some(StoreMistake::AnswersBeforeItIsDurable) {
            return Ok(self.accept_early(batch));
        }
        let before = self.disk.rows().clone();
        let (outcomes, changes) = post(batch, before.clone());
        // Syncing takes its time.
        thread::yield_now();
        let failure = self.failures.lock().unwrap().pop();
        if failure != Some(Failure::Lost) {
            *self.disk.rows() = with(before, changes);
        }
        match failure {
            None => Ok(outcomes),
            Some(_) => Err(StoreError::Failed { path: "disk".to_owned(), reason: "input/output error".to_owned() }),
        }
    }

    fn accept_early(&self, batch: &[Entry]) -> Vec<Outcome> {
        let mut believed = self.disk.believed.lock().unwrap();
        let (outcomes, changes) = post(batch, believed.clone());
        *believed = with(believed.clone(), changes.clone());
        let disk = Arc::clone(&self.disk);
        thread::spawn(move || {
            let mut rows = disk.rows();
            *rows = with(rows.clone(), changes);
        });
        outcomes
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        // Whoever wanted to know may be gone.
        let _ = self.closed.take().map(|closed| closed.send(()));
    }
}

fn with(mut rows: Rows, changes: Changes) -> Rows {
    for (account, channel_id) in changes.new_channels {
        rows.accounts.entry(account).or_default().push(channel_id);
    }
    rows.books.extend(changes.books);
    let charges = changes.charges.into_iter();
    rows.charges.extend(charges.map(|(channel_id, charge)| ((channel_id, charge.cumulative_amount), charge)));
    rows.strangers.extend(changes.strangers);
    rows
}

const UNREAD: &str = "a writer only writes";

impl PayeeStore for DiskStore {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move { self.accept(batch) })
    }

    fn restore<'a>(&'a self, _: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn books(&self, _: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn books_of(&self, _: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn charge(&self, _: ChannelId, _: Amount) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn purchase(&self, _: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn redeemable(&self, _: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn last_resort(&self, _: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn relayed(&self, _: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn relayed_in(&self, _: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn relay_spent(&self, _: u64) -> BoxFuture<'_, Result<Amount, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn redemption(&self, _: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn visit_owing<'a>(&'a self, _: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!("{UNREAD}")
    }

    fn visit<'a>(&'a self, _: &'a [RecordKind], _: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!("{UNREAD}")
    }
}
