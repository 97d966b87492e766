//! How a redeemer is doing, for people.

use super::{RedeemError, Redeemer};
use crate::clock;
use crate::payee::store::Redemption;
use farthing_core::{Address, Amount, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

/// The wallet that pays for gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GasKey {
    /// Its address.
    pub address: Address,
    /// What it holds, in wei.
    pub balance: Amount,
    /// What it should hold, in wei: several times what the next redemption costs now, for gas gets dearer when everybody
    /// wants to leave.
    pub advised: Amount,
}

impl GasKey {
    /// Whether it holds less than it should.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.balance < self.advised
    }
}

/// Who may send for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// Whether it is this redeemer; else another gateway.
    pub is_own: bool,
    /// How often it has passed to another holder.
    pub fence: u64,
    /// Until when, if it is not renewed.
    pub until: Timestamp,
}

/// How a redeemer is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedeemerStatus {
    /// The wallet that pays for gas, as it was when the whole ledger was planned over last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gas_key: Option<GasKey>,
    /// Who had the lease when it was asked for last, if it is still good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<LeaseStatus>,
    /// What was sent and is not final yet, by whichever gateway on this ledger.
    pub under_way: Vec<Redemption>,
}

impl Redeemer {
    /// How it is doing. Asks the ledger, and no node.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn status(&self) -> Result<RedeemerStatus, RedeemError> {
        let lease = self.turns.last_lease().filter(|(lease, _)| lease.until > clock::now());
        let lease = lease.map(|(lease, is_own)| LeaseStatus { is_own, fence: lease.fence, until: lease.until });
        let gas_key = *self.gas_key.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(RedeemerStatus { gas_key, lease, under_way: self.payee.store().unsettled().await? })
    }

    /// Looks at the wallet that pays for gas. `next` is what the next redemption costs now, in wei.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or no connection has a key.
    pub async fn look_at_gas_key(&self, next: Amount) -> Result<GasKey, RedeemError> {
        /// How many times the price may rise before the wallet is empty.
        const TIMES: u128 = 5;
        let escrow = self.escrow();
        let chain = escrow.chain();
        let address = chain.sender().ok_or(crate::chain::ChainError::ReadOnly)?;
        let advised = Amount::new(next.base_units().saturating_mul(TIMES));
        let key = GasKey { address, balance: chain.balance(address).await?, advised };
        *self.gas_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(key)
    }
}
