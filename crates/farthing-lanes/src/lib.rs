//! Whether signatures are good, eight of them at once: ECDSA over secp256k1, each by a key that is known.
//!
//! A processor with AVX-512 multiplies eight pairs of 52-bit numbers in one step. So eight signatures of eight keys are
//! checked side by side, one in each lane of its registers, in about the time of one. With a small table of each key's
//! multiples that takes a seventh of what libsecp256k1 does; see `docs/performance.md`.
//!
//! Nothing here is secret: keys are public, and so are signatures. Time may depend on all of it.
//!
//! Whoever uses it has another implementation at hand, for processors that have no such lanes, and for a second opinion:
//! a signature that the lanes don't find good is to be looked at once more.

#[cfg(target_arch = "x86_64")]
mod field;
#[cfg(target_arch = "x86_64")]
mod point;
mod table;

#[cfg(target_arch = "x86_64")]
use field::Elements;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};
#[cfg(target_arch = "x86_64")]
use point::Points;
pub use table::KeyTable;
#[cfg(target_arch = "x86_64")]
use table::{Affine, COLUMNS, GENERATOR, GENERATOR_COLUMNS};
use table::{Columns, Limbs, limbs_of};

/// How many are checked at once.
pub const LANES: usize = 8;

/// A signature that somebody says is good.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Of the key that is said to have signed.
    pub table: &'a KeyTable,
    /// What is said to be signed.
    pub digest: &'a [u8; 32],
    /// r and s, big-endian. Which of the two s it is does not matter here.
    pub scalars: &'a [u8; 64],
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
        let groups = claims.chunks(LANES).map(|group| (group.len(), self.which_are_good(group)));
        groups.flat_map(|(count, lanes)| (0..count).map(move |lane| lanes >> lane & 1 == 1)).collect()
    }

    /// As bits, the first claim's the lowest.
    fn which_are_good(self, claims: &[Claim<'_>]) -> u8 {
        let equations = equations_of(claims);
        // Lanes without anything to check get another's work, and are not asked.
        let Some(any) = equations.iter().flatten().next() else { return 0 };
        let all: [&Equation<'_>; LANES] =
            std::array::from_fn(|lane| equations.get(lane).and_then(Option::as_ref).unwrap_or(any));
        let in_use = equations.iter().enumerate();
        let in_use = in_use.fold(0, |lanes, (lane, equation)| lanes | u8::from(equation.is_some()) << lane);
        in_use & self.hold(all)
    }

    #[cfg(target_arch = "x86_64")]
    fn hold(self, equations: [&Equation<'_>; LANES]) -> u8 {
        // SAFETY: the function is compiled for processors with AVX-512 IFMA. `self` exists, so this is one of them.
        #[allow(unsafe_code)]
        unsafe {
            hold(equations)
        }
    }

    /// There are no lanes, so nothing is known to be good.
    #[cfg(not(target_arch = "x86_64"))]
    fn hold(self, _: [&Equation<'_>; LANES]) -> u8 {
        0
    }
}

/// What has to hold of a signature: that r is the x of a multiple of the generator and one of the key together.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are no lanes to look at it"))]
struct Equation<'a> {
    table: &'a KeyTable,
    of_generator: Columns,
    of_key: Columns,
    r: Limbs,
}

/// The equations of up to eight claims; none where r or s is not in its range. All s are inverted together: an inversion
/// costs as much as forty multiplications.
fn equations_of<'a>(claims: &[Claim<'a>]) -> Vec<Option<Equation<'a>>> {
    let scalars: Vec<Option<(Scalar, Scalar)>> = claims.iter().map(|claim| scalars_of(claim.scalars)).collect();
    let mut before = Vec::with_capacity(LANES);
    let product = scalars.iter().flatten().fold(Scalar::ONE, |product, (_, s)| {
        before.push(product);
        product * s
    });
    // None of the factors is zero.
    let mut inverse = product.invert_vartime().unwrap_or(Scalar::ZERO);
    let mut equations: Vec<Option<Equation<'_>>> = vec![None; claims.len()];
    for ((claim, scalars), equation) in claims.iter().zip(&scalars).zip(&mut equations).rev() {
        let (Some((r, s)), Some((r_bytes, _))) = (scalars, claim.scalars.split_first_chunk()) else { continue };
        let own = inverse * before.pop().unwrap_or(Scalar::ZERO);
        inverse *= s;
        let digest = <Scalar as Reduce<FieldBytes>>::reduce(&(*claim.digest).into());
        let (of_generator, of_key) = (Columns::of(&(digest * own)), Columns::of(&(*r * own)));
        *equation = Some(Equation { table: claim.table, of_generator, of_key, r: limbs_of(r_bytes) });
    }
    equations
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

/// In which lanes the equation holds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn hold(equations: [&Equation<'_>; LANES]) -> u8 {
    let generator: &[Affine] = &GENERATOR;
    let Some(nothing) = generator.first() else { return 0 };
    let mut sum = Points::infinity();
    for column in (0..COLUMNS).rev() {
        sum = sum.doubled();
        let points = equations.map(|equation| equation.table.point(equation.of_key.of_key(column)));
        sum = sum.plus(lanes_with(points), points.map(|point| point.unwrap_or(nothing)));
        if column < GENERATOR_COLUMNS {
            let points = equations.map(|equation| {
                let bits = equation.of_generator.of_generator(column);
                bits.checked_sub(1).and_then(|index| generator.get(index))
            });
            sum = sum.plus(lanes_with(points), points.map(|point| point.unwrap_or(nothing)));
        }
    }
    sum.have_x(Elements::gather(equations.map(|equation| &equation.r)))
}

/// The lanes in which there is something to add.
#[cfg(target_arch = "x86_64")]
fn lanes_with(points: [Option<&Affine>; LANES]) -> u8 {
    points.iter().enumerate().fold(0, |lanes, (lane, point)| lanes | u8::from(point.is_some()) << lane)
}
