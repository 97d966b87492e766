//! Finds out what became of what was sent. Until a block is final a reorg may undo it, so until then every attempt at a
//! place in the sender's order stays open: the one that was mined, and those that were not.

use super::RedeemError;
use super::sending::{Elsewhere, Next, Sending};
use crate::chain::Chain;
use crate::clock;
use crate::payee::store::{Entry, Redemption, RedemptionState, Relayed};
use alloy::eips::BlockNumberOrTag;
use alloy::rpc::types::TransactionReceipt;
use farthing_core::{Address, Amount, B256, ChannelId};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long another key's transaction counts as on its way. Whoever sent it replaces it long before, and writes that
/// down; one that died must not keep a channel from being redeemed for longer.
const UNDER_WAY_SECONDS: u64 = 600;

/// How long the other nodes may take to confirm or deny what one of them says.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// Attempts at the same place of the same sender.
type Places = BTreeMap<(Address, u64), Vec<Redemption>>;

impl Sending<'_> {
    /// Finds out what became of everything that is not settled, writes it down, and says where the next transaction
    /// goes: to the place of one that still waits or was dropped, so that nothing ever queues behind what is stuck.
    pub(in crate::payee) async fn settle(&self) -> Result<Next, RedeemError> {
        let chain = self.escrow.chain();
        let mut places = Places::new();
        for record in self.redeemer.payee.store().unsettled().await? {
            places.entry((record.sender, record.nonce)).or_default().push(record);
        }
        // Before the receipts: what is not found after that, although its nonce is taken, is nowhere.
        let mined = chain.transactions_of(self.sender).await?;
        let final_counts = self.final_counts(places.keys().map(|(sender, _)| *sender).collect()).await;
        let final_block = if places.is_empty() { 0 } else { self.final_block().await };
        let mut waiting = BTreeMap::new();
        let mut elsewhere = BTreeMap::new();
        for ((sender, nonce), attempts) in places {
            if let Some(receipt) = self.mined_of(&attempts).await? {
                self.note_mined_by(attempts, &receipt, final_block).await?;
            } else if final_counts.get(&sender).is_some_and(|count| nonce < *count) {
                // Somebody else's use of the key took the place, for good.
                for attempt in attempts {
                    self.drop_attempt(attempt).await?;
                }
            } else {
                let attempts = self.reopen(attempts).await?;
                if sender != self.sender {
                    elsewhere.extend(under_way(&attempts));
                } else if nonce >= mined {
                    waiting.insert(nonce, attempts);
                }
            }
        }
        // The next nonce is the lower one if something below was dropped: what waits above it can't be mined either.
        let next = chain.next_nonce_of(self.sender).await?;
        let nonce = waiting.keys().next().map_or(next, |nonce| next.min(*nonce));
        Ok(Next { nonce, rivals: waiting.remove(&nonce).unwrap_or_default(), elsewhere })
    }

    /// What became of whichever of several attempts at one place was mined, if one was: as the node of this turn says it,
    /// and no other denies it that has seen the same block. One that claims what never was must not end the effort.
    pub(super) async fn mined_of(&self, attempts: &[Redemption]) -> Result<Option<TransactionReceipt>, RedeemError> {
        for attempt in attempts {
            let Some(receipt) = self.escrow.chain().receipt(attempt.hash).await? else { continue };
            let denials = self.others.iter().map(|other| denies(other.chain(), &receipt));
            if join_all(denials).await.into_iter().any(|denied| denied) {
                tracing::warn!(
                    transaction = %attempt.hash, node = self.escrow.chain().origin(),
                    "the node says that it is mined, and another one that has seen its block does not"
                );
                continue;
            }
            return Ok(Some(receipt));
        }
        Ok(None)
    }

    /// The last block that every node which answers calls final: good news counts late.
    async fn final_block(&self) -> u64 {
        let finals = self
            .all_nodes()
            .map(|node| tokio::time::timeout(CONFIRM_WITHIN, node.chain().block(BlockNumberOrTag::Finalized)));
        let finals = join_all(finals).await.into_iter().flatten().flatten();
        finals.map(|block| block.map_or(0, |block| block.number)).min().unwrap_or_default()
    }

    /// How many transactions of each sender are final, as far as every node that answers says so.
    async fn final_counts(&self, senders: BTreeSet<Address>) -> BTreeMap<Address, u64> {
        let counts = senders.into_iter().map(|sender| async move {
            let asked = self
                .all_nodes()
                .map(|node| tokio::time::timeout(CONFIRM_WITHIN, node.chain().final_transactions_of(sender)));
            let counts = join_all(asked).await.into_iter().flatten().flatten();
            counts.min().map(|count| (sender, count))
        });
        join_all(counts).await.into_iter().flatten().collect()
    }

    /// Writes down which of several attempts at one place was mined.
    pub(in crate::payee) async fn note_mined(
        &self,
        attempts: Vec<Redemption>,
        receipt: &TransactionReceipt,
    ) -> Result<Redemption, RedeemError> {
        let final_block = self.final_block().await;
        self.note_mined_by(attempts, receipt, final_block).await
    }

    async fn note_mined_by(
        &self,
        attempts: Vec<Redemption>,
        receipt: &TransactionReceipt,
        final_block: u64,
    ) -> Result<Redemption, RedeemError> {
        let (block, gas_used) = (receipt.block_number.unwrap_or(u64::MAX), receipt.gas_used);
        let gas_price = receipt.effective_gas_price;
        let is_final = block <= final_block;
        let mut mined = None;
        for attempt in attempts {
            let is_it = attempt.hash == receipt.transaction_hash;
            let state = match (is_it && receipt.status(), is_final) {
                (true, true) => RedemptionState::Final { block, gas_used, gas_price },
                (true, false) => RedemptionState::Mined { block, gas_used, gas_price },
                // It reverted, or lost its place.
                (false, true) => RedemptionState::Failed,
                // A reorg may still let it be mined after all.
                (false, false) => RedemptionState::Sent,
            };
            if attempt.is_relayed() {
                self.note_relay_cost(attempt.hash, receipt).await?;
            }
            self.note_if_new(&attempt, state).await?;
            if is_it {
                mined = Some(attempt);
            }
        }
        mined.ok_or_else(|| crate::escrow::EscrowError::Answer("a receipt of another transaction".to_owned()).into())
    }

    /// What no block has any more is where it was before it was mined.
    async fn reopen(&self, attempts: Vec<Redemption>) -> Result<Vec<Redemption>, RedeemError> {
        let mut open = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            if let RedemptionState::Mined { block, .. } = attempt.state {
                let transaction = attempt.hash;
                tracing::warn!(%transaction, block, "a reorg has undone a redemption; it is tried again");
            }
            self.note_if_new(&attempt, RedemptionState::Sent).await?;
            open.push(Redemption { state: RedemptionState::Sent, ..attempt });
        }
        Ok(open)
    }

    /// Nothing of it can be mined any more.
    async fn drop_attempt(&self, attempt: Redemption) -> Result<(), RedeemError> {
        if let Some(relayed) = self.redeemer.payee.store().relayed_in(attempt.hash).await? {
            self.write_relay_cost(relayed, Amount::ZERO).await?;
        }
        self.turn.note(attempt, RedemptionState::Failed).await
    }

    async fn note_if_new(&self, attempt: &Redemption, state: RedemptionState) -> Result<(), RedeemError> {
        if attempt.state == state {
            return Ok(());
        }
        self.turn.note(attempt.clone(), state).await
    }

    /// Puts right what was set aside for relaying: a transaction that reverts costs its gas all the same, and one whose
    /// place another one took costs nothing. Done anew when a reorg has made it another one.
    async fn note_relay_cost(&self, hash: B256, receipt: &TransactionReceipt) -> Result<(), RedeemError> {
        let Some(relayed) = self.redeemer.payee.store().relayed_in(hash).await? else { return Ok(()) };
        let cost = if hash == receipt.transaction_hash {
            let gas = u128::from(receipt.gas_used).saturating_mul(receipt.effective_gas_price);
            Amount::new(gas).saturating_add(self.escrow.chain().data_fee_paid(hash).await?)
        } else {
            Amount::ZERO
        };
        self.write_relay_cost(relayed, cost).await
    }

    async fn write_relay_cost(&self, relayed: Relayed, cost: Amount) -> Result<(), RedeemError> {
        if relayed.cost != cost {
            self.redeemer.payee.writer().write(Entry::Relayed(Relayed { cost, ..relayed })).await?;
        }
        Ok(())
    }
}

/// Whether a node has seen the block that a transaction is said to be in, and not the transaction. One that does not
/// answer denies nothing.
async fn denies(chain: &Chain, receipt: &TransactionReceipt) -> bool {
    let asked = tokio::time::timeout(CONFIRM_WITHIN, async {
        // The head first: a block that comes in between must not look as if it lacked what it has.
        let head = chain.head().await?.number;
        Ok::<_, crate::chain::ChainError>((head, chain.receipt(receipt.transaction_hash).await?))
    });
    match asked.await {
        Ok(Ok((head, None))) => receipt.block_number.is_some_and(|block| head >= block),
        _ => false,
    }
}

/// The channels that another key's attempts are about to redeem.
fn under_way(attempts: &[Redemption]) -> Vec<(ChannelId, Elsewhere)> {
    let now = clock::now();
    let fresh = attempts.iter().filter(|attempt| now.seconds_since(attempt.at) < UNDER_WAY_SECONDS);
    let named = fresh.flat_map(|attempt| {
        let other = Elsewhere { transaction: attempt.hash, sender: attempt.sender };
        attempt.vouchers.iter().map(move |(channel_id, _)| (*channel_id, other))
    });
    named.collect()
}
