//! Several gateways on one ledger: one sends at a time, and one that stood still sends nothing.

use super::{IMPATIENT, automine, not_mined, records, redeemer};
use crate::payee::{DIME, buy, shop};
use farthing::chain::Chain;
use farthing::clock;
use farthing::core::{Amount, B256, Timestamp};
use farthing::escrow::Escrow;
use farthing::local_chain::{CHAIN_ID, LocalChain};
use farthing::payee::redeemer::{RedeemError, Redemptions};
use farthing::payee::store::{Entry, Outcome, Redemption, RedemptionState};
use farthing::payee::{Payee, Redeemer};
use farthing_testkit::{Fixture, wait_until};
use std::sync::Arc;
use std::time::Duration;

/// A lease that a gateway which stands still loses soon.
const SHORT: Duration = Duration::from_secs(1);

/// Whether somebody else could have the lease now.
async fn is_free(payee: &Payee) -> bool {
    let (holder, at) = (B256::repeat_byte(9), clock::now());
    let ask = |until| Entry::Lease { holder, at, until };
    let asked = payee.store().accept_batch(&[ask(at.plus_seconds(1)), ask(at)]).await.unwrap();
    matches!(asked[0], Outcome::Leased(_))
}

/// A key that is not the payee's: anyone may redeem.
async fn with_another_key(fixture: &Fixture, payee: &Payee) -> Redeemer {
    redeemer(fixture, payee, fixture.connect(LocalChain::test_key(5)).await).await
}

#[tokio::test]
async fn the_lease_is_given_back_when_a_turn_ends() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
    let chain = fixture.connect(Fixture::payee()).await;
    automine(&chain, false).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    let under_way = tokio::spawn({
        let redeemer = redeemer.clone();
        async move { redeemer.redeem().await }
    });
    wait_until("it is on record", || async { !records(&payee).await.is_empty() }).await;
    assert!(!is_free(&payee).await, "its turn lasts until it is mined");
    assert!(redeemer.status().await.unwrap().lease.is_some_and(|lease| lease.is_own));
    // Whoever is dropped in the middle gives it back as well.
    under_way.abort();
    wait_until("the lease is free", || is_free(&payee)).await;
    automine(&chain, true).await;
    redeemer.redeem().await.unwrap();
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    assert!(is_free(&payee).await);
    assert_eq!(redeemer.status().await.unwrap().lease, None);
}

/// What another key has sent is on its way: redeeming it once more would pay gas for nothing.
#[tokio::test]
async fn what_another_key_has_sent_is_left_out_while_it_is_under_way() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
    let chain = fixture.connect(Fixture::payee()).await;
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    buy(&fixture, &payee, &fixture.channel(1), "/song", DIME).await.unwrap();
    super::ask(&chain, "anvil_dropTransaction", serde_json::json!([records(&payee).await[0].hash])).await;
    automine(&chain, true).await;
    let other = with_another_key(&fixture, &payee).await;
    let Redemptions { done, skipped } = other.redeem().await.unwrap();
    assert_eq!((done.len(), done[0].paid), (1, Amount::new(DIME)), "the one that nobody has sent");
    assert!(matches!(skipped[0].error, RedeemError::UnderWay { .. }), "{skipped:?}");
    assert!(other.redeem().await.unwrap().done.is_empty(), "nothing else to do is no failure");

    // Whoever sent it is gone: it would have replaced it long ago.
    let first = records(&payee).await.into_iter().find(|record| record.sender == Fixture::payee().address());
    let old = Redemption { at: Timestamp::from_unix_seconds(clock::now().unix_seconds() - 601), ..first.unwrap() };
    payee.store().accept_batch(&[Entry::Redemption { redemption: old, fence: None }]).await.unwrap();
    assert_eq!(other.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(2 * DIME));
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use farthing::payee::{PostgresOptions, PostgresStore, Watcher};
    use farthing_testkit::postgres::test_database;
    use farthing_testkit::rpc_proxy::{Fault, RpcProxy, Rule};
    use serde_json::Value;
    use std::sync::Mutex;
    use std::sync::mpsc;
    use url::Url;

    /// A gateway's payee over the database.
    async fn payee_over(fixture: &Fixture, database: &str) -> Payee {
        let options = PostgresOptions::new(database.parse().unwrap());
        let store = PostgresStore::open(options, &fixture.identity()).await.unwrap();
        let source = fixture.escrow(Fixture::payee()).await;
        fixture.start_payee_over(Arc::new(store), Arc::new(source)).await
    }

    async fn gateway(fixture: &Fixture, database: &str, node: &Url) -> (Payee, Redeemer) {
        let payee = payee_over(fixture, database).await;
        let chain = Chain::connect_to(node, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
        let escrow = Escrow::bind(chain, fixture.deployment.escrow).await.unwrap();
        Watcher::new(payee.clone(), escrow.clone()).step().await.unwrap();
        (payee.clone(), Redeemer::new(payee, escrow).with_lease(SHORT))
    }

    async fn stage() -> Arc<Fixture> {
        let fixture = Fixture::start().await;
        let payer = fixture.escrow(Fixture::payer()).await;
        payer.deposit(&fixture.account(), Amount::new(5_000_000)).await.unwrap();
        Arc::new(fixture)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn gateways_that_redeem_at_once_send_one_transaction_in_all() {
        let (fixture, database) = (stage().await, test_database().await);
        let node = fixture.local.url().clone();
        let (payee, one) = gateway(&fixture, database.url(), &node).await;
        let (_, other) = gateway(&fixture, database.url(), &node).await;
        for salt in 0..3 {
            buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
        }
        let both = tokio::join!(
            tokio::spawn(async move { one.redeem().await }),
            tokio::spawn(async move { other.redeem().await })
        );
        let sent = both.0.unwrap().unwrap().done.len() + both.1.unwrap().unwrap().done.len();
        assert_eq!((sent, records(&payee).await.len()), (1, 1));
        let payee_address = Fixture::payee().address();
        let chain = fixture.connect(Fixture::payee()).await;
        assert_eq!(chain.transactions_of(payee_address).await.unwrap(), 1);
        assert_eq!(fixture.dollars_of(payee_address).await, Amount::new(3 * DIME));
    }

    /// A gateway in a runtime of its own, which stands still from the moment that it asks its node for something.
    struct Paused {
        reached: mpsc::Receiver<Value>,
        go_on: mpsc::Sender<()>,
        ended: std::thread::JoinHandle<Result<Redemptions, RedeemError>>,
        proxy: Arc<RpcProxy>,
    }

    async fn paused_at(method: &str, fault: Fault, stage: &Arc<Fixture>, database: &str) -> Paused {
        let proxy = Arc::new(RpcProxy::start(stage.local.url()).await);
        let (say, reached) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let (handle_in, handle_out) = mpsc::channel::<tokio::runtime::Handle>();
        let (runtime, wait) = (Mutex::new(handle_out), Arc::new(Mutex::new(wait)));
        let rule = Rule::on(method, fault).times(1).when(move |request| {
            let wait = Arc::clone(&wait);
            let stop = async move {
                let _ = wait.lock().unwrap().recv();
            };
            // All of the gateway stands still: its only thread does.
            runtime.lock().unwrap().recv().unwrap().spawn(stop);
            say.send(request.clone()).unwrap();
            true
        });
        proxy.inject(rule);
        let (node, database, stage) = (proxy.url(), database.to_owned(), Arc::clone(stage));
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            handle_in.send(runtime.handle().clone()).unwrap();
            runtime.block_on(async move {
                let chain = Chain::connect_to(&node, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
                let escrow = Escrow::bind(chain, stage.deployment.escrow).await.unwrap();
                let options = PostgresOptions::new(database.parse().unwrap());
                let store = PostgresStore::open(options, &stage.identity()).await.unwrap();
                let payee = stage.start_payee_over(Arc::new(store), Arc::new(escrow.clone())).await;
                Redeemer::new(payee, escrow).with_lease(SHORT).redeem().await
            })
        });
        Paused { reached, go_on, ended, proxy }
    }

    /// It wakes up before it has written anything down: what it would write has an old fence, and nothing is sent.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_gateway_that_stood_still_before_its_record_sends_nothing() {
        let (fixture, database) = (stage().await, test_database().await);
        let (payee, other) = gateway(&fixture, database.url(), fixture.local.url()).await;
        buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
        let paused = paused_at("eth_estimateGas", Fault::Late(Duration::ZERO), &fixture, database.url()).await;
        paused.reached.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(other.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
        // Something is due again, so the one that wakes up has something to send.
        buy(&fixture, &payee, &fixture.channel(0), "/next", 2 * DIME).await.unwrap();
        paused.go_on.send(()).unwrap();
        let woken = tokio::task::spawn_blocking(|| paused.ended.join().unwrap()).await.unwrap();
        assert!(matches!(woken, Err(RedeemError::Fenced { .. })), "{woken:?}");
        assert_eq!(paused.proxy.calls("eth_sendRawTransaction").asked, 0);
        assert_eq!(records(&payee).await.len(), 1);
    }

    /// It wakes up with its record written: its broadcast can't be stopped any more, and comes to nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_gateway_that_stood_still_broadcasts_late_is_mined_once_at_most() {
        let (fixture, database) = (stage().await, test_database().await);
        let (payee, other) = gateway(&fixture, database.url(), fixture.local.url()).await;
        buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
        let paused = paused_at("eth_sendRawTransaction", Fault::Silent, &fixture, database.url()).await;
        let late = paused.reached.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(records(&payee).await.len(), 1);
        assert_eq!(other.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
        assert!(records(&payee).await.iter().all(|record| record.nonce == 0), "the same place");
        let chain = fixture.connect(Fixture::payee()).await;
        let raw = late["params"].clone();
        let heard =
            alloy::providers::Provider::raw_request::<_, Value>(chain.provider(), "eth_sendRawTransaction".into(), raw);
        assert!(heard.await.is_err(), "its place is taken");
        fixture.finalize().await;
        other.settle().await.unwrap();
        assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
        assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
        let records = records(&payee).await;
        let is_final = |record: &&Redemption| matches!(record.state, RedemptionState::Final { .. });
        assert_eq!((records.len(), records.iter().filter(is_final).count()), (2, 1), "{records:?}");
        drop(paused.go_on);
    }
}
