//! The payer's store: one file that many processes share.
//!
//! Every operation opens the file, runs one transaction and closes it again. The file is locked while it is open, and
//! the lock is the operating system's: it ends with its process, however that ends, so there is no stale lock. Others
//! wait for their turn, a bounded time. What a transaction committed survives a kill at any moment; what it did not
//! never happened.

mod epoch;
mod journal;
mod orders;
mod records;
mod tables;

pub(super) use journal::{Denied, Intent, shortfall};
pub use orders::OpenOrder;
pub(super) use records::CachedOffer;
pub use records::{FundedAccount, PaidChannel, Promise, PromiseId, PromiseState, Spending};

use epoch::{EpochFile, Lineage, private_file, sync_directory_of, with_suffix};
use farthing_core::wire::{Problem, RelayRequest, SignedReceipt};
use farthing_core::{Account, Amount, ChannelId, Deployment, Timestamp};
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The schema that this version reads and writes.
const SCHEMA: u64 = 1;

/// How long a process waits for others by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it sleeps before it looks again.
const NAP: Duration = Duration::from_millis(3);

/// A store is small; its pages need little memory.
const CACHE_BYTES: usize = 1 << 20;

/// Thrown when the store can't be read or written. Nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Other processes held the file all the time.
    #[error("another process has held {} for {waited:?}", path.display())]
    Busy {
        /// The store.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// Written by another version.
    #[error("{} has schema {found}; this version reads {SCHEMA}", path.display())]
    UnknownSchema {
        /// The store.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// The file system.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The database.
    #[error("the store failed: {0}")]
    Database(#[from] Box<redb::Error>),
    /// Not what this program wrote.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// There is no such channel in this store.
    #[error("this store has no channel {0}")]
    UnknownChannel(ChannelId),
}

/// Everything that the database throws, as one.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}

/// Where a payer keeps its promises, channels and accounts. Cheap to clone; many processes may share the file.
#[derive(Clone, Debug)]
pub struct PayerStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    patience: Duration,
    /// Threads of this process queue here, and only one of them naps before the file's lock.
    turn: Mutex<()>,
    /// Whether this process has had the whole file checked. redb looks at no checksum when it reads, and checking takes
    /// as long as reading everything, so it is done once.
    is_checked: AtomicBool,
}

impl PayerStore {
    /// Opens the store at a path, or creates it there with access for its owner only. The directory must exist.
    ///
    /// # Errors
    ///
    /// If the file is no store, is of another version, or can't be created.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with_patience(path, PATIENCE).await
    }

    /// Like [`Self::open`], with another bound on how long an operation waits for other processes.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_with_patience(path: impl Into<PathBuf>, patience: Duration) -> Result<Self, StoreError> {
        let (turn, is_checked) = (Mutex::new(()), AtomicBool::new(false));
        let inner = Arc::new(Inner { path: path.into(), patience, turn, is_checked });
        let store = Self { inner };
        store
            .blocking(|inner| {
                if !inner.path.exists() {
                    inner.create()?;
                }
                inner.keep_private()?;
                inner.read(|_| Ok(()))
            })
            .await?;
        Ok(store)
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Notes that money was deposited into an account: only recorded accounts are paid from. Noting it again changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the store can't be written.
    pub async fn record_deposit(
        &self,
        deployment: Deployment,
        account: Account,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |transaction| tables::record_deposit(transaction, deployment, account, at)).await
    }

    /// Notes what the chain guarantees a channel's payee in total: redeemed and reserved together, once that is final.
    /// It is a total and no increment, so that noting it twice changes nothing.
    ///
    /// # Errors
    ///
    /// If this store has no such channel, or can't be written.
    pub async fn record_reservation(&self, channel: ChannelId, guaranteed: Amount) -> Result<(), StoreError> {
        self.write(move |transaction| tables::record_reservation(transaction, channel, guaranteed)).await
    }

    /// Retires every channel and draws new salts, as if this were another device: for a store that was restored in a
    /// way it could not notice (a snapshot of the whole disk).
    ///
    /// # Errors
    ///
    /// If the store can't be written.
    pub async fn renew_channels(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let lineage = tables::lineage(transaction)?;
            tables::retire_channels(transaction)?;
            tables::save_lineage(transaction, &lineage.renewed(0))
        })
        .await
    }

    /// Retires one channel: the next purchase from its site begins a new one. For a payee that counts more as spent than
    /// this store promised, and so refuses every voucher that this store would sign. What is reserved in the old channel
    /// has to be taken back. Says whether the channel was in use.
    ///
    /// # Errors
    ///
    /// If this store has no such channel, or can't be written.
    pub async fn renew_channel(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.write(move |transaction| tables::retire_channel(transaction, channel)).await
    }

    /// Gives up a promise that will never be answered, as if the payee had refused it: its amount is signed again by the
    /// next purchase, and counts until then. A promise that was kept, or refused, stays as it is.
    ///
    /// # Errors
    ///
    /// If there is no such promise, or the store can't be written.
    pub async fn give_up(&self, id: PromiseId) -> Result<(), StoreError> {
        self.mark_refused(id, None).await
    }

    /// Every purchase, the first one first.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn history(&self) -> Result<Vec<Promise>, StoreError> {
        self.read(tables::history).await
    }

    /// Promises of which nobody said what came of them. Asking for the same URL again sends the same voucher.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn unfinished(&self) -> Result<Vec<Promise>, StoreError> {
        let mut promises = self.history().await?;
        promises.retain(|promise| promise.state == PromiseState::Promised);
        Ok(promises)
    }

    /// Every channel that was promised on.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn channels(&self) -> Result<Vec<PaidChannel>, StoreError> {
        self.read(tables::channels).await
    }

    /// Every account that money was deposited into.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn accounts(&self) -> Result<Vec<FundedAccount>, StoreError> {
        self.read(tables::accounts).await
    }

    /// Orders that were signed for a relay and are not known to be carried out or over.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn open_orders(&self) -> Result<Vec<OpenOrder>, StoreError> {
        self.write(orders::all).await
    }

    /// Writes an order down before it is sent, and returns the one that is to be sent: an earlier one of its kind for
    /// the same account or channel, while there is one.
    pub(super) async fn begin_order(&self, order: OpenOrder) -> Result<OpenOrder, StoreError> {
        self.write(move |transaction| orders::begin(transaction, order)).await
    }

    /// Notes that an order was carried out, or can't be any more.
    pub(super) async fn finish_order(&self, request: RelayRequest) -> Result<(), StoreError> {
        self.write(move |transaction| orders::finish(transaction, &request)).await
    }

    /// What counts towards the budgets, by day, site and token; the first day first.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn spending(&self) -> Result<Vec<Spending>, StoreError> {
        Ok(journal::spending(&self.history().await?))
    }

    /// The last promise for a request that was not refused, and the last offer of its origin.
    pub(super) async fn look_up(
        &self,
        request: String,
        origin: String,
    ) -> Result<(Option<Promise>, Option<CachedOffer>), StoreError> {
        self.read(move |transaction| {
            Ok((journal::earlier(transaction, &request)?, tables::offer(transaction, &origin)?))
        })
        .await
    }

    /// Reserves budget and the next cumulative amount, durably, unless that was done for the same request before. Only
    /// what this returns may be signed.
    pub(super) async fn promise(&self, intent: Intent) -> Result<Result<Promise, Denied>, StoreError> {
        self.write_before_signing(move |transaction, lineage| journal::promise(transaction, lineage, &intent)).await
    }

    /// Makes sure that an earlier promise is as durable as a new one, and returns it as it is now. It must be called
    /// before its voucher is signed again: the first attempt may have ended between the store and the epoch's file.
    pub(super) async fn resume(&self, id: PromiseId) -> Result<Promise, StoreError> {
        self.write_before_signing(move |transaction, _| tables::promise(transaction, id)).await
    }

    /// Notes that an item was delivered, and what its origin offered, if that is new. Says whether the delivery is news.
    pub(super) async fn mark_bought(
        &self,
        id: PromiseId,
        receipt: Option<Box<SignedReceipt>>,
        offer: Option<CachedOffer>,
    ) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            if let Some(offer) = offer {
                let origin = tables::promise(transaction, id)?.origin;
                tables::save_offer(transaction, &origin, &offer)?;
            }
            journal::mark_bought(transaction, id, receipt)
        })
        .await
    }

    pub(super) async fn mark_refused(&self, id: PromiseId, problem: Option<Box<Problem>>) -> Result<(), StoreError> {
        self.write(move |transaction| journal::mark_refused(transaction, id, problem)).await
    }

    pub(super) async fn channel(&self, id: ChannelId) -> Result<PaidChannel, StoreError> {
        self.read(move |transaction| tables::channel_of_reader(transaction, id)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            // The database panics on some damaged files.
            .unwrap_or_else(|error| Err(StoreError::Damaged(error.to_string())))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking(|inner| inner.read(work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking(|inner| inner.write(work)).await
    }

    async fn write_before_signing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction, &Lineage) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking(|inner| inner.write_before_signing(work)).await
    }
}

impl Inner {
    /// Makes a whole store under another name and gives it its own in one step: a kill in between leaves no half store
    /// under the real name, and of two processes that create it at once, the second finds the first one's.
    fn create(&self) -> Result<(), StoreError> {
        let fresh = with_suffix(&self.path, &format!(".new-{:016x}", rand::random::<u64>()));
        let at_fresh = |error| StoreError::Io { path: fresh.clone(), error };
        let made = private_file(&fresh).map_err(at_fresh).and_then(|_| {
            let database = builder().create(&fresh).map_err(failed)?;
            let transaction = begin_write(&database)?;
            tables::create(&transaction, SCHEMA, &Lineage::unborn())?;
            transaction.commit().map_err(failed)?;
            drop(database);
            fs::hard_link(&fresh, &self.path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(StoreError::Io { path: self.path.clone(), error }),
            })?;
            sync_directory_of(&self.path)
        });
        let removed = fs::remove_file(&fresh).map_err(at_fresh);
        made.and(removed)
    }

    /// Takes away the access that others were given to the file.
    fn keep_private(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let at_path = |error| StoreError::Io { path: self.path.clone(), error };
            let mut permissions = fs::metadata(&self.path).map_err(at_path)?.permissions();
            if permissions.mode() & 0o077 != 0 {
                permissions.set_mode(0o600);
                fs::set_permissions(&self.path, permissions).map_err(at_path)?;
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Database, StoreError> {
        let started = Instant::now();
        let mut builder = builder();
        builder.set_check_integrity_on_open(!self.is_checked.load(Ordering::Relaxed));
        loop {
            match builder.open(&self.path) {
                Err(DatabaseError::DatabaseAlreadyOpen) if started.elapsed() < self.patience => {
                    std::thread::sleep(NAP);
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    return Err(StoreError::Busy { path: self.path.clone(), waited: started.elapsed() });
                }
                outcome => {
                    let database = outcome.map_err(failed)?;
                    self.is_checked.store(true, Ordering::Relaxed);
                    return Ok(database);
                }
            }
        }
    }

    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // The mutex guards nothing but the order of turns, so a panic elsewhere harms nothing.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.open()?;
        let transaction = database.begin_read().map_err(failed)?;
        self.check_schema(tables::schema(&transaction)?)?;
        work(&transaction)
    }

    fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.open()?;
        let transaction = begin_write(&database)?;
        self.check_schema(tables::schema_of_writer(&transaction)?)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Runs a transaction whose result will be signed: see [`epoch`] for the order and why.
    fn write_before_signing<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, &Lineage) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.open()?;
        let transaction = begin_write(&database)?;
        self.check_schema(tables::schema_of_writer(&transaction)?)?;
        let file = EpochFile::beside(&self.path);
        let (lineage, renewed) = tables::lineage(&transaction)?.advance(&file)?;
        if renewed {
            tables::retire_channels(&transaction)?;
        }
        tables::save_lineage(&transaction, &lineage)?;
        let done = work(&transaction, &lineage)?;
        transaction.commit().map_err(failed)?;
        // The database is still locked, so no other process sees the store and the file apart.
        file.write(lineage.current)?;
        drop(database);
        Ok(done)
    }

    fn check_schema(&self, found: u64) -> Result<(), StoreError> {
        if found != SCHEMA {
            return Err(StoreError::UnknownSchema { path: self.path.clone(), found });
        }
        Ok(())
    }
}

/// In two phases, so that a torn last commit is never taken for one that was not made.
fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}
