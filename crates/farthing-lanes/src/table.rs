//! Tables of a key's multiples, from which products by any number are put together.
//!
//! A comb: a number's bits are read in columns, each of bits that are equally far apart, and the table has the sum for
//! every column that there can be (Lim, Lee: *More flexible exponentiation with precomputation*).

use k256::elliptic_curve::BatchNormalize;
use k256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use k256::{AffinePoint, ProjectivePoint, Scalar, Sec1Point};
use std::fmt;
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

/// A point that is not at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) x: Limbs,
    pub(crate) y: Limbs,
}

/// Bits of a column of a key's table, which has 15 points: 1,200 bytes.
const TEETH: usize = 4;

/// Columns of a key's table.
pub(crate) const COLUMNS: usize = 256 / TEETH;

/// Bits of a column of the generator's table, which has 255 points and is there once.
const GENERATOR_TEETH: usize = 8;

/// Columns of the generator's table.
pub(crate) const GENERATOR_COLUMNS: usize = 256 / GENERATOR_TEETH;

/// A key's multiples, with which its signatures are checked.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyTable([Affine; (1 << TEETH) - 1]);

impl fmt::Debug for KeyTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyTable").finish_non_exhaustive()
    }
}

impl KeyTable {
    /// The table of a key with these coordinates, x and y, big-endian; nothing if that is no point of the curve.
    #[must_use]
    pub fn of(coordinates: &[u8; 64]) -> Option<Self> {
        let encoded = Sec1Point::from_untagged_bytes(&(*coordinates).into());
        let key = Option::<AffinePoint>::from(AffinePoint::from_sec1_point(&encoded))?;
        let points: Vec<Affine> = multiples(&ProjectivePoint::from(key), TEETH)?;
        points.try_into().ok().map(Self)
    }

    /// The point for a column of bits, unless all of them are zero.
    pub(crate) fn point(&self, column: usize) -> Option<&Affine> {
        self.0.get(column.checked_sub(1)?)
    }
}

/// The generator's multiples.
pub(crate) static GENERATOR: LazyLock<Vec<Affine>> =
    LazyLock::new(|| multiples(&ProjectivePoint::GENERATOR, GENERATOR_TEETH).unwrap_or_default());

/// For every column but the empty one, the sum of the point's multiples by 2 to the power of each bit's place.
fn multiples(point: &ProjectivePoint, teeth: usize) -> Option<Vec<Affine>> {
    let mut sums: Vec<ProjectivePoint> = Vec::with_capacity(1 << teeth);
    let mut multiple = *point;
    for _ in 0..teeth {
        let with: Vec<ProjectivePoint> = sums.iter().map(|sum| *sum + multiple).collect();
        sums.push(multiple);
        sums.extend(with);
        for _ in 0..256 / teeth {
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

    /// A column for a key's table: bits that are 64 apart.
    pub(crate) fn of_key(self, column: usize) -> usize {
        let bits = self.0.iter().enumerate();
        bits.fold(0, |found, (tooth, word)| found | ((word >> column & 1) as usize) << tooth)
    }

    /// A column for the generator's table: bits that are 32 apart.
    pub(crate) fn of_generator(self, column: usize) -> usize {
        let bits = self.0.iter().enumerate();
        bits.fold(0, |found, (tooth, word)| {
            let (lower, upper) = (word >> column & 1, word >> (column + GENERATOR_COLUMNS) & 1);
            found | ((lower | upper << 1) as usize) << (2 * tooth)
        })
    }
}
