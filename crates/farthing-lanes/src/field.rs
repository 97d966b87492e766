//! Eight elements of the field of secp256k1 side by side: integers modulo p = 2²⁵⁶ − 2³² − 977.
//!
//! An element is five limbs of 52 bits, the lowest first, because that is what the processor multiplies: the low or the
//! high 52 bits of the product of two 52-bit numbers, added to a third one of 64 bits. What reaches a multiplication
//! must have nothing above its 52nd bit, or that is lost without a sign; so every function here returns *tidy* elements:
//! limbs below 2⁵², the highest below 2⁴⁸ + 2¹², and thus a value below 2p.

use crate::generator::{LIMB, Limbs};
use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpeq_epi64_mask, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_blend_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64,
    _mm512_srli_epi64, _mm512_sub_epi64,
};

/// A limb full of ones.
const FULL: i64 = (1 << LIMB) - 1;
/// The highest limb of an element below 2²⁵⁶, full of ones.
const TOP: i64 = (1 << 48) - 1;
/// 2²⁵⁶ modulo p: what is above the 256th bit counts so often.
const FOLD_256: i64 = 0x1_0000_03d1;
/// 2²⁶⁰ modulo p.
const FOLD_260: i64 = FOLD_256 << 4;
/// p.
const PRIME: [i64; 5] = [0xf_fffe_ffff_fc2f, FULL, FULL, FULL, TOP];

/// Eight elements, one in each lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements([__m512i; 5]);

impl Elements {
    /// One element for each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn gather(from: [&Limbs; 8]) -> Self {
        Self::each(|limb, lane| from[lane][limb])
    }

    /// Limb by limb and lane by lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn each(from: impl Fn(usize, usize) -> u64) -> Self {
        let limb = |index: usize| {
            let [a, b, c, d, e, f, g, h] = std::array::from_fn(|lane| from(index, lane) as i64);
            _mm512_set_epi64(h, g, f, e, d, c, b, a)
        };
        Self([limb(0), limb(1), limb(2), limb(3), limb(4)])
    }

    /// The limbs, each in all lanes.
    pub(crate) fn limbs(self) -> [[u64; 8]; 5] {
        self.0.map(bytemuck::cast)
    }

    /// The same small number in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn small(number: u32) -> Self {
        let zero = _mm512_setzero_si512();
        Self([_mm512_set1_epi64(i64::from(number)), zero, zero, zero, zero])
    }

    /// Makes limbs tidy that are below 2⁶⁰, with no more than 2¹⁸ above the 256th bit.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn tidy(mut limbs: [__m512i; 5]) -> Self {
        let above = _mm512_srli_epi64::<48>(limbs[4]);
        limbs[4] = _mm512_and_si512(limbs[4], _mm512_set1_epi64(TOP));
        limbs[0] = _mm512_madd52lo_epu64(limbs[0], above, _mm512_set1_epi64(FOLD_256));
        Self(carried(limbs))
    }

    /// The sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn plus(self, other: Self) -> Self {
        let mut limbs = self.0;
        limbs.iter_mut().zip(other.0).for_each(|(limb, other)| *limb = _mm512_add_epi64(*limb, other));
        Self::tidy(limbs)
    }

    /// The difference. Twice p is added, whose limbs, twice those of p, are above those of any tidy element: no limb goes below zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn minus(self, other: Self) -> Self {
        let mut limbs = self.0;
        for ((limb, other), prime) in limbs.iter_mut().zip(other.0).zip(PRIME) {
            *limb = _mm512_sub_epi64(_mm512_add_epi64(*limb, _mm512_set1_epi64(prime << 1)), other);
        }
        Self::tidy(limbs)
    }

    /// Twice the element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn times_2(self) -> Self {
        Self::tidy(self.0.map(|limb| _mm512_slli_epi64::<1>(limb)))
    }

    /// Three times the element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn times_3(self) -> Self {
        Self::tidy(self.0.map(|limb| _mm512_add_epi64(_mm512_slli_epi64::<1>(limb), limb)))
    }

    /// Eight times the element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn times_8(self) -> Self {
        Self::tidy(self.0.map(|limb| _mm512_slli_epi64::<3>(limb)))
    }

    /// 21 times the element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn times_21(self) -> Self {
        let times_21 = |limb| {
            let times_20 = _mm512_add_epi64(_mm512_slli_epi64::<4>(limb), _mm512_slli_epi64::<2>(limb));
            _mm512_add_epi64(times_20, limb)
        };
        Self::tidy(self.0.map(times_21))
    }

    /// The product. There are ten columns of products, each a sum of at most ten numbers below 2⁵²; the upper five are carried, so that they can
    /// be multiplied by 2²⁶⁰ modulo p and added to the lower five.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn times(self, other: Self) -> Self {
        let zero = _mm512_setzero_si512();
        let mut low = [zero; 10];
        let mut high = [zero; 10];
        for i in 0..5 {
            for j in 0..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], self.0[i], other.0[j]);
                high[i + j + 1] = _mm512_madd52hi_epu64(high[i + j + 1], self.0[i], other.0[j]);
            }
        }
        let mut columns = [zero; 10];
        for k in 0..10 {
            columns[k] = _mm512_add_epi64(low[k], high[k]);
        }
        let [a, b, c, d, e, f, g, h, i, j] = columns;
        let upper = carried([f, g, h, i, j]);
        let (mut lower, mut above) = ([a, b, c, d, e], zero);
        let fold = _mm512_set1_epi64(FOLD_260);
        for k in 0..5 {
            lower[k] = _mm512_madd52lo_epu64(lower[k], upper[k], fold);
            if k < 4 {
                lower[k + 1] = _mm512_madd52hi_epu64(lower[k + 1], upper[k], fold);
            } else {
                above = _mm512_madd52hi_epu64(above, upper[k], fold);
            }
        }
        // What is above the 256th bit: of the highest limb, and of what went over it.
        let above = _mm512_add_epi64(_mm512_slli_epi64::<4>(above), _mm512_srli_epi64::<48>(lower[4]));
        lower[4] = _mm512_and_si512(lower[4], _mm512_set1_epi64(TOP));
        let fold = _mm512_set1_epi64(FOLD_256);
        lower[0] = _mm512_madd52lo_epu64(lower[0], above, fold);
        lower[1] = _mm512_madd52hi_epu64(lower[1], above, fold);
        Self(carried(lower))
    }

    /// The square, so many times.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn squared(self, times: u32) -> Self {
        (0..times).fold(self, |element, _| element.times(element))
    }

    /// To the powers of 2²−1, 2²²−1 and 2²²³−1: what both powers below begin with, for p is 223 ones and a few more bits.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn powers(self) -> [Self; 3] {
        let ones_2 = self.squared(1).times(self);
        let ones_3 = ones_2.squared(1).times(self);
        let ones_6 = ones_3.squared(3).times(ones_3);
        let ones_9 = ones_6.squared(3).times(ones_3);
        let ones_11 = ones_9.squared(2).times(ones_2);
        let ones_22 = ones_11.squared(11).times(ones_11);
        let ones_44 = ones_22.squared(22).times(ones_22);
        let ones_88 = ones_44.squared(44).times(ones_44);
        let ones_176 = ones_88.squared(88).times(ones_88);
        let ones_220 = ones_176.squared(44).times(ones_44);
        [ones_2, ones_22, ones_220.squared(3).times(ones_3)]
    }

    /// A square root, where there is one: to the power of (p + 1)/4, because p is 3 modulo 4.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn root(self) -> Self {
        let [ones_2, ones_22, ones_223] = self.powers();
        ones_223.squared(23).times(ones_22).squared(6).times(ones_2).squared(2)
    }

    /// One over the element, and zero over zero: to the power of p − 2.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn inverse(self) -> Self {
        let [ones_2, ones_22, ones_223] = self.powers();
        let upper = ones_223.squared(23).times(ones_22).squared(5).times(self);
        upper.squared(3).times(ones_2).squared(2).times(self)
    }

    /// The same element below p: the one way to write it.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn least(self) -> Self {
        let mut limbs = self.0;
        // From p on this gets to 2²⁵⁶, and without that it is what is left beyond p.
        limbs[0] = _mm512_add_epi64(limbs[0], _mm512_set1_epi64(FOLD_256));
        let mut limbs = carried(limbs);
        let is_below = _mm512_cmpeq_epi64_mask(_mm512_srli_epi64::<48>(limbs[4]), _mm512_setzero_si512());
        limbs[4] = _mm512_and_si512(limbs[4], _mm512_set1_epi64(TOP));
        Self(limbs).or(is_below, self)
    }

    /// In which lanes it is odd, if it is below p.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn is_odd(self) -> u8 {
        let one = _mm512_set1_epi64(1);
        _mm512_cmpeq_epi64_mask(_mm512_and_si512(self.0[0], one), one)
    }

    /// In which lanes it is zero. Below 2p there are two ways to write zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn is_zero(self) -> u8 {
        let equals = |number: [i64; 5]| {
            let limbs = self.0.iter().zip(number);
            limbs.fold(0xff, |lanes, (limb, part)| lanes & _mm512_cmpeq_epi64_mask(*limb, _mm512_set1_epi64(part)))
        };
        equals([0; 5]) | equals(PRIME)
    }

    /// `other` in these lanes, and this in the rest.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn or(self, lanes: u8, other: Self) -> Self {
        let mut limbs = self.0;
        limbs.iter_mut().zip(other.0).for_each(|(limb, other)| *limb = _mm512_mask_blend_epi64(lanes, *limb, other));
        Self(limbs)
    }
}

/// Carries from limb to limb; the highest keeps what it gets.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn carried(mut limbs: [__m512i; 5]) -> [__m512i; 5] {
    let full = _mm512_set1_epi64(FULL);
    for k in 0..4 {
        let carry = _mm512_srli_epi64::<LIMB>(limbs[k]);
        limbs[k] = _mm512_and_si512(limbs[k], full);
        limbs[k + 1] = _mm512_add_epi64(limbs[k + 1], carry);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lanes;
    use k256::elliptic_curve::bigint::{NonZero, U256, U512};
    use proptest::prelude::*;

    /// The integers themselves say what is right.
    fn prime() -> NonZero<U256> {
        let prime = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
        NonZero::new(U256::from_be_hex(prime)).expect("it is not zero")
    }

    fn reduced(number: &U256) -> U256 {
        number.rem_vartime(&prime())
    }

    fn product(a: &U256, b: &U256) -> U256 {
        let product: U512 = a.concatenating_mul(b);
        let wide: NonZero<U512> = NonZero::new(prime().get().resize()).expect("it is not zero");
        let rest: U512 = product.rem_vartime(&wide);
        rest.resize()
    }

    fn limbs(number: &U256) -> Limbs {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&number.to_be_bytes());
        crate::generator::limbs_of(&bytes)
    }

    /// In which lanes two elements are the same.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn same(a: Elements, b: Elements) -> u8 {
        a.minus(b).is_zero()
    }

    /// The numbers that are in the lanes, each written in the one way that there is.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn least(elements: Elements) -> [U256; 8] {
        let limbs = elements.least().limbs();
        std::array::from_fn(|lane| U256::from_be_slice(&crate::generator::bytes_of(limbs.map(|lanes| lanes[lane]))))
    }

    /// Numbers at the bounds, where carries run through, and any others.
    fn number() -> impl Strategy<Value = U256> {
        let near = |base: U256| {
            (0_u32..3).prop_map(move |above| base.wrapping_sub(&U256::ONE).wrapping_add(&U256::from(above)))
        };
        prop_oneof![
            4 => prop::array::uniform32(any::<u8>()).prop_map(|bytes| U256::from_be_slice(&bytes)),
            1 => near(U256::ZERO),
            1 => near(prime().get()),
            1 => (0_u32..256).prop_flat_map(move |bit| near(U256::ONE.shl_vartime(bit))),
            1 => prop::array::uniform4(any::<bool>()).prop_map(|full| {
                let bytes: Vec<u8> = full.iter().flat_map(|full| [if *full { 0xff } else { 0 }; 8]).collect();
                U256::from_be_slice(&bytes)
            }),
        ]
    }

    /// What the lanes say about eight pairs of numbers, and about the numbers in the places of others: every operation,
    /// and some of them one after the other, so that what is tidy but not below p goes in as well.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn check(pairs: &[(U256, U256); 8]) -> Result<(), TestCaseError> {
        let gather = |of: &dyn Fn(&(U256, U256)) -> U256| {
            let all: Vec<Limbs> = pairs.iter().map(|pair| limbs(&of(pair))).collect();
            let all: [Limbs; 8] = all.try_into().expect("eight");
            all
        };
        let (a, b) = (gather(&|pair| pair.0), gather(&|pair| pair.1));
        let (a, b) = (Elements::gather(a.each_ref()), Elements::gather(b.each_ref()));
        let expect = |of: &dyn Fn(&U256, &U256) -> U256| {
            let all = gather(&|pair| of(&reduced(&pair.0), &reduced(&pair.1)));
            Elements::gather(all.each_ref())
        };
        let small = |factor: u32| move |a: &U256, _: &U256| product(a, &U256::from(factor));
        let modulus = prime();
        prop_assert_eq!(same(a.plus(b), expect(&|a, b| a.add_mod(b, &modulus))), 0xff, "plus");
        prop_assert_eq!(same(a.minus(b), expect(&|a, b| a.sub_mod(b, &modulus))), 0xff, "minus");
        prop_assert_eq!(same(a.times(b), expect(&product)), 0xff, "times");
        prop_assert_eq!(same(a.times_2(), expect(&small(2))), 0xff, "times 2");
        prop_assert_eq!(same(a.times_3(), expect(&small(3))), 0xff, "times 3");
        prop_assert_eq!(same(a.times_8(), expect(&small(8))), 0xff, "times 8");
        prop_assert_eq!(same(a.times_21(), expect(&small(21))), 0xff, "times 21");
        let twisted = a.minus(b).times_21().times(b.minus(a).times_8().plus(a)).minus(a.times(a));
        let expected = expect(&|a, b| {
            let left = product(&a.sub_mod(b, &modulus), &U256::from(21_u32));
            let right = product(&b.sub_mod(a, &modulus), &U256::from(8_u32)).add_mod(a, &modulus);
            product(&left, &right).sub_mod(&product(a, a), &modulus)
        });
        prop_assert_eq!(same(twisted, expected), 0xff, "one after the other");
        let squares = a.times(a);
        prop_assert_eq!(same(squares.root().times(squares.root()), squares), 0xff, "root");
        let one = expect(&|a, _| if *a == U256::ZERO { U256::ZERO } else { U256::ONE });
        prop_assert_eq!(same(a.inverse().times(a), one), 0xff, "inverse");
        for (element, of) in [(a, &pairs.map(|pair| pair.0)), (twisted, &least(twisted))] {
            prop_assert_eq!(least(element), of.each_ref().map(reduced), "least");
            let odd = of.iter().enumerate();
            let odd =
                odd.fold(0, |lanes, (lane, number)| lanes | u8::from(bool::from(reduced(number).is_odd())) << lane);
            prop_assert_eq!(element.least().is_odd(), odd, "odd");
        }
        let equal = pairs.iter().enumerate();
        let equal = equal.fold(0, |lanes, (lane, (a, b))| lanes | u8::from(reduced(a) == reduced(b)) << lane);
        prop_assert_eq!(same(a, b), equal, "equality");
        prop_assert_eq!(same(a.or(0b1010_0110, b), b) & 0b1010_0110, 0b1010_0110, "the other's lanes");
        prop_assert_eq!(same(a.or(0b1010_0110, b), a) | 0b1010_0110, 0xff, "its own lanes");
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn every_lane_reckons_as_integers_modulo_p_do(pairs in prop::array::uniform8((number(), number()))) {
            if Lanes::detect().is_none() {
                eprintln!("left out: this processor has no AVX-512 IFMA");
                return Ok(());
            }
            // SAFETY: the processor has what the function is compiled for, as was just seen.
            #[allow(unsafe_code)]
            unsafe { check(&pairs)? }
        }
    }
}
