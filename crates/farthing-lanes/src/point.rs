//! Eight points of secp256k1 side by side, in projective coordinates: (X/Z, Y/Z), with Z zero at infinity.
//!
//! The formulas are complete: there is no pair of points, equal, opposite or at infinity, for which they are wrong
//! (Renes, Costello, Batina: *Complete addition formulas for prime order elliptic curves*, algorithms 7, 8 and 9, with
//! a = 0 and 3b = 21). So no lane ever has to be told from another.

use crate::field::Elements;
use crate::generator::Affine;

/// Eight points, one in each lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points {
    pub(crate) x: Elements,
    pub(crate) y: Elements,
    pub(crate) z: Elements,
}

impl Points {
    /// At infinity, where every sum begins.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn infinity() -> Self {
        Self { x: Elements::small(0), y: Elements::small(1), z: Elements::small(0) }
    }

    /// The points with these x whose y is odd in these lanes, and in which lanes there are such.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn lifted(x: Elements, odd: u8) -> (Self, u8) {
        let square = x.times(x).times(x).plus(Elements::small(7));
        let y = square.root();
        let exist = y.times(y).minus(square).is_zero();
        let y = y.least();
        let y = y.or(y.is_odd() ^ odd, Elements::small(0).minus(y));
        (Self { x, y, z: Elements::small(1) }, exist)
    }

    /// x and y of each point, and in which lanes it has such: not at infinity.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn affine(self) -> (Elements, Elements, u8) {
        let inverse = self.z.inverse();
        (self.x.times(inverse).least(), self.y.times(inverse).least(), !self.z.is_zero())
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

    /// Adds another point to each in these lanes: algorithm 7.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn plus(self, lanes: u8, Self { x, y, z }: Self) -> Self {
        let (x_x, y_y, z_z) = (self.x.times(x), self.y.times(y), self.z.times(z));
        let x_y = x.plus(y).times(self.x.plus(self.y)).minus(x_x.plus(y_y));
        let y_z = y.plus(z).times(self.y.plus(self.z)).minus(y_y.plus(z_z));
        let x_z = x.plus(z).times(self.x.plus(self.z)).minus(x_x.plus(z_z));
        self.or(lanes, Self::sum(x_x, y_y, z_z.times_21(), x_y, y_z, x_z.times_21()))
    }

    /// The same with points whose z is one: algorithm 8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn plus_affine(self, lanes: u8, others: [&Affine; 8]) -> Self {
        let (x, y) = (Elements::gather(others.map(|point| &point.x)), Elements::gather(others.map(|point| &point.y)));
        let (x_x, y_y) = (self.x.times(x), self.y.times(y));
        let x_y = x.plus(y).times(self.x.plus(self.y)).minus(x_x.plus(y_y));
        let y_z = y.times(self.z).plus(self.y);
        let x_z = x.times(self.z).plus(self.x);
        self.or(lanes, Self::sum(x_x, y_y, self.z.times_21(), x_y, y_z, x_z.times_21()))
    }

    /// What both algorithms end with: of the products of coordinates, or sums of two, with what was multiplied by 3b.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sum(x_x: Elements, y_y: Elements, b_z_z: Elements, x_y: Elements, y_z: Elements, b_x_z: Elements) -> Self {
        let x_x_3 = x_x.times_3();
        let (more, less) = (y_y.plus(b_z_z), y_y.minus(b_z_z));
        Self {
            x: x_y.times(less).minus(y_z.times(b_x_z)),
            y: less.times(more).plus(b_x_z.times(x_x_3)),
            z: more.times(y_z).plus(x_x_3.times(x_y)),
        }
    }

    /// `other` in these lanes, and this in the rest.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn or(self, lanes: u8, other: Self) -> Self {
        Self { x: self.x.or(lanes, other.x), y: self.y.or(lanes, other.y), z: self.z.or(lanes, other.z) }
    }

    /// In which lanes there is a point whose x is this.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn have_x(self, x: Elements) -> u8 {
        x.times(self.z).minus(self.x).is_zero() & !self.z.is_zero()
    }
}
