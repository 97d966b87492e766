//! Turns vouchers into money: of each channel only the highest that is due, many channels in one transaction.

use super::store::{Entry, Redemption, RedemptionState};
use super::{Payee, StoreError};
use crate::chain::{ChainError, SignedTransaction};
use crate::clock;
use crate::escrow::{Escrow, EscrowError};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use farthing_core::voucher::SignatureError;
use farthing_core::{AcceptedVoucher, Amount, Channel, ChannelId};
use serde::Serialize;

/// The most vouchers in one transaction: about a third of the gas that one transaction may use (EIP-7825).
const BATCH_MAX: usize = 500;

/// Thrown when vouchers can't be redeemed. What was sent is on record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The chain, or the contract's refusal.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry of the ledger is damaged.
    #[error("the voucher stored for channel {channel_id} is damaged: {reason}")]
    Damaged {
        /// The channel.
        channel_id: ChannelId,
        /// What is wrong with it.
        reason: SignatureError,
    },
    /// Nobody was ever served on this channel.
    #[error("channel {channel_id} is not in the ledger")]
    UnknownChannel {
        /// The channel.
        channel_id: ChannelId,
    },
    /// The connection sends as somebody else.
    #[error("only the payee can close a channel")]
    NotPayee,
}

impl From<ChainError> for RedeemError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}

/// What one voucher is worth on the chain now.
#[derive(Clone, Debug)]
pub struct Due {
    /// The highest voucher that is due.
    pub voucher: AcceptedVoucher,
    /// What redeeming it pays now.
    pub amount: Amount,
    /// What it would pay if the money behind it were there.
    pub owed: Amount,
}

/// What one transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redeemed {
    /// The transaction.
    pub transaction: B256,
    /// How many vouchers were in it.
    pub vouchers: usize,
    /// What it paid to the payee. What the chain holds counts; this is what the views promised.
    pub paid: Amount,
    /// What it gave back to payers.
    pub refunded: Amount,
    /// Gas used.
    pub gas_used: u64,
    /// Wei per unit of gas.
    pub gas_price: u128,
    /// The block it is in.
    pub block: u64,
}

/// Redeems for one payee. Anyone can send a redemption; closing needs the payee's key.
#[derive(Clone, Debug)]
pub struct Redeemer {
    payee: Payee,
    escrow: Escrow,
}

impl Redeemer {
    /// A redeemer that sends over `escrow`'s connection.
    #[must_use]
    pub const fn new(payee: Payee, escrow: Escrow) -> Self {
        Self { payee, escrow }
    }

    /// The voucher to redeem of each channel and what it would pay now, the most valuable first.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or the ledger can't be read or is damaged.
    pub async fn due(&self) -> Result<Vec<Due>, RedeemError> {
        let mut all = Vec::new();
        for (channel_id, books) in self.payee.store().all_books()? {
            if let Some(due) = self.due_of(channel_id, &books.channel, false).await? {
                all.push(due);
            }
        }
        all.sort_by_key(|due| std::cmp::Reverse(due.amount));
        Ok(all)
    }

    async fn due_of(&self, channel_id: ChannelId, channel: &Channel, closes: bool) -> Result<Option<Due>, RedeemError> {
        let funds = self.escrow.funds_of(channel, BlockNumberOrTag::Latest).await?;
        let store = self.payee.store();
        // A reservation that is about to leave takes with it what no voucher at or below the debt covers.
        let leaving = closes || funds.channel.close_at.is_some();
        let last_resort = if leaving { store.last_resort(channel_id)? } else { None };
        let charge = match last_resort {
            Some(charge) => charge,
            None => match store.redeemable(channel_id)? {
                Some(charge) => charge,
                None => return Ok(None),
            },
        };
        let voucher = charge
            .voucher(channel, self.payee.domain())
            .map_err(|reason| RedeemError::Damaged { channel_id, reason })?;
        // Redeemed at the head but not final yet: on its way, not to be sent twice.
        let owed = charge.cumulative_amount.saturating_sub(funds.channel.redeemed);
        let amount = owed.min(funds.channel.reserved.saturating_add(funds.account_balance));
        Ok((!amount.is_zero()).then_some(Due { voucher, amount, owed }))
    }

    /// Redeems the highest voucher that is due of every channel. One transaction for up to 500 channels.
    ///
    /// Channels of one account share its balance; what one takes first, another lacks, and the escrow keeps it owed.
    ///
    /// # Errors
    ///
    /// If a transaction fails or the chain does not answer. What was sent before stays sent.
    pub async fn redeem(&self) -> Result<Vec<Redeemed>, RedeemError> {
        let due = self.due().await?;
        let mut done = Vec::new();
        for batch in due.chunks(BATCH_MAX) {
            let vouchers: Vec<AcceptedVoucher> = batch.iter().map(|due| due.voucher).collect();
            let before = self.redeemed_at_head(&vouchers).await?;
            let signed = self.escrow.sign_redemption(&vouchers).await?;
            let mut redeemed = self.send(signed, &vouchers, false).await?;
            redeemed.paid = self.redeemed_at_head(&vouchers).await?.saturating_sub(before);
            done.push(redeemed);
        }
        Ok(done)
    }

    /// Redeems what a channel owes and gives its unused reservation back to the payer, in one transaction.
    ///
    /// # Errors
    ///
    /// If the sender is not the payee, nothing is reserved, or the transaction fails.
    pub async fn close(&self, channel_id: ChannelId) -> Result<Redeemed, RedeemError> {
        if self.escrow.chain().sender() != Some(self.payee.address()) {
            return Err(RedeemError::NotPayee);
        }
        let books = self.payee.store().books(channel_id)?;
        let channel = books.ok_or(RedeemError::UnknownChannel { channel_id })?.channel;
        let before = self.escrow.funds_of(&channel, BlockNumberOrTag::Latest).await?;
        let due = self.due_of(channel_id, &channel, true).await?;
        let voucher = due.as_ref().map(|due| due.voucher);
        let signed = self.escrow.sign_close(&channel, voucher.as_ref()).await?;
        let vouchers: Vec<AcceptedVoucher> = voucher.into_iter().collect();
        let mut closed = self.send(signed, &vouchers, true).await?;
        let after = self.escrow.funds_of(&channel, BlockNumberOrTag::Number(closed.block)).await?;
        closed.paid = after.channel.redeemed.saturating_sub(before.channel.redeemed);
        closed.refunded = before.channel.reserved.saturating_sub(closed.paid.min(before.channel.reserved));
        Ok(closed)
    }

    /// Writes the transaction's hash down, then sends it: after a crash the record says what to look for.
    async fn send(
        &self,
        signed: SignedTransaction,
        vouchers: &[AcceptedVoucher],
        closes: bool,
    ) -> Result<Redeemed, RedeemError> {
        let mut record = Redemption {
            hash: signed.hash,
            nonce: signed.nonce(),
            vouchers: vouchers
                .iter()
                .map(|voucher| (voucher.voucher().channel_id, voucher.voucher().cumulative_amount))
                .collect(),
            closes,
            at: clock::now(),
            state: RedemptionState::Sent,
        };
        self.payee.writer().write(Entry::Redemption(record.clone())).await?;
        let receipt = match self.escrow.chain().broadcast(signed).await {
            Ok(receipt) => receipt,
            Err(error) => {
                // Only what can't be mined any more has failed; a silent node may still have taken it.
                if matches!(error, ChainError::Reverted { .. } | ChainError::NoGas { .. }) {
                    record.state = RedemptionState::Failed;
                    self.payee.writer().write(Entry::Redemption(record)).await?;
                }
                return Err(error.into());
            }
        };
        let block = receipt.block_number.unwrap_or_default();
        let (gas_used, gas_price) = (receipt.gas_used, receipt.effective_gas_price);
        record.state = RedemptionState::Mined { block, gas_used, gas_price };
        self.payee.writer().write(Entry::Redemption(record)).await?;
        Ok(Redeemed {
            transaction: receipt.transaction_hash,
            vouchers: vouchers.len(),
            paid: Amount::ZERO,
            refunded: Amount::ZERO,
            gas_used,
            gas_price,
            block,
        })
    }

    async fn redeemed_at_head(&self, vouchers: &[AcceptedVoucher]) -> Result<Amount, RedeemError> {
        let mut sum = Amount::ZERO;
        for voucher in vouchers {
            let funds = self.escrow.funds_of(voucher.channel(), BlockNumberOrTag::Latest).await?;
            sum = sum.saturating_add(funds.channel.redeemed);
        }
        Ok(sum)
    }
}
