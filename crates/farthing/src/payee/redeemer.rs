//! Turns vouchers into money: of each channel only the highest that is due, many channels in one transaction.
//!
//! Whoever sends waits for its turn (`turns`), finds out what became of what was sent before (`settling`), takes what is
//! due (`due`) in batches of what would really be paid (`batches`), and writes each transaction down before it is
//! broadcast (`sending`). All that happens by itself in `running`.

mod batches;
mod caps;
mod due;
mod error;
mod paid;
mod running;
mod sending;
mod settling;
mod status;
mod turns;

pub use due::{Due, DueList};
pub use error::RedeemError;
pub use running::Runner;
pub use status::{GasKey, LeaseStatus, RedeemerStatus};

use super::Payee;
use super::coin_price::{CoinPrices, RedemptionOptions};
use super::nodes::Nodes;
use super::store::Redemption;
use crate::chain::ChainError;
use crate::escrow::Escrow;
use alloy::eips::BlockNumberOrTag;
use batches::{fill, gas_limit, gas_room, is_too_little_gas, vouchers};
use farthing_core::redemption::RedemptionTerms;
use farthing_core::{Amount, B256, Channel, ChannelId, Token};
use paid::moved_in;
pub(super) use sending::Sending;
use sending::{Mined, Purpose};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
pub(super) use turns::Turn;
use turns::Turns;

/// A channel that was left out, and why. The others are not held up by it.
#[derive(Debug)]
pub struct Skipped {
    /// The channel.
    pub channel_id: ChannelId,
    /// What is wrong with it.
    pub error: RedeemError,
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

impl Redeemed {
    fn of(mined: &Mined) -> Self {
        let Mined { record, receipt, .. } = mined;
        Self {
            transaction: receipt.transaction_hash,
            vouchers: record.vouchers.len(),
            paid: Amount::ZERO,
            refunded: Amount::ZERO,
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
            block: receipt.block_number.unwrap_or_default(),
        }
    }
}

/// How long a transaction may stay without a block before more is offered for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// So many blocks have to go by without it: while there are none, nothing is gained by offering more.
    pub blocks: u64,
    /// And so much time: on some chains blocks come faster than a transaction gets around.
    pub at_least: Duration,
}

impl Patience {
    /// Three blocks, and twelve seconds.
    pub const USUAL: Self = Self { blocks: 3, at_least: Duration::from_secs(12) };
}

#[derive(Clone, Copy, Debug)]
struct Options {
    patience: Patience,
}

/// Redeems for one payee. Anyone can send a redemption; closing needs the payee's key, or an operator's.
///
/// A transaction that is not mined in time is not forgotten: it is replaced by a better offer at the same place, by this
/// call or the next. So of two attempts one at most is ever mined. What the first would have done and the second doesn't
/// stays to be done.
///
/// Clones take turns, so that none sends what another is about to; so do the gateways that share a ledger, which has one
/// lease.
#[derive(Clone, Debug)]
pub struct Redeemer {
    pub(super) payee: Payee,
    nodes: Nodes,
    pub(super) turns: Arc<Turns>,
    options: Options,
    owner: Option<Owner>,
    gas_key: Arc<Mutex<Option<GasKey>>>,
}

/// What the owner says about redemption.
#[derive(Clone, Debug)]
struct Owner {
    terms: RedemptionTerms,
    coin_prices: CoinPrices,
}

impl Owner {
    fn new(options: &RedemptionOptions, token: &Token) -> Self {
        Self { terms: options.terms, coin_prices: CoinPrices::new(options.coin_price, token) }
    }
}

impl Redeemer {
    /// A redeemer that sends by way of these nodes, with the key of those connections that have one.
    #[must_use]
    pub fn new(payee: Payee, nodes: impl Into<Nodes>) -> Self {
        let options = Options { patience: Patience::USUAL };
        let (turns, gas_key) = (Arc::new(Turns::new(turns::LEASE)), Arc::default());
        Self { payee, nodes: nodes.into(), turns, options, owner: None, gas_key }
    }

    /// The same, which pays no more for gas than its owner says: for what can wait, the price in these terms; for what a
    /// payer is taking away, up to what it is worth.
    #[must_use]
    pub fn with_terms(self, options: &RedemptionOptions) -> Self {
        let owner = Owner::new(options, self.payee.token());
        Self { owner: Some(owner), ..self }
    }

    /// The same with another patience.
    #[must_use]
    pub const fn with_patience(mut self, patience: Patience) -> Self {
        self.options.patience = patience;
        self
    }

    /// The same with a lease that is good for another time while it is not renewed: how long a ledger waits for a gateway
    /// that died while it sent. Takes turns with no clone made before.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { turns: Arc::new(Turns::new(lease)), ..self }
    }

    /// The escrow, by way of the node that is preferred now.
    #[must_use]
    pub fn escrow(&self) -> Escrow {
        self.nodes_to_send_by().swap_remove(0)
    }

    /// Those with a key first, and of those the healthy ones that were not of no use lately.
    fn nodes_to_send_by(&self) -> Vec<Escrow> {
        let mut nodes = self.nodes.preferred();
        nodes.sort_by_key(|escrow| (escrow.chain().sender().is_none(), self.turns.has_failed(escrow)));
        nodes
    }

    /// One way of sending for each node whose connection has a key, the most promising first.
    pub(super) fn ways<'a>(&'a self, turn: &'a Turn) -> Result<Vec<Sending<'a>>, RedeemError> {
        let nodes = self.nodes_to_send_by();
        let mut ways = Vec::with_capacity(nodes.len());
        for (which, escrow) in nodes.iter().enumerate() {
            let Some(sender) = escrow.chain().sender() else { continue };
            let others = nodes.iter().enumerate().filter(|(other, _)| *other != which);
            let others = others.map(|(_, other)| other.clone()).collect();
            ways.push(Sending { redeemer: self, turn, escrow: escrow.clone(), others, sender });
        }
        if ways.is_empty() {
            return Err(ChainError::ReadOnly.into());
        }
        Ok(ways)
    }

    pub(super) async fn turn(&self) -> Result<Turn, RedeemError> {
        Arc::clone(&self.turns).wait(self.payee.clone()).await
    }

    /// The voucher to redeem of each channel and what it would pay now, as far as the chain is in view. A channel that is
    /// damaged, or that the chain fails at, is skipped.
    ///
    /// # Errors
    ///
    /// If the chain does not answer again and again, or the ledger can't be read.
    pub async fn due(&self) -> Result<DueList, RedeemError> {
        self.due_among(None, &BTreeMap::new()).await
    }

    /// Redeems the highest voucher that is due of every channel, the most valuable first: in one transaction, or as many
    /// as a block's gas asks for.
    ///
    /// Every batch is simulated before it is sent. What would not be paid, and what [`Redeemer::due`] skips, is left out.
    ///
    /// # Errors
    ///
    /// If a transaction fails, no node answers, another gateway does not end its turn, or there is nothing but what was
    /// skipped; then the error is the first channel's. What was sent before stays sent.
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
        let turn = self.turn().await?;
        let mut redemptions = self.redeem_in(turn, some).await?;
        let is_failure = |skipped: &Skipped| !matches!(skipped.error, RedeemError::UnderWay { .. });
        if redemptions.done.is_empty()
            && let Some(failed) = redemptions.skipped.iter().position(is_failure)
        {
            return Err(redemptions.skipped.swap_remove(failed).error);
        }
        Ok(redemptions)
    }

    /// The same of what was chosen, unless another gateway is sending. That all of it was skipped is no error here.
    async fn redeem_unless_held(&self, channels: &[ChannelId]) -> Result<Option<Redemptions>, RedeemError> {
        match Arc::clone(&self.turns).take(self.payee.clone()).await? {
            Some(turn) => self.redeem_in(turn, Some(channels)).await.map(Some),
            None => Ok(None),
        }
    }

    async fn redeem_in(&self, turn: Turn, some: Option<&[ChannelId]>) -> Result<Redemptions, RedeemError> {
        let mut redemptions = Redemptions::default();
        let redeemed = self.redeem_by_any(&turn, some, &mut redemptions).await;
        turn.end().await;
        redeemed.map(|()| redemptions)
    }

    /// With one node after the other, until one is of use. Whatever was sent by way of one, the next finds on record. What
    /// one says would not be paid, the next is asked about: one that lies must not end the effort.
    async fn redeem_by_any(
        &self,
        turn: &Turn,
        some: Option<&[ChannelId]>,
        redemptions: &mut Redemptions,
    ) -> Result<(), RedeemError> {
        let (mut failed, mut denied, mut skipped) = (None, None::<Vec<ChannelId>>, Vec::new());
        for way in self.ways(turn)? {
            let some = denied.as_deref().or(some);
            match way.redeem_all(some, redemptions).await {
                Err(error) if error.is_the_nodes() => self.note_failed(&way, &mut failed, error),
                Err(error) => {
                    if error.is_not_mined() {
                        // It may be the node that keeps it from the others.
                        self.turns.note_failed_node(&way.escrow);
                    }
                    return Err(error);
                }
                Ok(()) => {
                    let (words, others): (Vec<Skipped>, Vec<Skipped>) =
                        redemptions.skipped.drain(..).partition(|skipped| skipped.error.is_a_nodes_word());
                    skipped.extend(others);
                    denied = Some(words.iter().map(|skipped| skipped.channel_id).collect());
                    redemptions.skipped = words;
                }
            }
            if denied.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        match (denied, failed) {
            (None, failed) => Err(failed.unwrap_or_else(|| ChainError::ReadOnly.into())),
            (Some(_), _) => {
                redemptions.skipped.append(&mut skipped);
                Ok(())
            }
        }
    }

    fn note_failed(&self, way: &Sending<'_>, first: &mut Option<RedeemError>, error: RedeemError) {
        self.turns.note_failed_node(&way.escrow);
        tracing::warn!(node = way.escrow.chain().origin(), %error, "the node is of no use to send by; trying another");
        first.get_or_insert(error);
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
        let books = self.payee.store().books(channel_id).await?;
        let channel = books.ok_or(RedeemError::UnknownChannel { channel_id })?.channel;
        let turn = self.turn().await?;
        let closed = self.close_by_any(&turn, channel_id, &channel).await;
        turn.end().await;
        closed
    }

    async fn close_by_any(
        &self,
        turn: &Turn,
        channel_id: ChannelId,
        channel: &Channel,
    ) -> Result<Redeemed, RedeemError> {
        let mut failed = None;
        for way in self.ways(turn)? {
            match way.close(channel_id, channel).await {
                Err(error) if error.is_the_nodes() => self.note_failed(&way, &mut failed, error),
                Err(error) if error.is_not_mined() => {
                    self.turns.note_failed_node(&way.escrow);
                    return Err(error);
                }
                closed => return closed,
            }
        }
        Err(failed.unwrap_or_else(|| ChainError::ReadOnly.into()))
    }

    /// Finds out what became of everything that was sent, and writes it down: what is mined, what is final, and what a
    /// reorg has undone. Redeeming does it as well, before anything else.
    ///
    /// # Errors
    ///
    /// If no node answers, or another gateway does not end its turn.
    pub async fn settle(&self) -> Result<(), RedeemError> {
        let turn = self.turn().await?;
        let settled = self.settle_by_any(&turn).await;
        turn.end().await;
        settled
    }

    async fn settle_by_any(&self, turn: &Turn) -> Result<(), RedeemError> {
        let mut failed = None;
        for way in self.ways(turn)? {
            match way.settle().await {
                Err(error) if error.is_the_nodes() => self.note_failed(&way, &mut failed, error),
                settled => return settled.map(drop),
            }
        }
        Err(failed.unwrap_or_else(|| ChainError::ReadOnly.into()))
    }
}

impl Sending<'_> {
    async fn redeem_all(&self, some: Option<&[ChannelId]>, redemptions: &mut Redemptions) -> Result<(), RedeemError> {
        let mut deadline = self.deadline();
        loop {
            let before = redemptions.done.len();
            if !self.redeem_once(some, redemptions, deadline).await? {
                return Ok(());
            }
            // Each transaction has its time.
            if redemptions.done.len() > before {
                deadline = self.deadline();
            }
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.escrow.chain().mined_within()
    }

    /// Returns whether there may be more to do: an earlier attempt was mined instead of a new one, or a new one waits for
    /// so long that it is to be replaced. Then something else may be due than was thought.
    async fn redeem_once(
        &self,
        some: Option<&[ChannelId]>,
        redemptions: &mut Redemptions,
        deadline: Instant,
    ) -> Result<bool, RedeemError> {
        // Before looking at what is due: if an earlier attempt is mined after that, this place is taken, and what it
        // paid can't be sent a second time.
        let mut next = Some(self.settle().await?);
        let elsewhere = next.as_ref().map(|next| next.elsewhere.clone()).unwrap_or_default();
        let DueList { due, skipped } = self.redeemer.due_among(some, &elsewhere).await?;
        redemptions.skipped = skipped;
        if due.is_empty() {
            return Ok(false);
        }
        let chain = self.escrow.chain();
        let (asked, block_gas_limit) = tokio::try_join!(chain.fees_asked(), chain.block_gas_limit())?;
        let caps = self.caps().await?;
        let mut queue: VecDeque<Due> = caps.sort_out(asked.price(), due, &mut redemptions.skipped);
        let mut room = gas_room(block_gas_limit);
        while !queue.is_empty() {
            let batch = fill(&mut queue, room);
            let rows = match self.winnow(batch.clone(), &mut redemptions.skipped).await {
                // More than the node simulates at once.
                Err(error) if error.is_too_much_gas() && batch.len() > 1 => {
                    room /= 2;
                    batch.into_iter().rev().for_each(|due| queue.push_front(due));
                    continue;
                }
                rows => rows?,
            };
            if rows.is_empty() {
                continue;
            }
            let next = match next.take() {
                Some(next) => next,
                None => self.settle().await?,
            };
            let vouchers = vouchers(&rows);
            let signed = match self.escrow.sign_redemption(&vouchers, next.place(caps.of(&rows))).await {
                Ok(signed) if signed.gas_limit() <= gas_limit(block_gas_limit) || rows.len() == 1 => signed,
                Ok(_) | Err(crate::escrow::EscrowError::Chain(ChainError::TooMuchGas { .. })) if rows.len() > 1 => {
                    room /= 2;
                    rows.into_iter().rev().for_each(|due| queue.push_front(due));
                    continue;
                }
                Ok(signed) => signed,
                Err(error) => return Err(error.into()),
            };
            if is_too_little_gas(signed.gas_limit(), &rows) {
                let (gas, vouchers) = (signed.gas_limit(), rows.len());
                let answer = format!("{gas} gas do not redeem {vouchers} vouchers");
                return Err(crate::escrow::EscrowError::Answer(answer).into());
            }
            let purpose = Purpose { vouchers: &vouchers, closes: false };
            let Some(mined) = self.send(signed, &purpose, next.rivals, deadline).await? else { return Ok(true) };
            if mined.record.is_relayed() {
                return Ok(true);
            }
            redemptions.done.push(self.redeemed(&mined).await);
            if mined.is_rival {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a mined transaction did. That it is mined is known; what it paid is for people, and missing if it can't be read.
    async fn redeemed(&self, mined: &Mined) -> Redeemed {
        let mut redeemed = Redeemed::of(mined);
        match moved_in(&self.redeemer.payee, &self.escrow, &mined.receipt).await {
            Ok(moved) => (redeemed.paid, redeemed.refunded) = (moved.paid, moved.refunded),
            Err(error) => {
                tracing::warn!(%error, transaction = %redeemed.transaction, "mined; what it paid can't be read");
            }
        }
        redeemed
    }

    async fn close(&self, channel_id: ChannelId, channel: &Channel) -> Result<Redeemed, RedeemError> {
        let (sender, payee) = (self.sender, self.redeemer.payee.address());
        if sender != payee && !self.escrow.is_operator(payee, sender).await? {
            return Err(RedeemError::NotPayee { sender, payee });
        }
        let deadline = self.deadline();
        loop {
            let next = self.settle().await?;
            let funds = self.escrow.funds_of(channel, BlockNumberOrTag::Latest).await?;
            let due = self.redeemer.due_of(channel_id, channel, funds, true).await?;
            let voucher = due.as_ref().map(|due| due.voucher);
            let caps = self.caps().await?;
            let signed = self.escrow.sign_close(channel, voucher.as_ref(), next.place(caps.of(due.as_slice()))).await?;
            let purpose = Purpose { vouchers: voucher.as_slice(), closes: true };
            let Some(mined) = self.send(signed, &purpose, next.rivals, deadline).await? else { continue };
            let its_own =
                |record: &Redemption| record.closes && record.vouchers.iter().all(|(id, _)| *id == channel_id);
            if !its_own(&mined.record) {
                // An earlier attempt at something else was mined; this one's turn is next.
                continue;
            }
            let closed = self.redeemed(&mined).await;
            if mined.is_rival && self.is_reserved(channel, closed.block).await? {
                // A close without a voucher names no channel: it was another's.
                continue;
            }
            return Ok(closed);
        }
    }

    async fn is_reserved(&self, channel: &Channel, block: u64) -> Result<bool, RedeemError> {
        let funds = self.escrow.funds_of(channel, BlockNumberOrTag::Number(block)).await?;
        Ok(!funds.channel.reserved.is_zero())
    }
}
