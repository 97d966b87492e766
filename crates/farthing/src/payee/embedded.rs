//! The payee's ledger in one file, with redb: transactions, checksums, and an operating-system lock that dies with its
//! process.
//!
//! An acknowledged charge must never be forgotten in silence. So every commit has two phases (a torn last commit can't be
//! taken for one that never was), every opening checks the whole file, and a mark beside it says how many batches there
//! must be.

mod file;
#[cfg_attr(not(feature = "fault-injection"), allow(unreachable_pub, reason = "tests open a journal by itself"))]
#[allow(dead_code, reason = "the store does not append to it yet")]
mod journal;
mod mark;
mod migration;
mod tables;

use super::posting::{self, Needs, Rows};
use super::store::{
    Entry, Lease, LedgerIdentity, Outcome, Owing, OwingVisitor, PayeeStore, Record, RecordKind, Redemption, Relayed,
    StoreError, Visitor,
};
use super::views::BoxFuture;
use farthing_core::ledger::{self, ChannelBooks, Charge, Purchase};
use farthing_core::wire::ChallengeSecret;
use farthing_core::{AccountId, Amount, B256, ChannelId};
#[cfg(feature = "fault-injection")]
pub use journal::{Journal, JournalError, JournalFile, Sizes};
#[cfg(feature = "fault-injection")]
pub use mark::MarkFile;
#[cfg(not(feature = "fault-injection"))]
use mark::MarkFile;
use mark::{LedgerName, Mark, Marked};
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable};
use redb::{Error as Trouble, StorageBackend, WriteTransaction};
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::File;
use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tables::{
    ACCOUNTS, BOOKS, Bytes, CHARGES, CREDITS, FINAL_REDEMPTIONS, META, PURCHASES, REDEMPTIONS, RELAY_SPENT, RELAYED,
    RELAYED_BY_REQUEST, Rowset, SCHEMA_VERSION, UNSETTLED, amount_key, apply, channel_id_of, channels_of, decode,
    encode, first_charge_above, get, load, make_tables, purchase_key, sum, sums,
};

/// What a batch is answered, and the lease if it has changed.
type Decided = (Vec<Outcome>, Option<Lease>);

/// Pages that are kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// A ledger in one file. One process at a time has it open.
///
/// After an error in writing it answers nothing but errors until it is opened again: what the disk holds is not known
/// then. A batch that failed may turn out to be there; nothing of it was served, and its retry finds it.
pub struct EmbeddedStore {
    database: Database,
    mark: Mark,
    path: String,
    /// Not in the file. Whoever had the lease of an earlier opening wrote through that, which has ended: the file is
    /// one process's at a time, and one store's in it. So its fence may come again and fences nobody, and the next
    /// process need not wait until the lease of one that was killed runs out.
    lease: Mutex<Option<Lease>>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens a ledger, or begins one. The file is readable by its owner only.
    ///
    /// # Errors
    ///
    /// If another process has it open, it is another's ledger or of another version, it is damaged or has forgotten
    /// something, or the disk fails.
    pub fn open(path: &Path, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let mark_path = mark::path_beside(path);
        let mark_failed = |error: io::Error| failed_at(&mark_path.display().to_string(), &error);
        let mark_file = file::private(&mark_path).map_err(mark_failed)?;
        let marked = mark::read(&mark_file).map_err(mark_failed)?;
        let acknowledged = marked.map_or(0, |marked| marked.batches);
        if acknowledged > 0 && !path.exists() {
            return Err(StoreError::Forgotten { path: shown, found: 0, acknowledged });
        }
        let ledger = file::ledger(path, acknowledged).map_err(|error| failed_at(&shown, &error))?;
        let store = Self::check(ledger, Box::new(mark_file), marked, shown, identity)?;
        // A file that was just made is there after a power cut only if its folder is on the disk as well.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| store.failed(&error))?;
        Ok(store)
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
        identity: &LedgerIdentity,
    ) -> Result<Self, StoreError> {
        let failed = |error: io::Error| failed_at("on a disk of the caller's", &error);
        let marked = mark::read(&mark).map_err(failed)?;
        if marked.is_none_or(|marked| marked.batches == 0) {
            file::empty_if_never_begun(&ledger).map_err(failed)?;
        }
        Self::check(ledger, Box::new(mark), marked, "on a disk of the caller's".to_owned(), identity)
    }

    /// Begins a new ledger, or makes sure that an old one is what was asked for and has forgotten nothing.
    fn check(
        ledger: impl StorageBackend,
        mark_file: Box<dyn MarkFile>,
        marked: Option<Marked>,
        path: String,
        identity: &LedgerIdentity,
    ) -> Result<Self, StoreError> {
        // Without a check at opening redb believes whatever a file says that was closed.
        let database =
            Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(ledger);
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.clone() },
            error => failed_at(&path, &error),
        })?;
        let found = begin_or_check(&database, &path, identity)?;
        let acknowledged = marked.map_or(0, |marked| marked.batches);
        let is_other = marked.is_some_and(|marked| marked.ledger != found.ledger);
        let found_batches = if is_other { 0 } else { found.batches };
        if acknowledged > found_batches {
            return Err(StoreError::Forgotten { path, found: found_batches, acknowledged });
        }
        let mark = Mark::begin(mark_file, found).map_err(|error| failed_at(&path, &error))?;
        Ok(Self { database, mark, path, lease: Mutex::default() })
    }

    fn failed(&self, reason: &dyn fmt::Display) -> StoreError {
        failed_at(&self.path, reason)
    }

    fn read<T: Send + 'static>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Result<T, Trouble>,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let result = self.database.begin_read().map_err(Trouble::from).and_then(|reader| body(&reader));
        Box::pin(ready(result.map_err(|error| self.failed(&error))))
    }

    fn write<T>(&self, body: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Committing syncs the file (redb's default durability); dropping the transaction undoes it.
        let mut transaction = self.database.begin_write().map_err(|error| self.failed(&error))?;
        transaction.set_two_phase_commit(true);
        let result = body(&transaction)?;
        let batches = count_batch(&transaction).map_err(|error| self.failed(&error))?;
        transaction.commit().map_err(|error| self.failed(&error))?;
        // It is durable whether or not it can be counted; a mark that lags refuses nothing.
        if let Err(error) = self.mark.write(batches) {
            tracing::warn!(%error, path = %self.path, "the mark beside the ledger can't be written");
        }
        Ok(result)
    }

    fn accept(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        let needs = Needs::of(batch);
        if !needs.lease {
            return self.accept_under(None, batch, &needs).map(|(outcomes, _)| outcomes);
        }
        // Held until the batch is durable: what was fenced by this lease is written before it passes on.
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcomes, changed) = if batch.iter().all(|entry| matches!(entry, Entry::Lease { .. })) {
            self.decide_on_lease(*lease, batch)?
        } else {
            self.accept_under(*lease, batch, &needs)?
        };
        *lease = changed.or(*lease);
        Ok(outcomes)
    }

    /// Returns the lease as well, if it has changed.
    fn accept_under(&self, lease: Option<Lease>, batch: &[Entry], needs: &Needs) -> Result<Decided, StoreError> {
        self.write(|transaction| {
            let rows = load(transaction, needs).map_err(|error| self.failed(&error))?;
            let (outcomes, changes) = posting::post(batch, Rows { lease, ..rows });
            apply(transaction, &changes).map_err(|error| self.failed(&error))?;
            Ok((outcomes, changes.lease))
        })
    }

    /// A lease is renewed day and night, and nothing of it is in the file: so the disk is left in peace.
    fn decide_on_lease(&self, lease: Option<Lease>, batch: &[Entry]) -> Result<Decided, StoreError> {
        // Whoever could not write under the lease is not given it.
        self.database.begin_write().map_err(|error| self.failed(&error))?;
        let (outcomes, changes) = posting::post(batch, Rows { lease, ..Rows::default() });
        Ok((outcomes, changes.lease))
    }

    fn put_back(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let rows = load(transaction, &posting::restore_needs(records)).map_err(|error| self.failed(&error))?;
            let changes = posting::restore(records, rows)?;
            apply(transaction, &changes).map_err(|error| self.failed(&error))
        })
    }

    fn show_owing(&self, visitor: OwingVisitor<'_>) -> Result<(), StoreError> {
        let reader = self.database.begin_read().map_err(|error| self.failed(&error))?;
        let charges = reader.open_table(CHARGES).map_err(|error| self.failed(&error))?;
        self.each(&reader, BOOKS, |key, books: ChannelBooks| {
            if books.outstanding().is_zero() {
                return Ok(());
            }
            let channel_id = channel_id_of(key);
            let since = match first_charge_above(&charges, channel_id, books.redeemed) {
                Ok(charge) => charge.at,
                // Damage hides neither what the others owe nor this one: it counts as old, and redeeming it names it.
                Err(Trouble::Corrupted(_)) => farthing_core::Timestamp::from_unix_seconds(0),
                Err(error) => return Err(self.failed(&error)),
            };
            visitor(Owing { channel_id, books, since })
        })
    }

    fn show(&self, kinds: &[RecordKind], visitor: Visitor<'_>) -> Result<(), StoreError> {
        let reader = self.database.begin_read().map_err(|error| self.failed(&error))?;
        for kind in kinds {
            self.show_kind(&reader, *kind, visitor)?;
        }
        Ok(())
    }

    fn show_kind(&self, reader: &ReadTransaction, kind: RecordKind, visitor: Visitor<'_>) -> Result<(), StoreError> {
        match kind {
            RecordKind::Channel => self.show_rows(reader, BOOKS, visitor, |key, books| Record::Channel {
                channel_id: channel_id_of(key),
                books,
            }),
            RecordKind::Charge => self.show_rows(reader, CHARGES, visitor, |key, charge| Record::Charge {
                channel_id: channel_id_of(key),
                charge,
            }),
            RecordKind::Credit => self.show_rows(reader, CREDITS, visitor, |key, credit| Record::Credit {
                channel_id: channel_id_of(key),
                credit,
            }),
            RecordKind::FinalRedemption => self.show_rows(reader, FINAL_REDEMPTIONS, visitor, |key, redemption| {
                Record::FinalRedemption { channel_id: channel_id_of(key), redemption }
            }),
            RecordKind::Redemption => {
                self.show_rows(reader, REDEMPTIONS, visitor, |_, redemption| Record::Redemption { redemption })
            }
            RecordKind::Relayed => {
                let mut all: Vec<Relayed> = Vec::new();
                self.each(reader, RELAYED, |_, relayed| {
                    all.push(relayed);
                    Ok(())
                })?;
                all.sort_by_key(|relayed| relayed.at);
                all.into_iter().try_for_each(|relayed| visitor(Record::Relayed { relayed }))
            }
            RecordKind::Strangers => {
                let days = sums(reader).map_err(|error| self.failed(&error))?;
                days.into_iter().try_for_each(|(day, amount)| visitor(Record::Strangers { day, amount }))
            }
        }
    }

    fn show_rows<T: DeserializeOwned>(
        &self,
        reader: &ReadTransaction,
        table: Rowset,
        visitor: Visitor<'_>,
        make: impl Fn(&[u8], T) -> Record,
    ) -> Result<(), StoreError> {
        self.each(reader, table, |key, value| visitor(make(key, value)))
    }

    fn each<T: DeserializeOwned>(
        &self,
        reader: &ReadTransaction,
        table: Rowset,
        mut body: impl FnMut(&[u8], T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let table = reader.open_table(table).map_err(|error| self.failed(&error))?;
        for entry in table.iter().map_err(|error| self.failed(&error))? {
            let (key, value) = entry.map_err(|error| self.failed(&error))?;
            let value = decode(value.value()).map_err(|error| self.failed(&error))?;
            body(key.value(), value)?;
        }
        Ok(())
    }
}

impl PayeeStore for EmbeddedStore {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move { self.accept(batch) })
    }

    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.put_back(records) })
    }

    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>> {
        self.read(|reader| {
            let secret = reader.open_table(META)?.get("challenge-secret")?.map(|secret| secret.value().to_vec());
            let missing = || Trouble::Corrupted("the challenge secret is missing".to_owned());
            secret.and_then(ChallengeSecret::new).ok_or_else(missing)
        })
    }

    fn books(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>> {
        self.read(|reader| get(&reader.open_table(BOOKS)?, channel_id.0.as_slice()))
    }

    fn books_of(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>> {
        self.read(|reader| {
            let books = reader.open_table(BOOKS)?;
            let channels = channels_of(&reader.open_table(ACCOUNTS)?, account)?;
            let found = channels.into_iter().map(|id| Ok(get(&books, id.0.as_slice())?.map(|books| (id, books))));
            found.filter_map(Result::transpose).collect()
        })
    }

    fn charge(&self, id: ChannelId, cumulative_amount: Amount) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.read(|reader| get(&reader.open_table(CHARGES)?, &amount_key(id, cumulative_amount)))
    }

    fn purchase(&self, purchase: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>> {
        self.read(|reader| {
            let purchases = reader.open_table(PURCHASES)?;
            let Some(id) = purchases.get(purchase_key(&purchase).as_slice())? else { return Ok(None) };
            let charge = get(&reader.open_table(CHARGES)?, id.value())?;
            Ok(charge.map(|charge| (channel_id_of(id.value()), charge)))
        })
    }

    fn redeemable(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.read(|reader| {
            let books = get::<ChannelBooks>(&reader.open_table(BOOKS)?, channel_id.0.as_slice())?;
            let Some(books) = books else { return Ok(None) };
            let charges = reader.open_table(CHARGES)?;
            let (first, last) = (amount_key(channel_id, Amount::ZERO), amount_key(channel_id, books.due()));
            let Some(entry) = charges.range(first.as_slice()..=last.as_slice())?.next_back() else { return Ok(None) };
            let charge = decode::<Charge>(entry?.1.value())?;
            Ok(ledger::is_redeemable(&books, &charge).then_some(charge))
        })
    }

    fn last_resort(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        self.read(|reader| {
            let books = get::<ChannelBooks>(&reader.open_table(BOOKS)?, channel_id.0.as_slice())?;
            let Some(books) = books else { return Ok(None) };
            let charges = reader.open_table(CHARGES)?;
            let first = amount_key(channel_id, books.due());
            let last = amount_key(channel_id, Amount::new(u128::MAX));
            let Some(entry) = charges.range(first.as_slice()..=last.as_slice())?.next() else { return Ok(None) };
            let charge = decode::<Charge>(entry?.1.value())?;
            Ok(ledger::is_last_resort(&books, &charge).then_some(charge))
        })
    }

    fn relayed(&self, request: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        self.read(|reader| {
            let by_request = reader.open_table(RELAYED_BY_REQUEST)?;
            let Some(hash) = by_request.get(request.as_slice())? else { return Ok(None) };
            get(&reader.open_table(RELAYED)?, hash.value())
        })
    }

    fn relayed_in(&self, hash: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        self.read(|reader| get(&reader.open_table(RELAYED)?, hash.as_slice()))
    }

    fn relay_spent(&self, day: u64) -> BoxFuture<'_, Result<Amount, StoreError>> {
        self.read(|reader| Ok(sum(&reader.open_table(RELAY_SPENT)?, day)?.unwrap_or_default()))
    }

    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>> {
        self.read(|reader| {
            let redemptions = reader.open_table(REDEMPTIONS)?;
            let unsettled = reader.open_table(UNSETTLED)?;
            let missing = || Trouble::Corrupted("a redemption that is not settled is missing".to_owned());
            unsettled.iter()?.map(|entry| get(&redemptions, entry?.0.value())?.ok_or_else(missing)).collect()
        })
    }

    fn redemption(&self, hash: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>> {
        self.read(|reader| get(&reader.open_table(REDEMPTIONS)?, hash.as_slice()))
    }

    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.show_owing(visitor) })
    }

    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.show(kinds, visitor) })
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
        Some(found @ (1 | 2)) => begin_from(found, &transaction).map_err(failed)?,
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
    migration::from_version_two(transaction)?;
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

/// Counts one more batch, in the same transaction.
fn count_batch(transaction: &WriteTransaction) -> Result<u64, Trouble> {
    let batches = marked(transaction)?.batches.saturating_add(1);
    transaction.open_table(META)?.insert("batches", encode(&batches)?.as_slice())?;
    Ok(batches)
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
