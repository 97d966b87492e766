//! Redeems by itself: looks at what payers take away at every look of the watcher, and at the whole ledger as often as is
//! cheap.

use super::status::GasKey;
use super::{Owner, RedeemError, Redeemer, Redemptions, Skipped};
use crate::clock;
use crate::payee::coin_price::RedemptionOptions;
use farthing_core::exposure::ChannelView;
use farthing_core::gas::{Prices, Row};
use farthing_core::redemption::{Cause, Choice, Circumstances, Holding, Obstacle, Plan, plan};
use farthing_core::{Amount, ChannelId, Timestamp, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often the whole ledger is planned over at most, and at least.
const WHOLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// Which part of the time that may take: a twentieth.
const WHOLE_SHARE: u32 = 20;

/// How often it is looked whether what was sent is final.
const SETTLE_EVERY: Duration = Duration::from_secs(12);

/// How long what is being taken away, and was not worth its gas or failed, is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(15);

/// The gas of a close that gives a reservation back.
const CLOSE_GAS: u64 = 60_000;

/// How long a reservation that could not be given back is left alone.
const CLOSE_AGAIN: Duration = Duration::from_secs(600);

/// Redeems for one payee until it is dropped.
#[derive(Debug)]
pub struct Runner {
    redeemer: Redeemer,
    owner: Owner,
    whole_at: Option<Instant>,
    settle_at: Option<Instant>,
    /// What is being taken away, as it was when it was acted on last, and when it is acted on again.
    acted_on: BTreeSet<AtRisk>,
    retry_at: Option<Instant>,
    /// Reservations that can't be given back yet, and when they are looked at again.
    close_not_before: BTreeMap<ChannelId, Instant>,
    said: Said,
}

/// A channel that something is being taken away from, and how much it owes: when that changes it is news.
type AtRisk = (ChannelId, Option<Timestamp>, Amount);

/// What was logged, so that it is logged once.
#[derive(Debug, Default)]
struct Said {
    /// By channel.
    channels: BTreeMap<ChannelId, String>,
    failure: Option<String>,
    gas_key: Option<bool>,
}

impl Redeemer {
    /// Redeems by itself, by the owner's terms, until the future is dropped: looks whenever the watcher has read something
    /// anew, and every `interval`. What fails is logged, once per reason, and tried again.
    pub async fn run(self, options: RedemptionOptions, interval: Duration) {
        let payee = self.payee.clone();
        let mut runner = self.runner(&options);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = payee.news().notified() => {}
            }
            runner.step().await;
        }
    }

    /// The same, look by look.
    #[must_use]
    pub fn runner(self, options: &RedemptionOptions) -> Runner {
        let owner = Owner::new(options, self.payee.token());
        let redeemer = Self { owner: Some(owner.clone()), ..self };
        Runner {
            redeemer,
            owner,
            whole_at: None,
            settle_at: None,
            acted_on: BTreeSet::new(),
            retry_at: None,
            close_not_before: BTreeMap::new(),
            said: Said::default(),
        }
    }

    async fn settle_unless_held(&self) -> Result<(), RedeemError> {
        let Some(turn) = Arc::clone(&self.turns).take(self.payee.clone()).await? else { return Ok(()) };
        let settled = self.settle_by_any(&turn).await;
        turn.end().await;
        settled
    }
}

impl Runner {
    /// One look. What fails is logged, once until it is something else, and tried again at the next.
    pub async fn step(&mut self) {
        let looked = self.look().await;
        if let Err(error) = &looked
            && error.is_the_nodes()
        {
            self.redeemer.turns.note_failed_node(&self.redeemer.escrow());
        }
        self.said.failure(looked.err());
    }

    async fn look(&mut self) -> Result<(), RedeemError> {
        // Each on its own: what fails in one holds up none of the others.
        let settled = self.settle_in_time().await;
        let saved = self.save_what_is_at_risk().await;
        let planned = self.follow_the_plan_in_time().await;
        let closed = self.close_one().await;
        settled.and(saved).and(planned).and(closed)
    }

    async fn settle_in_time(&mut self) -> Result<(), RedeemError> {
        if self.settle_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        self.settle_at = Some(Instant::now() + SETTLE_EVERY);
        if self.redeemer.payee.store().unsettled().await?.is_empty() {
            return Ok(());
        }
        self.redeemer.settle_unless_held().await
    }

    /// Redeems what payers are about to take away, as soon as it is news, and again if it is still there after a while.
    async fn save_what_is_at_risk(&mut self) -> Result<(), RedeemError> {
        let holdings = self.at_risk().await?;
        let at_risk: BTreeSet<AtRisk> =
            holdings.iter().map(|holding| (holding.channel_id, holding.close_at, holding.claim)).collect();
        self.said.forget_all_but(&at_risk);
        let is_news = !at_risk.is_subset(&self.acted_on);
        let is_time = self.retry_at.is_some_and(|at| Instant::now() >= at);
        if at_risk.is_empty() || !(is_news || is_time) {
            return Ok(());
        }
        self.acted_on = at_risk;
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        let plan = plan(holdings, &self.circumstances().await?);
        self.said.at_risk(&plan, self.redeemer.payee.token());
        if is_news && !plan.wait.is_empty() {
            // What is not worth a transaction of its own may be worth its place in one with others.
            self.whole_at = None;
        }
        self.redeem(&plan.redeem).await
    }

    /// What payers are about to take away, by what the watcher saw last: channels whose close is requested, and accounts
    /// that money was taken out of.
    async fn at_risk(&self) -> Result<Vec<Holding>, RedeemError> {
        let views = self.redeemer.payee.views();
        let mut at_risk = Vec::new();
        for (channel_id, _) in views.closing() {
            at_risk.extend(self.holding(channel_id).await?);
        }
        let deployment = self.redeemer.payee.domain().deployment();
        for account in views.withdrawing() {
            let mut owes = false;
            for channel in views.channels_of(account) {
                let holding = self.holding(channel.id(deployment)).await?;
                owes |= holding.is_some();
                at_risk.extend(holding.filter(|holding| holding.close_at.is_none()));
            }
            if !owes {
                views.note_redeemed_from(account);
            }
        }
        Ok(at_risk)
    }

    /// What a channel owes that is not on its way, with what is behind it.
    async fn holding(&self, channel_id: ChannelId) -> Result<Option<Holding>, RedeemError> {
        let payee = &self.redeemer.payee;
        let Some(books) = payee.store().books(channel_id).await? else { return Ok(None) };
        let funds = self.redeemer.funds_behind(channel_id, &books.channel).await?;
        let view = ChannelView { head: funds.channel, ..ChannelView::default() };
        let holding = Holding::new(channel_id, &books, &view, funds.account_balance, clock::now());
        let is_withdrawing = payee.views().is_withdrawing(holding.account_id);
        Ok(Some(Holding { is_withdrawing, ..holding }).filter(|holding| !holding.claim.is_zero()))
    }

    async fn circumstances(&self) -> Result<Circumstances, RedeemError> {
        let escrow = self.redeemer.escrow();
        let chain = escrow.chain();
        let (gas_price, data_fees, time) = tokio::try_join!(chain.gas_price(), chain.data_fees(), chain.time())?;
        let coin = self.owner.coin_prices.read_or_warn(chain).await;
        let (data_fee, data_fee_per_row) = (data_fees.transaction, data_fees.row);
        Ok(Circumstances {
            terms: self.owner.terms,
            credit: self.redeemer.payee.credit(),
            exit_delay: self.redeemer.payee.options().exit_delay,
            prices: Prices { gas_price, data_fee, data_fee_per_row, coin },
            // A close is finalized by the chain's time.
            now: clock::now().max(time),
        })
    }

    /// Plans over the whole ledger if it is time, and does what the plan says.
    async fn follow_the_plan_in_time(&mut self) -> Result<(), RedeemError> {
        let begun = Instant::now();
        if self.whole_at.is_some_and(|at| begun < at) {
            return Ok(());
        }
        let (at_most, at_least) = WHOLE;
        self.whole_at = Some(begun + at_most);
        let planned = self.redeemer.plan(self.owner.terms, &self.owner.coin_prices).await?;
        let pause = begun.elapsed().saturating_mul(WHOLE_SHARE).clamp(at_most, at_least);
        self.whole_at = Some(Instant::now() + pause);
        let next = if planned.plan.redeem.is_empty() { planned.plan.at_best.wei } else { planned.plan.now.wei };
        let one = Row { is_first: true, is_reserved: false, is_long: true };
        let least = planned.prices.of_transaction().saturating_add(planned.prices.of_row(one));
        let gas_key = self.redeemer.look_at_gas_key(next.max(least)).await?;
        self.said.gas_key(gas_key);
        self.redeem(&planned.plan.redeem).await
    }

    async fn redeem(&mut self, choices: &[Choice]) -> Result<(), RedeemError> {
        if choices.is_empty() {
            return Ok(());
        }
        let channels: Vec<ChannelId> = choices.iter().map(|choice| choice.channel_id).collect();
        let Some(Redemptions { done, skipped }) = self.redeemer.redeem_unless_held(&channels).await? else {
            tracing::debug!("another gateway sends for this ledger");
            return Ok(());
        };
        for redeemed in done {
            let (transaction, vouchers) = (redeemed.transaction, redeemed.vouchers);
            let paid = self.redeemer.payee.token().format(redeemed.paid);
            tracing::info!(%transaction, vouchers, paid, gas = redeemed.gas_used, "redeemed");
        }
        for Skipped { channel_id, error } in skipped {
            self.said.channel(channel_id, error.to_string(), |reason| {
                tracing::warn!(channel = %channel_id, reason, "not redeemed");
            });
        }
        Ok(())
    }

    /// Gives one reservation back whose payer has asked for it, once nothing is due of it any more: one a look, so that
    /// nothing waits behind what is only a courtesy.
    async fn close_one(&mut self) -> Result<(), RedeemError> {
        let payee = self.redeemer.payee.clone();
        self.close_not_before.retain(|_, moment| *moment > Instant::now());
        for (channel_id, view) in payee.views().closing() {
            if view.head.reserved.is_zero() || self.close_not_before.contains_key(&channel_id) {
                continue;
            }
            // Finally paid: what a reorg undoes must still have its guarantee.
            let books = payee.store().books(channel_id).await?;
            if books.is_none_or(|books| !books.outstanding().is_zero()) {
                continue;
            }
            self.close_not_before.insert(channel_id, Instant::now() + CLOSE_AGAIN);
            if !self.may_close(&view).await? {
                continue;
            }
            let closed = self.redeemer.close(channel_id).await?;
            let (transaction, refunded) = (closed.transaction, payee.token().format(closed.refunded));
            tracing::info!(channel = %channel_id, %transaction, refunded, "closed; its payer had asked for it");
            return Ok(());
        }
        Ok(())
    }

    /// Whether the key may, and the gas is within the terms: a small part of what the channel has ever paid.
    async fn may_close(&self, view: &ChannelView) -> Result<bool, RedeemError> {
        let Circumstances { terms, prices, .. } = self.circumstances().await?;
        let Some(coin) = prices.coin.filter(|_| prices.gas_price <= terms.gas_price_max) else { return Ok(false) };
        let cost = coin.value_of(prices.of_gas(CLOSE_GAS).saturating_add(prices.data_fee));
        if cost > terms.gas_share_urgent.of(view.head.redeemed) {
            return Ok(false);
        }
        let (escrow, payee) = (self.redeemer.escrow(), self.redeemer.payee.address());
        let sender = escrow.chain().sender().unwrap_or_default();
        Ok(sender == payee || escrow.is_operator(payee, sender).await?)
    }
}

impl Said {
    fn failure(&mut self, error: Option<RedeemError>) {
        let failure = error.map(|error| error.to_string());
        if failure == self.failure {
            return;
        }
        match &failure {
            Some(error) => tracing::error!(error, "not redeemed; trying again"),
            None => tracing::info!("redeeming goes on"),
        }
        self.failure = failure;
    }

    fn channel(&mut self, channel_id: ChannelId, what: String, say: impl FnOnce(&str)) {
        if self.channels.get(&channel_id) != Some(&what) {
            say(&what);
            self.channels.insert(channel_id, what);
        }
    }

    /// What is no longer at risk is news if it is again.
    fn forget_all_but(&mut self, at_risk: &BTreeSet<AtRisk>) {
        let channels: BTreeSet<ChannelId> = at_risk.iter().map(|(channel_id, ..)| *channel_id).collect();
        self.channels.retain(|channel_id, _| channels.contains(channel_id));
    }

    fn at_risk(&mut self, plan: &Plan, token: &Token) {
        for choice in plan.choices() {
            let (pays, uncovered) = (token.format(choice.pays), token.format(choice.uncovered));
            let why = match choice.obstacle {
                None => "redeeming it",
                Some(Obstacle::Money) => "there is no money behind it any more",
                Some(Obstacle::CheaperGas { .. }) => "its gas costs more than it may; it waits for cheaper gas",
                Some(Obstacle::Company) => "it is not worth a transaction of its own yet",
                Some(_) => "it waits",
            };
            let by = match choice.cause {
                Cause::Leaving { close_at, .. } => format!("asks for its reservation back, which ends at {close_at}"),
                _ => "takes money out of the account".to_owned(),
            };
            self.channel(choice.channel_id, format!("{by}; {why}"), |what| {
                tracing::warn!(channel = %choice.channel_id, pays, uncovered, "a payer {what}");
            });
        }
    }

    fn gas_key(&mut self, key: GasKey) {
        // That there is enough is news only after there was not.
        if self.gas_key.replace(key.is_low()).unwrap_or(false) == key.is_low() {
            return;
        }
        let (wallet, balance, advised) = (key.address, key.balance, key.advised);
        if key.is_low() {
            tracing::warn!(%wallet, %balance, %advised, "the wallet that pays for gas runs low: send it coin (in wei)");
        } else {
            tracing::info!(%wallet, %balance, "the wallet has enough to pay for gas (in wei)");
        }
    }
}
