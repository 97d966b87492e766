//! How many batches a ledger's file has acknowledged, kept beside it.
//!
//! A file that was cut short, replaced by an older copy or removed is a good file that has forgotten something: nothing
//! inside it can tell. So the count of batches is written beside it after each commit. It is not synced, for it may lag
//! behind; it must never be ahead.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// 16 bytes that name the ledger, 8 of the count, 8 of a check over both.
const LENGTH: usize = 32;

/// Which ledger a mark belongs to: drawn when the ledger is begun.
pub(super) type LedgerName = [u8; 16];

/// What a mark lies on: a few bytes at one place.
#[cfg_attr(not(feature = "fault-injection"), allow(unreachable_pub, reason = "tests bring files of their own"))]
pub trait MarkFile: fmt::Debug + Send + Sync {
    /// All of its bytes, or the first of them if there are more than this.
    ///
    /// # Errors
    ///
    /// If the disk fails; so for all that follow.
    fn read(&self, most: u64) -> io::Result<Vec<u8>>;

    /// Writes its bytes, from the first on.
    ///
    /// # Errors
    ///
    /// See [`Self::read`].
    fn write(&self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when what was written is on the disk.
    ///
    /// # Errors
    ///
    /// See [`Self::read`].
    fn sync(&self) -> io::Result<()>;
}

impl MarkFile for File {
    fn read(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, 0)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The count beside a ledger's file.
#[derive(Debug)]
pub(super) struct Mark {
    file: Box<dyn MarkFile>,
    ledger: LedgerName,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) ledger: LedgerName,
    pub(super) batches: u64,
}

/// The mark's file beside a ledger's.
pub(super) fn path_beside(ledger: &Path) -> PathBuf {
    ledger.with_extension("mark")
}

/// What the mark beside a ledger says; nothing if none was ever written, or none that reached the disk.
///
/// # Errors
///
/// If it can't be read, or is damaged: then it can't be told whether anything is missing.
pub(super) fn read(file: &dyn MarkFile) -> io::Result<Option<Marked>> {
    let bytes = file.read(LENGTH as u64 + 1)?;
    // A power cut may leave a file that was made and never written.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the mark is damaged");
    let (content, check) = bytes.split_at_checked(LENGTH - 8).ok_or_else(damaged)?;
    let (ledger, batches) = content.split_at_checked(16).ok_or_else(damaged)?;
    if check_of(content) != check {
        return Err(damaged());
    }
    let ledger = ledger.try_into().map_err(|_| damaged())?;
    let batches = u64::from_be_bytes(batches.try_into().map_err(|_| damaged())?);
    Ok(Some(Marked { ledger, batches }))
}

impl Mark {
    /// Takes the mark of a ledger that has been checked against it, and brings it up to date.
    pub(super) fn begin(file: Box<dyn MarkFile>, marked: Marked) -> io::Result<Self> {
        let mark = Self { file, ledger: marked.ledger };
        mark.write(marked.batches)?;
        mark.file.sync()?;
        Ok(mark)
    }

    /// Notes how many batches are durable. One small write at one place: it is whole or not there.
    pub(super) fn write(&self, batches: u64) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        let (content, check) = bytes.split_at_mut(LENGTH - 8);
        let (ledger, count) = content.split_at_mut(16);
        ledger.copy_from_slice(&self.ledger);
        count.copy_from_slice(&batches.to_be_bytes());
        check.copy_from_slice(&check_of(content));
        self.file.write(&bytes)
    }
}

fn check_of(content: &[u8]) -> [u8; 8] {
    let hash = alloy::primitives::keccak256(content);
    let mut check = [0; 8];
    check.iter_mut().zip(hash).for_each(|(check, byte)| *check = byte);
    check
}
