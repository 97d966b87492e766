//! The payee's ledger in files, with redb and a journal before it: transactions, checksums, and an operating-system
//! lock that dies with its process.
//!
//! An acknowledged charge must never be forgotten in silence. A batch is acknowledged when it is in the journal and
//! synced; the tables follow, many batches in one commit. Every commit has two phases (a torn last commit can't be
//! taken for one that never was), every opening checks the whole file and the journal, and a mark beside them says how
//! many batches there must be.

mod file;
#[cfg_attr(not(feature = "fault-injection"), allow(unreachable_pub, reason = "tests open a journal by itself"))]
mod journal;
mod keeping;
mod loading;
mod mark;
mod migration;
mod overlay;
mod packed;
mod recent;
mod shelves;
mod showing;
mod tables;

use super::posting::{self, Needs, Rows};
use super::store::{
    Entry, Lease, LedgerIdentity, Outcome, OwingVisitor, PayeeStore, Record, RecordKind, Redemption, Relayed,
    StoreError, Visitor,
};
use super::views::BoxFuture;
use farthing_core::ledger::{self, ChannelBooks, Charge, Purchase};
use farthing_core::wire::ChallengeSecret;
use farthing_core::{AccountId, Amount, B256, ChannelId};
#[cfg(feature = "fault-injection")]
pub use journal::{Journal, JournalError, JournalFile, Sizes};
#[cfg(not(feature = "fault-injection"))]
use journal::{Journal, JournalFile};
#[cfg(feature = "fault-injection")]
pub use keeping::Folding;
#[cfg(not(feature = "fault-injection"))]
use keeping::Folding;
use keeping::{Keeping, Kept};
#[cfg(feature = "fault-injection")]
pub use mark::MarkFile;
#[cfg(not(feature = "fault-injection"))]
use mark::MarkFile;
use mark::{LedgerName, Mark, Marked};
use redb::{Builder, Database, DatabaseError, Error as Trouble, ReadableTable, StorageBackend, WriteTransaction};
use shelves::{Shelves, purchase_in};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::future::ready;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tables::{
    Bytes, META, REDEMPTIONS, RELAY_SPENT, RELAYED, RELAYED_BY_REQUEST, SCHEMA_VERSION, UNSETTLED, decode, encode, get,
    make_tables, sum,
};

/// Pages that are kept in memory.
const CACHE_BYTES: usize = 128 << 20;

/// A ledger in files beside one another. One process at a time has it open.
///
/// After an error in writing it answers nothing but errors until it is opened again: what the disk holds is not known
/// then. A batch that failed may turn out to be there; nothing of it was served, and its retry finds it.
pub struct EmbeddedStore {
    kept: Kept,
    writing: Mutex<Writing>,
}

/// What the one writer goes on from.
struct Writing {
    /// The newest batch.
    last: u64,
    /// Not in the files. Whoever had the lease of an earlier opening wrote through that, which has ended: the ledger is
    /// one process's at a time, and one store's in it. So its fence may come again and fences nobody, and the next
    /// process need not wait until the lease of one that was killed runs out.
    lease: Option<Lease>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedStore").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// What a ledger lies on, beside its tables.
struct Beside {
    mark: Box<dyn MarkFile>,
    marked: Option<Marked>,
    journal: [Box<dyn JournalFile>; 2],
}

impl EmbeddedStore {
    /// Opens a ledger, or begins one. Its files are readable by their owner only.
    ///
    /// # Errors
    ///
    /// If another process has it open, it is another's ledger or of another version, it is damaged or has forgotten
    /// something, or the disk fails.
    pub fn open(path: &Path, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        Self::open_files(path, Folding::PAYEES, identity)
    }

    /// The same, with the tables written as the caller says.
    ///
    /// # Errors
    ///
    /// See [`Self::open`].
    #[cfg(feature = "fault-injection")]
    pub fn open_folding(path: &Path, folding: Folding, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        Self::open_files(path, folding, identity)
    }

    fn open_files(path: &Path, folding: Folding, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let private = |path: &Path| file::private(path).map_err(|error| failed_at(&path.display().to_string(), &error));
        let mark_path = mark::path_beside(path);
        let mark_file = private(&mark_path)?;
        let marked = mark::read(&mark_file).map_err(|error| failed_at(&mark_path.display().to_string(), &error))?;
        let acknowledged = marked.map_or(0, |marked| marked.batches);
        if acknowledged > 0 && !path.exists() {
            return Err(StoreError::Forgotten { path: shown, found: 0, acknowledged });
        }
        let ledger = file::ledger(path, acknowledged).map_err(|error| failed_at(&shown, &error))?;
        let journal = |file| private(&journal::path_beside(path, file)).map(|file| Box::new(file) as _);
        let beside = Beside { mark: Box::new(mark_file), marked, journal: [journal(0)?, journal(1)?] };
        // Files that were just made are there after a power cut only if their folder is on the disk as well.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed_at(&shown, &error))?;
        Self::check(ledger, beside, folding, shown, identity)
    }

    /// Opens a ledger, or begins one, on a disk of the caller's own.
    ///
    /// # Errors
    ///
    /// See [`Self::open`].
    #[cfg(feature = "fault-injection")]
    pub fn open_on(
        ledger: impl StorageBackend,
        mark: impl MarkFile + 'static,
        journal: [Box<dyn JournalFile>; 2],
        folding: Folding,
        identity: &LedgerIdentity,
    ) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| failed_at("on a disk of the caller's", &error);
        let marked = mark::read(&mark).map_err(failed)?;
        if marked.is_none_or(|marked| marked.batches == 0) {
            file::empty_if_never_begun(&ledger).map_err(failed)?;
        }
        let beside = Beside { mark: Box::new(mark), marked, journal };
        Self::check(ledger, beside, folding, "on a disk of the caller's".to_owned(), identity)
    }

    /// Begins a new ledger, or makes sure that an old one is what was asked for and has forgotten nothing.
    fn check(
        ledger: impl StorageBackend,
        beside: Beside,
        folding: Folding,
        path: String,
        identity: &LedgerIdentity,
    ) -> Result<Self, StoreError> {
        let failed = |error: &dyn fmt::Display| failed_at(&path, error);
        // Without a check at opening redb believes whatever a file says that was closed.
        let database =
            Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(ledger);
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.clone() },
            error => failed(&error),
        })?;
        let Marked { ledger, batches: folded } = begin_or_check(&database, &path, identity)?;
        let acknowledged = beside.marked.map_or(0, |marked| marked.batches);
        if acknowledged > 0 && beside.marked.is_some_and(|marked| marked.ledger != ledger) {
            return Err(StoreError::Forgotten { path, found: 0, acknowledged });
        }
        let (journal, batches) =
            Journal::open(beside.journal, ledger, folded, folding.journal).map_err(|error| failed(&error))?;
        let last = batches.last().map_or(folded, |(batch, _)| *batch);
        if acknowledged > last {
            return Err(StoreError::Forgotten { path, found: last, acknowledged });
        }
        let mark = Mark::begin(beside.mark, Marked { ledger, batches: last }).map_err(|error| failed(&error))?;
        let keeping = Keeping::new(database, journal, mark, path, folding, folded);
        for (batch, content) in batches {
            keeping.take_up(batch, &content)?;
        }
        let kept = Kept::begin(keeping)?;
        drop(kept.keeping.settled()?);
        Ok(Self { kept, writing: Mutex::new(Writing { last, lease: None }) })
    }

    /// Brings all that was acknowledged to the tables, so that the ledger's file alone has all of it, and closes it.
    /// Dropping it does the same, and can't say when it fails; then the rest is in the journal.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.kept.end()
    }

    fn keeping(&self) -> &Keeping {
        &self.kept.keeping
    }

    /// Held until a batch is durable: what was fenced by a lease is written before the lease passes on.
    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        let needs = Needs::of(batch);
        let (mut writing, keeping) = (self.writing(), self.keeping());
        let lease = writing.lease;
        let (outcomes, changed) = if !batch.is_empty() && batch.iter().all(|one| matches!(one, Entry::Lease { .. })) {
            // A lease is renewed day and night, and nothing of it is in the files: so the disk is left in peace.
            // Whoever could not write under the lease is not given it.
            drop(keeping.overlay()?);
            let (outcomes, changes) = posting::post(batch, Rows { lease, ..Rows::default() });
            (outcomes, changes.lease)
        } else {
            keeping.make_room()?;
            let rows = keeping.load(&needs)?;
            let (outcomes, changes) = posting::post(batch, Rows { lease, ..rows });
            let changed = changes.lease;
            keeping.write(&mut writing.last, changes)?;
            (outcomes, changed)
        };
        writing.lease = changed.or(lease);
        Ok(outcomes)
    }

    fn put_back(&self, records: &[Record]) -> Result<(), StoreError> {
        let (mut writing, keeping) = (self.writing(), self.keeping());
        keeping.make_room()?;
        let rows = keeping.load(&posting::restore_needs(records))?;
        let changes = posting::restore(records, rows)?;
        keeping.write(&mut writing.last, changes)
    }

    /// A channel's books, and of its charges one that memory or the tables have: the better of both.
    fn pick(
        &self,
        channel_id: ChannelId,
        in_memory: impl Fn(&overlay::Generation, &ChannelBooks) -> Option<Charge>,
        in_tables: impl FnOnce(
            &Shelves<redb::ReadOnlyTable<Bytes, Bytes>>,
            &ChannelBooks,
        ) -> Result<Option<Charge>, Trouble>,
        better: impl Fn(&Charge) -> Amount,
    ) -> Result<Option<(ChannelBooks, Charge)>, StoreError> {
        let keeping = self.keeping();
        let failed = |error: Trouble| keeping.failed(&error);
        let overlay = keeping.overlay()?;
        let reader = keeping.reader()?;
        let shelves = Shelves::of(&reader).map_err(failed)?;
        let books = match overlay.find(|generation| generation.books(channel_id)) {
            Some(books) => books,
            None => match shelves.books(channel_id).map_err(failed)? {
                Some(books) => books,
                None => return Ok(None),
            },
        };
        let in_memory: Vec<Charge> = overlay.generations().filter_map(|one| in_memory(one, &books)).collect();
        drop(overlay);
        let all = in_memory.into_iter().chain(in_tables(&shelves, &books).map_err(failed)?);
        Ok(all.max_by_key(better).map(|charge| (books, charge)))
    }

    fn all_unsettled(&self) -> Result<Vec<Redemption>, StoreError> {
        let keeping = self.keeping();
        let overlay = keeping.overlay()?;
        let mut newest: BTreeMap<B256, Redemption> = BTreeMap::new();
        for generation in overlay.generations() {
            newest.extend(generation.rest.redemptions.iter().map(|(hash, redemption)| (*hash, redemption.clone())));
        }
        let reader = keeping.reader()?;
        drop(overlay);
        let mut in_tables = Vec::new();
        let mut look = || {
            let (redemptions, unsettled) = (reader.open_table(REDEMPTIONS)?, reader.open_table(UNSETTLED)?);
            let missing = || Trouble::Corrupted("a redemption that is not settled is missing".to_owned());
            for entry in unsettled.iter()? {
                let (hash, ()) = entry.map(|(hash, _)| (hash, ()))?;
                let redemption: Redemption = get(&redemptions, hash.value())?.ok_or_else(missing)?;
                if !newest.contains_key(&redemption.hash) {
                    in_tables.push(redemption);
                }
            }
            Ok(())
        };
        look().map_err(|error: Trouble| keeping.failed(&error))?;
        let in_memory = newest.into_values().filter(|redemption| redemption.state.is_unsettled());
        Ok(in_memory.chain(in_tables).collect())
    }
}

/// What the embedded store does it does at once.
fn at_once<'a, T: Send + 'a>(result: Result<T, StoreError>) -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(ready(result))
}

impl PayeeStore for EmbeddedStore {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move { self.accept(batch) })
    }

    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.put_back(records) })
    }

    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>> {
        let secret = self.keeping().find(
            |_| None,
            |reader| {
                let secret = reader.open_table(META)?.get("challenge-secret")?.map(|secret| secret.value().to_vec());
                Ok(secret.and_then(ChallengeSecret::new))
            },
        );
        let missing = || self.keeping().failed(&"the challenge secret is missing");
        at_once(secret.and_then(|secret| secret.ok_or_else(missing)))
    }

    fn books(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>> {
        at_once(
            self.keeping()
                .find(|generation| generation.books(channel_id), |reader| Shelves::of(reader)?.books(channel_id)),
        )
    }

    fn books_of(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>> {
        let found = self.keeping().accounts(&[account]);
        at_once(found.map(|found| found.iter().flat_map(|(_, channels)| channels.iter().copied()).collect()))
    }

    fn charge(&self, id: ChannelId, cumulative_amount: Amount) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        at_once(self.keeping().find(
            |generation| generation.charge(&(id, cumulative_amount)).map(|charge| charge.as_ref().clone()),
            |reader| Shelves::of(reader)?.charge(id, cumulative_amount),
        ))
    }

    fn purchase(&self, purchase: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>> {
        at_once(
            self.keeping().find(|generation| generation.purchase(&purchase), |reader| purchase_in(reader, &purchase)),
        )
    }

    fn redeemable(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        let highest = self.pick(
            channel_id,
            |generation, books| generation.at_or_below(channel_id, books.due()).map(|charge| charge.as_ref().clone()),
            |shelves, books| shelves.at_or_below(channel_id, books.due()),
            |charge| charge.cumulative_amount,
        );
        let redeemable = |(books, charge): &(_, _)| ledger::is_redeemable(books, charge);
        at_once(highest.map(|highest| highest.filter(redeemable).map(|(_, charge)| charge)))
    }

    fn last_resort(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        let lowest = self.pick(
            channel_id,
            |generation, books| generation.at_or_above(channel_id, books.due()).map(|charge| charge.as_ref().clone()),
            |shelves, books| shelves.at_or_above(channel_id, books.due()),
            |charge| Amount::new(u128::MAX).saturating_sub(charge.cumulative_amount),
        );
        let is_last_resort = |(books, charge): &(_, _)| ledger::is_last_resort(books, charge);
        at_once(lowest.map(|lowest| lowest.filter(is_last_resort).map(|(_, charge)| charge)))
    }

    fn relayed(&self, request: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        let hash = self.keeping().find(
            |generation| generation.rest.relayed_by_request.get(&request).copied(),
            |reader| {
                let by_request = reader.open_table(RELAYED_BY_REQUEST)?;
                Ok(by_request.get(request.as_slice())?.map(|hash| B256::from_slice(hash.value())))
            },
        );
        match hash {
            Ok(Some(hash)) => self.relayed_in(hash),
            Ok(None) => at_once(Ok(None)),
            Err(error) => at_once(Err(error)),
        }
    }

    fn relayed_in(&self, hash: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        at_once(self.keeping().find(
            |generation| generation.rest.relayed.get(&hash).copied(),
            |reader| get(&reader.open_table(RELAYED)?, hash.as_slice()),
        ))
    }

    fn relay_spent(&self, day: u64) -> BoxFuture<'_, Result<Amount, StoreError>> {
        let spent = self.keeping().find(
            |generation| generation.rest.relay_spent.get(&day).copied(),
            |reader| sum(&reader.open_table(RELAY_SPENT)?, day),
        );
        at_once(spent.map(Option::unwrap_or_default))
    }

    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>> {
        at_once(self.all_unsettled())
    }

    fn redemption(&self, hash: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>> {
        at_once(self.keeping().find(
            |generation| generation.rest.redemptions.get(&hash).cloned(),
            |reader| get(&reader.open_table(REDEMPTIONS)?, hash.as_slice()),
        ))
    }

    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.keeping().show_owing(visitor) })
    }

    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.keeping().show(kinds, visitor) })
    }
}

/// Begins a new ledger, or makes sure that an old one is what was asked for and up to date. Returns its name, and how
/// many batches are in it.
fn begin_or_check(database: &Database, path: &str, identity: &LedgerIdentity) -> Result<Marked, StoreError> {
    let failed = |error: Trouble| failed_at(path, &error);
    let mut transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    transaction.set_two_phase_commit(true);
    let (version, owner) = facts(&transaction).map_err(failed)?;
    if let Some(found) = owner.filter(|found| found != identity) {
        let (found, expected) = (Box::new(found), Box::new(*identity));
        return Err(StoreError::OtherLedger { path: path.to_owned(), found, expected });
    }
    match version {
        Some(SCHEMA_VERSION) => {}
        Some(found @ 1..SCHEMA_VERSION) => begin_from(found, &transaction).map_err(failed)?,
        Some(found) => {
            return Err(StoreError::Schema { path: path.to_owned(), found, expected: SCHEMA_VERSION });
        }
        None => begin(&transaction, identity).map_err(failed)?,
    }
    let marked = marked(&transaction).map_err(failed)?;
    transaction.commit().map_err(|error| failed(error.into()))?;
    Ok(marked)
}

fn failed_at(path: &str, reason: &dyn fmt::Display) -> StoreError {
    StoreError::Failed { path: path.to_owned(), reason: reason.to_string() }
}

/// The schema's version and whose ledger it is; nothing in a new file.
fn facts(transaction: &WriteTransaction) -> Result<(Option<u32>, Option<LedgerIdentity>), Trouble> {
    let meta = transaction.open_table(META)?;
    let version = meta.get("version")?.map(|value| decode(value.value())).transpose()?;
    let identity = meta.get("identity")?.map(|value| decode(value.value())).transpose()?;
    Ok((version, identity))
}

fn begin_from(version: u32, transaction: &WriteTransaction) -> Result<(), Trouble> {
    make_tables(transaction)?;
    if version == 1 {
        migration::from_version_one(transaction)?;
        name_ledger(&mut transaction.open_table(META)?)?;
    }
    if version <= 2 {
        migration::from_version_two(transaction)?;
    }
    migration::from_version_three(transaction)?;
    transaction.open_table(META)?.insert("version", encode(&SCHEMA_VERSION)?.as_slice())?;
    Ok(())
}

/// The ledger's name, and how many batches are in it.
fn marked(transaction: &WriteTransaction) -> Result<Marked, Trouble> {
    let meta = transaction.open_table(META)?;
    let missing = || Trouble::Corrupted("the ledger's name or count is missing".to_owned());
    let ledger = meta.get("name")?.and_then(|name| LedgerName::try_from(name.value()).ok()).ok_or_else(missing)?;
    let batches = meta.get("batches")?.map(|batches| decode(batches.value())).transpose()?.ok_or_else(missing)?;
    Ok(Marked { ledger, batches })
}

fn name_ledger(meta: &mut redb::Table<'_, &str, Bytes>) -> Result<(), Trouble> {
    meta.insert("name", rand::random::<LedgerName>().as_slice())?;
    meta.insert("batches", encode(&0_u64)?.as_slice())?;
    Ok(())
}

/// Writes down what a new ledger is, and makes its tables.
fn begin(transaction: &WriteTransaction, identity: &LedgerIdentity) -> Result<(), Trouble> {
    let secret: [u8; ChallengeSecret::LENGTH_MIN] = rand::random();
    let mut meta = transaction.open_table(META)?;
    meta.insert("version", encode(&SCHEMA_VERSION)?.as_slice())?;
    meta.insert("identity", encode(identity)?.as_slice())?;
    meta.insert("challenge-secret", secret.as_slice())?;
    name_ledger(&mut meta)?;
    make_tables(transaction)
}
