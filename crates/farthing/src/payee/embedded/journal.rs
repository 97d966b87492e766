//! The ledger's journal: what was acknowledged since the tables were written last, each batch appended with one sync.
//!
//! There are two files. Batches are appended to one; when it is long enough, and all that the other has is in
//! the tables, the other is begun anew from its first byte. As long as the tables lag, the same file goes on. A new lap
//! does not change how long a file is: what it writes over lies where the disk already has room for it, so that a sync
//! writes a batch and nothing about the file. Where a file has to grow it is filled with zeros, really written, and the
//! sync of the batch that needs the room covers them.
//!
//! Every record begins a page of its own. So a sector that holds something acknowledged is not written again before it
//! is in the tables; and where one record is damaged, those behind it are still found. That tells a tail that was
//! never acknowledged, which is written over, from a batch that is missing, which is refused.

mod reading;
mod record;

use super::mark::LedgerName;
pub(super) use record::pages_of;
use record::{Key, PAGE, Place, seal};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// When a journal changes files, and how these grow, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// From this length on a file is left for the other one.
    pub lap: u64,
    /// A file grows by as much as it has, but by no less than this.
    pub growth_min: u64,
    /// Nor by more than this.
    pub growth_max: u64,
}

impl Sizes {
    /// A payee's: the longest growth is written in some milliseconds, and the files stay small beside the tables.
    pub const PAYEE: Self = Self { lap: 16 << 20, growth_min: 256 << 10, growth_max: 4 << 20 };
}

/// A file is filled with zeros in pieces of this size.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What one of a journal's two files lies on.
pub trait JournalFile: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    ///
    /// If the disk fails; so for all that follow.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from this position on.
    ///
    /// # Errors
    ///
    /// See [`Self::length`]; or if it has fewer.
    fn read(&self, position: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes from this position on.
    ///
    /// # Errors
    ///
    /// See [`Self::length`].
    fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it to this length.
    ///
    /// # Errors
    ///
    /// See [`Self::length`].
    fn cut(&self, length: u64) -> io::Result<()>;

    /// Returns when what was written, and what is needed to read it, is on the disk.
    ///
    /// # Errors
    ///
    /// See [`Self::length`].
    fn sync(&self) -> io::Result<()>;
}

impl JournalFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, position)
    }

    fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, position)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Thrown when a journal can't be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk.
    #[error("journal-{file}: {error}")]
    Disk {
        /// Which of the two files.
        file: usize,
        /// What it said.
        error: io::Error,
    },
    /// A batch can't be read though a later one can: so it was acknowledged.
    #[error("journal-{file} is damaged at byte {position}: batch {batch} is not there, and batch {later} is")]
    Damaged {
        /// Which of the two files.
        file: usize,
        /// Where the batch should be.
        position: u64,
        /// Its number.
        batch: u64,
        /// The first one behind it that is whole.
        later: u64,
    },
    /// Whole records that never belonged together.
    #[error("journal-{file} has batch {batch} at byte {position}, which is not of the same history as the rest")]
    Mixed {
        /// Which of the two files.
        file: usize,
        /// Where the batch is.
        position: u64,
        /// Its number.
        batch: u64,
    },
    /// The journal of another ledger.
    #[error("journal-{file} belongs to another ledger")]
    OtherLedger {
        /// Which of the two files.
        file: usize,
    },
    /// A batch was to be written that is not the next one.
    #[error("batch {batch} does not follow batch {last} in the journal")]
    OutOfOrder {
        /// The batch.
        batch: u64,
        /// The last one that is there.
        last: u64,
    },
    /// Something failed before. What the disk holds is not known until it is opened again.
    #[error("the journal has failed; it has to be opened again")]
    Failed,
}

/// The path of one of the two files, beside a ledger's.
pub(super) fn path_beside(ledger: &Path, file: usize) -> PathBuf {
    ledger.with_extension(format!("journal-{file}"))
}

/// A batch that was found, and its number.
type Batch = (u64, Vec<u8>);

/// The batches that are acknowledged and perhaps not in the tables yet.
///
/// After an error in writing it answers nothing but errors until it is opened again: a sync that failed may have
/// dropped what it was to write, and the next one would not say so.
#[derive(Debug)]
pub struct Journal {
    files: [Box<dyn JournalFile>; 2],
    key: Key,
    sizes: Sizes,
    /// Up to here all is in the tables. Apart from what is being written, so that nobody waits for a sync to say so.
    folded: AtomicU64,
    writing: Mutex<Writing>,
}

/// Where the journal is being written.
#[derive(Debug)]
struct Writing {
    /// Which of the files.
    file: usize,
    /// What tells the records of this lap from all others: it is drawn when a file is begun anew.
    lap: [u8; 16],
    /// Where its next record begins.
    end: u64,
    /// How far each file is filled, in whole pages.
    filled: [u64; 2],
    /// The newest batch in each file: when that is folded, the file may be written over.
    newest: [u64; 2],
    /// The newest batch of all.
    last: u64,
    /// Whether something is in doubt.
    failed: bool,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens a ledger's journal, and returns the batches after `folded` in their order: those are durable, and not in
    /// the tables. Nothing is changed: what comes after the last one was never acknowledged, and the next batch is
    /// written over it.
    ///
    /// # Errors
    ///
    /// If a batch can't be read though a later one can, the files are not this ledger's, or the disk fails.
    pub fn open(
        files: [Box<dyn JournalFile>; 2],
        ledger: LedgerName,
        folded: u64,
        sizes: Sizes,
    ) -> Result<(Self, Vec<Batch>), JournalError> {
        let key = Key::of(ledger);
        let [zero, one] = &files;
        let mut found = reading::records_of(zero.as_ref(), 0, &key, folded)?;
        found.extend(reading::records_of(one.as_ref(), 1, &key, folded)?);
        let found = reading::in_order(found, folded)?;
        let mut writing = Writing::begin(folded);
        for (index, file) in files.iter().enumerate() {
            let length = file.length().map_err(|error| JournalError::Disk { file: index, error })?;
            writing.filled[index] = length - length % PAGE;
        }
        for record in &found {
            writing.newest[record.place.file] = record.head.batch;
            writing.last = record.head.batch;
        }
        if let Some(last) = found.last() {
            (writing.file, writing.lap) = (last.place.file, last.head.lap);
            writing.end = last.place.position + pages_of(last.content.len());
            // Its last page may have been cut off behind its last byte, and is written out below.
            writing.filled[writing.file] = writing.filled[writing.file].max(writing.end);
        }
        let journal = Self { files, key, sizes, folded: AtomicU64::new(folded), writing: Mutex::new(writing) };
        if let Some(last) = found.last() {
            journal.confirm(last)?;
        }
        let batches = found.into_iter().map(|record| (record.head.batch, record.content));
        Ok((journal, batches.collect()))
    }

    /// Makes sure that the last record is on the disk, and not only in memory: if its sync failed, the system may have
    /// kept what it read here for clean, and forget it in the end. Of all others the syncs are known to have succeeded.
    fn confirm(&self, last: &reading::Found) -> Result<(), JournalError> {
        let mut buffer = Vec::new();
        seal(&mut buffer, &self.key, last.place, &last.head, &last.content);
        let failed = |error| JournalError::Disk { file: last.place.file, error };
        let file = &self.files[last.place.file];
        file.write(last.place.position, &buffer).map_err(failed)?;
        file.sync().map_err(failed)
    }

    /// Appends a batch: the number after the last one's. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// If it is not the next batch, or it could not be written: then it is in doubt, and all that follow are refused.
    pub fn append(&self, batch: u64, content: &[u8]) -> Result<(), JournalError> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.failed {
            return Err(JournalError::Failed);
        }
        let last = writing.last;
        if last.checked_add(1) != Some(batch) {
            return Err(JournalError::OutOfOrder { batch, last });
        }
        // Until the sync has succeeded, whatever ends this call.
        writing.failed = true;
        self.write(&mut writing, batch, content).map_err(|error| JournalError::Disk { file: writing.file, error })?;
        writing.failed = false;
        Ok(())
    }

    fn write(&self, writing: &mut Writing, batch: u64, content: &[u8]) -> io::Result<()> {
        if writing.end >= self.sizes.lap && writing.newest[1 - writing.file] <= self.folded.load(Ordering::Acquire) {
            self.begin_anew(writing)?;
        }
        let place = Place { file: writing.file, position: writing.end };
        let end = writing.end + pages_of(content.len());
        let file = &self.files[writing.file];
        if end > writing.filled[writing.file] {
            writing.filled[writing.file] = fill(file.as_ref(), writing.filled[writing.file], end, self.sizes)?;
        }
        let head = record::Head { lap: writing.lap, batch, length: content.len() as u64 };
        seal(&mut writing.buffer, &self.key, place, &head, content);
        file.write(place.position, &writing.buffer)?;
        file.sync()?;
        (writing.end, writing.last) = (end, batch);
        writing.newest[writing.file] = batch;
        Ok(())
    }

    /// Begins the other file anew. It has nothing that is not in the tables.
    fn begin_anew(&self, writing: &mut Writing) -> io::Result<()> {
        writing.file = 1 - writing.file;
        (writing.end, writing.lap) = (0, rand::random());
        // A file that had to go on for long, because the tables lagged, gives its room back.
        let lap = self.sizes.lap;
        if writing.filled[writing.file] > lap.saturating_mul(2) {
            self.files[writing.file].cut(lap)?;
            writing.filled[writing.file] = lap;
        }
        Ok(())
    }

    /// Notes that all batches up to this one are in the tables, and will be after a power cut: their room may be used
    /// again.
    pub fn folded(&self, batch: u64) {
        self.folded.fetch_max(batch, Ordering::AcqRel);
    }
}

impl Writing {
    /// Where a journal is written in which everything is in the tables.
    fn begin(folded: u64) -> Self {
        let (file, end, buffer) = (0, 0, Vec::new());
        let (filled, newest) = ([0; 2], [folded; 2]);
        Self { file, lap: rand::random(), end, filled, newest, last: folded, failed: false, buffer }
    }
}

/// Fills a file with zeros behind `end`, so that what follows need not make it longer. Returns how far it is filled.
fn fill(file: &dyn JournalFile, filled: u64, end: u64, sizes: Sizes) -> io::Result<u64> {
    let goal = end + filled.clamp(sizes.growth_min, sizes.growth_max);
    let mut position = end;
    while position < goal {
        let length = ZEROS.len().min(usize::try_from(goal - position).unwrap_or(ZEROS.len()));
        file.write(position, ZEROS.get(..length).unwrap_or(&ZEROS))?;
        position += length as u64;
    }
    Ok(goal)
}
