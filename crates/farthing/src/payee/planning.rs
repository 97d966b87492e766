//! What a plan is made of: what the ledger says is owed, what the chain shows behind it, and what gas costs now.

use super::coin_price::{CoinPriceSource, CoinPrices};
use super::redeemer::{RedeemError, Redeemer};
use super::store::{Owing, PayeeStore, StoreError};
use super::views::{ChainViews, FundsSource, Reading};
use crate::chain::{Chain, ChainError};
use crate::clock;
use crate::escrow::EscrowError;
use farthing_core::gas::{Percentage, Prices};
use farthing_core::redemption::{Cause, Circumstances, Holding, Plan, RedemptionTerms, gas_price_that_redeems, plan};
use farthing_core::{Amount, ChannelId, Timestamp};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// How many channels are looked at on the chain at one time.
const LOOKS_MAX: usize = 16;

/// A plan, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// When it was made.
    pub at: Timestamp,
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// What all its channels would pay.
    pub held: Amount,
    /// What they owe with no money behind it.
    pub uncovered: Amount,
    /// Which share of the money redeeming would cost now: of what is redeemed, or of the channels that make it cheapest.
    pub share: Option<Percentage>,
    /// The price of gas, in wei, up to which something would be redeemed, if nothing is now and that is what it waits
    /// for.
    pub gas_price_awaited: Option<Amount>,
    /// What gas costs.
    pub prices: Prices,
    /// Where the coin's price comes from.
    pub coin_price_source: CoinPriceSource,
    /// Why a feed gives no price.
    pub coin_price_problem: Option<String>,
    /// The creator's terms.
    pub terms: RedemptionTerms,
    /// Channels that owe something and were never looked at on the chain.
    pub unseen: Vec<ChannelId>,
    /// Channels that owe something that no voucher makes good for as yet: after a refund, until the next sale.
    pub between_vouchers: Vec<ChannelId>,
}

/// What gas and the coin cost now.
#[derive(Clone, Debug)]
pub struct PricesNow {
    /// The prices.
    pub prices: Prices,
    /// Where the coin's price comes from.
    pub coin_price_source: CoinPriceSource,
    /// Why a feed gives no price.
    pub coin_price_problem: Option<String>,
}

impl PricesNow {
    /// Asks the chain.
    ///
    /// # Errors
    ///
    /// If the chain does not answer. A feed that gives no price is a problem that is told, and no error.
    pub async fn read(chain: &Chain, coin_prices: &CoinPrices) -> Result<Self, ChainError> {
        let (gas_price, data_fees, coin) = tokio::join!(chain.gas_price(), chain.data_fees(), coin_prices.read(chain));
        let coin_price_problem = coin.as_ref().err().map(ToString::to_string);
        let data_fees = data_fees?;
        let prices = Prices {
            gas_price: gas_price?,
            data_fee: data_fees.transaction,
            data_fee_per_row: data_fees.row,
            coin: coin.ok().flatten(),
        };
        Ok(Self { prices, coin_price_source: coin_prices.source(), coin_price_problem })
    }
}

/// Looks at every channel that owes something and is not in view.
///
/// # Errors
///
/// If the ledger can't be read, or the chain does not answer.
pub async fn look_at_owing(
    store: &dyn PayeeStore,
    views: &ChainViews,
    source: &dyn FundsSource,
) -> Result<(), LookError> {
    let owing = store.owing().await?;
    let unseen = owing.into_iter().filter(|owing| views.account_of(&owing.books.channel).is_none());
    let looks = unseen.map(|owing| async move {
        let reading: Reading = source.funds_of(&owing.books.channel).await?;
        views.enter(&owing.books.channel, &reading);
        Ok::<(), LookError>(())
    });
    stream::iter(looks).buffer_unordered(LOOKS_MAX).try_collect().await
}

/// Thrown when a plan's parts can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
}

impl Redeemer {
    /// What would be redeemed now, what waits, and why: by what the watcher sees, and what gas costs at this moment.
    /// Nothing is sent or written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read, or the chain does not say what gas costs.
    pub async fn plan(&self, terms: RedemptionTerms, coin_prices: &CoinPrices) -> Result<Planned, RedeemError> {
        let prices = PricesNow::read(self.escrow().chain(), coin_prices).await?;
        let circumstances = Circumstances {
            terms,
            credit: self.payee.credit(),
            exit_delay: self.payee.method_details().exit_delay,
            prices: prices.prices,
            now: clock::now(),
        };
        Ok(plan_over(self.payee.store().as_ref(), self.payee.views(), &circumstances, prices).await?)
    }
}

/// Plans over what the ledger says and what the views show.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn plan_over(
    store: &dyn PayeeStore,
    views: &ChainViews,
    circumstances: &Circumstances,
    prices: PricesNow,
) -> Result<Planned, StoreError> {
    let owing = store.owing().await?;
    let unseen: Vec<ChannelId> =
        owing.iter().filter(|owing| holding(views, owing).is_none()).map(|owing| owing.channel_id).collect();
    let mut holdings: Vec<Holding> = owing.iter().filter_map(|owing| holding(views, owing)).collect();
    let (plan, between_vouchers) = settle(store, &mut holdings, circumstances).await?;
    let waits_for_gas = plan.redeem.is_empty() && circumstances.prices.coin.is_some() && !plan.held().is_zero();
    let gas_price_awaited = if waits_for_gas { gas_price_that_redeems(&holdings, circumstances) } else { None };
    let bill = if plan.redeem.is_empty() { &plan.at_best } else { &plan.now };
    Ok(Planned {
        at: circumstances.now,
        held: plan.held(),
        uncovered: plan.uncovered(),
        share: bill.share(),
        gas_price_awaited,
        prices: prices.prices,
        coin_price_source: prices.coin_price_source,
        coin_price_problem: prices.coin_price_problem,
        terms: circumstances.terms,
        unseen,
        between_vouchers,
        plan,
    })
}

fn holding(views: &ChainViews, owing: &Owing) -> Option<Holding> {
    let account = views.account_of(&owing.books.channel)?;
    let view = account.channel(owing.channel_id)?;
    let is_withdrawing = views.is_withdrawing(owing.books.channel.account().id());
    let holding = Holding::new(owing.channel_id, &owing.books, &view, account.balance, owing.since);
    Some(Holding { is_withdrawing, ..holding })
}

/// Plans, and looks up what the vouchers of the chosen channels really pay, until all that is chosen was looked up. Each
/// turn looks up one channel more at least, so it ends.
async fn settle(
    store: &dyn PayeeStore,
    holdings: &mut [Holding],
    circumstances: &Circumstances,
) -> Result<(Plan, Vec<ChannelId>), StoreError> {
    let mut known: HashSet<ChannelId> = HashSet::new();
    let mut between_vouchers = Vec::new();
    loop {
        let plan = plan(holdings.to_vec(), circumstances);
        let chosen = plan.redeem.iter().filter(|choice| !known.contains(&choice.channel_id));
        let claims: HashMap<ChannelId, Cause> = chosen.map(|choice| (choice.channel_id, choice.cause)).collect();
        if claims.is_empty() {
            return Ok((plan, between_vouchers));
        }
        for holding in holdings.iter_mut() {
            let Some(cause) = claims.get(&holding.channel_id) else { continue };
            holding.claim = payable(store, holding, *cause).await?;
            if holding.claim.is_zero() {
                between_vouchers.push(holding.channel_id);
            }
            known.insert(holding.channel_id);
        }
    }
}

/// What the voucher pays that would be redeemed.
async fn payable(store: &dyn PayeeStore, holding: &Holding, cause: Cause) -> Result<Amount, StoreError> {
    let leaving = matches!(cause, Cause::Leaving { .. });
    let last_resort = if leaving { store.last_resort(holding.channel_id).await? } else { None };
    let charge = match last_resort {
        Some(charge) => Some(charge),
        None => store.redeemable(holding.channel_id).await?,
    };
    Ok(charge.map_or(Amount::ZERO, |charge| charge.cumulative_amount.saturating_sub(holding.redeemed)))
}
