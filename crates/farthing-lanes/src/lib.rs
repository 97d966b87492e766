//! Eight signatures at once, ECDSA over secp256k1: whether they are good by keys that are known, and whose they are.
//!
//! A processor with AVX-512 multiplies eight pairs of 52-bit numbers in one step. So eight signatures are looked at side
//! by side, one in each lane of its registers, in about the time of one; see `docs/performance.md`.
//!
//! Nothing here is secret: keys are public, and so are signatures. Time may depend on all of it.
//!
//! Whoever uses it has another implementation at hand, for processors that have no such lanes, and for a second opinion:
//! a signature that the lanes don't find good is to be looked at once more.

#[cfg(target_arch = "x86_64")]
mod field;
mod generator;
mod halves;
#[cfg(target_arch = "x86_64")]
mod multiples;
#[cfg(target_arch = "x86_64")]
mod point;

#[cfg(target_arch = "x86_64")]
use field::Elements;
#[cfg(target_arch = "x86_64")]
use generator::{Affine, COLUMNS, GENERATOR, bytes_of};
use generator::{Columns, Limbs, limbs_of};
use halves::{Half, halves};
#[cfg(target_arch = "x86_64")]
use halves::{WINDOW, WINDOWS};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};
#[cfg(target_arch = "x86_64")]
use multiples::{Multiples, Which};
#[cfg(target_arch = "x86_64")]
use point::Points;

/// How many are looked at at once.
pub const LANES: usize = 8;

/// A signature that somebody says is good.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The key that is said to have signed: x and y, big-endian, of a point of the curve.
    pub key: [u8; 64],
    /// What is said to be signed.
    pub digest: &'a [u8; 32],
    /// r and s, big-endian. Which of the two s it is does not matter here.
    pub scalars: &'a [u8; 64],
}

/// A signature whose signer is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// What is signed.
    pub digest: &'a [u8; 32],
    /// r and s, big-endian.
    pub scalars: &'a [u8; 64],
    /// Of the two points with r as their x, whether it is the one with an odd y.
    pub is_odd: bool,
}

/// That this processor has the lanes.
#[derive(Clone, Copy, Debug)]
pub struct Lanes(());

impl Lanes {
    /// Looks whether this processor has them.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512ifma") {
            return Some(Self(()));
        }
        None
    }

    /// Which of these signatures are good: r and s are in their range, and the point that they lead to has r as its x.
    ///
    /// ECDSA takes an x of r + n for r as well, which Ethereum does not. It is not looked for here.
    #[must_use]
    pub fn are_good(self, claims: &[Claim<'_>]) -> Vec<bool> {
        let groups = claims.chunks(LANES).map(|group| {
            let sums = sums_of(group.iter().map(|claim| Fractions::of_check(claim.digest, claim.scalars)));
            let checks = group.iter().zip(sums).map(|(claim, sum)| Some(Check::of(claim, sum?)));
            (
                group.len(),
                Filled::of(&checks.collect::<Vec<_>>()).map_or(0, |filled| filled.lanes & self.hold(filled.all)),
            )
        });
        groups.flat_map(|(count, lanes)| (0..count).map(move |lane| lanes >> lane & 1 == 1)).collect()
    }

    /// Whose these signatures are: x and y of the key, big-endian; nothing where there is no signer.
    #[must_use]
    pub fn recover(self, signatures: &[Signed<'_>]) -> Vec<Option<[u8; 64]>> {
        let groups = signatures.chunks(LANES).map(|group| {
            let sums = sums_of(group.iter().map(|signed| Fractions::of_recovery(signed.digest, signed.scalars)));
            let searches = group.iter().zip(sums).map(|(signed, sum)| Some(Search::of(signed, sum?)));
            let searches: Vec<_> = searches.collect();
            let keys = Filled::of(&searches).map_or([None; LANES], |filled| self.keys(filled.all));
            searches.into_iter().zip(keys).map(|(search, key)| search.and(key)).collect::<Vec<_>>()
        });
        groups.flatten().collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn hold(self, checks: [&Check; LANES]) -> u8 {
        // SAFETY: the function is compiled for processors with AVX-512 IFMA. `self` exists, so this is one of them.
        #[allow(unsafe_code)]
        unsafe {
            hold(checks)
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn keys(self, searches: [&Search; LANES]) -> [Option<[u8; 64]>; LANES] {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            keys(searches)
        }
    }

    /// There are no lanes, so nothing is known to be good.
    #[cfg(not(target_arch = "x86_64"))]
    fn hold(self, _: [&Check; LANES]) -> u8 {
        0
    }

    /// There are no lanes, so nothing is found.
    #[cfg(not(target_arch = "x86_64"))]
    fn keys(self, _: [&Search; LANES]) -> [Option<[u8; 64]>; LANES] {
        [None; LANES]
    }
}

/// How often the generator and another point are in a sum, both to be divided by the same number.
#[derive(Clone, Copy)]
struct Fractions {
    of_generator: Scalar,
    of_point: Scalar,
    divisor: Scalar,
}

impl Fractions {
    /// r has to be the x of (zG + rQ)/s, with the key Q and the digest z. Nothing if r or s is not from 1 to n − 1.
    fn of_check(digest: &[u8; 32], scalars: &[u8; 64]) -> Option<Self> {
        let (r, s) = scalars_of(scalars)?;
        Some(Self { of_generator: number_of(digest), of_point: r, divisor: s })
    }

    /// The key is (sR − zG)/r, with the point R whose x is r.
    fn of_recovery(digest: &[u8; 32], scalars: &[u8; 64]) -> Option<Self> {
        let (r, s) = scalars_of(scalars)?;
        Some(Self { of_generator: -number_of(digest), of_point: s, divisor: r })
    }
}

/// A digest as a number modulo n.
fn number_of(digest: &[u8; 32]) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(&(*digest).into())
}

/// r and s, if both are from 1 to n − 1.
fn scalars_of(bytes: &[u8; 64]) -> Option<(Scalar, Scalar)> {
    let scalar = |bytes: &[u8]| {
        let scalar = Option::<Scalar>::from(Scalar::from_repr(FieldBytes::try_from(bytes).ok()?))?;
        (scalar != Scalar::ZERO).then_some(scalar)
    };
    let (r, s) = bytes.split_at(32);
    Some((scalar(r)?, scalar(s)?))
}

/// How often the generator and another point are in a sum.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are no lanes to look at it"))]
struct Sum {
    of_generator: Columns,
    of_point: [Half; 2],
}

/// The sums of up to eight fractions. All divisors are inverted together: an inversion costs as much as forty
/// multiplications.
fn sums_of(fractions: impl Iterator<Item = Option<Fractions>>) -> Vec<Option<Sum>> {
    let fractions: Vec<Option<Fractions>> = fractions.collect();
    let mut before = Vec::with_capacity(LANES);
    let product = fractions.iter().flatten().fold(Scalar::ONE, |product, fraction| {
        before.push(product);
        product * fraction.divisor
    });
    // None of the factors is zero.
    let mut inverse = product.invert_vartime().unwrap_or(Scalar::ZERO);
    let mut sums = vec![None; fractions.len()];
    for (fraction, sum) in fractions.iter().zip(&mut sums).rev() {
        let Some(Fractions { of_generator, of_point, divisor }) = fraction else { continue };
        let own = inverse * before.pop().unwrap_or(Scalar::ZERO);
        inverse *= divisor;
        let of_generator = Columns::of(&(own * of_generator));
        *sum = halves(&(own * of_point)).map(|of_point| Sum { of_generator, of_point });
    }
    sums
}

/// Whether r is the x of a sum.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are no lanes to look at it"))]
struct Check {
    sum: Sum,
    key: (Limbs, Limbs),
    r: Limbs,
}

impl Check {
    fn of(claim: &Claim<'_>, sum: Sum) -> Self {
        Self { sum, key: limbs_of_two(&claim.key), r: limbs_of_two(claim.scalars).0 }
    }
}

/// Which key a sum is.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are no lanes to look at it"))]
struct Search {
    sum: Sum,
    r: Limbs,
    is_odd: bool,
}

impl Search {
    fn of(signed: &Signed<'_>, sum: Sum) -> Self {
        Self { sum, r: limbs_of_two(signed.scalars).0, is_odd: signed.is_odd }
    }
}

fn limbs_of_two(bytes: &[u8; 64]) -> (Limbs, Limbs) {
    let half = |from: usize| limbs_of(&std::array::from_fn(|index| bytes[from + index]));
    (half(0), half(32))
}

/// Eight of something, and in which lanes it was asked for: the others get another's work, and are not listened to.
struct Filled<'a, T> {
    all: [&'a T; LANES],
    lanes: u8,
}

impl<'a, T> Filled<'a, T> {
    /// Nothing if there is nothing to do.
    fn of(some: &'a [Option<T>]) -> Option<Self> {
        let any = some.iter().flatten().next()?;
        let all = std::array::from_fn(|lane| some.get(lane).and_then(Option::as_ref).unwrap_or(any));
        Some(Self { all, lanes: lanes_where(some.iter().map(Option::is_some)) })
    }
}

/// As bits, the first lane's the lowest.
fn lanes_where(holds: impl Iterator<Item = bool>) -> u8 {
    holds.enumerate().fold(0, |lanes, (lane, holds)| lanes | u8::from(holds) << lane)
}

/// In which lanes the check is passed.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn hold(checks: [&Check; LANES]) -> u8 {
    let gather = |limbs: fn(&Check) -> &Limbs| Elements::gather(checks.map(limbs));
    let (x, y) = (gather(|check| &check.key.0), gather(|check| &check.key.1));
    let sum = add_up(checks.map(|check| &check.sum), Points { x, y, z: Elements::small(1) });
    sum.have_x(gather(|check| &check.r))
}

/// The keys that were searched for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn keys(searches: [&Search; LANES]) -> [Option<[u8; 64]>; LANES] {
    let odd = lanes_where(searches.iter().map(|search| search.is_odd));
    let (points, exist) = Points::lifted(Elements::gather(searches.map(|search| &search.r)), odd);
    let (x, y, finite) = add_up(searches.map(|search| &search.sum), points).affine();
    let (x, y) = (x.limbs(), y.limbs());
    std::array::from_fn(|lane| {
        let bytes = |limbs: &[[u64; LANES]; 5]| bytes_of(limbs.map(|lanes| lanes[lane]));
        let both = [bytes(&x), bytes(&y)];
        (exist & finite & 1 << lane != 0).then(|| std::array::from_fn(|index| both[index / 32][index % 32]))
    })
}

/// The sums, with one point for each.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_up(sums: [&Sum; LANES], points: Points) -> Points {
    let generator: &[Affine] = &GENERATOR;
    let Some(nothing) = generator.first() else { return Points::infinity() };
    let multiples = Multiples::of(points);
    let mut total = Points::infinity();
    for bit in (0..WINDOWS * WINDOW).rev() {
        total = total.doubled();
        if bit.is_multiple_of(WINDOW) {
            for (half, which) in [Which::Own, Which::TimesLambda].into_iter().enumerate() {
                total = multiples.add_to(total, which, sums.map(|sum| sum.of_point[half].0[bit / WINDOW]));
            }
        }
        if bit < COLUMNS {
            let points = sums.map(|sum| generator.get(sum.of_generator.column(bit).wrapping_sub(1)));
            let lanes = lanes_where(points.iter().map(Option::is_some));
            total = total.plus_affine(lanes, points.map(|point| point.unwrap_or(nothing)));
        }
    }
    total
}
