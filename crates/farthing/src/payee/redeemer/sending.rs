//! Sends one transaction at a time: written down before it is broadcast, handed to every node, and replaced at its own
//! place while it is not mined.

use super::turns::Turn;
use super::{Patience, RedeemError, Redeemer};
use crate::chain::{ChainError, Fees, Place, SignedTransaction, succeeded};
use crate::clock;
use crate::escrow::Escrow;
use crate::payee::store::{Redemption, RedemptionState};
use alloy::rpc::types::TransactionReceipt;
use farthing_core::{AcceptedVoucher, Address, B256, ChannelId};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long it is waited at first before it is looked again whether something is mined, and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Sends during one turn, by way of one node.
pub(in crate::payee) struct Sending<'a> {
    pub(super) redeemer: &'a Redeemer,
    pub(super) turn: &'a Turn,
    /// The node that says where things stand; what is signed goes to all of them.
    pub(in crate::payee) escrow: Escrow,
    /// The other nodes.
    pub(super) others: Vec<Escrow>,
    pub(in crate::payee) sender: Address,
}

/// Where the next transaction goes, and what is in its way.
pub(in crate::payee) struct Next {
    pub(in crate::payee) nonce: u64,
    /// Earlier attempts at the same place: one of them may be mined after all.
    pub(in crate::payee) rivals: Vec<Redemption>,
    /// Channels that are on their way in a transaction which another key has sent for the same ledger.
    pub(super) elsewhere: BTreeMap<ChannelId, Elsewhere>,
}

/// A transaction of another key, which a channel is on its way with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere {
    pub(super) transaction: B256,
    pub(super) sender: Address,
}

impl Next {
    /// The place, and what has to be outbid there; at most `fee_max` wei are offered for a unit of gas.
    pub(in crate::payee) fn place(&self, fee_max: u128) -> Place {
        let rival = self.rivals.iter().map(|rival| rival.fees).reduce(Fees::max);
        Place { nonce: self.nonce, rival, fee_max }
    }
}

/// What is sent: vouchers, and whether their channel is closed with them.
pub(super) struct Purpose<'a> {
    pub(super) vouchers: &'a [AcceptedVoucher],
    pub(super) closes: bool,
}

/// A transaction that was mined at a place: the one that was sent, or an earlier attempt.
pub(super) struct Mined {
    pub(super) record: Redemption,
    pub(super) is_rival: bool,
    pub(super) receipt: TransactionReceipt,
}

impl Sending<'_> {
    /// Writes the transaction's hash down, then sends it: after a crash the record says what to look for. `None` if it is
    /// not mined within the patience: then it is to be replaced.
    pub(super) async fn send(
        &self,
        signed: SignedTransaction,
        purpose: &Purpose<'_>,
        rivals: Vec<Redemption>,
        deadline: Instant,
    ) -> Result<Option<Mined>, RedeemError> {
        let record = self.record_of(&signed, purpose);
        self.turn.note(record.clone(), RedemptionState::Sent).await?;
        let mut attempts = rivals;
        // Signed once more, without a change.
        attempts.retain(|rival| rival.hash != signed.hash);
        match self.submit(&signed).await {
            Ok(()) => attempts.push(record),
            // An earlier attempt offers as much as is reasonable, and waits.
            Err(ChainError::Underpriced { .. }) if !attempts.is_empty() => {
                self.turn.note(record, RedemptionState::Failed).await?;
            }
            // Only what can't be mined any more has failed; a silent node may still have taken it.
            Err(error @ (ChainError::Reverted { .. } | ChainError::NoGas { .. } | ChainError::Underpriced { .. })) => {
                self.turn.note(record, RedemptionState::Failed).await?;
                return Err(error.into());
            }
            // An earlier attempt was mined while this was signed, or the key was used by somebody else.
            Err(ChainError::NonceTaken { .. }) => attempts.push(record),
            Err(error) => match self.mined_of(&attempts).await {
                Ok(Some(_)) => attempts.push(record),
                _ => return Err(error.into()),
            },
        }
        let patience = Some(self.redeemer.options.patience);
        let Some(receipt) = self.wait(&attempts, patience, deadline).await? else { return Ok(None) };
        let record = self.note_mined(attempts, &receipt).await?;
        succeeded(&receipt)?;
        Ok(Some(Mined { record, is_rival: receipt.transaction_hash != signed.hash, receipt }))
    }

    fn record_of(&self, signed: &SignedTransaction, purpose: &Purpose<'_>) -> Redemption {
        let named = |voucher: &AcceptedVoucher| (voucher.voucher().channel_id, voucher.voucher().cumulative_amount);
        Redemption {
            hash: signed.hash,
            sender: self.sender,
            nonce: signed.nonce(),
            fees: signed.fees(),
            vouchers: purpose.vouchers.iter().map(named).collect(),
            closes: purpose.closes,
            at: clock::now(),
            state: RedemptionState::Sent,
        }
    }

    /// Hands it to all nodes, and returns as soon as one has it: which of them gets it into a block first is theirs to
    /// find out. If none takes it, what the node of this turn said is the reason.
    pub(in crate::payee) async fn submit(&self, signed: &SignedTransaction) -> Result<(), ChainError> {
        let mut submissions = FuturesUnordered::new();
        for (which, escrow) in self.all_nodes().cloned().enumerate() {
            let signed = signed.clone();
            // Tasks of their own: the slow ones go on when the first is done.
            let submission = tokio::spawn(async move { escrow.chain().submit(&signed).await });
            submissions.push(async move { (which, submission.await) });
        }
        let mut first_error: Option<(usize, ChainError)> = None;
        while let Some((which, submitted)) = submissions.next().await {
            match submitted {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if first_error.as_ref().is_none_or(|(earlier, _)| which < *earlier) => {
                    first_error = Some((which, error));
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Err(first_error.map_or(ChainError::ReadOnly, |(_, error)| error))
    }

    /// The node of this turn first.
    pub(super) fn all_nodes(&self) -> impl Iterator<Item = &Escrow> {
        std::iter::once(&self.escrow).chain(&self.others)
    }

    /// Waits until one of several attempts at one place is mined. `None` if so many blocks went by without any of them
    /// that it is time to offer more.
    async fn wait(
        &self,
        attempts: &[Redemption],
        patience: Option<Patience>,
        deadline: Instant,
    ) -> Result<Option<TransactionReceipt>, RedeemError> {
        let chain = self.escrow.chain();
        let begun = Instant::now();
        let mut first_block = None;
        let (mut pause, pause_max) = LOOK_AGAIN;
        loop {
            if let Some(receipt) = self.mined_of(attempts).await? {
                return Ok(Some(receipt));
            }
            if Instant::now() >= deadline {
                let hash = attempts.last().map(|attempt| attempt.hash).unwrap_or_default();
                return Err(ChainError::NotMined { hash, seconds: chain.mined_within().as_secs() }.into());
            }
            if let Some(Patience { blocks, at_least }) = patience {
                let head = chain.head().await?.number;
                let first_block = *first_block.get_or_insert(head);
                if begun.elapsed() >= at_least && head >= first_block.saturating_add(blocks) {
                    return Ok(None);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(pause_max);
        }
    }
}

impl Redeemer {
    /// Waits until one of several attempts at one place is mined, without offering more, and writes it down.
    pub(in crate::payee) async fn wait_for(
        &self,
        turn: &Turn,
        attempts: Vec<Redemption>,
    ) -> Result<(Redemption, TransactionReceipt), RedeemError> {
        let mut failed = None;
        for way in self.ways(turn)? {
            let deadline = way.deadline();
            match way.wait(&attempts, None, deadline).await {
                Ok(Some(receipt)) => return Ok((way.note_mined(attempts, &receipt).await?, receipt)),
                Err(error) if error.is_the_nodes() => self.note_failed(&way, &mut failed, error),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| ChainError::ReadOnly.into()))
    }
}
