//! A disk in memory for the embedded ledger: it fails when a test says so, and writes down what was asked of it.

use farthing::payee::embedded::{Folding, JournalFile, MarkFile, Sizes};
use farthing::payee::{EmbeddedStore, LedgerIdentity, StoreError};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Small, so that a short history is folded and changes the journal's files again and again; and by whoever writes, so
/// that a disk is asked for the same each time.
pub const FOLDING: Folding = Folding {
    size: 5 << 10,
    in_background: false,
    journal: Sizes { lap: 20 << 10, growth_min: 8 << 10, growth_max: 16 << 10 },
};

/// A file of a ledger's. The mark is not one of them: it is a few bytes at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The tables.
    Tables,
    /// One of the journal's two files.
    Journal(usize),
}

impl Part {
    /// All of them, in the order of [`Content::files`].
    pub const ALL: [Self; 3] = [Self::Tables, Self::Journal(0), Self::Journal(1)];

    /// Its place among [`Content::files`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Tables => 0,
            Self::Journal(file) => 1 + file,
        }
    }
}

/// What is on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The ledger's files.
    pub files: [Vec<u8>; Part::ALL.len()],
    /// The mark.
    pub mark: Vec<u8>,
}

impl Content {
    /// How many bytes the files have together.
    #[must_use]
    pub fn length(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }
}

/// Something that a disk was asked for, in its order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file was written to.
    Written {
        /// The file.
        part: Part,
        /// From this position on.
        position: usize,
        /// These bytes.
        bytes: Vec<u8>,
    },
    /// A file was made as long as this.
    Resized {
        /// The file.
        part: Part,
        /// How long.
        length: usize,
    },
    /// All of a file until here was to be on the disk.
    Synced(Part),
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
    /// Every one that would need more than so many bytes for the ledger's files.
    Beyond(usize),
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    content: Content,
    events: Option<Vec<Event>>,
    calls: u64,
    failed: u64,
    failing: Option<Failing>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("bytes", &self.content.length()).finish_non_exhaustive()
    }
}

impl State {
    /// Counts a call that needs no room, and fails it if its turn has come.
    fn call(&mut self) -> io::Result<()> {
        self.call_for(0)
    }

    /// Counts a call that makes the files so much longer.
    fn call_for(&mut self, more: usize) -> io::Result<()> {
        self.calls += 1;
        let error = match self.failing {
            Some(Failing::Nth(nth)) if self.calls == nth => io::ErrorKind::Other,
            Some(Failing::From(nth)) if self.calls >= nth => io::ErrorKind::Other,
            Some(Failing::Beyond(most)) if more > 0 && self.content.length() + more > most => {
                io::ErrorKind::StorageFull
            }
            _ => return Ok(()),
        };
        self.failed += 1;
        Err(error.into())
    }

    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(events) = &mut self.events {
            events.push(event());
        }
    }

    fn file(&mut self, part: Part) -> &mut Vec<u8> {
        &mut self.content.files[part.index()]
    }
}

fn outside() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Disk {
    /// A disk with a ledger on it.
    #[must_use]
    pub fn holding(content: Content) -> Self {
        Self(Arc::new(Mutex::new(State { content, ..State::default() })))
    }

    /// An empty disk that writes down what it is asked for.
    #[must_use]
    pub fn recording() -> Self {
        Self(Arc::new(Mutex::new(State { events: Some(Vec::new()), ..State::default() })))
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
        self.open_with(FOLDING, identity)
    }

    /// Opens the ledger of [`identity`](crate::histories::identity) as a payee does: what was acknowledged is brought to
    /// the tables by a thread of its own.
    ///
    /// # Errors
    ///
    /// If the store refuses to.
    pub fn open_folding_in_background(&self) -> Result<EmbeddedStore, StoreError> {
        self.open_with(Folding { in_background: true, ..FOLDING }, &crate::histories::identity())
    }

    /// The same for anybody's ledger, folded as the caller says.
    ///
    /// # Errors
    ///
    /// If the store refuses to.
    pub fn open_with(&self, folding: Folding, identity: &LedgerIdentity) -> Result<EmbeddedStore, StoreError> {
        EmbeddedStore::open_on(self.tables(), MarkOnDisk(self.clone()), self.journal(), folding, identity)
    }

    /// The tables' file on this disk.
    #[must_use]
    pub fn tables(&self) -> impl StorageBackend + use<> {
        FileOnDisk { disk: self.clone(), part: Part::Tables }
    }

    /// The journal's two files on this disk.
    #[must_use]
    pub fn journal(&self) -> [Box<dyn JournalFile>; 2] {
        [0, 1].map(|file| Box::new(FileOnDisk { disk: self.clone(), part: Part::Journal(file) }) as _)
    }

    /// What is in the files and in the mark, as a process sees it that opens them now.
    #[must_use]
    pub fn content(&self) -> Content {
        self.state().content.clone()
    }

    /// What it was asked for.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone().unwrap_or_default()
    }

    /// Adds something of the test's own to the events.
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

/// One of the ledger's files.
#[derive(Debug)]
struct FileOnDisk {
    disk: Disk,
    part: Part,
}

impl FileOnDisk {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.call()?;
        Ok(state.file(self.part).len() as u64)
    }

    fn read(&self, position: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let position = usize::try_from(position).map_err(|_| outside())?;
        let end = position.checked_add(out.len()).ok_or_else(outside)?;
        out.copy_from_slice(state.file(self.part).get(position..end).ok_or_else(outside)?);
        Ok(())
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let length = usize::try_from(length).map_err(|_| outside())?;
        let more = length.saturating_sub(state.file(self.part).len());
        state.call_for(more)?;
        state.file(self.part).resize(length, 0);
        state.note(|| Event::Resized { part: self.part, length });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        state.note(|| Event::Synced(self.part));
        Ok(())
    }

    fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let position = usize::try_from(position).map_err(|_| outside())?;
        let end = position.checked_add(bytes.len()).ok_or_else(outside)?;
        let more = end.saturating_sub(state.file(self.part).len());
        state.call_for(more)?;
        let file = state.file(self.part);
        if end > file.len() {
            file.resize(end, 0);
        }
        file.get_mut(position..end).ok_or_else(outside)?.copy_from_slice(bytes);
        state.note(|| Event::Written { part: self.part, position, bytes: bytes.to_vec() });
        Ok(())
    }
}

impl StorageBackend for FileOnDisk {
    fn len(&self) -> io::Result<u64> {
        self.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.resize(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(offset, data)
    }
}

impl JournalFile for FileOnDisk {
    fn length(&self) -> io::Result<u64> {
        self.length()
    }

    fn read(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read(position, bytes)
    }

    fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(position, bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.resize(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync()
    }
}

#[derive(Debug)]
struct MarkOnDisk(Disk);

impl MarkFile for MarkOnDisk {
    fn read(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut state = self.0.state();
        state.call()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(state.content.mark.iter().take(most).copied().collect())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.call()?;
        state.content.mark = bytes.to_vec();
        state.note(|| Event::Marked(bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.state().call()
    }
}
