//! A disk in memory for the embedded ledger: it fails when a test says so, and writes down what was asked of it.

use farthing::payee::embedded::MarkFile;
use farthing::payee::{EmbeddedStore, LedgerIdentity, StoreError};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that a disk was asked for, in its order.
#[derive(Clone, Debug)]
pub enum Event {
    /// The ledger's file was written to.
    Written {
        /// From this position on.
        position: usize,
        /// These bytes.
        bytes: Vec<u8>,
    },
    /// The ledger's file was made as long as this.
    Resized(usize),
    /// All of the ledger's file until here was to be on the disk.
    Synced,
    /// The mark was overwritten with this.
    Marked(Vec<u8>),
    /// Not the disk's: the test began to write so many batches.
    Begun(usize),
    /// Not the disk's: the store said that so many batches are durable.
    Acknowledged(usize),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The nth alone, counted from one.
    Nth(u64),
    /// The nth and all after it.
    From(u64),
    /// Every one that would need more than so many bytes for the ledger's file.
    Beyond(usize),
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ledger: Vec<u8>,
    mark: Vec<u8>,
    journal: Option<Vec<Event>>,
    calls: u64,
    failed: u64,
    failing: Option<Failing>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("bytes", &self.ledger.len()).finish_non_exhaustive()
    }
}

impl State {
    /// Counts a call, after which the ledger's file would have this length, and fails it if its turn has come.
    fn call(&mut self, length: usize) -> io::Result<()> {
        self.calls += 1;
        let error = match self.failing {
            Some(Failing::Nth(nth)) if self.calls == nth => io::ErrorKind::Other,
            Some(Failing::From(nth)) if self.calls >= nth => io::ErrorKind::Other,
            Some(Failing::Beyond(most)) if length > most => io::ErrorKind::StorageFull,
            _ => return Ok(()),
        };
        self.failed += 1;
        Err(error.into())
    }

    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(journal) = &mut self.journal {
            journal.push(event());
        }
    }
}

fn outside() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Disk {
    /// A disk with a ledger and its mark on it.
    #[must_use]
    pub fn holding(ledger: Vec<u8>, mark: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { ledger, mark, ..State::default() })))
    }

    /// An empty disk that writes down what it is asked for.
    #[must_use]
    pub fn recording() -> Self {
        Self(Arc::new(Mutex::new(State { journal: Some(Vec::new()), ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the ledger of [`identity`](crate::histories::identity) on this disk, as a process does that has just begun.
    ///
    /// # Errors
    ///
    /// If the store refuses to.
    pub fn open(&self) -> Result<EmbeddedStore, StoreError> {
        self.open_for(&crate::histories::identity())
    }

    /// The same for anybody's ledger.
    ///
    /// # Errors
    ///
    /// If the store refuses to.
    pub fn open_for(&self, identity: &LedgerIdentity) -> Result<EmbeddedStore, StoreError> {
        let (ledger, mark) = (LedgerOnDisk(self.clone()), MarkOnDisk(self.clone()));
        EmbeddedStore::open_on(ledger, mark, identity)
    }

    /// What is in the ledger's file and in its mark, as a process sees it that opens them now.
    #[must_use]
    pub fn content(&self) -> (Vec<u8>, Vec<u8>) {
        let state = self.state();
        (state.ledger.clone(), state.mark.clone())
    }

    /// What it was asked for.
    #[must_use]
    pub fn journal(&self) -> Vec<Event> {
        self.state().journal.clone().unwrap_or_default()
    }

    /// Adds something of the test's own to the journal.
    pub fn note(&self, event: Event) {
        self.state().note(|| event);
    }

    /// From now on, calls fail like this; they are counted from here.
    pub fn fail(&self, failing: Failing) {
        let mut state = self.state();
        (state.calls, state.failed, state.failing) = (0, 0, Some(failing));
    }

    /// From now on, nothing fails. Says how many calls there were, and how many of them failed.
    pub fn heal(&self) -> (u64, u64) {
        let mut state = self.state();
        state.failing = None;
        (state.calls, state.failed)
    }
}

#[derive(Debug)]
struct LedgerOnDisk(Disk);

impl StorageBackend for LedgerOnDisk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.0.state();
        let length = state.ledger.len();
        state.call(length)?;
        Ok(length as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.state();
        let length = state.ledger.len();
        state.call(length)?;
        let position = usize::try_from(offset).map_err(|_| outside())?;
        let end = position.checked_add(out.len()).ok_or_else(outside)?;
        out.copy_from_slice(state.ledger.get(position..end).ok_or_else(outside)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        let length = usize::try_from(len).map_err(|_| outside())?;
        state.call(length)?;
        state.ledger.resize(length, 0);
        state.note(|| Event::Resized(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        let length = state.ledger.len();
        state.call(length)?;
        state.note(|| Event::Synced);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        let position = usize::try_from(offset).map_err(|_| outside())?;
        let end = position.checked_add(data.len()).ok_or_else(outside)?;
        state.call(end)?;
        if end > state.ledger.len() {
            state.ledger.resize(end, 0);
        }
        state.ledger.get_mut(position..end).ok_or_else(outside)?.copy_from_slice(data);
        state.note(|| Event::Written { position, bytes: data.to_vec() });
        Ok(())
    }
}

#[derive(Debug)]
struct MarkOnDisk(Disk);

impl MarkFile for MarkOnDisk {
    fn read(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut state = self.0.state();
        state.call(0)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(state.mark.iter().take(most).copied().collect())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.call(0)?;
        state.mark = bytes.to_vec();
        state.note(|| Event::Marked(bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.state().call(0)
    }
}
