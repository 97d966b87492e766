//! Terms for redemption on a command line: other ones than the catalog's, to see what they would come to.

use crate::amounts;
use crate::failure::{Code, Failure};
use clap::Args;
use farthing::core::gas::{CoinPrice, Percentage, parse_gas_price};
use farthing::core::timestamp::parse_duration;
use farthing::core::{Amount, Token};
use farthing::payee::{CoinPriceSource, RedemptionOptions};

/// Each takes the place of the catalog's term of the same name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Terms to try instead of the catalog's")]
pub(crate) struct TermsToTry {
    /// Let gas cost this share of what is paid while nothing presses, as in 0.5%
    #[arg(long, value_name = "PERCENT", requires = "trying")]
    gas_share: Option<Percentage>,

    /// Let it cost this share when it is urgent
    #[arg(long, value_name = "PERCENT", requires = "trying")]
    gas_share_urgent: Option<Percentage>,

    /// Take credit as nearly used from this part of what an account may owe
    #[arg(long, value_name = "PERCENT", requires = "trying")]
    credit_used: Option<Percentage>,

    /// Take a voucher as old after this (7d, 36h)
    #[arg(long, value_name = "TIME", requires = "trying", value_parser = parse_duration)]
    voucher_age: Option<u64>,

    /// Pay at most this for gas unless a payer takes the money away, as in '50 gwei'
    #[arg(long, value_name = "PRICE", requires = "trying", value_parser = parse_gas_price)]
    gas_price_max: Option<Amount>,

    /// Take one coin of the chain as worth this much of the token, as in 3000
    #[arg(long, value_name = "AMOUNT", requires = "trying")]
    coin_price: Option<String>,
}

impl TermsToTry {
    /// These terms where they are given, and the catalog's elsewhere.
    pub(crate) fn instead_of(&self, catalog: RedemptionOptions, token: &Token) -> Result<RedemptionOptions, Failure> {
        let mut options = catalog;
        let terms = &mut options.terms;
        terms.gas_share = self.gas_share.unwrap_or(terms.gas_share);
        terms.gas_share_urgent = self.gas_share_urgent.unwrap_or(terms.gas_share_urgent);
        terms.credit_used = self.credit_used.unwrap_or(terms.credit_used);
        terms.voucher_age = self.voucher_age.unwrap_or(terms.voucher_age);
        terms.gas_price_max = self.gas_price_max.unwrap_or(terms.gas_price_max);
        terms.checked().map_err(|error| {
            Failure::new(Code::Usage, error).hint("docs/catalog.md says what each term of [redemption] means")
        })?;
        if let Some(written) = &self.coin_price {
            options.coin_price = CoinPriceSource::Set(coin_price(token, written)?);
        }
        Ok(options)
    }
}

fn coin_price(token: &Token, written: &str) -> Result<CoinPrice, Failure> {
    if token.address.is_zero() {
        let message = format!("--coin-price: {} is the chain's own coin, which pays for gas as it is", token.symbol);
        return Err(Failure::new(Code::Usage, message).hint("leave out --coin-price"));
    }
    let price = amounts::parse_positive(token, written)?;
    CoinPrice::new(price).ok_or_else(|| Failure::new(Code::Usage, "--coin-price is nothing").hint("write 3000"))
}
