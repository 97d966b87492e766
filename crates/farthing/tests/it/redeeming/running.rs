//! A redeemer that runs by itself: what it does at which look, and what it leaves alone.

use super::{ask, automine};
use crate::payee::{DIME, buy, shop};
use farthing::chain::Chain;
use farthing::core::gas::CoinPrice;
use farthing::core::redemption::RedemptionTerms;
use farthing::core::{Amount, Channel};
use farthing::escrow::Escrow;
use farthing::payee::redeemer::Runner;
use farthing::payee::store::RedemptionState;
use farthing::payee::{CoinPriceSource, Payee, Redeemer, RedemptionOptions, Watcher};
use farthing_testkit::{Fixture, wait_until};

use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

/// A shop with a redeemer that looks when it is told to.
struct Stage {
    fixture: Fixture,
    _folder: TempDir,
    payee: Payee,
    watcher: Watcher,
    redeemer: Redeemer,
    chain: Chain,
}

impl Stage {
    async fn new() -> Self {
        let (fixture, folder, payee, watcher) = shop().await;
        let escrow = fixture.escrow(Fixture::payee()).await;
        let redeemer = Redeemer::new(payee.clone(), escrow.clone());
        Self { fixture, _folder: folder, payee, watcher, redeemer, chain: escrow.chain().clone() }
    }

    fn runner(&self, options: &RedemptionOptions) -> Runner {
        self.redeemer.clone().runner(options)
    }

    async fn payer(&self) -> Escrow {
        self.fixture.escrow(Fixture::payer()).await
    }

    async fn reserve(&mut self, channel: &Channel, amount: u128) {
        self.payer().await.reserve(channel, Amount::new(amount)).await.unwrap();
        self.fixture.finalize().await;
        self.watcher.step().await.unwrap();
    }

    async fn paid(&self) -> u128 {
        self.fixture.dollars_of(Fixture::payee().address()).await.base_units()
    }

    async fn sent(&self) -> u64 {
        self.chain.transactions_of(Fixture::payee().address()).await.unwrap()
    }

    async fn head(&self) -> u64 {
        self.chain.head().await.unwrap().number
    }
}

/// Nobody says what the coin is worth.
fn unpriced() -> RedemptionOptions {
    RedemptionOptions::default()
}

/// A coin that is worth so many base units of the token.
fn priced(base_units: u128) -> RedemptionOptions {
    let price = CoinPrice::new(Amount::new(base_units)).unwrap();
    RedemptionOptions { coin_price: CoinPriceSource::Set(price), ..RedemptionOptions::default() }
}

#[tokio::test]
async fn a_requested_close_is_answered_within_two_blocks() {
    let mut stage = Stage::new().await;
    let (leaving, staying) = (stage.fixture.channel(0), stage.fixture.channel(1));
    stage.reserve(&leaving, 10 * DIME).await;
    for channel in [&leaving, &staying] {
        buy(&stage.fixture, &stage.payee, channel, "/song", DIME).await.unwrap();
    }
    let mut runner = stage.runner(&unpriced());
    runner.step().await;
    assert_eq!(stage.sent().await, 0, "nothing presses, and nobody knows what gas is worth");
    stage.payer().await.request_close(&leaving).await.unwrap();
    let visible = stage.head().await;
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!((stage.sent().await, stage.paid().await), (1, DIME), "the other channel is not dragged along");
    let records = stage.payee.store().redemptions().await.unwrap();
    let RedemptionState::Mined { block, .. } = records[0].state else { panic!("{records:?}") };
    assert!(block <= visible + 2, "visible in {visible}, redeemed in {block}");
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!(stage.sent().await, 1, "once");
}

/// The redeemer's own next look is an hour away.
#[tokio::test]
async fn what_the_watcher_sees_is_acted_on_at_once() {
    let mut stage = Stage::new().await;
    let channels = [0, 1].map(|salt| stage.fixture.channel(salt));
    for channel in &channels {
        stage.reserve(channel, 10 * DIME).await;
        buy(&stage.fixture, &stage.payee, channel, "/song", DIME).await.unwrap();
    }
    let Stage { fixture, _folder, payee, watcher, redeemer, chain } = stage;
    tokio::spawn(watcher.run(Duration::from_millis(100)));
    tokio::spawn(redeemer.run(unpriced(), Duration::from_secs(3_600)));
    let payer = fixture.escrow(Fixture::payer()).await;
    // The first may be found at the first look, the second can't.
    for (channel, sent) in channels.iter().zip([1, 2]) {
        payer.request_close(channel).await.unwrap();
        wait_until("it is redeemed", || async { chain.transactions_of(payee.address()).await.unwrap() == sent }).await;
    }
    assert_eq!(fixture.dollars_of(payee.address()).await, Amount::new(2 * DIME));
}

/// The rest may go with the next transaction: what an account still holds is redeemed at first sight.
#[tokio::test]
async fn what_is_left_of_an_account_is_redeemed_when_its_payer_takes_money_out() {
    let mut stage = Stage::new().await;
    let channel = stage.fixture.channel(0);
    buy(&stage.fixture, &stage.payee, &channel, "/song", DIME).await.unwrap();
    let mut runner = stage.runner(&unpriced());
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!(stage.sent().await, 0);
    let (payer, account) = (stage.payer().await, stage.fixture.account());
    payer.withdraw(&account, Amount::new(1_000_000), account.payer).await.unwrap();
    stage.watcher.step().await.unwrap();
    assert!(stage.payee.views().is_withdrawing(account.id()));
    runner.step().await;
    assert_eq!((stage.sent().await, stage.paid().await), (1, DIME));
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert!(!stage.payee.views().is_withdrawing(account.id()), "what it buys next is credit as before");
    assert_eq!(stage.sent().await, 1);
}

/// To reserve, here or elsewhere, is what accounts are for.
#[tokio::test]
async fn who_reserves_withdraws_nothing() {
    let mut stage = Stage::new().await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/song", DIME).await.unwrap();
    let other = Channel { payee: stage.fixture.token.address, ..stage.fixture.channel(0) };
    for channel in [stage.fixture.channel(0), other] {
        for amount in [DIME, DIME] {
            stage.reserve(&channel, amount).await;
            assert!(stage.payee.views().withdrawing().is_empty());
        }
    }
    stage.runner(&unpriced()).step().await;
    assert_eq!(stage.sent().await, 0);
}

#[tokio::test]
async fn what_can_wait_is_redeemed_when_gas_is_a_small_part_of_it() {
    let stage = Stage::new().await;
    for salt in 0..2 {
        buy(&stage.fixture, &stage.payee, &stage.fixture.channel(salt), "/song", DIME).await.unwrap();
    }
    // Anvil asks for about two gwei at most: 110,000 gas are 0.0002 coins.
    stage.runner(&priced(1_000_000_000)).step().await;
    assert_eq!(stage.sent().await, 0, "gas would take as much as is paid");
    stage.runner(&priced(1_000)).step().await;
    assert_eq!((stage.sent().await, stage.paid().await), (1, 2 * DIME));
}

/// The owner pays no more than so much for gas, whatever it would still be worth.
#[tokio::test]
async fn above_the_owners_price_of_gas_only_what_is_taken_away_is_redeemed() {
    let mut stage = Stage::new().await;
    let (leaving, staying) = (stage.fixture.channel(0), stage.fixture.channel(1));
    stage.reserve(&leaving, 10 * DIME).await;
    for channel in [&leaving, &staying] {
        buy(&stage.fixture, &stage.payee, channel, "/song", DIME).await.unwrap();
    }
    let terms = RedemptionTerms { gas_price_max: Amount::new(10), ..RedemptionTerms::default() };
    let options = RedemptionOptions { terms, ..priced(1_000) };
    let mut runner = stage.runner(&options);
    runner.step().await;
    assert_eq!(stage.sent().await, 0);
    let manual = stage.redeemer.clone().with_terms(&options).redeem().await.unwrap_err();
    assert!(manual.to_string().contains("at most 10 is paid"), "{manual}");
    stage.payer().await.request_close(&leaving).await.unwrap();
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!((stage.sent().await, stage.paid().await), (1, DIME));
    buy(&stage.fixture, &stage.payee, &leaving, "/next", 2 * DIME).await.unwrap();
    stage.watcher.step().await.unwrap();
    let by_hand = stage.redeemer.clone().with_terms(&options).redeem().await.unwrap();
    assert_eq!((by_hand.done[0].vouchers, by_hand.done[0].paid), (1, Amount::new(DIME)), "also when told to");
    assert_eq!(by_hand.skipped[0].channel_id, staying.id(&stage.fixture.deployment));
}

/// A payer that leaves gets its reservation back without waiting, once what it owed is finally paid.
#[tokio::test]
async fn a_reservation_is_given_back_when_nothing_is_due_of_it_any_more() {
    let mut stage = Stage::new().await;
    let channel = stage.fixture.channel(0);
    stage.reserve(&channel, 10 * DIME).await;
    buy(&stage.fixture, &stage.payee, &channel, "/song", DIME).await.unwrap();
    let mut runner = stage.runner(&priced(1_000));
    stage.payer().await.request_close(&channel).await.unwrap();
    stage.watcher.step().await.unwrap();
    runner.step().await;
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!(stage.sent().await, 1, "a reorg could undo the redemption, so its guarantee stays");
    stage.fixture.finalize().await;
    stage.watcher.step().await.unwrap();
    runner.step().await;
    assert_eq!((stage.sent().await, stage.paid().await), (2, DIME));
    stage.watcher.step().await.unwrap();
    assert!(stage.payee.views().closing().is_empty());
    assert_eq!(stage.fixture.dollars_of(Fixture::payer().address()).await, Amount::new(95_000_000 + 9 * DIME));
}

/// The same with a key that is neither the payee's nor an operator's: it redeems, and leaves the rest to the payer.
#[tokio::test]
async fn who_may_not_close_redeems_all_the_same() {
    let mut stage = Stage::new().await;
    let channel = stage.fixture.channel(0);
    stage.reserve(&channel, 10 * DIME).await;
    buy(&stage.fixture, &stage.payee, &channel, "/song", DIME).await.unwrap();
    let stranger = farthing::local_chain::LocalChain::test_key(5);
    let redeemer = Redeemer::new(stage.payee.clone(), stage.fixture.escrow(stranger).await);
    let mut runner = redeemer.runner(&priced(1_000));
    stage.payer().await.request_close(&channel).await.unwrap();
    for _ in 0..3 {
        stage.watcher.step().await.unwrap();
        runner.step().await;
        stage.fixture.finalize().await;
    }
    assert_eq!(stage.paid().await, DIME);
    assert_eq!(stage.payee.views().closing().len(), 1, "its exit delay runs");
}

#[tokio::test]
async fn a_wallet_that_runs_low_is_in_the_status() {
    let stage = Stage::new().await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/song", DIME).await.unwrap();
    stage.runner(&unpriced()).step().await;
    let key = stage.redeemer.status().await.unwrap().gas_key.expect("looked at");
    assert!(!key.is_low() && key.address == Fixture::payee().address(), "{key:?}");
    let little = Amount::new(key.advised.base_units() - 1);
    stage.fixture.local.give_ether(&stage.chain, key.address, little).await.unwrap();
    stage.runner(&unpriced()).step().await;
    let key = stage.redeemer.status().await.unwrap().gas_key.expect("looked at");
    assert!(key.is_low(), "{key:?}");
}

/// What was sent is settled by looking, without anything else to send.
#[tokio::test]
async fn what_was_sent_is_under_way_until_it_is_final() {
    let stage = Stage::new().await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/song", DIME).await.unwrap();
    stage.redeemer.redeem().await.unwrap();
    assert_eq!(stage.redeemer.status().await.unwrap().under_way.len(), 1);
    stage.fixture.finalize().await;
    stage.runner(&unpriced()).step().await;
    assert!(stage.redeemer.status().await.unwrap().under_way.is_empty());
}

/// A reorg undoes it: the very place is tried again, and it pays once.
#[tokio::test]
async fn what_a_reorg_undoes_is_redeemed_again() {
    let mut stage = Stage::new().await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/song", DIME).await.unwrap();
    let before = stage.head().await;
    stage.redeemer.redeem().await.unwrap();
    assert_eq!((stage.sent().await, stage.paid().await), (1, DIME));
    let depth = stage.head().await - before;
    ask(&stage.chain, "anvil_rollback", json!([depth])).await;
    assert_eq!((stage.sent().await, stage.paid().await), (0, 0));
    stage.redeemer.settle().await.unwrap();
    assert_eq!(stage.payee.store().redemptions().await.unwrap()[0].state, RedemptionState::Sent);
    automine(&stage.chain, true).await;
    stage.watcher.step().await.unwrap();
    let redeemed = stage.redeemer.redeem().await.unwrap().done;
    assert_eq!((redeemed.len(), redeemed[0].paid), (1, Amount::new(DIME)));
    stage.fixture.finalize().await;
    stage.redeemer.settle().await.unwrap();
    let records = stage.payee.store().redemptions().await.unwrap();
    assert!(records.iter().all(|record| record.nonce == 0), "{records:?}");
    let is_final = |state: &RedemptionState| matches!(state, RedemptionState::Final { .. });
    assert_eq!(records.iter().filter(|record| is_final(&record.state)).count(), 1, "{records:?}");
    assert!(records.iter().all(|record| !record.state.is_unsettled()), "{records:?}");
    assert_eq!((stage.sent().await, stage.paid().await), (1, DIME));
}
