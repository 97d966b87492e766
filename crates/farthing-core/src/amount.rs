//! Amounts of money: integers in base units, and how people write them.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An amount in base units of a token (millionths of a dollar for USDC, wei for ether).
///
/// There are no operators: money arithmetic that can overflow or go below zero must say what happens then. On the wire
/// and in JSON it is a decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The most that one account or channel of the escrow can count: 2¹⁰⁴ − 1 base units.
    pub const MAX_ON_CHAIN: Self = Self((1 << 104) - 1);

    /// Makes an amount of base units.
    #[must_use]
    pub const fn new(base_units: u128) -> Self {
        Self(base_units)
    }

    /// The number of base units.
    #[must_use]
    pub const fn base_units(self) -> u128 {
        self.0
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` if `other` is larger.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, or the largest amount there is: for limits and exposures, where too much is refused anyway.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero if `other` is larger: the (…)⁺ of the design.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum of amounts, or the largest amount there is.
    #[must_use]
    pub fn saturating_sum(amounts: impl IntoIterator<Item = Self>) -> Self {
        amounts.into_iter().fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Thrown when a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Neither base units nor a decimal number in a unit that the token has.
    #[error("{text:?} is not an amount; write base units (500000), {example}")]
    Malformed {
        /// What was given.
        text: String,
        /// How an amount of this token can be written.
        example: String,
    },
    /// More decimals than the token has.
    #[error("{text:?} has more than the {decimals} decimals of {symbol}")]
    TooPrecise {
        /// What was given.
        text: String,
        /// How many decimals the token has.
        decimals: u8,
        /// The token's symbol.
        symbol: String,
    },
    /// More than the escrow can count.
    #[error("{text:?} is more than the escrow can count")]
    TooLarge {
        /// What was given.
        text: String,
    },
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads base units: decimal digits and nothing else, so that one number has one spelling.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let malformed = || AmountError::Malformed { text: text.to_owned(), example: "digits only".to_owned() };
        let canonical = text == "0" || !text.starts_with('0');
        if text.is_empty() || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge { text: text.to_owned() })
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// What a token is called and how people write amounts of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The ERC-20, or zero for the native coin.
    pub address: Address,
    /// Short name, as in `0.5 USDC`.
    pub symbol: String,
    /// Base units in one unit, as a power of ten.
    pub decimals: u8,
    /// Whether one unit is declared to be worth a dollar, so that `$` may be written for it.
    #[serde(default)]
    pub dollar: bool,
}

impl Token {
    /// The largest power of ten that an amount can hold; more decimals would leave no room for a unit.
    pub const DECIMALS_MAX: u8 = 30;

    /// Reads `$0.10` (dollar-like tokens only), `0.5 USDC`, or base units.
    ///
    /// # Errors
    ///
    /// If the text is none of these, names another token, has more decimals than the token, or is more than
    /// [`Amount::MAX_ON_CHAIN`].
    pub fn parse(&self, text: &str) -> Result<Amount, AmountError> {
        let text = text.trim();
        let amount = if let Some(dollars) = text.strip_prefix('$').filter(|_| self.dollar) {
            self.parse_decimal(text, dollars)?
        } else if let Some((number, symbol)) = text.split_once(' ') {
            if !symbol.trim().eq_ignore_ascii_case(&self.symbol) {
                return Err(self.malformed(text));
            }
            self.parse_decimal(text, number)?
        } else {
            text.parse().map_err(|_| self.malformed(text))?
        };
        if amount > Amount::MAX_ON_CHAIN {
            return Err(AmountError::TooLarge { text: text.to_owned() });
        }
        Ok(amount)
    }

    fn parse_decimal(&self, text: &str, number: &str) -> Result<Amount, AmountError> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fraction_missing = number.contains('.') && fraction.is_empty();
        if whole.is_empty() || fraction_missing || !digits(whole) || !digits(fraction) {
            return Err(self.malformed(text));
        }
        let too_precise =
            || AmountError::TooPrecise { text: text.to_owned(), decimals: self.decimals, symbol: self.symbol.clone() };
        // Zeros at the end say nothing, so `$0.10` is fine for a token with one decimal.
        let fraction = fraction.trim_end_matches('0');
        let missing = usize::from(self.decimals).checked_sub(fraction.len()).ok_or_else(too_precise)?;
        let base_units = format!("{whole}{fraction}{}", "0".repeat(missing));
        base_units.parse().map(Amount).map_err(|_| AmountError::TooLarge { text: text.to_owned() })
    }

    fn malformed(&self, text: &str) -> AmountError {
        let example = if self.dollar {
            format!("dollars ($0.50) or tokens (0.5 {})", self.symbol)
        } else {
            format!("or tokens (0.5 {})", self.symbol)
        };
        AmountError::Malformed { text: text.to_owned(), example }
    }

    /// Writes an amount as people read it: `$0.50` for a dollar-like token, else `0.5 ETH`. No digit is dropped.
    #[must_use]
    pub fn format(&self, amount: Amount) -> String {
        let decimals = usize::from(self.decimals);
        let width = decimals.saturating_add(1);
        let digits = format!("{:0>width$}", amount.base_units());
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
        let fraction = fraction.trim_end_matches('0');
        if self.dollar {
            format!("${whole}.{fraction:0<2}")
        } else if fraction.is_empty() {
            format!("{whole} {}", self.symbol)
        } else {
            format!("{whole}.{fraction} {}", self.symbol)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dollars() -> Token {
        Token { address: Address::ZERO, symbol: "USDC".to_owned(), decimals: 6, dollar: true }
    }

    fn ether() -> Token {
        Token { address: Address::ZERO, symbol: "ETH".to_owned(), decimals: 18, dollar: false }
    }

    #[test]
    fn reads_dollars_tokens_and_base_units() {
        for text in ["$0.10", "0.1 USDC", "0.10 usdc", "100000", " $0.100000 "] {
            assert_eq!(dollars().parse(text), Ok(Amount::new(100_000)), "{text}");
        }
        assert_eq!(ether().parse("1 ETH"), Ok(Amount::new(1_000_000_000_000_000_000)));
    }

    #[test]
    fn refuses_what_could_be_meant_otherwise() {
        for text in ["", "$", "0.1", "$0.1.0", "-1", "+1", "1e6", "$.5", "$5.", "0x10", "1 ETH", "1_000", "01", "$1,5"]
        {
            assert!(matches!(dollars().parse(text), Err(AmountError::Malformed { .. })), "{text}");
        }
        assert!(ether().parse("$1").is_err(), "ether is not worth a dollar");
    }

    #[test]
    fn refuses_fractions_of_a_base_unit_and_sums_beyond_the_escrow() {
        assert!(matches!(dollars().parse("$0.0000001"), Err(AmountError::TooPrecise { .. })));
        let too_large = Amount::new(Amount::MAX_ON_CHAIN.base_units() + 1).to_string();
        assert!(matches!(dollars().parse(&too_large), Err(AmountError::TooLarge { .. })));
        assert!(matches!(dollars().parse(&"9".repeat(60)), Err(AmountError::Malformed { .. })));
    }

    #[test]
    fn writes_cents_even_when_they_are_zero() {
        assert_eq!(dollars().format(Amount::new(5_000_000)), "$5.00");
        assert_eq!(dollars().format(Amount::new(1)), "$0.000001");
        assert_eq!(ether().format(Amount::new(500_000_000_000_000_000)), "0.5 ETH");
        assert_eq!(ether().format(Amount::ZERO), "0 ETH");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(base_units in 0..=Amount::MAX_ON_CHAIN.base_units(), decimals in 0..=30_u8, dollar: bool) {
            let token = Token { decimals, dollar, ..dollars() };
            let amount = Amount::new(base_units);
            prop_assert_eq!(token.parse(&token.format(amount)), Ok(amount));
            prop_assert_eq!(token.parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = dollars().parse(&text);
            let _ = text.parse::<Amount>();
        }
    }
}
