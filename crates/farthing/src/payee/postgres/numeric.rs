//! Amounts as PostgreSQL's NUMERIC: a person who looks into the ledger reads and adds them, and no amount is too large.

use farthing_core::Amount;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// An amount on its way into a query or out of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numeric(pub(super) Amount);

/// NUMERIC travels as digits of this base, the highest first.
const BASE: u128 = 10_000;

/// A positive number's sign.
const POSITIVE: u16 = 0x0000;

impl Numeric {
    /// Its digits, the lowest first.
    fn digits(self) -> Vec<u16> {
        let mut rest = self.0.base_units();
        let mut digits = Vec::with_capacity(10);
        while rest > 0 {
            // Below the base, so it fits.
            digits.push((rest % BASE) as u16);
            rest /= BASE;
        }
        digits
    }

    /// The reverse: `digits` with the highest first, of which that one counts `BASE` to the power of `weight`.
    fn from_digits(digits: &[u16], weight: i16) -> Option<Self> {
        let mut value: u128 = 0;
        for digit in digits {
            value = value.checked_mul(BASE)?.checked_add(u128::from(*digit))?;
        }
        // Trailing zeros are left out; what lies below the point is no amount.
        let places = i32::from(weight).checked_add(1)?;
        let left_out = places.checked_sub(i32::try_from(digits.len()).ok()?)?;
        if value > 0 {
            value = value.checked_mul(BASE.checked_pow(u32::try_from(left_out).ok()?)?)?;
        }
        Some(Self(Amount::new(value)))
    }
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        use bytes::BufMut;
        let digits = self.digits();
        let count = i16::try_from(digits.len())?;
        out.put_i16(count);
        out.put_i16(count.saturating_sub(1).max(0));
        out.put_u16(POSITIVE);
        // No digits after the point.
        out.put_u16(0);
        for digit in digits.iter().rev() {
            out.put_u16(*digit);
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let mut words = raw.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
        let mut word = || words.next().ok_or("a NUMERIC that ends too soon");
        let (count, weight, sign, _scale) = (word()?, word()?.cast_signed(), word()?, word()?);
        let digits: Vec<u16> = words.collect();
        if sign != POSITIVE || digits.len() != usize::from(count) {
            return Err("a NUMERIC that is no amount".into());
        }
        Self::from_digits(&digits, weight).ok_or_else(|| "a NUMERIC that is no whole amount or too large".into())
    }

    accepts!(NUMERIC);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(amount: u128) -> Vec<u8> {
        let mut bytes = bytes::BytesMut::new();
        assert!(matches!(Numeric(Amount::new(amount)).to_sql(&Type::NUMERIC, &mut bytes), Ok(IsNull::No)));
        bytes.to_vec()
    }

    fn received(words: &[u16]) -> Option<u128> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        Numeric::from_sql(&Type::NUMERIC, &bytes).ok().map(|Numeric(amount)| amount.base_units())
    }

    proptest! {
        #[test]
        fn every_amount_comes_back_as_it_was_sent(amount: u128, digits in 0_u32..39) {
            for amount in [amount, amount % 10_u128.pow(digits), 10_u128.pow(digits), u128::MAX] {
                let back = Numeric::from_sql(&Type::NUMERIC, &sent(amount)).unwrap();
                prop_assert_eq!(back, Numeric(Amount::new(amount)));
            }
        }

        #[test]
        fn no_bytes_are_too_much(bytes: Vec<u8>) {
            let _ = Numeric::from_sql(&Type::NUMERIC, &bytes);
        }
    }

    #[test]
    fn takes_digits_without_trailing_zeros_and_nothing_but_whole_amounts() {
        // Digits, the first one's weight, sign, scale.
        assert_eq!(received(&[0, 0, 0, 0]), Some(0));
        assert_eq!(received(&[1, 2, 0, 0, 5]), Some(500_000_000));
        assert_eq!(received(&[2, 1, 0, 0, 1, 2]), Some(10_002));
        let below_the_point = [1, u16::MAX, 0, 4, 5_000];
        let negative = [1, 0, 0x4000, 0, 5];
        let not_a_number = [0, 0, 0xc000, 0];
        let too_large = [1, 12, 0, 0, 1];
        let cut_off = [2, 0, 0, 0, 1];
        for words in [&below_the_point[..], &negative, &not_a_number, &too_large, &cut_off] {
            assert_eq!(received(words), None, "{words:?}");
        }
    }
}
