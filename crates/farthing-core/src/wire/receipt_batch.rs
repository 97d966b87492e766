//! One signature for the receipts of a batch.
//!
//! What a payee made durable together it signs together: the receipts are the leaves of a Merkle tree, and the payee
//! signs its root. Each receipt carries its [path](ReceiptPath) to the root, so that it proves itself alone.
//!
//! Why nothing but a receipt of that batch fits under its root:
//!
//! - A leaf is the hash of 224 bytes that begin with a type's hash, a node the hash of 64. So no node is ever a receipt,
//!   and no receipt a node, unless Keccak-256 collides.
//! - A node is `keccak256(left | right)`; the path says which side is which. Pairs are not sorted.
//! - A hash without a neighbour goes up one level as it is. It is not paired with itself: then two different batches
//!   would have one root (CVE-2012-2459). The shape is that of RFC 9162.
//! - The root is signed as a type of its own, so a signature over a batch is none over a receipt, nor the other way
//!   round. A path has at least one neighbour: a receipt alone is signed as itself, in one way only.
//!
//! The hashes along a path are of other buyers' receipts, whose channels and items can be guessed. So each leaf has a
//! [`Blinding`] in it, which only its own receipt shows.

use super::receipt::Proven;
use crate::voucher::Domain;
use alloy_primitives::{B256, FixedBytes, b256, keccak256};
use serde::{Deserialize, Serialize};

/// The EIP-712 type of a leaf: what a [receipt](super::receipt::RECEIPT_TYPE) proves, blinded.
pub const BLINDED_RECEIPT_TYPE: &str = "BlindedReceipt(bytes32 channelId,uint128 cumulativeAmount,string item,uint128 \
                                        price,uint64 timestamp,bytes16 blinding)";

/// The EIP-712 type that the root of a batch is signed as.
pub const RECEIPT_BATCH_TYPE: &str = "ReceiptBatch(bytes32 root)";

/// Hash of [`BLINDED_RECEIPT_TYPE`].
const BLINDED_RECEIPT_TYPE_HASH: B256 = b256!("e178fb074769ebf435846dba8e6995d1013e03a4843e597caad8d37d83080fe1");

/// Hash of [`RECEIPT_BATCH_TYPE`].
const RECEIPT_BATCH_TYPE_HASH: B256 = b256!("ba95bf8437fe22e6d396eeb44d8a97da30ccfb7fa9ecdacb60169ff673974324");

/// The longest path that is followed: no signature is for more than 65,536 receipts.
pub const PATH_LENGTH_MAX: usize = 16;

/// Random bytes in a leaf, so that nobody finds out by trying what a neighbour's hash is of.
pub type Blinding = FixedBytes<16>;

/// Thrown when something is no path that a payee would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A receipt alone is signed as itself.
    #[error("a path without a neighbour; a receipt that is alone has none")]
    Empty,
    /// Longer than any batch needs.
    #[error("a path of {length} hashes is longer than {PATH_LENGTH_MAX}")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// There is no such place under that many neighbours.
    #[error("position {position} does not exist at the end of a path of {length} hashes")]
    Position {
        /// The position.
        position: u16,
        /// How long the path is.
        length: usize,
    },
}

/// How a receipt gets from its own hash to the root that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AnyPath")]
pub struct ReceiptPath {
    blinding: Blinding,
    position: u16,
    siblings: Vec<B256>,
}

/// A path as it is read.
#[derive(Deserialize)]
struct AnyPath {
    blinding: Blinding,
    position: u16,
    siblings: Vec<B256>,
}

impl TryFrom<AnyPath> for ReceiptPath {
    type Error = PathError;

    fn try_from(AnyPath { blinding, position, siblings }: AnyPath) -> Result<Self, PathError> {
        Self::new(blinding, position, siblings)
    }
}

impl ReceiptPath {
    /// A path past these neighbours, from the leaf up. Bit `k` of the position says that the neighbour `k` stands on the
    /// left.
    ///
    /// # Errors
    ///
    /// If there is no neighbour, there are more than [`PATH_LENGTH_MAX`], or the position has bits beyond them.
    pub fn new(blinding: Blinding, position: u16, siblings: Vec<B256>) -> Result<Self, PathError> {
        let length = siblings.len();
        match length {
            0 => Err(PathError::Empty),
            1..=PATH_LENGTH_MAX if usize::from(position) >> length == 0 => Ok(Self { blinding, position, siblings }),
            1..=PATH_LENGTH_MAX => Err(PathError::Position { position, length }),
            _ => Err(PathError::TooLong { length }),
        }
    }

    /// What blinds the receipt's leaf.
    #[must_use]
    pub const fn blinding(&self) -> Blinding {
        self.blinding
    }

    /// Bit `k` says that the neighbour `k` stands on the left.
    #[must_use]
    pub const fn position(&self) -> u16 {
        self.position
    }

    /// The neighbours' hashes, from the leaf up.
    #[must_use]
    pub fn siblings(&self) -> &[B256] {
        &self.siblings
    }

    /// The root that this path leads to from what a receipt proves.
    #[must_use]
    pub fn root(&self, proven: &Proven<'_>) -> B256 {
        let mut position = self.position;
        self.siblings.iter().fold(proven.leaf(self.blinding), |hash, sibling| {
            let is_right = position & 1 == 1;
            position >>= 1;
            if is_right { node(*sibling, hash) } else { node(hash, *sibling) }
        })
    }
}

/// The receipts of a batch as a tree.
#[derive(Clone, Debug)]
pub struct ReceiptTree {
    /// From the leaves to the root; each has at least one hash, the last exactly one.
    levels: Vec<Vec<B256>>,
}

impl ReceiptTree {
    /// The most leaves that paths are short enough for.
    pub const LEAVES_MAX: usize = 1 << PATH_LENGTH_MAX;

    /// The tree over these leaves; none over one alone, which is signed as itself, nor over more than
    /// [`ReceiptTree::LEAVES_MAX`].
    #[must_use]
    pub fn new(leaves: Vec<B256>) -> Option<Self> {
        if !(2..=Self::LEAVES_MAX).contains(&leaves.len()) {
            return None;
        }
        let mut levels = Vec::with_capacity(PATH_LENGTH_MAX);
        let mut level = leaves;
        while level.len() > 1 {
            let above = level.chunks(2).map(|pair| pair.get(1).map_or(pair[0], |right| node(pair[0], *right)));
            let above = above.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Some(Self { levels })
    }

    /// The hash that all leaves are under.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The path from the leaf at this index, if there is one.
    #[must_use]
    pub fn path(&self, mut index: usize, blinding: Blinding) -> Option<ReceiptPath> {
        self.levels.first()?.get(index)?;
        let (mut position, mut siblings) = (0_u16, Vec::with_capacity(self.levels.len()));
        for level in &self.levels {
            // Whoever has no neighbour goes up a level as it is.
            if let Some(sibling) = level.get(index ^ 1) {
                position |= u16::from(index & 1 == 1) << siblings.len();
                siblings.push(*sibling);
            }
            index >>= 1;
        }
        ReceiptPath::new(blinding, position, siblings).ok()
    }
}

/// The EIP-712 digest that is signed for a batch.
#[must_use]
pub fn batch_digest(root: B256, domain: &Domain) -> B256 {
    let mut preimage = [0_u8; 64];
    let (front, back) = preimage.split_at_mut(32);
    front.copy_from_slice(RECEIPT_BATCH_TYPE_HASH.as_slice());
    back.copy_from_slice(root.as_slice());
    domain.digest_of_struct(keccak256(preimage))
}

impl Proven<'_> {
    /// The leaf of a receipt in a batch: the hash of 224 bytes.
    #[must_use]
    pub fn leaf(&self, blinding: Blinding) -> B256 {
        let mut preimage = [0_u8; 224];
        let (words, last) = preimage.split_at_mut(192);
        words.copy_from_slice(&self.words(BLINDED_RECEIPT_TYPE_HASH));
        // As EIP-712 encodes bytes16: in front, and zeros behind.
        last[..16].copy_from_slice(blinding.as_slice());
        keccak256(preimage)
    }
}

/// The hash of two hashes, in this order.
fn node(left: B256, right: B256) -> B256 {
    let mut preimage = [0_u8; 64];
    let (front, back) = preimage.split_at_mut(32);
    front.copy_from_slice(left.as_slice());
    back.copy_from_slice(right.as_slice());
    keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hashes_are_those_of_the_type_strings() {
        assert_eq!(BLINDED_RECEIPT_TYPE_HASH, keccak256(BLINDED_RECEIPT_TYPE));
        assert_eq!(RECEIPT_BATCH_TYPE_HASH, keccak256(RECEIPT_BATCH_TYPE));
    }
}
