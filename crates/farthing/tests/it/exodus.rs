//! Everybody leaves at once while gas costs a hundred times as much: half of them ask for a reservation back, half take
//! money out of an account, for anything from a hundredth of a cent to some dollars. What is reserved and worth its gas
//! is redeemed before its close can be finalized, accounts are redeemed at first sight, what was given on credit and is
//! gone stays within the limits, and everything else is named with its reason.
//!
//! `FARTHING_EXODUS=1000` says how many, which `script/verify.sh exodus` does.

mod crowd;

use crowd::{CREDIT_LIMIT, Crowd, Leaver, STRANGERS};
use farthing::core::gas::{CoinPrice, GasModel, Row};
use farthing::core::redemption::{Obstacle, Plan};
use farthing::core::{Amount, ChannelId};
use farthing::escrow::EXIT_DELAY_DEFAULT;
use farthing::payee::store::{Redemption, RedemptionState};
use farthing::payee::{CoinPriceSource, CoinPrices, Redeemer, RedemptionOptions, Watcher};
use farthing_testkit::Fixture;
use std::collections::{BTreeMap, HashMap};

/// The base fee before, and while everybody leaves, in wei.
const BASE_FEE: u128 = 10_000_000;
const BASE_FEE_THEN: u128 = 100 * BASE_FEE;

/// What a coin is worth: $3,000.
const COIN: u128 = 3_000_000_000;

/// How much time passes between two looks after that, and until the exit delay has run.
const HOURS_BETWEEN: u64 = 2;

fn options() -> RedemptionOptions {
    let coin_price = CoinPriceSource::Set(CoinPrice::new(Amount::new(COIN)).unwrap());
    RedemptionOptions { coin_price, ..RedemptionOptions::default() }
}

fn value_of(wei: Amount) -> Amount {
    CoinPrice::new(Amount::new(COIN)).unwrap().value_of(wei)
}

/// What gas costs while everybody leaves, in the token.
fn price(gas: u64) -> Amount {
    value_of(Amount::new(u128::from(gas) * BASE_FEE_THEN))
}

/// What a leaver's row costs then.
fn row_cost(leaver: &Leaver) -> Amount {
    price(GasModel::of_row(Row { is_first: !leaver.is_reserved, is_reserved: leaver.is_reserved, is_long: false }))
}

/// The payee while they leave.
struct Gateway {
    watcher: Watcher,
    redeemer: Redeemer,
    /// Negative control: it does not look at what payers do.
    is_blind: bool,
}

impl Gateway {
    async fn open(crowd: &Crowd, is_blind: bool) -> Self {
        let escrow = crowd.fixture.escrow(Fixture::payee()).await;
        let mut watcher = Watcher::new(crowd.payee.clone(), escrow.clone());
        watcher.step().await.unwrap();
        Self { watcher, redeemer: Redeemer::new(crowd.payee.clone(), escrow), is_blind }
    }

    /// One look, as the gateway's loops take it.
    async fn look(&mut self, crowd: &Crowd) {
        if !self.is_blind {
            self.watcher.step().await.unwrap();
        }
        crowd.faults.set_next_base_fee(BASE_FEE_THEN).await;
        // One that has nothing to wait for: hours go by in no time here.
        self.redeemer.clone().runner(&options()).step().await;
    }
}

/// What a transaction costs before its first row, in the token.
fn transaction_cost() -> Amount {
    price(GasModel::TRANSACTION)
}

/// What came of it.
struct Report {
    /// Of each channel what was redeemed, and in which block.
    redeemed: HashMap<ChannelId, (Amount, Option<u64>)>,
    /// What the payee said of the others before their closes could be finalized.
    plan: Plan,
    transactions: Vec<Redemption>,
    /// The block in which the first close was finalized.
    ended_in: u64,
}

/// Why a leaver's debt ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Redeemed in the block after the one in which it left, or in the one after that.
    AtOnce,
    /// Redeemed before the close could be finalized.
    InTime,
    /// There was nothing left to take.
    Gone,
    /// Gas would have cost more.
    NotWorthItsGas,
}

impl Fate {
    const fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "redeemed at first sight",
            Self::InTime => "redeemed in time",
            Self::Gone => "its money is gone",
            Self::NotWorthItsGas => "not worth its gas",
        }
    }
}

async fn leave(crowd: &mut Crowd, is_blind: bool) -> Report {
    let mut gateway = Gateway::open(crowd, is_blind).await;
    crowd.leave(BASE_FEE_THEN).await;
    gateway.look(crowd).await;
    for _ in 0..EXIT_DELAY_DEFAULT / 3_600 / HOURS_BETWEEN - 1 {
        crowd.faults.set_next_base_fee(BASE_FEE_THEN).await;
        crowd.faults.pass_time(HOURS_BETWEEN * 3_600).await;
        gateway.look(crowd).await;
    }
    crowd.faults.set_next_base_fee(BASE_FEE_THEN).await;
    let coin_prices = CoinPrices::new(options().coin_price, &crowd.fixture.token);
    let plan = gateway.redeemer.plan(options().terms, &coin_prices).await.unwrap().plan;
    crowd.faults.pass_time(HOURS_BETWEEN * 3_600).await;
    crowd.finalize_closes().await;
    let ended_in = crowd.faults.head().await;
    crowd.fixture.finalize().await;
    gateway.watcher.step().await.unwrap();
    gateway.redeemer.settle().await.unwrap();
    let store = crowd.payee.store();
    let mut transactions = store.redemptions().await.unwrap();
    transactions.retain(|record| matches!(record.state, RedemptionState::Final { .. }));
    let mut redeemed = HashMap::new();
    for (channel_id, books) in store.all_books().await.unwrap() {
        let names = |record: &&Redemption| record.vouchers.iter().any(|(id, _)| *id == channel_id);
        redeemed.insert(channel_id, (books.redeemed, transactions.iter().find(names).map(block_of)));
    }
    Report { redeemed, plan, transactions, ended_in }
}

fn block_of(record: &Redemption) -> u64 {
    match record.state {
        RedemptionState::Final { block, .. } => block,
        _ => panic!("{record:?} is not final"),
    }
}

impl Report {
    /// What a leaver owed was redeemed of, and how that came.
    fn fate(&self, crowd: &Crowd, leaver: &Leaver) -> (Amount, Fate) {
        let (redeemed, block) = self.redeemed[&leaver.channel.id(&crowd.fixture.deployment)];
        match block {
            Some(block) if block <= crowd.left_in + 2 => (redeemed, Fate::AtOnce),
            Some(block) => {
                assert!(block < self.ended_in, "{leaver:?} was redeemed in block {block}");
                (redeemed, Fate::InTime)
            }
            None if leaver.pays().is_zero() => (redeemed, Fate::Gone),
            None => (redeemed, Fate::NotWorthItsGas),
        }
    }

    /// What the payee says of each channel that it did not redeem.
    fn reasons(&self) -> HashMap<ChannelId, Obstacle> {
        let waits = self.plan.wait.iter().filter_map(|choice| Some((choice.channel_id, choice.obstacle?)));
        waits.collect()
    }

    fn print(&self, crowd: &Crowd) {
        let mut rows: BTreeMap<(bool, Fate), (usize, Amount, Amount)> = BTreeMap::new();
        for leaver in &crowd.leavers {
            let (redeemed, fate) = self.fate(crowd, leaver);
            let row = rows.entry((!leaver.is_reserved, fate)).or_default();
            let sum = |one: Amount, other: Amount| one.saturating_add(other);
            *row = (row.0 + 1, sum(row.1, leaver.owes), sum(row.2, redeemed));
        }
        let token = &crowd.fixture.token;
        println!("exodus: {} payers, base fee {BASE_FEE} wei and then {BASE_FEE_THEN}", crowd.leavers.len());
        for ((is_account, fate), (count, owed, redeemed)) in rows {
            let kind = if is_account { "account" } else { "reserved" };
            let lost = token.format(owed.saturating_sub(redeemed));
            let (owed, redeemed) = (token.format(owed), token.format(redeemed));
            let what = fate.words();
            println!("exodus: {kind:<8} | {what:<23} | {count:>4} | owed {owed} | redeemed {redeemed} | lost {lost}");
        }
        let mut obstacles: BTreeMap<&str, (usize, Amount)> = BTreeMap::new();
        for choice in &self.plan.wait {
            let row = obstacles.entry(choice.obstacle.map_or("nothing", in_words)).or_default();
            let owed = choice.pays.saturating_add(choice.uncovered);
            *row = (row.0 + 1, row.1.saturating_add(owed));
        }
        for (reason, (count, owed)) in obstacles {
            println!("exodus: the payee says of {count} that owe {}: {reason}", token.format(owed));
        }
        let gas: u64 = self.transactions.iter().map(|record| gas_of(record).0).sum();
        let wei: u128 = self.transactions.iter().map(|record| u128::from(gas_of(record).0) * gas_of(record).1).sum();
        let (paid, cost) = (self.paid(), token.format(value_of(Amount::new(wei))));
        let closes = self.transactions.iter().filter(|record| record.closes).count();
        let (redemptions, paid) = (self.transactions.len() - closes, token.format(paid));
        println!("exodus: {redemptions} redemptions and {closes} closes, {gas} gas, {cost} of {paid}");
    }

    fn paid(&self) -> Amount {
        Amount::saturating_sum(self.redeemed.values().map(|(redeemed, _)| *redeemed))
    }

    /// What was lost of reservations that were worth their gas, each by itself.
    fn lost_of_reservations(&self, crowd: &Crowd) -> Amount {
        let worth = |leaver: &&Leaver| leaver.is_reserved && leaver.owes > row_cost(leaver);
        let lost = crowd.leavers.iter().filter(worth).filter(|leaver| self.fate(crowd, leaver).0.is_zero());
        Amount::saturating_sum(lost.map(|leaver| leaver.owes.saturating_sub(row_cost(leaver))))
    }
}

const fn in_words(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Money => "there is no money behind it",
        Obstacle::CheaperGas { .. } => "its row costs more than it may",
        Obstacle::Company => "together they don't pay for a transaction",
        Obstacle::GasPrice => "gas costs more than is ever paid",
        Obstacle::CoinPrice => "nobody says what gas is worth",
    }
}

fn gas_of(record: &Redemption) -> (u64, u128) {
    match record.state {
        RedemptionState::Final { gas_used, gas_price, .. } => (gas_used, gas_price),
        _ => panic!("{record:?} is not final"),
    }
}

fn size(otherwise: usize) -> usize {
    std::env::var("FARTHING_EXODUS").map_or(otherwise, |size| size.parse().expect("a number of payers"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everybody_leaves_what_is_reserved_and_worth_its_gas_is_redeemed_in_time() {
    let mut crowd = Crowd::gather(size(60), 20_261_122).await;
    let report = leave(&mut crowd, false).await;
    report.print(&crowd);
    // Together they would not have paid for one more transaction.
    let lost = report.lost_of_reservations(&crowd);
    assert!(lost < transaction_cost(), "{lost} was lost of reservations that were worth their gas");
    let reasons = report.reasons();
    let mut lost_on_credit = Amount::ZERO;
    for leaver in &crowd.leavers {
        let (redeemed, fate) = report.fate(&crowd, leaver);
        let expected = match fate {
            Fate::AtOnce | Fate::InTime => leaver.pays(),
            Fate::Gone | Fate::NotWorthItsGas => Amount::ZERO,
        };
        assert_eq!(redeemed, expected, "{leaver:?}");
        let lost = leaver.owes.saturating_sub(redeemed);
        if !lost.is_zero() {
            assert!(reasons.contains_key(&leaver.channel.id(&crowd.fixture.deployment)), "{leaver:?} without a reason");
        }
        if leaver.is_reserved {
            continue;
        }
        assert!(lost <= Amount::new(CREDIT_LIMIT), "{leaver:?}");
        lost_on_credit = lost_on_credit.saturating_add(lost);
        let is_worth_a_transaction = leaver.pays() > row_cost(leaver).saturating_add(transaction_cost());
        assert!(
            fate <= Fate::AtOnce || !is_worth_a_transaction,
            "{leaver:?} was not redeemed at first sight: {fate:?}"
        );
    }
    assert!(lost_on_credit <= Amount::new(STRANGERS));
    println!("exodus: lost on credit {}", crowd.fixture.token.format(lost_on_credit));
    assert_eq!(
        report.paid(),
        crowd.fixture.dollars_of(Fixture::payee().address()).await,
        "the books say what was paid"
    );
    assert!(crowd.is_conserved().await, "money was lost or made");
}

/// Negative control: a payee that does not look at close requests. Gas is dear, nothing seems to press, and the
/// reservations leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payee_that_ignores_close_requests_loses_reservations_that_were_worth_their_gas() {
    let mut crowd = Crowd::gather(60, 20_261_122).await;
    let report = leave(&mut crowd, true).await;
    let lost = report.lost_of_reservations(&crowd);
    println!("exodus: ignoring close requests loses {}", crowd.fixture.token.format(lost));
    assert!(lost > transaction_cost(), "{lost}");
    assert!(crowd.is_conserved().await, "money was lost or made");
}
