//! Eight points of secp256k1 side by side, in projective coordinates: (X/Z, Y/Z), with Z zero at infinity.
//!
//! The formulas are complete: there is no pair of points, equal, opposite or at infinity, for which they are wrong
//! (Renes, Costello, Batina: *Complete addition formulas for prime order elliptic curves*, algorithms 8 and 9, with
//! a = 0 and 3b = 21). So no lane ever has to be told from another.

use crate::field::Elements;
use crate::table::Affine;

/// Eight points, one in each lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points {
    x: Elements,
    y: Elements,
    z: Elements,
}

impl Points {
    /// At infinity, where every sum begins.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn infinity() -> Self {
        Self { x: Elements::small(0), y: Elements::small(1), z: Elements::small(0) }
    }

    /// Twice each point: algorithm 9.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn doubled(self) -> Self {
        let Self { x, y, z } = self;
        let y_y = y.times(y);
        let b_z_z = z.times(z).times_21();
        let y_y_8 = y_y.times_8();
        let rest = y_y.minus(b_z_z.times_3());
        Self {
            x: rest.times(x.times(y)).times_2(),
            y: b_z_z.times(y_y_8).plus(rest.times(y_y.plus(b_z_z))),
            z: y.times(z).times(y_y_8),
        }
    }

    /// Adds a point to each in these lanes: algorithm 8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn plus(self, lanes: u8, others: [&Affine; 8]) -> Self {
        let (x, y) = (Elements::gather(others.map(|point| &point.x)), Elements::gather(others.map(|point| &point.y)));
        let x_x = self.x.times(x);
        let y_y = self.y.times(y);
        let cross = x.plus(y).times(self.x.plus(self.y)).minus(x_x.plus(y_y));
        let y_z = y.times(self.z).plus(self.y);
        let b_x_z = x.times(self.z).plus(self.x).times_21();
        let x_x_3 = x_x.times_3();
        let b_z = self.z.times_21();
        let (more, less) = (y_y.plus(b_z), y_y.minus(b_z));
        let sum = Self {
            x: cross.times(less).minus(y_z.times(b_x_z)),
            y: less.times(more).plus(b_x_z.times(x_x_3)),
            z: more.times(y_z).plus(x_x_3.times(cross)),
        };
        Self { x: self.x.or(lanes, sum.x), y: self.y.or(lanes, sum.y), z: self.z.or(lanes, sum.z) }
    }

    /// In which lanes there is a point whose x is this.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn have_x(self, x: Elements) -> u8 {
        x.times(self.z).minus(self.x).is_zero() & !self.z.is_zero()
    }
}
