//! What gas has cost: samples of a chain's past, in a bounded number of requests.

use super::{Block, Chain, ChainError};
use alloy::eips::BlockNumberOrTag;
use farthing_core::gas::Prices;
use farthing_core::replay::Moment;
use farthing_core::{Amount, Timestamp};

/// The most samples that are taken: each costs the node two requests.
pub const SAMPLES_MAX: u64 = 2_000;

impl Chain {
    /// What gas cost at about `samples` moments since `start`, the oldest first, as evenly spread over the blocks as they
    /// can be. A chain that is younger gives what it has; so does a node that has forgotten what is older.
    ///
    /// A rollup's data fees are those of now, for a node does not tell older ones.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn fee_history(&self, start: Timestamp, samples: u64) -> Result<Vec<Moment>, ChainError> {
        let head = self.head().await?;
        let data_fees = self.data_fees().await?;
        let first = self.first_block_since(start, head).await?;
        let samples = samples.clamp(1, SAMPLES_MAX);
        // Rounded up, so that there are never more samples than were asked for.
        let step = head.number.saturating_sub(first).div_ceil(samples).max(1);
        let mut moments = Vec::new();
        let mut number = head.number;
        // From the newest on: where a node has forgotten the rest, what is newer is kept.
        loop {
            let Some((at, gas_price)) = self.moment_of(number).await? else { break };
            let (data_fee, data_fee_per_row) = (data_fees.transaction, data_fees.row);
            moments.push(Moment { at, prices: Prices { gas_price, data_fee, data_fee_per_row, coin: None } });
            match number.checked_sub(step) {
                Some(next) if next >= first => number = next,
                _ => break,
            }
        }
        moments.reverse();
        Ok(moments)
    }

    /// `None` if the node does not know the block, or what gas cost in it, any more.
    async fn moment_of(&self, number: u64) -> Result<Option<(Timestamp, Amount)>, ChainError> {
        let tag = BlockNumberOrTag::Number(number);
        let Some(block) = self.block(tag).await? else { return Ok(None) };
        match self.gas_price_in(number).await {
            Ok(gas_price) => Ok(Some((block.at, gas_price))),
            // The node answers: it only refuses this.
            Err(error) => match self.head().await {
                Ok(head) if head.number > number => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The first block that is not older than `start`, found by halving.
    async fn first_block_since(&self, start: Timestamp, head: Block) -> Result<u64, ChainError> {
        let (mut older, mut newer) = (0, head.number);
        while older < newer {
            let middle = older.midpoint(newer);
            let is_older = match self.block(BlockNumberOrTag::Number(middle)).await? {
                Some(block) => block.at < start,
                // Forgotten: as good as older.
                None => true,
            };
            if is_older {
                older = middle.saturating_add(1);
            } else {
                newer = middle;
            }
        }
        Ok(newer)
    }
}
