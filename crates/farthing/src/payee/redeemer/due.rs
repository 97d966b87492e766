//! Which voucher of a channel is redeemed, and what it would pay, by what is in view of the chain.

use super::sending::Elsewhere;
use super::{RedeemError, Redeemer, Skipped};
use crate::clock;
use crate::escrow::{EscrowError, Funds};
use crate::payee::FundsSource;
use alloy::eips::BlockNumberOrTag;
use farthing_core::gas::{GasModel, Row};
use farthing_core::ledger::ChannelBooks;
use farthing_core::{AcceptedVoucher, AccountId, Amount, Channel, ChannelId};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// After this many channels in a row without an answer it is the chain that is silent.
const SILENT_MAX: usize = 3;

/// How long a node may take to be heard.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// How many channels that are not in view are read at once.
const READS_MAX: usize = 16;

/// What one voucher is worth on the chain now.
#[derive(Clone, Debug)]
pub struct Due {
    /// The highest voucher that is due.
    pub voucher: AcceptedVoucher,
    /// What redeeming it pays now, after those before it in the list: channels of one account share its balance.
    pub amount: Amount,
    /// What it would pay if the money behind it were there.
    pub owed: Amount,
    pub(super) funds: Funds,
    /// The payer was seen to take money out of the account.
    pub(super) is_withdrawing: bool,
}

impl Due {
    pub(super) fn channel_id(&self) -> ChannelId {
        self.voucher.voucher().channel_id
    }

    /// Its payer is taking away what guarantees it, or what is to pay it.
    pub(super) fn is_taken_away(&self) -> bool {
        let is_leaving = self.funds.channel.close_at.is_some() && !self.funds.channel.reserved.is_zero();
        is_leaving || self.is_withdrawing
    }

    /// The gas of its row.
    pub(super) fn gas(&self) -> u64 {
        let (channel, funds) = (self.voucher.channel(), &self.funds.channel);
        GasModel::of_row(Row {
            is_first: funds.redeemed.is_zero() && funds.reserved.is_zero(),
            is_reserved: self.owed <= funds.reserved,
            is_long: channel.authorized_signer != channel.payer || !channel.salt.is_zero(),
        })
    }

    /// What was read anew. Returns whether it still owes anything.
    pub(super) fn refresh(&mut self, funds: Funds) -> bool {
        self.funds = funds;
        self.owed = self.voucher.voucher().cumulative_amount.saturating_sub(funds.channel.redeemed);
        !self.owed.is_zero()
    }
}

/// What is due, and of which channels that could not be said.
#[derive(Debug, Default)]
pub struct DueList {
    /// The most valuable first.
    pub due: Vec<Due>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Gives each its part of what its account holds, in this order, as the escrow will: nothing is counted twice.
pub(super) fn allocate(due: &mut [Due]) {
    let mut left: BTreeMap<AccountId, Amount> = BTreeMap::new();
    for one in due.iter() {
        let balance = one.funds.account_balance;
        // Read at different moments, perhaps: the least is safe.
        let known = left.entry(one.voucher.channel().account().id()).or_insert(balance);
        *known = (*known).min(balance);
    }
    for one in due {
        let reserved = one.owed.min(one.funds.channel.reserved);
        let left = left.entry(one.voucher.channel().account().id()).or_default();
        let from_account = one.owed.saturating_sub(reserved).min(*left);
        *left = left.saturating_sub(from_account);
        one.amount = reserved.saturating_add(from_account);
    }
}

impl Redeemer {
    /// What is due of some channels, or of all that owe anything, without those that another key is redeeming.
    pub(super) async fn due_among(
        &self,
        some: Option<&[ChannelId]>,
        elsewhere: &BTreeMap<ChannelId, Elsewhere>,
    ) -> Result<DueList, RedeemError> {
        let mut list = DueList::default();
        let mut silent = 0;
        let candidates = self.candidates(some).await?;
        let is_current = self.is_view_current();
        let read = candidates.into_iter().map(|(channel_id, books)| async move {
            let other = elsewhere.get(&channel_id).copied();
            (channel_id, self.due_of_candidate(channel_id, books, other, is_current).await)
        });
        // In order, so that a silent chain is noticed after a few.
        let mut read = stream::iter(read).buffered(READS_MAX);
        while let Some((channel_id, due)) = read.next().await {
            let is_silent = due.as_ref().is_err_and(RedeemError::is_the_nodes);
            silent = if is_silent { silent + 1 } else { 0 };
            match due {
                Ok(due) => list.due.extend(due),
                // Each may have taken as long as a request can.
                Err(error) if silent >= SILENT_MAX => return Err(error),
                Err(error) => list.skipped.push(Skipped { channel_id, error }),
            }
        }
        // The account's money goes to the most valuable claim first.
        list.due.sort_by_key(|due| (std::cmp::Reverse(due.owed), due.channel_id()));
        allocate(&mut list.due);
        list.due.retain(|due| !due.amount.is_zero());
        Ok(list)
    }

    async fn candidates(
        &self,
        some: Option<&[ChannelId]>,
    ) -> Result<Vec<(ChannelId, Option<ChannelBooks>)>, RedeemError> {
        let store = self.payee.store();
        match some {
            Some(ids) => {
                let books = ids.iter().copied().map(|id| async move { Ok((id, store.books(id).await?)) });
                stream::iter(books).buffered(READS_MAX).try_collect().await
            }
            None => {
                let owing = store.owing().await?;
                Ok(owing.into_iter().map(|owing| (owing.channel_id, Some(owing.books))).collect())
            }
        }
    }

    async fn due_of_candidate(
        &self,
        channel_id: ChannelId,
        books: Option<ChannelBooks>,
        elsewhere: Option<Elsewhere>,
        is_view_current: bool,
    ) -> Result<Option<Due>, RedeemError> {
        if let Some(Elsewhere { transaction, sender }) = elsewhere {
            return Err(RedeemError::UnderWay { transaction, sender });
        }
        let channel = books.ok_or(RedeemError::UnknownChannel { channel_id })?.channel;
        let funds = self.funds_in_view(channel_id, &channel, is_view_current).await?;
        self.due_of(channel_id, &channel, funds, false).await
    }

    /// Whether a watcher keeps the views current. Without one they are as old as the first contacts.
    fn is_view_current(&self) -> bool {
        let age = clock::now().seconds_since(self.payee.views().seen_at());
        age <= self.payee.options().stale_after_seconds
    }

    /// The money behind a channel, by the views if a watcher keeps them current.
    pub(super) async fn funds_behind(&self, id: ChannelId, channel: &Channel) -> Result<Funds, EscrowError> {
        self.funds_in_view(id, channel, self.is_view_current()).await
    }

    /// The money behind a channel as the watcher last saw it; what it does not watch is read, and watched from then on.
    async fn funds_in_view(&self, id: ChannelId, channel: &Channel, is_current: bool) -> Result<Funds, EscrowError> {
        let view = if is_current { self.payee.views().account_of(channel) } else { None };
        let funds = match view.and_then(|account| Some((account.channel(id)?, account))) {
            Some((view, account)) => Funds { channel: view.head, account_balance: account.balance },
            None => self.read_funds(channel).await?,
        };
        if funds.channel.reserved.is_zero() && funds.account_balance.is_zero() {
            return Ok(self.hopeful_funds(channel, funds).await);
        }
        Ok(funds)
    }

    /// What the most hopeful of several nodes says. The safer answer keeps credit from being given on a lie; here a node
    /// that hides money would keep it from being redeemed, and one that invents some is found out by the simulation.
    async fn hopeful_funds(&self, channel: &Channel, safest: Funds) -> Funds {
        if self.nodes.len() < 2 {
            return safest;
        }
        let nodes = self.nodes.preferred();
        let asked = nodes
            .iter()
            .map(|node| tokio::time::timeout(READ_WITHIN, node.funds_of(channel, BlockNumberOrTag::Latest)));
        let answers = join_all(asked).await.into_iter().flatten().flatten();
        answers.fold(safest, |best, funds| {
            let all = |funds: &Funds| funds.channel.reserved.saturating_add(funds.account_balance);
            if all(&funds) > all(&best) { funds } else { best }
        })
    }

    /// Reads the money behind a channel, and shows the watcher.
    pub(super) async fn read_funds(&self, channel: &Channel) -> Result<Funds, EscrowError> {
        let reading = FundsSource::funds_of(&self.nodes, channel).await?;
        if !reading.is_empty() {
            self.payee.views().enter_fresh(channel, &reading);
        }
        Ok(reading.head)
    }

    /// The voucher to redeem of a channel. One that `closes`, or whose payer does, takes with its reservation what no
    /// voucher at or below the debt covers.
    pub(super) async fn due_of(
        &self,
        channel_id: ChannelId,
        channel: &Channel,
        funds: Funds,
        closes: bool,
    ) -> Result<Option<Due>, RedeemError> {
        let store = self.payee.store();
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
        let is_withdrawing = self.payee.views().is_withdrawing(channel.account().id());
        Ok((!amount.is_zero()).then_some(Due { voucher, amount, owed, funds, is_withdrawing }))
    }
}
