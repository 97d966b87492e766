//! What an open ledger is kept in: the journal first, the tables behind it, and between them what is in memory.
//!
//! A batch is acknowledged when it is in the journal. From then on it is seen in memory, until it is in the tables, to
//! which a thread of their own brings a whole generation of batches in one commit.

use super::failed_at;
use super::journal::{Journal, Sizes};
use super::mark::Mark;
use super::overlay::{Frozen, Generation, Overlay};
use super::recent::Recent;
use super::tables::{self, META, decode, encode};
use crate::payee::posting::Changes;
use crate::payee::store::StoreError;
use redb::{Database, Error as Trouble, ReadTransaction, ReadableDatabase};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Who writes a generation to the tables.
#[cfg_attr(not(feature = "fault-injection"), allow(unreachable_pub, reason = "tests choose"))]
#[derive(Clone, Copy, Debug)]
pub struct Folding {
    /// From this size on, about, a part of what is in memory is written to the tables, in bytes.
    pub size: usize,
    /// By a thread of its own, or by whoever wrote the batch: then what a disk is asked for is the same each time.
    pub in_background: bool,
    /// The journal's files.
    pub journal: Sizes,
}

impl Folding {
    /// A hundred thousand channels that each bought once.
    pub(super) const PAYEES: Self = Self { size: 96 << 20, in_background: true, journal: Sizes::PAYEE };
}

/// An open ledger.
pub(super) struct Keeping {
    database: Database,
    journal: Journal,
    mark: Mark,
    path: String,
    folding: Folding,
    overlay: Mutex<Overlay>,
    pub(super) recent: Recent,
    /// Something was frozen, folded or has failed.
    turned: Condvar,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeping").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Keeping {
    /// Takes a ledger that was opened and checked, whose tables have all batches up to `folded`.
    pub(super) fn new(
        database: Database,
        journal: Journal,
        mark: Mark,
        path: String,
        folding: Folding,
        folded: u64,
    ) -> Self {
        let overlay = Mutex::new(Overlay::after(folded));
        Self { database, journal, mark, path, folding, overlay, recent: Recent::default(), turned: Condvar::new() }
    }

    pub(super) fn failed(&self, reason: &dyn fmt::Display) -> StoreError {
        failed_at(&self.path, reason)
    }

    fn locked(&self) -> MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in memory.
    ///
    /// # Errors
    ///
    /// If anything has failed to be written: what the disk holds is not known then.
    pub(super) fn overlay(&self) -> Result<MutexGuard<'_, Overlay>, StoreError> {
        let overlay = self.locked();
        self.check(&overlay)?;
        Ok(overlay)
    }

    fn check(&self, overlay: &Overlay) -> Result<(), StoreError> {
        overlay.failed.as_ref().map_or(Ok(()), |reason| Err(self.failed(reason)))
    }

    /// Reads what is in the tables. Whoever has the overlay while this begins sees both at one moment.
    ///
    /// # Errors
    ///
    /// If they can't be read.
    pub(super) fn reader(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(|error| self.failed(&error))
    }

    /// Looks for something in memory, and then in the tables.
    pub(super) fn find<T>(
        &self,
        in_memory: impl Fn(&Generation) -> Option<T>,
        in_tables: impl FnOnce(&ReadTransaction) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, StoreError> {
        let overlay = self.overlay()?;
        if let Some(found) = overlay.find(in_memory) {
            return Ok(Some(found));
        }
        let reader = self.reader()?;
        drop(overlay);
        in_tables(&reader).map_err(|error| self.failed(&error))
    }

    /// Takes in what a batch after `last` has changed; durable when it returns.
    pub(super) fn write(&self, last: &mut u64, changes: Changes) -> Result<(), StoreError> {
        let batch = last.checked_add(1).ok_or_else(|| self.failed(&"no more batches can be counted"))?;
        let content = encode(&changes).map_err(|error| self.failed(&error))?;
        if let Err(error) = self.journal.append(batch, &content) {
            self.locked().fail(error.to_string());
            self.turned.notify_all();
            return Err(self.failed(&error));
        }
        *last = batch;
        // It is durable whether or not it can be counted; a mark that lags refuses nothing.
        if let Err(error) = self.mark.write(batch) {
            tracing::warn!(%error, path = %self.path, "the mark beside the ledger can't be written");
        }
        self.recent.change(&changes.books);
        let mut overlay = self.locked();
        overlay.apply(changes, batch, content.len());
        self.fold_if_due(overlay);
        Ok(())
    }

    /// Takes in a batch that the journal has kept for the tables.
    pub(super) fn take_up(&self, batch: u64, content: &[u8]) -> Result<(), StoreError> {
        let changes = decode(content).map_err(|error| self.failed(&error))?;
        let mut overlay = self.overlay()?;
        overlay.apply(changes, batch, content.len());
        while let Some(frozen) = self.freeze_if_due(&mut overlay) {
            drop(overlay);
            self.fold(&frozen)?;
            overlay = self.overlay()?;
        }
        Ok(())
    }

    /// Freezes what it is time to fold: a part, because of what is in memory; or everything, because small batches take
    /// so much room in the journal, or somebody waits for whole batches in the tables.
    fn freeze_if_due(&self, overlay: &mut Overlay) -> Option<Arc<Frozen>> {
        if is_wasteful(overlay, self.folding.journal.lap) {
            overlay.freeze_all()
        } else if overlay.bytes() < self.folding.size {
            None
        } else if overlay.waiting > 0 {
            overlay.freeze_all()
        } else {
            overlay.freeze_oldest()
        }
    }

    fn fold_if_due<'o>(&'o self, mut overlay: MutexGuard<'o, Overlay>) {
        while let Some(frozen) = self.freeze_if_due(&mut overlay) {
            drop(overlay);
            self.turn_to(&frozen);
            overlay = self.locked();
        }
    }

    /// Has what is frozen folded.
    fn turn_to(&self, frozen: &Frozen) {
        if self.folding.in_background {
            self.turned.notify_all();
        } else {
            // What fails is in the overlay, for whoever comes next; what was acknowledged stays so.
            let _ = self.fold(frozen);
        }
    }

    /// Waits until there is room for a batch: memory is bounded, and the tables may be slower than the journal.
    pub(super) fn make_room(&self) -> Result<(), StoreError> {
        let (size, lap) = (self.folding.size, self.folding.journal.lap);
        let is_over = |overlay: &Overlay| overlay.bytes() >= size + size / 4 || is_wasteful(overlay, lap + lap / 4);
        let mut overlay = self.locked();
        while overlay.failed.is_none() && overlay.frozen.is_some() && is_over(&overlay) {
            overlay = self.turned.wait(overlay).unwrap_or_else(PoisonError::into_inner);
        }
        self.check(&overlay)
    }

    /// Brings all that was acknowledged before to the tables, and reads them while they have whole batches only.
    pub(super) fn settled(&self) -> Result<ReadTransaction, StoreError> {
        let mut overlay = self.overlay()?;
        // From now on no part is frozen. One that is being written leaves something for later, which is waited for and
        // written whole; or it leaves nothing, and then it is whole.
        overlay.waiting += 1;
        let (mut overlay, settled) = self.settle(overlay);
        let reader = settled.and_then(|()| self.reader());
        overlay.waiting -= 1;
        reader
    }

    fn settle<'o>(&'o self, mut overlay: MutexGuard<'o, Overlay>) -> (MutexGuard<'o, Overlay>, Result<(), StoreError>) {
        let newest = overlay.newest().unwrap_or(overlay.folded);
        loop {
            let checked = self.check(&overlay);
            if checked.is_err() || overlay.folded >= newest {
                return (overlay, checked);
            }
            if let Some(frozen) = overlay.freeze_all() {
                drop(overlay);
                self.turn_to(&frozen);
                overlay = self.locked();
            } else {
                overlay = self.turned.wait(overlay).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Writes what is frozen to the tables.
    fn fold(&self, frozen: &Frozen) -> Result<(), StoreError> {
        let folded = self.commit(frozen);
        let mut overlay = self.locked();
        match &folded {
            Ok(()) => {
                overlay.fold(frozen);
                self.journal.folded(frozen.folded);
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path, "what was acknowledged stays in the journal");
                overlay.fail(error.to_string());
            }
        }
        drop(overlay);
        self.turned.notify_all();
        folded.map_err(|error| self.failed(&error))
    }

    fn commit(&self, frozen: &Frozen) -> Result<(), Trouble> {
        // Committing syncs the file (redb's default durability); dropping the transaction undoes it.
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        tables::apply(&transaction, &frozen.generation)?;
        transaction.open_table(META)?.insert("batches", encode(&frozen.folded)?.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Folds what is due until the store is closed or something fails.
    fn fold_on(&self) {
        let mut overlay = self.locked();
        while overlay.failed.is_none() {
            if let Some(frozen) = overlay.frozen.clone().or_else(|| self.freeze_if_due(&mut overlay)) {
                drop(overlay);
                let _ = self.fold(&frozen);
                overlay = self.locked();
            } else if overlay.is_closing {
                return;
            } else {
                overlay = self.turned.wait(overlay).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Whether so much of the journal is kept, and most of it for the sake of its pages: however small a batch is, it has
/// one to itself.
fn is_wasteful(overlay: &Overlay, room: u64) -> bool {
    let kept = overlay.kept();
    kept.room >= room && kept.room / 2 >= kept.content
}

/// An open ledger, and the thread that folds it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) keeping: Arc<Keeping>,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    pub(super) fn begin(keeping: Keeping) -> Result<Self, StoreError> {
        let keeping = Arc::new(keeping);
        let mut thread = None;
        if keeping.folding.in_background {
            let folding = Arc::clone(&keeping);
            let spawned = thread::Builder::new().name("farthing-fold".to_owned()).spawn(move || folding.fold_on());
            thread = Some(spawned.map_err(|error| keeping.failed(&error))?);
        }
        Ok(Self { keeping, thread })
    }

    /// Brings everything to the tables, and ends the thread.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        let settled = self.keeping.settled().map(drop);
        self.keeping.locked().is_closing = true;
        self.keeping.turned.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        settled
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What does not get there is in the journal, and is found there at the next opening.
        let _ = self.end();
    }
}
