//! What a creator's terms would have come to: a past replayed through the same [`plan`] that decides today.
//!
//! What was charged is known from the ledger, and what gas cost from a file. What payers did on the chain meanwhile is
//! not: every claim counts as covered by its account, nothing as reserved, and nobody as leaving.

use crate::exposure::CreditTerms;
use crate::gas::{GasModel, Percentage, Prices, Row};
use crate::redemption::{Cause, Choice, Circumstances, Holding, RedemptionTerms, plan};
use crate::{AccountId, Amount, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A channel as it stood when the past began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastChannel {
    /// The account behind it.
    pub account_id: AccountId,
    /// What it owed already.
    pub opening: Amount,
    /// When the oldest item of that was sold.
    pub since: Timestamp,
    /// What had been redeemed of it.
    pub redeemed: Amount,
    /// Its signer is not its payer, or it has a salt.
    pub is_long: bool,
}

/// An item that was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastCharge {
    /// On which channel.
    pub channel_id: ChannelId,
    /// What it cost, less what was given back of it.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
}

/// What was owed, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Every channel that a charge names, and those that owed something already.
    pub channels: BTreeMap<ChannelId, PastChannel>,
    /// The charges.
    pub charges: Vec<PastCharge>,
}

/// What a transaction cost from one moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// The moment.
    pub at: Timestamp,
    /// The prices.
    #[serde(flatten)]
    pub prices: Prices,
}

/// A redemption that would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occasion {
    /// When.
    pub at: Timestamp,
    /// How many channels were in it for each cause: their credit was nearly used,
    pub credit_used: usize,
    /// a voucher was old,
    pub old: usize,
    /// or nothing pressed.
    pub unhurried: usize,
    /// What it would have paid and cost.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What redemptions would have paid and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// How many there are.
    pub redemptions: usize,
    /// How many channels were in them, counted each time.
    pub channels: usize,
    /// What they paid.
    pub paid: Amount,
    /// The gas that they used.
    pub gas: u64,
    /// What that and a rollup's data fees cost, in wei.
    pub wei: Amount,
    /// What that is worth in the creator's token.
    pub cost: Amount,
}

impl Tally {
    /// Which share of the money gas took.
    #[must_use]
    pub fn share(&self) -> Percentage {
        Percentage::that(self.cost, self.paid)
    }

    fn add(&mut self, other: &Self) {
        self.redemptions = self.redemptions.saturating_add(other.redemptions);
        self.channels = self.channels.saturating_add(other.channels);
        self.paid = self.paid.saturating_add(other.paid);
        self.gas = self.gas.saturating_add(other.gas);
        self.wei = self.wei.saturating_add(other.wei);
        self.cost = self.cost.saturating_add(other.cost);
    }
}

/// What terms would have come to, and two simple habits beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// All that was owed at the beginning or charged since.
    pub owed: Amount,
    /// When it would have been redeemed by the terms.
    pub occasions: Vec<Occasion>,
    /// Those added up.
    pub by_terms: Tally,
    /// What would still be owed in the end.
    pub held: Amount,
    /// Everything once a day, at the first moment that is known of it, whatever it costs.
    pub once_a_day: Tally,
    /// What would still be owed then.
    pub held_once_a_day: Amount,
    /// Every voucher in a transaction of its own, when it comes.
    pub each_at_once: Tally,
}

/// The creator's terms.
#[derive(Clone, Copy, Debug)]
pub struct ReplayTerms {
    /// For redemption.
    pub terms: RedemptionTerms,
    /// For credit.
    pub credit: CreditTerms,
    /// The escrow's exit delay in seconds.
    pub exit_delay: u64,
}

/// Replays. Moments in any order; without one nothing is redeemed.
#[must_use]
pub fn replay(past: &Past, moments: &[Moment], terms: &ReplayTerms) -> Replay {
    let mut moments = moments.to_vec();
    moments.sort_by_key(|moment| moment.at);
    let mut charges = past.charges.clone();
    charges.sort_by_key(|charge| charge.at);
    let opening = Amount::saturating_sum(past.channels.values().map(|channel| channel.opening));
    let charged = Amount::saturating_sum(charges.iter().map(|charge| charge.amount));
    let mut replayed = Replay { owed: opening.saturating_add(charged), ..Replay::default() };
    let mut by_terms = Walk::new(past, &charges);
    let mut daily = Walk::new(past, &charges);
    let mut last_day = None;
    for moment in &moments {
        by_terms.take_charges(moment.at);
        if let Some(occasion) = by_terms.act(moment, terms) {
            replayed.by_terms.add(&occasion.tally);
            replayed.occasions.push(occasion);
        }
        daily.take_charges(moment.at);
        if last_day.replace(moment.at.day()) != Some(moment.at.day()) {
            let owing: Vec<ChannelId> = daily.owing().map(|(id, _)| *id).collect();
            if !owing.is_empty() {
                replayed.once_a_day.add(&daily.redeem(&owing, &moment.prices));
            }
        }
    }
    replayed.held = replayed.owed.saturating_sub(replayed.by_terms.paid);
    replayed.held_once_a_day = replayed.owed.saturating_sub(replayed.once_a_day.paid);
    replayed.each_at_once = each_at_once(past, &charges, &moments);
    replayed
}

/// Every voucher by itself, at the price that was known when it came.
fn each_at_once(past: &Past, charges: &[PastCharge], moments: &[Moment]) -> Tally {
    let mut tally = Tally::default();
    let (Some(first), mut walk) = (moments.first(), Walk::new(past, &[])) else { return tally };
    let owing: Vec<ChannelId> = walk.owing().map(|(id, _)| *id).collect();
    for channel_id in owing {
        tally.add(&walk.redeem(&[channel_id], &first.prices));
    }
    for charge in charges.iter().filter(|charge| !charge.amount.is_zero()) {
        let later = moments.partition_point(|moment| moment.at <= charge.at);
        let moment = later.checked_sub(1).and_then(|index| moments.get(index)).unwrap_or(first);
        walk.owe(charge);
        tally.add(&walk.redeem(&[charge.channel_id], &moment.prices));
    }
    tally
}

/// One way through the past.
struct Walk<'a> {
    channels: BTreeMap<ChannelId, Standing>,
    charges: std::iter::Peekable<std::slice::Iter<'a, PastCharge>>,
}

/// Where a channel stands on the way.
struct Standing {
    account_id: AccountId,
    claim: Amount,
    since: Timestamp,
    redeemed: Amount,
    is_long: bool,
}

impl<'a> Walk<'a> {
    fn new(past: &Past, charges: &'a [PastCharge]) -> Self {
        let channels = past.channels.iter().map(|(id, channel)| {
            let PastChannel { account_id, opening, since, redeemed, is_long } = *channel;
            (*id, Standing { account_id, claim: opening, since, redeemed, is_long })
        });
        Self { channels: channels.collect(), charges: charges.iter().peekable() }
    }

    fn take_charges(&mut self, until: Timestamp) {
        while let Some(charge) = self.charges.next_if(|charge| charge.at <= until) {
            self.owe(charge);
        }
    }

    fn owe(&mut self, charge: &PastCharge) {
        // Whoever made the past names every channel; another would be an account of its own.
        let standing = self.channels.entry(charge.channel_id).or_insert_with(|| Standing {
            account_id: AccountId(charge.channel_id.0),
            claim: Amount::ZERO,
            since: charge.at,
            redeemed: Amount::ZERO,
            is_long: false,
        });
        if standing.claim.is_zero() {
            standing.since = charge.at;
        }
        standing.claim = standing.claim.saturating_add(charge.amount);
    }

    fn owing(&self) -> impl Iterator<Item = (&ChannelId, &Standing)> {
        self.channels.iter().filter(|(_, standing)| !standing.claim.is_zero())
    }

    /// What the plan says at a moment, done.
    fn act(&mut self, moment: &Moment, terms: &ReplayTerms) -> Option<Occasion> {
        let holdings: Vec<Holding> = self.owing().map(|(id, standing)| standing.holding(*id)).collect();
        let ReplayTerms { terms, credit, exit_delay } = *terms;
        let plan = plan(holdings, &Circumstances { terms, credit, exit_delay, prices: moment.prices, now: moment.at });
        if plan.redeem.is_empty() {
            return None;
        }
        let count = |is: fn(&Cause) -> bool| plan.redeem.iter().filter(|choice: &&Choice| is(&choice.cause)).count();
        let (credit_used, old) = (
            count(|cause| matches!(cause, Cause::CreditUsed { .. })),
            count(|cause| matches!(cause, Cause::Old { .. })),
        );
        let unhurried = count(|cause| matches!(cause, Cause::Unhurried));
        let chosen: Vec<ChannelId> = plan.redeem.iter().map(|choice| choice.channel_id).collect();
        Some(Occasion { at: moment.at, credit_used, old, unhurried, tally: self.redeem(&chosen, &moment.prices) })
    }

    /// Redeems all that these channels owe, in one transaction.
    fn redeem(&mut self, channels: &[ChannelId], prices: &Prices) -> Tally {
        let (mut gas, mut wei, mut paid) = (GasModel::TRANSACTION, prices.of_transaction(), Amount::ZERO);
        for id in channels {
            let Some(standing) = self.channels.get_mut(id) else { continue };
            let row = Row { is_first: standing.redeemed.is_zero(), is_reserved: false, is_long: standing.is_long };
            gas = gas.saturating_add(GasModel::of_row(row));
            wei = wei.saturating_add(prices.of_row(row));
            paid = paid.saturating_add(standing.claim);
            standing.redeemed = standing.redeemed.saturating_add(standing.claim);
            standing.claim = Amount::ZERO;
        }
        let cost = prices.coin.map_or(Amount::ZERO, |coin| coin.value_of(wei));
        Tally { redemptions: 1, channels: channels.len(), paid, gas, wei, cost }
    }
}

impl Standing {
    fn holding(&self, channel_id: ChannelId) -> Holding {
        Holding {
            channel_id,
            account_id: self.account_id,
            claim: self.claim,
            redeemed: self.redeemed,
            reserved: Amount::ZERO,
            close_at: None,
            // What accounts held then is not known.
            balance: Amount::new(u128::MAX),
            is_withdrawing: false,
            since: self.since,
            is_long: self.is_long,
        }
    }
}
