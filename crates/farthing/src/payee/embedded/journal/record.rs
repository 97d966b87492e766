//! One record of the journal: a batch, and what tells that it is whole, this ledger's, and where it belongs.
//!
//! A head, the batch as it came, and zeros up to the end of the page. The head says what it is in the clear, so that a
//! record is found by its page alone. The check covers all of it, its place and the ledger's name, which no one outside
//! knows: what a payer writes into a batch can't be taken for a record, wherever it comes to lie.

use super::super::mark::LedgerName;
use sha2::{Digest, Sha256};

/// Records begin at multiples of this. What a file system writes at once, and no less than any disk's sector.
pub(super) const PAGE: u64 = 4_096;

/// The head: what it is, whose, which lap, which batch, how long it is, and the check.
pub(super) const HEAD: usize = 64;

/// What a record begins with; the last byte is the layout's version.
const MAGIC: [u8; 8] = *b"farthJ\0\x01";

/// What tells a ledger's records from another's.
#[derive(Clone)]
pub(super) struct Key {
    name: LedgerName,
    /// Shows whose a record is, without the name.
    tag: [u8; 8],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    pub(super) fn of(name: LedgerName) -> Self {
        let digest = Sha256::new().chain_update(b"farthing journal").chain_update(name).finalize();
        let mut tag = [0; 8];
        tag.iter_mut().zip(digest).for_each(|(tag, byte)| *tag = byte);
        Self { name, tag }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) position: u64,
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) lap: [u8; 16],
    pub(super) batch: u64,
    pub(super) length: u64,
}

/// What a page looks like that may begin a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// Like no record.
    Other,
    /// Like one of another ledger.
    Foreign,
    /// Like one of this ledger. Whether it is one, the check says.
    Ours(Head),
}

/// The room of a record with so much content, in bytes.
pub(in super::super) fn pages_of(length: usize) -> u64 {
    (HEAD as u64).saturating_add(length as u64).next_multiple_of(PAGE)
}

/// Writes a record into a buffer, in place of what was there.
pub(super) fn seal(buffer: &mut Vec<u8>, key: &Key, place: Place, head: &Head, content: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&key.tag);
    buffer.extend_from_slice(&head.lap);
    buffer.extend_from_slice(&head.batch.to_be_bytes());
    buffer.extend_from_slice(&head.length.to_be_bytes());
    let check = check_of(key, place, buffer, content);
    buffer.extend_from_slice(&check);
    buffer.extend_from_slice(content);
    buffer.resize(buffer.len().next_multiple_of(PAGE as usize), 0);
}

/// What the beginning of a page looks like.
pub(super) fn look(bytes: &[u8; HEAD], key: &Key) -> Looks {
    let field = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let number = |from: usize| field(from, from + 8).try_into().map(u64::from_be_bytes).unwrap_or_default();
    if field(0, 8) != MAGIC {
        return Looks::Other;
    }
    if field(8, 16) != key.tag {
        return Looks::Foreign;
    }
    let lap = field(16, 32).try_into().unwrap_or_default();
    Looks::Ours(Head { lap, batch: number(32), length: number(40) })
}

/// Whether a record is what was written, and where it was.
pub(super) fn is_sound(bytes: &[u8; HEAD], key: &Key, place: Place, content: &[u8]) -> bool {
    let (head, check) = bytes.split_at(HEAD - 16);
    check_of(key, place, head, content) == check
}

fn check_of(key: &Key, place: Place, head: &[u8], content: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(key.name);
    hash.update((place.file as u64).to_be_bytes());
    hash.update(place.position.to_be_bytes());
    hash.update(head);
    hash.update(content);
    let mut check = [0; 16];
    check.iter_mut().zip(hash.finalize()).for_each(|(check, byte)| *check = byte);
    check
}
