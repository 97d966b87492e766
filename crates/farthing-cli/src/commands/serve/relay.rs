//! `farthing serve --relay`: how much a creator gives for listeners without gas.

use crate::amounts;
use crate::failure::{Code, Failure};
use clap::Args;
use farthing::core::{Amount, Token};
use farthing::payee::{Redeemer, Relay, RelayLimits};

/// What of a dollar is worth a transaction unless the creator says otherwise.
const MINIMUM_OF_A_DOLLAR: &str = "5";

const WEI_PER_GWEI: u128 = 1_000_000_000;

/// Whether and from where on to relay.
#[derive(Debug, Args)]
pub(super) struct Relaying {
    /// Send deposits and withdrawals for listeners who have no gas, and pay for it from your wallet
    #[arg(long)]
    relay: bool,

    /// Relay from this amount on [default: 5 of a token that is declared to be worth a dollar]
    #[arg(long, value_name = "AMOUNT", requires = "relay")]
    relay_minimum: Option<String>,

    /// Spend at most this much of the chain's own coin a day (UTC) on relaying
    #[arg(long, value_name = "AMOUNT", requires = "relay", default_value = "0.01")]
    relay_gas_budget: String,

    /// Relay nothing that has to offer more than this for gas, in gwei
    #[arg(long, value_name = "GWEI", requires = "relay", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    relay_gas_price: u32,
}

impl Relaying {
    /// The limits, if anything is to be relayed. Checked before the wallet is opened.
    pub(super) fn limits(&self, token: &Token) -> Result<Option<RelayLimits>, Failure> {
        if !self.relay {
            return Ok(None);
        }
        let minimum = match &self.relay_minimum {
            Some(text) => amounts::parse_positive(token, text)?,
            None if token.dollar => amounts::parse_positive(token, MINIMUM_OF_A_DOLLAR)?,
            None => {
                let message =
                    format!("{} is not declared to be worth a dollar, so --relay has no default", token.symbol);
                return Err(Failure::new(Code::Usage, message).hint("say from which amount on with --relay-minimum"));
            }
        };
        let budget: Amount = amounts::parse_positive(&amounts::coin(), &self.relay_gas_budget)?;
        let gas_price_max = u128::from(self.relay_gas_price).saturating_mul(WEI_PER_GWEI);
        Ok(Some(RelayLimits { gas_price_max, ..RelayLimits::new(minimum, budget) }))
    }
}

/// Starts a relay that takes turns with the redeemer.
pub(super) async fn start(redeemer: &Redeemer, limits: Option<RelayLimits>) -> Result<Option<Relay>, Failure> {
    match limits {
        Some(limits) => Ok(Some(Relay::start(redeemer.clone(), limits).await?)),
        None => Ok(None),
    }
}
