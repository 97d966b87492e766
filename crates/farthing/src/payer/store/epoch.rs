//! Tells a store that was restored from a backup, or copied to another device, from the one that signed last.
//!
//! Two stores that share a channel would sign the same cumulative amount for two items: the payee refuses the second,
//! and an old copy would go on signing amounts that were spent long ago. So every store draws its own salts, and the
//! salt of a channel is derived from a secret seed that is drawn anew when the store finds that it is not alone.
//!
//! It finds out by a second, tiny file beside it, `<store>.epoch`. Both carry an epoch, a counter with a random tag,
//! that moves on with every promise:
//!
//! 1. the promise and the next epoch become durable in the store, in one transaction, which also remembers the epoch
//!    before;
//! 2. the file with the next epoch becomes durable;
//! 3. the voucher is signed and sent.
//!
//! A crash between 1 and 2 leaves the file one epoch behind the store: that is an epoch the store remembers, nothing was
//! signed since, and the file catches up before anything is. After 2 both agree. An old copy of the store alone is
//! behind the file, by an epoch that it can't know: new salts. A copy without the file: new salts. An old copy of both
//! agrees with itself, so the file also says when it was born, by its file system: a copy, by whatever program, was born
//! at another moment. Only a snapshot of the whole disk can't be told; it does no harm to money, because a payee
//! refuses a voucher that has paid already, and [`super::PayerStore::renew_channels`] mends it.
//!
//! A false alarm (the file was lost, or moved to another disk) costs a new channel: credit starts small again, and what
//! is reserved in an old channel has to be taken back.

use super::StoreError;
use farthing_core::{Address, B256, Deployment};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// One step in a store's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epoch {
    counter: u64,
    tag: B256,
}

/// What the store keeps: its secret and its last two epochs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lineage {
    seed: B256,
    pub(super) current: Epoch,
    previous: Epoch,
}

/// What the file beside the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Witness {
    epoch: Epoch,
    /// Nanoseconds since 1970 at which the file system made this very file, where it knows.
    born: Option<u64>,
}

fn random() -> B256 {
    let mut bytes = B256::ZERO;
    rand::rng().fill_bytes(bytes.as_mut_slice());
    bytes
}

impl Lineage {
    /// The lineage of a new store. Nothing was signed, and no file vouches for it: the first promise draws a seed.
    pub(super) fn unborn() -> Self {
        Self { seed: B256::ZERO, current: Epoch::default(), previous: Epoch::default() }
    }

    /// The salt of this store's channel with a payee at a site: told by nobody who does not have the seed, so that salts
    /// on the chain don't show which channels are of one store. Each site has its own: two shops of one payee keep two
    /// ledgers, and in neither would what the other charged be due.
    pub(super) fn salt(&self, deployment: &Deployment, origin: &str, payee: Address, token: Address) -> B256 {
        let chain_id = deployment.chain_id.to_be_bytes();
        let (escrow, origin) = (deployment.escrow.as_slice(), origin.as_bytes());
        let preimage: [&[u8]; 6] =
            [self.seed.as_slice(), &chain_id, escrow, payee.as_slice(), token.as_slice(), origin];
        alloy::primitives::keccak256(preimage.concat())
    }

    /// The salt of the channel that takes the place of a retired one.
    pub(super) fn next_salt(&self, salt: B256) -> B256 {
        alloy::primitives::keccak256([self.seed, salt].concat())
    }

    /// The next epoch. Draws a new seed unless the file beside the store agrees; says whether it did.
    pub(super) fn advance(&self, file: &EpochFile) -> Result<(Self, bool), StoreError> {
        let witness = file.read();
        let agrees = witness.is_some_and(|witness| self.knows(witness, file));
        if !agrees {
            let counter = witness.map_or(0, |witness| witness.epoch.counter).max(self.current.counter);
            return Ok((self.renewed(counter), true));
        }
        if witness.is_some_and(|witness| witness.epoch != self.current) {
            // The crash between 1 and 2: step 2 is made good before the next step 1.
            file.write(self.current)?;
        }
        let current = Epoch { counter: self.current.counter.saturating_add(1), tag: random() };
        Ok((Self { seed: self.seed, current, previous: self.current }, false))
    }

    /// A new seed. No file agrees with an epoch before this one, so both epochs are the same.
    pub(super) fn renewed(&self, counter: u64) -> Self {
        let current = Epoch { counter: counter.max(self.current.counter).saturating_add(1), tag: random() };
        Self { seed: random(), current, previous: current }
    }

    fn knows(&self, witness: Witness, file: &EpochFile) -> bool {
        let known = witness.epoch == self.current || witness.epoch == self.previous;
        known && witness.epoch.counter > 0 && (witness.born.is_none() || witness.born == file.born())
    }
}

/// The file beside the store. It is only touched while the store's lock is held.
#[derive(Debug)]
pub(super) struct EpochFile {
    path: PathBuf,
}

impl EpochFile {
    pub(super) fn beside(store: &Path) -> Self {
        Self { path: with_suffix(store, ".epoch") }
    }

    /// What it says; nothing if it is missing, or is no such file.
    fn read(&self) -> Option<Witness> {
        let bytes = fs::read(&self.path).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn born(&self) -> Option<u64> {
        birth(&fs::metadata(&self.path).ok()?)
    }

    /// Makes an epoch durable. A new file takes the place of the old one, so that it is never half written and each has
    /// its own moment of birth.
    pub(super) fn write(&self, epoch: Epoch) -> Result<(), StoreError> {
        let fresh = with_suffix(&self.path, ".new");
        let failed = |error| StoreError::Io { path: fresh.clone(), error };
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = private_file(&fresh).map_err(failed)?;
        let born = birth(&file.metadata().map_err(failed)?);
        let text = serde_json::to_vec(&Witness { epoch, born }).map_err(|error| failed(error.into()))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&fresh, &self.path).map_err(failed)?;
        sync_directory_of(&self.path)
    }
}

fn birth(metadata: &fs::Metadata) -> Option<u64> {
    let since_1970 = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_nanos()).ok()
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Creates a file that only its owner can read: the store tells what was bought.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a created or renamed file's name durable.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        synced.map_err(|error| StoreError::Io { path: parent.to_owned(), error })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, EpochFile, Lineage) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = EpochFile::beside(&directory.path().join("store"));
        let (lineage, renewed) = Lineage::unborn().advance(&file).expect("advances");
        assert!(renewed, "the first promise draws a seed");
        file.write(lineage.current).expect("writes");
        (directory, file, lineage)
    }

    #[test]
    fn a_store_that_nobody_copied_keeps_its_seed() {
        let (_directory, file, mut lineage) = fixture();
        for _ in 0..3 {
            let (next, renewed) = lineage.advance(&file).expect("advances");
            assert!(!renewed);
            assert_eq!(next.seed, lineage.seed);
            file.write(next.current).expect("writes");
            lineage = next;
        }
    }

    #[test]
    fn a_crash_between_the_store_and_the_file_keeps_the_seed_however_often() {
        let (_directory, file, mut lineage) = fixture();
        for _ in 0..3 {
            // The store is committed; the file is never written.
            let (next, renewed) = lineage.advance(&file).expect("advances");
            assert!(!renewed);
            assert_eq!(next.seed, lineage.seed);
            lineage = next;
        }
    }

    #[test]
    fn an_old_store_beside_a_newer_file_draws_a_new_seed() {
        let (_directory, file, old) = fixture();
        let mut lineage = old;
        for _ in 0..2 {
            lineage = lineage.advance(&file).expect("advances").0;
            file.write(lineage.current).expect("writes");
        }
        let (next, renewed) = old.advance(&file).expect("advances");
        assert!(renewed);
        assert_ne!(next.seed, old.seed);
        assert!(next.current.counter > lineage.current.counter);
    }

    #[test]
    fn a_missing_or_damaged_file_draws_a_new_seed() {
        let (_directory, file, lineage) = fixture();
        fs::write(&file.path, "{").expect("writes");
        assert!(lineage.advance(&file).expect("advances").1);
        fs::remove_file(&file.path).expect("removes");
        assert!(lineage.advance(&file).expect("advances").1);
    }

    #[test]
    fn a_copy_of_both_draws_a_new_seed() {
        let (directory, file, lineage) = fixture();
        if file.born().is_none() {
            return; // This file system does not know when its files were made.
        }
        let elsewhere = EpochFile::beside(&directory.path().join("copy"));
        fs::copy(&file.path, &elsewhere.path).expect("copies");
        assert!(lineage.advance(&elsewhere).expect("advances").1, "copied to another name");
        assert!(!lineage.advance(&file).expect("advances").1, "the original is as it was");
        fs::copy(&elsewhere.path, &file.path).expect("copies");
        assert!(!lineage.advance(&file).expect("advances").1, "the same bytes in the same file are no older copy");
        let (next, _) = lineage.advance(&file).expect("advances");
        file.write(next.current).expect("writes");
        fs::copy(&elsewhere.path, &file.path).expect("copies");
        assert!(lineage.advance(&file).expect("advances").1, "an old copy of both, written over them");
    }
}
