//! `[redemption]`: when a creator redeems, and what the chain's coin is worth.

use super::check::CatalogFault;
use super::file::RedemptionEntry;
use farthing::payee::{CoinPriceSource, RedemptionOptions};
use farthing_core::gas::{CoinPrice, GasPriceError, Percentage, PercentageError, parse_gas_price};
use farthing_core::redemption::{RedemptionTerms, TermsError};
use farthing_core::timestamp::{DurationError, parse_duration};
use farthing_core::{Address, Amount, Token, amount::AmountError};

/// Thrown when a creator's terms for redemption can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedemptionFault {
    /// A share that can't be read.
    #[error("{key}: {source}")]
    Share {
        /// Which one.
        key: &'static str,
        /// Why.
        source: PercentageError,
    },
    /// An age that can't be read.
    #[error("voucher_age: {0}")]
    Age(#[source] DurationError),
    /// A price of gas that can't be read.
    #[error("gas_price_max: {0}")]
    GasPrice(#[source] GasPriceError),
    /// Terms that make no sense.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// A price of the coin that can't be read.
    #[error("coin_price: {0}")]
    CoinPrice(#[source] AmountError),
    /// A bare number is base units everywhere else in a catalog: gas would seem a million times cheaper than it is.
    #[error("coin_price: {written:?} is base units, as prices are written; if one coin is meant, write {example:?}")]
    BareCoinPrice {
        /// What was written.
        written: String,
        /// How it would be written.
        example: String,
    },
    /// A coin that is worth nothing makes every redemption free.
    #[error("coin_price must be more than zero")]
    CoinPriceZero,
    /// Two answers to one question.
    #[error("coin_price and coin_price_feed both say what the chain's coin is worth; leave one out")]
    CoinPriceTwice,
    /// Who is paid in the coin needs no price of it.
    #[error("{symbol} is the chain's own coin, which pays for gas as it is; leave out {key}")]
    CoinPriceOfItself {
        /// Which key.
        key: &'static str,
        /// The coin.
        symbol: String,
    },
    /// A feed is in dollars.
    #[error(
        "coin_price_feed says dollars, and {symbol} is not declared to be worth one; write coin_price = \"3000 {symbol}\""
    )]
    FeedNeedsDollar {
        /// The token.
        symbol: String,
    },
    /// Not an address.
    #[error("coin_price_feed: {written:?} is no contract's address; write 0x and 40 hexadecimal digits")]
    FeedAddress {
        /// What was written.
        written: String,
    },
}

/// A share, as a catalog writes it.
fn share(key: &'static str, written: Option<&str>, otherwise: Percentage) -> Result<Percentage, RedemptionFault> {
    let read = |text: &str| text.parse().map_err(|source| RedemptionFault::Share { key, source });
    written.map_or(Ok(otherwise), read)
}

pub(super) fn redemption(entry: &RedemptionEntry, token: &Token) -> Result<RedemptionOptions, CatalogFault> {
    let default = RedemptionTerms::default();
    let age = |text: &str| parse_duration(text).map_err(RedemptionFault::Age);
    let gas_price = |text: &str| parse_gas_price(text).map_err(RedemptionFault::GasPrice);
    let terms = RedemptionTerms {
        gas_share: share("gas_share", entry.gas_share.as_deref(), default.gas_share)?,
        gas_share_urgent: share("gas_share_urgent", entry.gas_share_urgent.as_deref(), default.gas_share_urgent)?,
        credit_used: share("credit_used", entry.credit_used.as_deref(), default.credit_used)?,
        voucher_age: entry.voucher_age.as_deref().map_or(Ok(default.voucher_age), age)?,
        gas_price_max: entry.gas_price_max.as_deref().map_or(Ok(default.gas_price_max), gas_price)?,
    };
    let coin_price = coin_price_source(entry, token)?;
    Ok(RedemptionOptions { terms: terms.checked().map_err(RedemptionFault::from)?, coin_price })
}

fn coin_price_source(entry: &RedemptionEntry, token: &Token) -> Result<CoinPriceSource, RedemptionFault> {
    let (price, feed) = (entry.coin_price.as_deref(), entry.coin_price_feed.as_deref());
    let written = price.map(|_| "coin_price").or(feed.map(|_| "coin_price_feed"));
    if let Some(key) = written.filter(|_| token.address.is_zero()) {
        return Err(RedemptionFault::CoinPriceOfItself { key, symbol: token.symbol.clone() });
    }
    match (price, feed) {
        (Some(_), Some(_)) => Err(RedemptionFault::CoinPriceTwice),
        (Some(written), None) => coin_price(token, written).map(CoinPriceSource::Set),
        (None, Some(_)) if !token.dollar => Err(RedemptionFault::FeedNeedsDollar { symbol: token.symbol.clone() }),
        (None, Some(written)) => {
            let feed = written.parse().ok().filter(|feed: &Address| !feed.is_zero());
            let feed = feed.ok_or_else(|| RedemptionFault::FeedAddress { written: written.to_owned() })?;
            Ok(CoinPriceSource::Feed(feed))
        }
        (None, None) => Ok(CoinPriceSource::Unknown),
    }
}

/// Reads what one coin of the chain is worth: `$3000`, or `3000 USDC`.
///
/// # Errors
///
/// If it is nothing, not an amount, or a bare number.
pub fn coin_price(token: &Token, written: &str) -> Result<CoinPrice, RedemptionFault> {
    let price = token.parse(written).map_err(RedemptionFault::CoinPrice)?;
    // What parses without a unit is base units, and nobody means those.
    if written.trim().parse::<Amount>().is_ok() {
        let written = written.trim().to_owned();
        let example = if token.dollar { format!("${written}") } else { format!("{written} {}", token.symbol) };
        return Err(RedemptionFault::BareCoinPrice { written, example });
    }
    CoinPrice::new(price).ok_or(RedemptionFault::CoinPriceZero)
}
