//! What it costs to be paid: gas, its price, and what share of the money that is.

use crate::{Amount, Token};
use alloy_primitives::U256;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Base units (wei) in one whole coin of the chain.
const WEI_PER_COIN: u128 = 1_000_000_000_000_000_000;

/// A share of something, in whole millionths; written as a percentage: `1%`, `0.25%`. It may be above 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentage(u32);

/// Thrown when a text is not a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a percentage; write 1% or 0.25%, with at most four decimals")]
pub struct PercentageError(String);

impl Percentage {
    /// Millionths in one per cent.
    const MILLIONTHS: u32 = 10_000;

    /// All of it.
    pub const WHOLE: Self = Self(100 * Self::MILLIONTHS);

    /// That many hundredths.
    #[must_use]
    pub const fn whole(percent: u32) -> Self {
        Self(percent.saturating_mul(Self::MILLIONTHS))
    }

    /// That many millionths.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(millionths)
    }

    /// How many millionths it is.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// This share of an amount, rounded down.
    #[must_use]
    pub fn of(self, amount: Amount) -> Amount {
        let part = product(amount, Amount::new(self.0.into())).checked_div(U256::from(Self::WHOLE.0));
        Amount::new(part.unwrap_or_default().saturating_to())
    }

    /// What share of `whole` a part is, rounded up: costs are never told smaller than they are. Nothing is no share of
    /// nothing; anything is more than can be written of nothing.
    #[must_use]
    pub fn that(part: Amount, whole: Amount) -> Self {
        if part.is_zero() {
            return Self(0);
        }
        if whole.is_zero() {
            return Self(u32::MAX);
        }
        let millionths = product(part, Amount::new(Self::WHOLE.0.into()));
        Self(millionths.div_ceil(U256::from(whole.base_units())).saturating_to())
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.0 / Self::MILLIONTHS, self.0 % Self::MILLIONTHS);
        if rest == 0 {
            return write!(formatter, "{percent}%");
        }
        let decimals = format!("{rest:04}");
        write!(formatter, "{percent}.{}%", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Percentage {
    type Err = PercentageError;

    fn from_str(text: &str) -> Result<Self, PercentageError> {
        let number = text.strip_suffix('%').map(str::trim_end).unwrap_or_default();
        let (percent, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let millionths = || {
            let percent: u32 = percent.parse().ok()?;
            let decimals: u32 = format!("{decimals:0<4}").parse().ok()?;
            percent.checked_mul(Self::MILLIONTHS)?.checked_add(decimals)
        };
        let is_well_formed = is_number(percent) && is_number(decimals) && decimals.len() <= 4;
        let read = if is_well_formed { millionths() } else { None };
        read.map(Self).ok_or_else(|| PercentageError(text.to_owned()))
    }
}

impl Serialize for Percentage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Thrown when a text is not a price of gas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a price of gas; write 100 gwei, 0.05 gwei or 1000000 wei")]
pub struct GasPriceError(String);

/// Reads a price of gas: `100 gwei`, `0.05 gwei`, `1000000 wei`. A bare number is refused: of wei and gwei one is a
/// mistake.
///
/// # Errors
///
/// If it is none of these.
pub fn parse_gas_price(text: &str) -> Result<Amount, GasPriceError> {
    let token = |symbol: &str, decimals| Token {
        address: alloy_primitives::Address::ZERO,
        symbol: symbol.to_owned(),
        decimals,
        dollar: false,
    };
    let named = text.trim().split_once(' ').and_then(|_| {
        let units = [token("gwei", 9), token("wei", 0)];
        units.iter().find_map(|unit| unit.parse(text).ok())
    });
    named.ok_or_else(|| GasPriceError(text.to_owned()))
}

/// Writes a price of gas in gwei, as people read it. No digit is dropped.
#[must_use]
pub fn format_gas_price(wei: Amount) -> String {
    let gwei =
        Token { address: alloy_primitives::Address::ZERO, symbol: "gwei".to_owned(), decimals: 9, dollar: false };
    gwei.format(wei)
}

/// What one whole coin of the chain is worth, in base units of the token that a creator is paid in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CoinPrice(Amount);

impl CoinPrice {
    /// The coin in terms of itself, for creators who are paid in it.
    pub const OF_ITSELF: Self = Self(Amount::new(WEI_PER_COIN));

    /// A price; `None` for nothing, which would make every gas bill free.
    #[must_use]
    pub fn new(base_units: Amount) -> Option<Self> {
        (!base_units.is_zero()).then_some(Self(base_units))
    }

    /// What the coin of a token's chain is worth without being told: itself, if the token is that coin.
    #[must_use]
    pub fn known_for(token: &Token) -> Option<Self> {
        token.address.is_zero().then_some(Self::OF_ITSELF)
    }

    /// What one coin is worth, in base units of the token.
    #[must_use]
    pub const fn base_units(self) -> Amount {
        self.0
    }

    /// What an amount of wei is worth, rounded up.
    #[must_use]
    pub fn value_of(self, wei: Amount) -> Amount {
        let value = product(wei, self.0).div_ceil(U256::from(WEI_PER_COIN));
        Amount::new(value.saturating_to())
    }
}

/// What a transaction costs at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Wei per unit of gas, tip included.
    pub gas_price: Amount,
    /// Wei that a rollup charges for a transaction's bytes, apart from its rows; zero elsewhere.
    pub data_fee: Amount,
    /// Wei that it charges for the bytes of one more row.
    pub data_fee_per_row: Amount,
    /// What the coin is worth in the creator's token, if that is known.
    pub coin: Option<CoinPrice>,
}

impl Prices {
    /// What one more row of a batch costs, in wei.
    #[must_use]
    pub fn of_row(&self, row: Row) -> Amount {
        self.of_gas(GasModel::of_row(row)).saturating_add(self.data_fee_per_row)
    }

    /// What a transaction costs before its first row, in wei.
    #[must_use]
    pub fn of_transaction(&self) -> Amount {
        self.of_gas(GasModel::TRANSACTION).saturating_add(self.data_fee)
    }

    /// What gas costs, in wei.
    #[must_use]
    pub const fn of_gas(&self, gas: u64) -> Amount {
        Amount::new(self.gas_price.base_units().saturating_mul(gas as u128))
    }
}

/// What makes one row of a batch dearer than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Nothing was ever redeemed from the channel, and nothing is reserved in it: its slot is new.
    pub is_first: bool,
    /// Reserved money pays for all of it, so that no account is touched.
    pub is_reserved: bool,
    /// Its signer is not its payer, or it has a salt: both travel in the row.
    pub is_long: bool,
}

/// How much gas a redemption uses, from the receipts that `docs/gas.md` lists. Good enough to decide; what is sent is
/// estimated by the node.
#[derive(Clone, Copy, Debug)]
pub struct GasModel;

impl GasModel {
    /// What a transaction uses whatever is in it: its own 21,000, the transfer, the event.
    pub const TRANSACTION: u64 = 41_200;

    /// What a row adds.
    #[must_use]
    pub const fn of_row(row: Row) -> u64 {
        match (row.is_reserved, row.is_first, row.is_long) {
            (true, _, false) => 10_700,
            (true, _, true) => 11_450,
            (false, false, false) => 15_900,
            (false, false, true) => 16_650,
            (false, true, false) => 33_000,
            (false, true, true) => 33_750,
        }
    }
}

/// The product of two amounts, which always fits.
pub(crate) fn product(one: Amount, other: Amount) -> U256 {
    U256::from(one.base_units()).saturating_mul(U256::from(other.base_units()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentages_are_written_as_people_write_them() {
        for (text, percentage) in [
            ("1%", Percentage::whole(1)),
            ("0.25%", Percentage(2_500)),
            ("100%", Percentage::WHOLE),
            ("0.0001%", Percentage(1)),
            ("0%", Percentage(0)),
        ] {
            assert_eq!(text.parse(), Ok(percentage));
            assert_eq!(percentage.to_string(), text);
        }
        assert_eq!("2.50 %".parse(), Ok(Percentage(25_000)));
        for text in ["", "1", "%", "-1%", ".5%", "1.%", "0.00001%", "1,5%", "99999999999%", "+1%"] {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_price_of_gas_names_its_unit() {
        for (text, wei) in
            [("100 gwei", 100_000_000_000), ("0.05 gwei", 50_000_000), ("7 wei", 7), ("1 Gwei", 1_000_000_000)]
        {
            assert_eq!(parse_gas_price(text), Ok(Amount::new(wei)), "{text}");
            assert_eq!(parse_gas_price(&format_gas_price(Amount::new(wei))), Ok(Amount::new(wei)));
        }
        assert_eq!(format_gas_price(Amount::new(50_000_000)), "0.05 gwei");
        for text in ["", "100", "gwei", "100gwei", "0.5 wei", "0.0000000001 gwei", "-1 gwei", "1 ether", "$1"] {
            assert!(parse_gas_price(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_coin_is_worth_what_its_price_says() {
        let three_thousand_dollars = CoinPrice::new(Amount::new(3_000_000_000)).expect("a price");
        // 60,000 gas at 1 gwei.
        assert_eq!(three_thousand_dollars.value_of(Amount::new(60_000_000_000_000)), Amount::new(180_000));
        assert_eq!(three_thousand_dollars.value_of(Amount::new(1)), Amount::new(1), "rounded up");
        assert_eq!(CoinPrice::OF_ITSELF.value_of(Amount::new(7)), Amount::new(7));
        assert_eq!(CoinPrice::new(Amount::ZERO), None);
        let dear = CoinPrice::new(Amount::new(u128::MAX)).expect("a price");
        assert_eq!(dear.value_of(Amount::new(u128::MAX)), Amount::new(u128::MAX), "never wraps");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millionths: u32) {
            prop_assert_eq!(Percentage(millionths).to_string().parse(), Ok(Percentage(millionths)));
        }

        /// A cost within the share that is accepted is never told to be above it, and the other way round.
        #[test]
        fn a_share_and_its_part_agree(part in 0u128..1 << 104, whole in 1u128..1 << 104, accepted in 0u32..2_000_000) {
            let (part, whole, accepted) = (Amount::new(part), Amount::new(whole), Percentage(accepted));
            prop_assert_eq!(Percentage::that(part, whole) <= accepted, part <= accepted.of(whole));
        }
    }
}
