//! What gas costs: now, and in blocks that are past.

use super::{Chain, ChainError, Fees};
use alloy::eips::BlockNumberOrTag;
use alloy::providers::Provider;
use alloy::providers::utils::{
    EIP1559_FEE_ESTIMATION_PAST_BLOCKS, EIP1559_FEE_ESTIMATION_REWARD_PERCENTILE, eip1559_default_estimator,
};
use farthing_core::Amount;

impl Chain {
    /// What a unit of gas costs in the next block, in wei: its base fee, and the tip that a transaction of ours offers.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn gas_price(&self) -> Result<Amount, ChainError> {
        self.gas_price_near(BlockNumberOrTag::Latest, true).await
    }

    /// What it cost in a block that is past. On a chain without base fees only the present price is known, and told.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or knows nothing of that block any more.
    pub async fn gas_price_in(&self, block: u64) -> Result<Amount, ChainError> {
        self.gas_price_near(BlockNumberOrTag::Number(block), false).await
    }

    async fn gas_price_near(&self, block: BlockNumberOrTag, is_next: bool) -> Result<Amount, ChainError> {
        let percentile = [EIP1559_FEE_ESTIMATION_REWARD_PERCENTILE];
        let history = self.provider.get_fee_history(EIP1559_FEE_ESTIMATION_PAST_BLOCKS, block, &percentile).await;
        let history = history.map_err(|error| self.error(&error))?;
        // The last is that of the block after the one that was asked for.
        match history.base_fee_per_gas.iter().rev().nth(usize::from(!is_next)) {
            Some(base_fee) if *base_fee > 0 => {
                // The same tip as transactions are signed with.
                let tip = eip1559_default_estimator(0, history.reward.as_deref().unwrap_or_default());
                Ok(Amount::new(base_fee.saturating_add(tip.max_priority_fee_per_gas)))
            }
            // A chain without base fees has one price for everything, and only now's is known.
            _ => {
                let price = self.provider.get_gas_price().await.map_err(|error| self.error(&error))?;
                Ok(Amount::new(price))
            }
        }
    }

    /// What the chain asks for now.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn fees_asked(&self) -> Result<Fees, ChainError> {
        let asked = self.provider.estimate_eip1559_fees().await.map_err(|error| self.error(&error))?;
        Ok(Fees { max_fee_per_gas: asked.max_fee_per_gas, max_priority_fee_per_gas: asked.max_priority_fee_per_gas })
    }

    /// How much gas the newest block had room for.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn block_gas_limit(&self) -> Result<u64, ChainError> {
        let head = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await;
        let head = head.map_err(|error| self.error(&error))?;
        let none = || ChainError::Unreachable { url: self.url.clone(), reason: "it has no latest block".to_owned() };
        Ok(head.ok_or_else(none)?.header.gas_limit)
    }
}
