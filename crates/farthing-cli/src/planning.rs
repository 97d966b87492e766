//! What would be redeemed now and why: over an opened ledger, or by a running gateway.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::gateway::AdminRequest;
use crate::ledger::{DataFolder, LedgerRecord};
use crate::terms::TermsToTry;
use farthing::chain::Chain;
use farthing::core::exposure::CreditTerms;
use farthing::core::redemption::Circumstances;
use farthing::core::{Address, Amount, B256, Timestamp, Token};
use farthing::escrow::Escrow;
use farthing::payee::planning::{LookError, Planned, PricesNow, look_at_owing, plan_over};
use farthing::payee::redeemer::LeaseStatus;
use farthing::payee::store::RedemptionState;
use farthing::payee::{ChainViews, CoinPrices, PayeeStore, Redeemer, RedemptionOptions};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// A plan, and what else a creator asks about it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanReport {
    pub(crate) payee: Address,
    pub(crate) token: Token,
    #[serde(flatten)]
    pub(crate) planned: Planned,
    /// When the chain was looked at last.
    pub(crate) seen_at: Timestamp,
    /// Who pays for gas; nothing if there is no wallet here.
    pub(crate) wallet: Option<GasWallet>,
    /// What was sent, by whichever gateway, and is not final yet.
    pub(crate) under_way: Vec<UnderWay>,
    /// Whose turn it is to send, as far as the gateway that was asked knows.
    pub(crate) lease: Option<LeaseStatus>,
}

/// The wallet that pays for gas.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GasWallet {
    pub(crate) address: Address,
    /// In wei.
    pub(crate) balance: Amount,
}

/// A redemption that was sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnderWay {
    pub(crate) transaction: B256,
    pub(crate) sender: Address,
    pub(crate) vouchers: usize,
    pub(crate) at: Timestamp,
    /// The block it is in, which is not final yet.
    pub(crate) block: Option<u64>,
}

impl GasWallet {
    async fn of(address: Address, chain: &Chain) -> Result<Self, Failure> {
        Ok(Self { address, balance: chain.balance(address).await? })
    }

    /// Whether a node would take a transaction that costs this much: it wants to see what is offered, which is up to
    /// twice the price, for a quarter more gas.
    pub(crate) fn is_enough_for(&self, wei: Amount) -> bool {
        let offered = wei.base_units().saturating_mul(5) / 2;
        self.balance >= Amount::new(offered)
    }
}

/// What the redeemer of a running gateway would do.
pub(crate) async fn plan_of_gateway(
    record: &LedgerRecord,
    redeemer: &Redeemer,
    store: &dyn PayeeStore,
    seen_at: Timestamp,
    options: RedemptionOptions,
) -> Result<PlanReport, Failure> {
    let coin_prices = CoinPrices::new(options.coin_price, &record.token);
    let planned = redeemer.plan(options.terms, &coin_prices).await?;
    let escrow = redeemer.escrow();
    let wallet = match escrow.chain().sender() {
        Some(address) => Some(GasWallet::of(address, escrow.chain()).await?),
        None => None,
    };
    let lease = redeemer.status().await?.lease;
    Ok(PlanReport { lease, ..report(record, planned, seen_at, wallet, store).await? })
}

/// The same by a gateway that runs on a folder, or without one by a look at the chain. Nothing is sent or written.
pub(crate) async fn plan_in(context: &Context, data: &DataFolder, terms: &TermsToTry) -> Result<PlanReport, Failure> {
    let record = data.record()?;
    let options = terms.instead_of(record.redemption, &record.token)?;
    match data.ask(&AdminRequest::Plan { options }).await? {
        Some(report) => Ok(report),
        None => plan_of_ledger(context, data, options).await,
    }
}

async fn plan_of_ledger(
    context: &Context,
    data: &DataFolder,
    options: RedemptionOptions,
) -> Result<PlanReport, Failure> {
    let (record, store) = data.read().await?;
    let deployment = record.identity.deployment;
    let chain = Chain::connect_to(&context.rpc_url()?, None, deployment.chain_id).await?;
    let escrow = Escrow::bind(chain, deployment.escrow).await?;
    let views = ChainViews::new(deployment);
    look_at_owing(store.as_ref(), &views, &escrow).await?;
    let coin_prices = CoinPrices::new(options.coin_price, &record.token);
    let prices = PricesNow::read(escrow.chain(), &coin_prices).await?;
    let now = now();
    let circumstances = Circumstances {
        terms: options.terms,
        credit: record.credit.unwrap_or(UNLIMITED),
        exit_delay: record.exit_delay,
        prices: prices.prices,
        now,
    };
    let planned = plan_over(store.as_ref(), &views, &circumstances, prices).await?;
    // Only if its address is known without the password.
    let address = context.wallet()?.named_address().ok().flatten();
    let wallet = match address {
        Some(address) => Some(GasWallet::of(address, escrow.chain()).await?),
        None => None,
    };
    report(&record, planned, now, wallet, store.as_ref()).await
}

/// Of a ledger that was begun before its catalog's terms were written down beside it, no limit is known.
pub(crate) const UNLIMITED: CreditTerms =
    CreditTerms { limit: Amount::MAX_ON_CHAIN, first: Some(Amount::MAX_ON_CHAIN), strangers_per_day: Amount::ZERO };

pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_seconds(now.as_secs())
}

async fn report(
    record: &LedgerRecord,
    planned: Planned,
    seen_at: Timestamp,
    wallet: Option<GasWallet>,
    store: &dyn PayeeStore,
) -> Result<PlanReport, Failure> {
    let unsettled = store.unsettled().await?;
    let mut under_way: Vec<UnderWay> = unsettled
        .into_iter()
        .filter(|record| !record.is_relayed())
        .map(|record| UnderWay {
            transaction: record.hash,
            sender: record.sender,
            vouchers: record.vouchers.len(),
            at: record.at,
            block: match record.state {
                RedemptionState::Mined { block, .. } => Some(block),
                _ => None,
            },
        })
        .collect();
    under_way.sort_by_key(|sent| sent.at);
    let (payee, token) = (record.identity.payee, record.token.clone());
    Ok(PlanReport { payee, token, planned, seen_at, wallet, under_way, lease: None })
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => error.into(),
            LookError::Escrow(error) => error.into(),
            error => Self::new(Code::Unexpected, error),
        }
    }
}
