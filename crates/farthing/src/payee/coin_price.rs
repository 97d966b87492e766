//! What one coin of the chain is worth in a creator's token: as the creator says, or as a feed contract does.
//!
//! A price that is stale, zero or nonsense is no price. Then gas can't be weighed against what it brings, and only what
//! would be lost is redeemed; never at a price that is wrong.

use crate::chain::{Chain, ChainError};
use crate::clock;
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::U256;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use farthing_core::gas::CoinPrice;
use farthing_core::redemption::RedemptionTerms;
use farthing_core::{Address, Amount, Timestamp, Token};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

mod bindings {
    alloy::sol! {
        /// What a price feed answers, by the name that most of them go by.
        interface AggregatorV3 {
            function decimals() external view returns (uint8);
            function latestRoundData() external view returns (
                uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound
            );
        }
    }
}

use bindings::AggregatorV3;

/// The oldest that a feed's answer may be, in seconds: the slowest feeds write once a day, and take an hour over it at
/// most. As far ahead of our clock it is no answer either.
pub const FEED_AGE_MAX: u64 = 90_000;

/// The most decimals that a feed may have; more are no price but a mistake.
const FEED_DECIMALS_MAX: u8 = 36;

/// What a creator says about redemption: the terms, and where the coin's price comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedemptionOptions {
    /// When to redeem.
    pub terms: RedemptionTerms,
    /// What a coin is worth.
    pub coin_price: CoinPriceSource,
}

/// Where the price of the chain's coin comes from. Whoever is paid in the coin itself needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CoinPriceSource {
    /// Nobody has said.
    #[default]
    Unknown,
    /// The creator says so.
    Set(CoinPrice),
    /// A contract that answers as Chainlink's price feeds do, in dollars.
    Feed(Address),
}

/// Thrown when there is no price that could be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoinPriceError {
    /// The chain does not answer.
    #[error("the price feed {feed} can't be asked: {source}")]
    Chain {
        /// The contract.
        feed: Address,
        /// Why.
        source: ChainError,
    },
    /// It does not answer as a feed does.
    #[error("{feed} does not answer as a price feed does")]
    NotAFeed {
        /// The contract.
        feed: Address,
    },
    /// It says nothing, or less.
    #[error("the price feed {feed} says {answer}, which is no price")]
    NoPrice {
        /// The contract.
        feed: Address,
        /// What it says.
        answer: String,
    },
    /// Nobody has written to it for long, or its clock is not ours.
    #[error("the price feed {feed} was written at {updated_at}, which is not within {FEED_AGE_MAX} s of now")]
    Stale {
        /// The contract.
        feed: Address,
        /// When it was written.
        updated_at: Timestamp,
    },
}

/// Knows the price, and says once when that changes. Clones say it together.
#[derive(Clone, Debug)]
pub struct CoinPrices {
    source: CoinPriceSource,
    decimals: u8,
    said: Arc<Mutex<Option<String>>>,
}

impl CoinPrices {
    /// The prices of the coin of a token's chain, in that token.
    #[must_use]
    pub fn new(source: CoinPriceSource, token: &Token) -> Self {
        let source = CoinPrice::known_for(token).map_or(source, CoinPriceSource::Set);
        Self { source, decimals: token.decimals, said: Arc::default() }
    }

    /// Where they come from: [`CoinPriceSource::Set`] for whoever is paid in the coin itself.
    #[must_use]
    pub const fn source(&self) -> CoinPriceSource {
        self.source
    }

    /// What a coin is worth now; `None` if nobody has said where that could be read.
    ///
    /// # Errors
    ///
    /// If a feed gives no price that could be trusted.
    pub async fn read(&self, chain: &Chain) -> Result<Option<CoinPrice>, CoinPriceError> {
        match self.source {
            CoinPriceSource::Unknown => Ok(None),
            CoinPriceSource::Set(price) => Ok(Some(price)),
            CoinPriceSource::Feed(feed) => ask(chain, feed, self.decimals, clock::now()).await.map(Some),
        }
    }

    /// The same for whoever goes on without a price: what is wrong is logged, once until it changes.
    pub async fn read_or_warn(&self, chain: &Chain) -> Option<CoinPrice> {
        let read = self.read(chain).await;
        let problem = read.as_ref().err().map(ToString::to_string);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != problem {
            match &problem {
                Some(error) => {
                    tracing::warn!(%error, "the coin's price is not known; only what would be lost is redeemed")
                }
                None => tracing::info!("the coin's price is known again"),
            }
            *said = problem;
        }
        drop(said);
        read.ok().flatten()
    }
}

async fn ask(chain: &Chain, feed: Address, decimals: u8, now: Timestamp) -> Result<CoinPrice, CoinPriceError> {
    let (round, feed_decimals) = tokio::join!(
        call(chain, feed, &AggregatorV3::latestRoundDataCall {}),
        call(chain, feed, &AggregatorV3::decimalsCall {}),
    );
    let (round, feed_decimals) = (round?, feed_decimals?);
    if feed_decimals > FEED_DECIMALS_MAX {
        return Err(CoinPriceError::NotAFeed { feed });
    }
    let updated_at = Timestamp::from_unix_seconds(round.updatedAt.saturating_to());
    if now.seconds_since(updated_at).max(updated_at.seconds_since(now)) > FEED_AGE_MAX {
        return Err(CoinPriceError::Stale { feed, updated_at });
    }
    let no_price = || CoinPriceError::NoPrice { feed, answer: round.answer.to_string() };
    // Zero and less are what a broken feed says.
    let answer = if round.answer.is_positive() { round.answer.into_raw() } else { return Err(no_price()) };
    scaled(answer, feed_decimals, decimals).ok_or_else(no_price)
}

/// From the feed's decimals to the token's, rounded up: what gas costs is never told smaller than it is.
fn scaled(answer: U256, feed_decimals: u8, decimals: u8) -> Option<CoinPrice> {
    let power = |exponent: u8| U256::from(10).checked_pow(U256::from(exponent));
    let base_units = answer.checked_mul(power(decimals)?)?.div_ceil(power(feed_decimals)?);
    let base_units = u128::try_from(base_units).ok().map(Amount::new)?;
    CoinPrice::new(base_units).filter(|_| base_units <= Amount::MAX_ON_CHAIN)
}

async fn call<C: SolCall>(chain: &Chain, feed: Address, call: &C) -> Result<C::Return, CoinPriceError> {
    let request = TransactionRequest::default().with_to(feed).with_input(call.abi_encode());
    let answer = match chain.call(request, BlockNumberOrTag::Latest).await {
        Ok(answer) => answer,
        Err(ChainError::Reverted { .. }) => return Err(CoinPriceError::NotAFeed { feed }),
        Err(source) => return Err(CoinPriceError::Chain { feed, source }),
    };
    C::abi_decode_returns(&answer).map_err(|_| CoinPriceError::NotAFeed { feed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feeds_answer_is_told_in_the_tokens_base_units() {
        let price = |answer: u64, feed_decimals, decimals| {
            scaled(U256::from(answer), feed_decimals, decimals).map(|price| price.base_units().base_units())
        };
        assert_eq!(price(300_000_000_000, 8, 6), Some(3_000_000_000), "$3,000 in millionths");
        assert_eq!(price(3_000, 0, 18), Some(3_000 * 10_u128.pow(18)));
        assert_eq!(price(1, 8, 6), Some(1), "rounded up");
        assert_eq!(scaled(U256::MAX >> 1, 8, 6), None, "more than anything is worth");
        assert_eq!(scaled(U256::from(1), FEED_DECIMALS_MAX, 30).map(|price| price.base_units()), Some(Amount::new(1)));
    }
}
