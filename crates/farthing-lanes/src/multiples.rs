//! Multiples of eight points, one in each lane, from which products by any number are put together.

use crate::field::Elements;
use crate::halves::{MULTIPLES, beta};
use crate::point::Points;

/// A point's coordinates, and the x of λ times it: y and z are the same.
const COORDINATES: usize = 4;

/// Where a point's limbs are, and in each of them its eight lanes.
type Place = [[[u64; 8]; 5]; COORDINATES];

/// Once to sixteen times each point. In memory, because every lane is going to take another of them.
#[derive(Debug)]
pub(crate) struct Multiples([Place; MULTIPLES]);

/// Of the points themselves, or of λ times them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Own = 0,
    TimesLambda = 3,
}

impl Multiples {
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn of(points: Points) -> Self {
        let beta = Elements::gather([beta(); 8]);
        let mut multiples = [points; MULTIPLES];
        for index in 1..MULTIPLES {
            let count = index + 1;
            multiples[index] = if count.is_multiple_of(2) {
                multiples[count / 2 - 1].doubled()
            } else {
                multiples[index - 1].plus(0xff, points)
            };
        }
        Self(multiples.map(|points| {
            let Points { x, y, z } = points;
            [x.limbs(), y.limbs(), z.limbs(), x.times(beta).limbs()]
        }))
    }

    /// Adds to each sum so many times its point.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn add_to(&self, sum: Points, which: Which, counts: [i8; 8]) -> Points {
        // Nothing is added in a lane with zero times, so it does not matter what is taken there.
        let places = counts.map(|count| &self.0[usize::from(count.unsigned_abs().saturating_sub(1)) % MULTIPLES]);
        let take = |coordinate: usize| Elements::each(|limb, lane| places[lane][coordinate][limb][lane]);
        let (x, y, z) = (take(which as usize), take(1), take(2));
        let in_lanes = |holds: &dyn Fn(i8) -> bool| {
            let lanes = counts.iter().enumerate();
            lanes.fold(0, |lanes, (lane, count)| lanes | u8::from(holds(*count)) << lane)
        };
        let y = y.or(in_lanes(&|count| count < 0), Elements::small(0).minus(y));
        sum.plus(in_lanes(&|count| count != 0), Points { x, y, z })
    }
}
