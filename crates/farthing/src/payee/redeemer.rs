//! Turns vouchers into money: of each channel only the highest that is due, many channels in one transaction.

use super::store::{Entry, Redemption, RedemptionState, Relayed};
use super::{Payee, StoreError};
use crate::chain::{ChainError, Fees, Place, SignedTransaction, succeeded};
use crate::clock;
use crate::escrow::{Escrow, EscrowError};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use alloy::rpc::types::TransactionReceipt;
use farthing_core::voucher::SignatureError;
use farthing_core::{AcceptedVoucher, Address, Amount, Channel, ChannelId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The most vouchers in one transaction: about a third of the gas that one transaction may use (EIP-7825).
const BATCH_MAX: usize = 500;

/// After this many channels in a row without an answer it is the chain that is silent.
const SILENT_MAX: usize = 3;

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
    #[error("only the payee {payee} and its operators can close a channel, not {sender}")]
    NotPayee {
        /// Who would send.
        sender: Address,
        /// Whose channel it is.
        payee: Address,
    },
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

/// A channel that was left out, and why. The others are not held up by it.
#[derive(Debug)]
pub struct Skipped {
    /// The channel.
    pub channel_id: ChannelId,
    /// What is wrong with it.
    pub error: RedeemError,
}

/// What is due, and of which channels that could not be said.
#[derive(Debug, Default)]
pub struct DueList {
    /// The most valuable first.
    pub due: Vec<Due>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// What a redemption of many channels did.
#[derive(Debug, Default)]
pub struct Redemptions {
    /// The transactions, in the order sent.
    pub done: Vec<Redeemed>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// What one transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redeemed {
    /// The transaction.
    pub transaction: B256,
    /// How many vouchers were in it.
    pub vouchers: usize,
    /// What it paid to the payee, as the chain shows it once the transaction is mined.
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

/// Redeems for one payee. Anyone can send a redemption; closing needs the payee's key, or an operator's.
///
/// A transaction that is not mined in time is not forgotten: the next redemption or close finds out what became of it
/// and, if it still waits, takes its place with a better offer. So of two attempts one at most is ever mined. What the
/// first would have done and the second doesn't stays to be done.
///
/// Clones take turns, so that none sends what another is about to.
#[derive(Clone, Debug)]
pub struct Redeemer {
    pub(super) payee: Payee,
    pub(super) escrow: Escrow,
    pub(super) turns: Arc<Mutex<()>>,
}

/// Where the next transaction goes.
pub(super) struct Turn {
    pub(super) place: Place,
    /// Earlier attempts at the same place: one of them may be mined after all.
    pub(super) rivals: Vec<Redemption>,
}

/// A transaction that was mined at a place: the one that was sent, or an earlier attempt.
struct Settled {
    record: Redemption,
    is_rival: bool,
    redeemed: Redeemed,
}

impl Redeemer {
    /// A redeemer that sends over `escrow`'s connection.
    #[must_use]
    pub fn new(payee: Payee, escrow: Escrow) -> Self {
        Self { payee, escrow, turns: Arc::default() }
    }

    /// The escrow that it sends to.
    #[must_use]
    pub const fn escrow(&self) -> &Escrow {
        &self.escrow
    }

    /// The voucher to redeem of each channel and what it would pay now. A channel that is damaged, or that the chain
    /// fails at, is skipped.
    ///
    /// # Errors
    ///
    /// If the chain does not answer again and again, or the ledger can't be read.
    pub async fn due(&self) -> Result<DueList, RedeemError> {
        self.due_among(None).await
    }

    /// The same of some channels only, or of all.
    async fn due_among(&self, some: Option<&[ChannelId]>) -> Result<DueList, RedeemError> {
        let channels: Vec<(ChannelId, Result<Channel, RedeemError>)> = match some {
            Some(ids) => {
                let mut channels = Vec::with_capacity(ids.len());
                for id in ids {
                    channels.push((*id, self.channel(*id).await));
                }
                channels
            }
            None => {
                let books = self.payee.store().all_books().await?;
                books.into_iter().map(|(id, books)| (id, Ok(books.channel))).collect()
            }
        };
        let mut list = DueList::default();
        let mut silent = 0;
        for (channel_id, channel) in channels {
            let due = match channel {
                Ok(channel) => self.due_of(channel_id, &channel, false).await,
                Err(error) => Err(error),
            };
            let is_silent = matches!(due, Err(RedeemError::Escrow(EscrowError::Chain(ChainError::Unreachable { .. }))));
            silent = if is_silent { silent + 1 } else { 0 };
            match due {
                Ok(due) => list.due.extend(due),
                // Each may have taken as long as a request can.
                Err(error) if silent >= SILENT_MAX => return Err(error),
                Err(error) => list.skipped.push(Skipped { channel_id, error }),
            }
        }
        list.due.sort_by_key(|due| std::cmp::Reverse(due.amount));
        Ok(list)
    }

    async fn channel(&self, channel_id: ChannelId) -> Result<Channel, RedeemError> {
        let books = self.payee.store().books(channel_id).await?;
        Ok(books.ok_or(RedeemError::UnknownChannel { channel_id })?.channel)
    }

    async fn due_of(&self, channel_id: ChannelId, channel: &Channel, closes: bool) -> Result<Option<Due>, RedeemError> {
        let funds = self.escrow.funds_of(channel, BlockNumberOrTag::Latest).await?;
        let store = self.payee.store();
        // A reservation that is about to leave takes with it what no voucher at or below the debt covers.
        let leaving = closes || funds.channel.close_at.is_some();
        let last_resort = if leaving { store.last_resort(channel_id).await? } else { None };
        let charge = match last_resort {
            Some(charge) => charge,
            None => match store.redeemable(channel_id).await? {
                Some(charge) => charge,
                None => return Ok(None),
            },
        };
        let voucher = charge
            .voucher(channel, self.payee.domain())
            .map_err(|reason| RedeemError::Damaged { channel_id, reason })?;
        // One that no row has room for would fail a whole batch.
        farthing_core::batch::pack_rows([&voucher]).map_err(EscrowError::from)?;
        // Redeemed at the head but not final yet: on its way, not to be sent twice.
        let owed = charge.cumulative_amount.saturating_sub(funds.channel.redeemed);
        let amount = owed.min(funds.channel.reserved.saturating_add(funds.account_balance));
        Ok((!amount.is_zero()).then_some(Due { voucher, amount, owed }))
    }

    /// Redeems the highest voucher that is due of every channel. One transaction for up to 500 channels.
    ///
    /// Channels of one account share its balance; what one takes first, another lacks, and the escrow keeps it owed.
    /// What [`Redeemer::due`] skips is left out.
    ///
    /// # Errors
    ///
    /// If a transaction fails, the chain does not answer, or there is nothing but what was skipped; then the error is
    /// the first channel's. What was sent before stays sent.
    ///
    /// # Cancel safety
    ///
    /// What was sent stays sent, and the next call finds it.
    pub async fn redeem(&self) -> Result<Redemptions, RedeemError> {
        self.redeem_among(None).await
    }

    /// The same of some channels only: each more costs its share of gas, whether or not it is worth that.
    ///
    /// # Errors
    ///
    /// As [`Redeemer::redeem`]. A channel that is not in the ledger is skipped.
    ///
    /// # Cancel safety
    ///
    /// As [`Redeemer::redeem`].
    pub async fn redeem_channels(&self, channels: &[ChannelId]) -> Result<Redemptions, RedeemError> {
        self.redeem_among(Some(channels)).await
    }

    async fn redeem_among(&self, some: Option<&[ChannelId]>) -> Result<Redemptions, RedeemError> {
        let _turn = self.turns.lock().await;
        let mut redemptions = Redemptions::default();
        while self.redeem_once(some, &mut redemptions).await? {}
        if redemptions.done.is_empty() && !redemptions.skipped.is_empty() {
            return Err(redemptions.skipped.swap_remove(0).error);
        }
        Ok(redemptions)
    }

    /// Returns whether an earlier attempt was mined instead of a new one: then something else is due than was thought.
    async fn redeem_once(
        &self,
        some: Option<&[ChannelId]>,
        redemptions: &mut Redemptions,
    ) -> Result<bool, RedeemError> {
        // Before looking at what is due: if an earlier attempt is mined after that, this place is taken, and what it
        // paid can't be sent a second time.
        let mut turn = Some(self.reconcile().await?);
        let DueList { due, skipped } = self.due_among(some).await?;
        redemptions.skipped = skipped;
        for batch in due.chunks(BATCH_MAX) {
            let turn = match turn.take() {
                Some(turn) => turn,
                None => self.reconcile().await?,
            };
            let vouchers: Vec<AcceptedVoucher> = batch.iter().map(|due| due.voucher).collect();
            let channels = self.channels_of(&vouchers, &turn.rivals).await?;
            let before = self.redeemed_at_head(&channels).await?;
            let signed = self.escrow.sign_redemption(&vouchers, turn.place).await?;
            let Settled { mut redeemed, is_rival, record } = self.send(signed, &vouchers, false, turn.rivals).await?;
            if record.is_relayed() {
                return Ok(true);
            }
            redeemed.paid = match self.redeemed_at_head(&channels).await {
                Ok(after) => after.saturating_sub(before),
                Err(error) => {
                    tracing::warn!(%error, transaction = %redeemed.transaction, "mined; what it paid can't be read");
                    Amount::saturating_sum(batch.iter().map(|due| due.amount))
                }
            };
            redemptions.done.push(redeemed);
            if is_rival {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Redeems what a channel owes and gives its unused reservation back to the payer, in one transaction.
    ///
    /// # Errors
    ///
    /// If the sender is neither the payee nor its operator, nothing is reserved, or the transaction fails.
    ///
    /// # Cancel safety
    ///
    /// As [`Redeemer::redeem`].
    pub async fn close(&self, channel_id: ChannelId) -> Result<Redeemed, RedeemError> {
        let sender = self.escrow.chain().sender().ok_or(ChainError::ReadOnly)?;
        let payee = self.payee.address();
        if sender != payee && !self.escrow.is_operator(payee, sender).await? {
            return Err(RedeemError::NotPayee { sender, payee });
        }
        let channel = self.channel(channel_id).await?;
        let _turn = self.turns.lock().await;
        loop {
            let turn = self.reconcile().await?;
            let before = self.escrow.funds_of(&channel, BlockNumberOrTag::Latest).await?;
            let due = self.due_of(channel_id, &channel, true).await?;
            let voucher = due.as_ref().map(|due| due.voucher);
            let signed = self.escrow.sign_close(&channel, voucher.as_ref(), turn.place).await?;
            let vouchers: Vec<AcceptedVoucher> = voucher.into_iter().collect();
            let settled = self.send(signed, &vouchers, true, turn.rivals).await?;
            let mut closed = settled.redeemed;
            let after = self.escrow.funds_of(&channel, BlockNumberOrTag::Number(closed.block)).await?;
            let closes = settled.record.closes && settled.record.vouchers.iter().all(|(id, _)| *id == channel_id);
            if settled.is_rival && !(closes && after.channel.reserved.is_zero()) {
                // An earlier attempt at something else was mined; this one's turn is next.
                continue;
            }
            closed.paid = after.channel.redeemed.saturating_sub(before.channel.redeemed);
            closed.refunded = before.channel.reserved.saturating_sub(closed.paid.min(before.channel.reserved));
            return Ok(closed);
        }
    }

    /// Finds out what became of everything that was sent, writes it down, and says where the next transaction goes: to
    /// the place of one that still waits or was dropped, so that nothing ever queues behind what is stuck.
    pub(super) async fn reconcile(&self) -> Result<Turn, RedeemError> {
        let chain = self.escrow.chain();
        let sender = chain.sender().ok_or(ChainError::ReadOnly)?;
        // Before the receipts: what is not found after that, although its nonce is taken, is nowhere.
        let mined = chain.transactions_of(sender).await?;
        let mut sent: BTreeMap<u64, Vec<Redemption>> = BTreeMap::new();
        for record in self.payee.store().redemptions().await? {
            if record.state == RedemptionState::Sent && record.sender == sender {
                sent.entry(record.nonce).or_default().push(record);
            }
        }
        let mut waiting = BTreeMap::new();
        for (nonce, attempts) in sent {
            if let Some(receipt) = self.receipt_of(&attempts).await? {
                self.settle(attempts, &receipt).await?;
            } else if nonce < mined {
                for attempt in attempts {
                    self.note(attempt, RedemptionState::Failed).await?;
                }
            } else {
                waiting.insert(nonce, attempts);
            }
        }
        // The next nonce is the lower one if something below was dropped: what waits above it can't be mined either.
        let next = chain.next_nonce_of(sender).await?;
        let nonce = waiting.keys().next().map_or(next, |nonce| next.min(*nonce));
        let rivals = waiting.remove(&nonce).unwrap_or_default();
        let rival = rivals.iter().map(|rival| rival.fees).reduce(Fees::max);
        Ok(Turn { place: Place { nonce, rival }, rivals })
    }

    /// Writes the transaction's hash down, then sends it: after a crash the record says what to look for.
    async fn send(
        &self,
        signed: SignedTransaction,
        vouchers: &[AcceptedVoucher],
        closes: bool,
        rivals: Vec<Redemption>,
    ) -> Result<Settled, RedeemError> {
        let chain = self.escrow.chain();
        let record = Redemption {
            hash: signed.hash,
            sender: chain.sender().ok_or(ChainError::ReadOnly)?,
            nonce: signed.nonce(),
            fees: signed.fees(),
            vouchers: vouchers
                .iter()
                .map(|voucher| (voucher.voucher().channel_id, voucher.voucher().cumulative_amount))
                .collect(),
            closes,
            at: clock::now(),
            state: RedemptionState::Sent,
        };
        self.note(record.clone(), RedemptionState::Sent).await?;
        let mut attempts = rivals;
        // Signed once more, without a change.
        attempts.retain(|rival| rival.hash != signed.hash);
        match chain.submit(&signed).await {
            Ok(()) => attempts.push(record),
            // An earlier attempt offers as much as is reasonable, and waits.
            Err(ChainError::Underpriced { .. }) if !attempts.is_empty() => {
                self.note(record, RedemptionState::Failed).await?;
            }
            // Only what can't be mined any more has failed; a silent node may still have taken it.
            Err(error @ (ChainError::Reverted { .. } | ChainError::NoGas { .. } | ChainError::Underpriced { .. })) => {
                self.note(record, RedemptionState::Failed).await?;
                return Err(error.into());
            }
            // The place may have been taken while this was signed.
            Err(error) => match self.receipt_of(&attempts).await {
                Ok(Some(_)) => attempts.push(record),
                _ => return Err(error.into()),
            },
        }
        let hashes: Vec<B256> = attempts.iter().map(|attempt| attempt.hash).collect();
        let receipt = chain.wait_for_any(&hashes).await?;
        let settled = self.settle(attempts, &receipt).await?;
        succeeded(&receipt)?;
        let (transaction, block) = (receipt.transaction_hash, receipt.block_number.unwrap_or_default());
        let redeemed = Redeemed {
            transaction,
            vouchers: settled.vouchers.len(),
            paid: Amount::ZERO,
            refunded: Amount::ZERO,
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
            block,
        };
        Ok(Settled { record: settled, is_rival: transaction != signed.hash, redeemed })
    }

    /// What became of whichever of several attempts at one place was mined, if one was.
    async fn receipt_of(&self, attempts: &[Redemption]) -> Result<Option<TransactionReceipt>, RedeemError> {
        for attempt in attempts {
            if let Some(receipt) = self.escrow.chain().receipt(attempt.hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Writes down which of several attempts at one place was mined, and that the others can't be any more.
    pub(super) async fn settle(
        &self,
        attempts: Vec<Redemption>,
        receipt: &TransactionReceipt,
    ) -> Result<Redemption, RedeemError> {
        let mut mined = None;
        for attempt in attempts {
            let state = if attempt.hash == receipt.transaction_hash && receipt.status() {
                RedemptionState::Mined {
                    block: receipt.block_number.unwrap_or_default(),
                    gas_used: receipt.gas_used,
                    gas_price: receipt.effective_gas_price,
                }
            } else {
                RedemptionState::Failed
            };
            if attempt.hash == receipt.transaction_hash {
                mined = Some(attempt.clone());
            }
            if attempt.is_relayed() {
                self.note_relay_cost(attempt.hash, receipt).await?;
            }
            self.note(attempt, state).await?;
        }
        mined.ok_or_else(|| EscrowError::Answer("a receipt of another transaction".to_owned()).into())
    }

    /// Puts right what was set aside for relaying: a transaction that reverts costs its gas all the same, and one whose
    /// place another one took costs nothing.
    async fn note_relay_cost(&self, hash: B256, receipt: &TransactionReceipt) -> Result<(), RedeemError> {
        let Some(relayed) = self.payee.store().relayed_in(hash).await? else { return Ok(()) };
        let paid = u128::from(receipt.gas_used).saturating_mul(receipt.effective_gas_price);
        let cost = if hash == receipt.transaction_hash { Amount::new(paid) } else { Amount::ZERO };
        self.payee.writer().write(Entry::Relayed(Relayed { cost, ..relayed })).await?;
        Ok(())
    }

    pub(super) async fn note(&self, record: Redemption, state: RedemptionState) -> Result<(), RedeemError> {
        let redemption = Redemption { state, ..record };
        self.payee.writer().write(Entry::Redemption { redemption, fence: None }).await?;
        Ok(())
    }

    /// The channels of the vouchers and of the earlier attempts, each once.
    async fn channels_of(
        &self,
        vouchers: &[AcceptedVoucher],
        rivals: &[Redemption],
    ) -> Result<Vec<Channel>, RedeemError> {
        let mut channels: BTreeMap<ChannelId, Channel> =
            vouchers.iter().map(|voucher| (voucher.voucher().channel_id, *voucher.channel())).collect();
        for (channel_id, _) in rivals.iter().flat_map(|rival| &rival.vouchers) {
            if let Some(books) = self.payee.store().books(*channel_id).await? {
                channels.insert(*channel_id, books.channel);
            }
        }
        Ok(channels.into_values().collect())
    }

    async fn redeemed_at_head(&self, channels: &[Channel]) -> Result<Amount, RedeemError> {
        let mut sum = Amount::ZERO;
        for channel in channels {
            let funds = self.escrow.funds_of(channel, BlockNumberOrTag::Latest).await?;
            sum = sum.saturating_add(funds.channel.redeemed);
        }
        Ok(sum)
    }
}
