//! The generator's multiples, in a table from which products by any number are put together.
//!
//! A comb: a number's bits are read in columns, each of bits that are equally far apart, and the table has the sum for
//! every column that there can be (Lim, Lee: *More flexible exponentiation with precomputation*).

use k256::elliptic_curve::BatchNormalize;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{AffinePoint, ProjectivePoint, Scalar};
use std::sync::LazyLock;

/// Bits of a limb.
pub(crate) const LIMB: u32 = 52;

/// An element of the field, in five limbs of 52 bits, the lowest first.
pub(crate) type Limbs = [u64; 5];

/// An element from its 32 bytes, big-endian. It need not be below p.
pub(crate) fn limbs_of(bytes: &[u8; 32]) -> Limbs {
    let [a, b, c, d] = words_of(bytes);
    let full = (1 << LIMB) - 1;
    [a & full, (a >> 52 | b << 12) & full, (b >> 40 | c << 24) & full, (c >> 28 | d << 36) & full, d >> 16]
}

/// The lowest word first.
fn words_of(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.rchunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

/// The 32 bytes of an element below p, big-endian.
pub(crate) fn bytes_of([a, b, c, d, e]: Limbs) -> [u8; 32] {
    let mut bytes = [0; 32];
    let words = [d >> 36 | e << 16, c >> 24 | d << 28, b >> 12 | c << 40, a | b << 52];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A point that is not at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) x: Limbs,
    pub(crate) y: Limbs,
}

/// Bits of a column of the table, which has 255 points.
const TEETH: usize = 8;

/// How many columns a number has.
pub(crate) const COLUMNS: usize = 256 / TEETH;

/// The generator's multiples.
pub(crate) static GENERATOR: LazyLock<Vec<Affine>> = LazyLock::new(|| multiples().unwrap_or_default());

/// For every column but the empty one, the sum of the generator's multiples by 2 to the power of each bit's place.
fn multiples() -> Option<Vec<Affine>> {
    let mut sums: Vec<ProjectivePoint> = Vec::with_capacity(1 << TEETH);
    let mut multiple = ProjectivePoint::GENERATOR;
    for _ in 0..TEETH {
        let with: Vec<ProjectivePoint> = sums.iter().map(|sum| *sum + multiple).collect();
        sums.push(multiple);
        sums.extend(with);
        for _ in 0..COLUMNS {
            multiple = multiple.double();
        }
    }
    ProjectivePoint::batch_normalize_vartime(sums.as_slice()).iter().map(affine).collect()
}

/// Nothing for the point at infinity.
fn affine(point: &AffinePoint) -> Option<Affine> {
    let encoded = point.to_sec1_point(false);
    let (_, coordinates) = encoded.as_bytes().split_first()?;
    let (x, y) = coordinates.split_first_chunk::<32>()?;
    Some(Affine { x: limbs_of(x), y: limbs_of(y.try_into().ok()?) })
}

/// A number's bits, in columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns([u64; 4]);

impl Columns {
    pub(crate) fn of(number: &Scalar) -> Self {
        Self(words_of(&number.to_bytes().into()))
    }

    /// One column: bits that are 32 apart.
    pub(crate) fn column(self, column: usize) -> usize {
        let bits = self.0.iter().enumerate();
        bits.fold(0, |found, (tooth, word)| {
            let (lower, upper) = (word >> column & 1, word >> (column + COLUMNS) & 1);
            found | ((lower | upper << 1) as usize) << (2 * tooth)
        })
    }
}
