//! A number as two of half its length, and those in windows of five bits.
//!
//! secp256k1 has an endomorphism: λ times a point (x, y) is (βx, y). So k times a point is k₁ times it and k₂ times the
//! other, k = k₁ + λk₂, with half as many doublings (Gallant, Lambert, Vanstone: *Faster point multiplication on elliptic
//! curves with efficient endomorphisms*; the lattice is that of *Guide to Elliptic Curve Cryptography*, algorithm 3.74).

use crate::generator::{Limbs, limbs_of};
use k256::elliptic_curve::bigint::{U256, U512};
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};
use std::sync::LazyLock;

/// Bits of a window.
pub(crate) const WINDOW: usize = 5;

/// Windows of a half, the lowest first. The highest has three bits, so nothing is carried out of it.
pub(crate) const WINDOWS: usize = 128_usize.div_ceil(WINDOW);

/// What windows take of a point: its multiples from once to so many times.
pub(crate) const MULTIPLES: usize = 1 << (WINDOW - 1);

/// Half a number: how often a point is to be added in each window, from −16 to 16 times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half(pub(crate) [i8; WINDOWS]);

/// A cube root of one modulo n, and its brother modulo p, with which x is multiplied.
const LAMBDA: &str = "5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72";
const BETA: &str = "7ae96a2b657c07106e64479eac3434e99cf0497512f58995c1396c28719501ee";

/// −b₁ and −b₂ of the lattice's two short vectors (a₁, b₁) and (a₂, b₂), modulo n.
const MINUS_B: [&str; 2] = [
    "00000000000000000000000000000000e4437ed6010e88286f547fa90abfe4c3",
    "fffffffffffffffffffffffffffffffe8a280ac50774346dd765cda83db1562c",
];

/// 2³⁸⁴b₂/n and −2³⁸⁴b₁/n, rounded.
const SHARES: [&str; 2] = [
    "3086d221a7d46bcde86c90e49284eb153daa8a1471e8ca7fe893209a45dbb031",
    "e4437ed6010e88286f547fa90abfe4c4221208ac9df506c61571b4ae8ac47f71",
];

struct Endomorphism {
    lambda: Scalar,
    beta: Limbs,
    minus_b: [Scalar; 2],
    shares: [U256; 2],
}

static ENDOMORPHISM: LazyLock<Endomorphism> = LazyLock::new(|| {
    let bytes = |hex| <[u8; 32]>::from(U256::from_be_hex(hex).to_be_bytes());
    let scalar = |hex| <Scalar as Reduce<FieldBytes>>::reduce(&bytes(hex).into());
    Endomorphism {
        lambda: scalar(LAMBDA),
        beta: limbs_of(&bytes(BETA)),
        minus_b: MINUS_B.map(scalar),
        shares: SHARES.map(U256::from_be_hex),
    }
});

/// β.
#[cfg(target_arch = "x86_64")]
pub(crate) fn beta() -> &'static Limbs {
    &ENDOMORPHISM.beta
}

/// k₁ and k₂. There are always such below 2¹²⁸; if not, there is nothing to go on with.
pub(crate) fn halves(number: &Scalar) -> Option<[Half; 2]> {
    let Endomorphism { lambda, minus_b, shares, .. } = &*ENDOMORPHISM;
    let integer = U256::from_be_slice(&number.to_bytes());
    let [first, second] = shares.each_ref().map(|share| rounded(&integer.concatenating_mul(share)));
    let k_2 = first * minus_b[0] + second * minus_b[1];
    let k_1 = number - &(k_2 * lambda);
    Some([half(&k_1)?, half(&k_2)?])
}

/// A product divided by 2³⁸⁴, rounded.
fn rounded(product: &U512) -> Scalar {
    let bytes: [u8; 64] = product.to_be_bytes().into();
    let (above, below) = bytes.split_at(16);
    // No share is so near to 2²⁵⁶ that this goes over.
    Scalar::from(number_of(above) + u128::from(below[0] >> 7))
}

/// A number of sixteen bytes, big-endian.
fn number_of(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// A number that is, or whose negative is, below 2¹²⁸.
fn half(number: &Scalar) -> Option<Half> {
    let magnitude = |number: &Scalar| {
        let bytes: [u8; 32] = number.to_bytes().into();
        let (above, below) = bytes.split_at(16);
        (number_of(above) == 0).then_some(number_of(below))
    };
    match magnitude(number) {
        Some(magnitude) => Some(windows(magnitude, false)),
        None => Some(windows(magnitude(&-number)?, true)),
    }
}

/// What is more than half of a window's numbers becomes a negative one and one more in the next.
fn windows(magnitude: u128, is_negative: bool) -> Half {
    let (mut digits, mut carry) = ([0; WINDOWS], 0);
    for (window, digit) in digits.iter_mut().enumerate() {
        let bits = (magnitude >> (window * WINDOW)) as i8 & 31;
        let count = bits + carry;
        carry = i8::from(count > 16);
        let count = count - 32 * carry;
        *digit = if is_negative { -count } else { count };
    }
    Half(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::elliptic_curve::PrimeField;
    use proptest::prelude::*;

    fn scalar(bytes: [u8; 32]) -> Scalar {
        <Scalar as Reduce<FieldBytes>>::reduce(&bytes.into())
    }

    /// The number whose windows these are.
    fn together(half: &Half) -> Scalar {
        half.0.iter().rev().fold(Scalar::ZERO, |number, digit| {
            let magnitude = Scalar::from(u64::from(digit.unsigned_abs()));
            number * Scalar::from(32_u64) + if *digit < 0 { -magnitude } else { magnitude }
        })
    }

    fn check(number: &Scalar) {
        let [k_1, k_2] = halves(number).expect("both are short");
        assert_eq!(together(&k_1) + together(&k_2) * ENDOMORPHISM.lambda, *number);
        for digit in k_1.0.into_iter().chain(k_2.0) {
            assert!(usize::from(digit.unsigned_abs()) <= MULTIPLES, "{digit}");
        }
    }

    #[test]
    fn numbers_at_the_bounds_are_their_halves_together() {
        let shifted = (0..256).map(|bit| {
            let mut bytes = [0; 32];
            bytes[31 - bit / 8] = 1 << (bit % 8);
            scalar(bytes)
        });
        let near = |number: Scalar| [number - Scalar::ONE, number, number + Scalar::ONE, -number];
        shifted.chain([Scalar::ZERO, ENDOMORPHISM.lambda]).flat_map(near).for_each(|number| check(&number));
    }

    #[test]
    fn lambda_is_a_cube_root_of_one() {
        let lambda = ENDOMORPHISM.lambda;
        assert!(lambda != Scalar::ONE && lambda * lambda * lambda == Scalar::ONE);
        assert_eq!(<[u8; 32]>::from(lambda.to_repr()), <[u8; 32]>::from(U256::from_be_hex(LAMBDA).to_be_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn any_number_is_its_halves_together(bytes: [u8; 32]) {
            check(&scalar(bytes));
        }
    }
}
