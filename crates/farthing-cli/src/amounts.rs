//! Amounts on a command line: what a person means by `5`.
//!
//! A catalog and the wire write base units bare; a person who writes `farthing deposit 5` means five dollars, or five
//! tokens, and never five millionths of one. So here a bare number is whole units and base units say so: `5000000 base`.

use crate::failure::{Code, Failure};
use farthing::core::amount::AmountError;
use farthing::core::{Address, Amount, Token};

/// The suffix of base units.
const BASE: &str = "base";

/// Reads `5`, `0.5`, `$5` (dollar-like tokens only), `5 USDC` or `5000000 base`.
pub(crate) fn parse(token: &Token, text: &str) -> Result<Amount, Failure> {
    let text = text.trim();
    let written = if let Some(digits) = strip_word(text, BASE) {
        if token.symbol.eq_ignore_ascii_case(BASE) {
            let message = format!("{text:?} could mean the token {} or its base units", token.symbol);
            return Err(Failure::new(Code::Usage, message).hint("write a bare number for the token"));
        }
        // Nothing but digits: `$5 base` and `5 USDC base` are two units in one.
        return digits.parse().ok().filter(|amount| *amount <= Amount::MAX_ON_CHAIN).ok_or_else(|| usage(token, text));
    } else if text.starts_with('$') {
        token.parse(text)
    } else {
        let number = strip_word(text, &token.symbol).unwrap_or(text);
        // As dollars, whatever the token: this reads a decimal number even if the token has no symbol.
        Token { dollar: true, ..token.clone() }.parse(&format!("${number}"))
    };
    written.map_err(|error| match error {
        AmountError::TooPrecise { decimals, symbol, .. } => {
            Failure::new(Code::Usage, format!("{text:?} has more than the {decimals} decimals of {symbol}"))
                .hint(examples(token))
        }
        AmountError::TooLarge { .. } => {
            Failure::new(Code::Usage, format!("{text:?} is more than the escrow can count")).hint(examples(token))
        }
        _ => usage(token, text),
    })
}

/// The chain's own coin, which pays for gas.
pub(crate) fn coin() -> Token {
    Token { address: Address::ZERO, symbol: "ETH".to_owned(), decimals: 18, dollar: false }
}

/// Reads an amount that has to be more than nothing.
pub(crate) fn parse_positive(token: &Token, text: &str) -> Result<Amount, Failure> {
    let amount = parse(token, text)?;
    if amount.is_zero() {
        return Err(Failure::new(Code::Usage, format!("{text:?} is nothing")).hint(examples(token)));
    }
    Ok(amount)
}

/// What stands before a word at the end of `text`, with or without a space between.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(word.len())?;
    let (number, end) = (text.get(..at)?, text.get(at..)?);
    // A symbol may begin with a digit; then only a space tells it from the number.
    let parted = number.ends_with(' ') || !word.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    (!word.is_empty() && parted && end.eq_ignore_ascii_case(word)).then(|| number.trim_end())
}

fn usage(token: &Token, text: &str) -> Failure {
    let failure = Failure::new(Code::Usage, format!("{text:?} is not an amount of {}", name(token)));
    if text.is_empty() {
        return failure.hint("a shell reads $5 as a variable: write 5, or '$5' in quotes");
    }
    if text.starts_with('$') && !token.dollar {
        return failure.hint(format!("{} is not declared to be worth a dollar; --dollar declares it", name(token)));
    }
    failure.hint(examples(token))
}

fn examples(token: &Token) -> String {
    let dollars = if token.dollar { ", '$0.5'" } else { "" };
    let symbol = if token.symbol.is_empty() { String::new() } else { format!(", '0.5 {}'", token.symbol) };
    format!("write whole units (5, 0.5{dollars}{symbol}) or base units ('5000000 base')")
}

fn name(token: &Token) -> &str {
    if token.symbol.is_empty() { "the token" } else { &token.symbol }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars() -> Token {
        Token { address: Address::repeat_byte(1), symbol: "USDC".to_owned(), decimals: 6, dollar: true }
    }

    fn read(token: &Token, text: &str) -> Result<u128, String> {
        parse(token, text).map(Amount::base_units).map_err(|failure| failure.message)
    }

    #[test]
    fn a_bare_number_is_whole_units() {
        for text in ["5", "5.0", "$5", "$5.00", "5 USDC", "5 usdc", "5USDC", " 5 ", "5000000 base", "5000000base"] {
            assert_eq!(read(&dollars(), text), Ok(5_000_000), "{text}");
        }
        assert_eq!(read(&dollars(), "0.5"), Ok(500_000));
        assert_eq!(read(&coin(), "0.5"), Ok(500_000_000_000_000_000));
        assert_eq!(read(&coin(), "7 base"), Ok(7));
    }

    #[test]
    fn refuses_what_could_be_meant_otherwise() {
        for text in ["", "$", "-5", "+5", "1e6", ".5", "5.", "0x5", "5 ETH", "$5 USDC", "5 USDC base", "$5 base", "1,5"]
        {
            assert!(read(&dollars(), text).is_err(), "{text}");
        }
        for text in ["1.5 base", "base", "-1 base", "01 base", "0.0000001", "$$5"] {
            assert!(read(&dollars(), text).is_err(), "{text}");
        }
        assert!(read(&coin(), "$5").is_err(), "ether is not worth a dollar");
    }

    #[test]
    fn odd_symbols_change_no_amount() {
        let nameless = Token { symbol: String::new(), ..dollars() };
        assert_eq!(read(&nameless, "5"), Ok(5_000_000));
        let digits = Token { symbol: "1INCH".to_owned(), ..dollars() };
        assert_eq!(read(&digits, "5 1INCH"), Ok(5_000_000));
        assert!(read(&digits, "51INCH").is_err(), "5 1INCH or 51 INCH?");
        let base = Token { symbol: "BASE".to_owned(), ..dollars() };
        assert!(read(&base, "5 base").is_err(), "the token or its base units?");
        assert_eq!(read(&base, "5"), Ok(5_000_000));
    }

    #[test]
    fn nothing_above_what_the_escrow_counts() {
        let too_much = format!("{} base", Amount::MAX_ON_CHAIN.base_units() + 1);
        assert!(read(&dollars(), &too_much).is_err());
        assert!(read(&dollars(), &"9".repeat(40)).is_err());
    }
}
