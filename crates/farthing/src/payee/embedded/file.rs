//! The ledger's file before redb has it: readable by its owner only, and begun anew if it was never begun.

use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Where redb writes what a file is, last of all when it begins one.
const NAME: std::ops::Range<usize> = 0..9;

/// Where what was stored begins; before it there is the header.
const CONTENT: usize = 4_096;

/// No file that is being begun is longer.
const BEGINNING_MAX: u64 = 1 << 20;

/// Opens a file that only its owner may read, or makes one.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // One that was there may be another's to read, and it holds the challenge secret.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// A ledger's file for redb, which locks it. Emptied if it was never begun and nothing was ever acknowledged from it.
pub(super) fn ledger(path: &Path, acknowledged: u64) -> io::Result<FileBackend> {
    // Made here, and not by redb, for its mode.
    let file = private(path)?;
    let ledger = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
    // Not while another process is beginning it; redb then says that it is open.
    if acknowledged == 0 && file.try_lock().is_ok() {
        empty_if_never_begun(&ledger)?;
        file.unlock()?;
    }
    Ok(ledger)
}

/// redb makes a file longer first and says last what it is: killed in between, it leaves one that it will not open.
/// Nothing was ever stored in it.
pub(super) fn empty_if_never_begun(ledger: &impl StorageBackend) -> io::Result<()> {
    let length = ledger.len()?;
    let Ok(size) = usize::try_from(length) else { return Ok(()) };
    if length > BEGINNING_MAX || size < NAME.end {
        return Ok(());
    }
    let mut bytes = vec![0; size];
    ledger.read(0, &mut bytes)?;
    let is_zero = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0));
    if is_zero(bytes.get(NAME)) && is_zero(bytes.get(CONTENT..)) { ledger.set_len(0) } else { Ok(()) }
}
