//! How many batches a ledger's file has acknowledged, kept beside it.
//!
//! A file that was cut short, replaced by an older copy or removed is a good file that has forgotten something: nothing
//! inside it can tell. So the count of batches is written beside it after each commit. It is not synced, for it may lag
//! behind; it must never be ahead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// 16 bytes that name the ledger, 8 of the count, 8 of a check over both.
const LENGTH: usize = 32;

/// Which ledger a mark belongs to: drawn when the ledger is begun.
pub(super) type LedgerName = [u8; 16];

/// The count beside a ledger's file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
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

/// What the mark beside a ledger says; nothing if there is none, or none that was ever on the disk.
///
/// # Errors
///
/// If it can't be read, or is damaged: then it can't be told whether anything is missing.
pub(super) fn read(path: &Path) -> io::Result<Option<Marked>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LENGTH as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
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
    /// Opens the mark of a ledger that has been checked against it, and brings it up to date.
    pub(super) fn open(path: &Path, marked: Marked) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mark = Self { file, ledger: marked.ledger };
        mark.write(marked.batches)?;
        mark.file.sync_all()?;
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
        self.file.write_all_at(&bytes, 0)
    }
}

fn check_of(content: &[u8]) -> [u8; 8] {
    let hash = alloy::primitives::keccak256(content);
    let mut check = [0; 8];
    check.iter_mut().zip(hash).for_each(|(check, byte)| *check = byte);
    check
}
