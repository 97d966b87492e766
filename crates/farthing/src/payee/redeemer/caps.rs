//! How much is offered for gas at most: little for what can wait, and for what a payer is taking away as much as it is
//! worth.

use super::due::Due;
use super::sending::Sending;
use super::{RedeemError, Skipped};
use crate::chain::ChainError;
use alloy::primitives::U256;
use farthing_core::Amount;
use farthing_core::gas::{CoinPrice, GasModel};
use farthing_core::redemption::RedemptionTerms;
use std::collections::VecDeque;

/// Wei in one coin of the chain.
const WEI_PER_COIN: u128 = 1_000_000_000_000_000_000;

/// How much more than usual is offered for what is being taken away, if nobody has said what the coin is worth.
const TAKEN_AWAY_FACTOR: u128 = 10;

/// What is offered for a unit of gas at most, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    usual: u128,
    coin: Option<CoinPrice>,
}

impl Caps {
    /// Of a redeemer without terms: what the chain asks for is paid.
    const NONE: Self = Self { usual: u128::MAX, coin: None };

    fn new(terms: RedemptionTerms, coin: Option<CoinPrice>) -> Self {
        Self { usual: terms.gas_price_max.base_units(), coin }
    }

    /// Of one transaction. Below its own worth nothing that is taken away waits for cheaper gas: there is no later.
    pub(super) fn of(self, rows: &[Due]) -> u128 {
        if rows.is_empty() || !rows.iter().all(Due::is_taken_away) {
            return self.usual;
        }
        let Some(coin) = self.coin else { return self.usual.saturating_mul(TAKEN_AWAY_FACTOR) };
        let gas = rows.iter().fold(GasModel::TRANSACTION, |gas, due| gas.saturating_add(due.gas()));
        let pays = Amount::saturating_sum(rows.iter().map(|due| due.amount));
        self.usual.max(price_that_takes_all(pays, coin, gas))
    }

    /// Takes out what waits for cheaper gas, if gas costs more than is paid for it.
    pub(super) fn sort_out(self, price: u128, due: Vec<Due>, skipped: &mut Vec<Skipped>) -> VecDeque<Due> {
        let is_too_dear = price > self.usual;
        let (stay, wait): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| !is_too_dear || due.is_taken_away());
        skipped.extend(wait.into_iter().map(|due| Skipped {
            channel_id: due.channel_id(),
            error: ChainError::TooDear { price, maximum: self.usual }.into(),
        }));
        stay.into()
    }
}

/// The price of gas at which it costs as much as the transaction pays.
fn price_that_takes_all(pays: Amount, coin: CoinPrice, gas: u64) -> u128 {
    let wei = U256::from(pays.base_units()).saturating_mul(U256::from(WEI_PER_COIN));
    let wei = wei / U256::from(coin.base_units().base_units().max(1));
    (wei / U256::from(gas.max(1))).saturating_to()
}

impl Sending<'_> {
    /// The caps of this moment.
    pub(super) async fn caps(&self) -> Result<Caps, RedeemError> {
        let Some(owner) = &self.redeemer.owner else { return Ok(Caps::NONE) };
        Ok(Caps::new(owner.terms, owner.coin_prices.read_or_warn(self.escrow.chain()).await))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_takes_no_more_than_what_is_paid() {
        let coin = CoinPrice::new(Amount::new(3_000_000_000)).expect("a price");
        // $3 at $3,000 a coin is a thousandth of it; for 100,000 gas that is 10 gwei.
        assert_eq!(price_that_takes_all(Amount::new(3_000_000), coin, 100_000), 10_000_000_000);
        assert_eq!(price_that_takes_all(Amount::new(u128::MAX), coin, 0), u128::MAX, "never wraps");
    }
}
