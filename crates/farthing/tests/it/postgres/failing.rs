//! Servers that are killed, frozen and failed over, and connections that break at the worst moment: what was answered is
//! kept, nothing is charged twice, and the store goes on by itself.

use super::{charged, is_new, open, open_within, purchase};
use farthing::payee::PostgresStore;
use farthing::payee::store::{Outcome, PayeeStore};
use farthing_testkit::commit_proxy::{CommitProxy, Fault};
use farthing_testkit::histories::{channel, identity, signer};
use farthing_testkit::postgres::{PostgresPair, PostgresServer, connect};
use farthing_testkit::wait_until;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Servers of their own are heavy, so tests with one take turns.
pub(super) static SERVERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let _turn = SERVERS.lock().await;
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    let proxy = CommitProxy::start(server.socket()).await;
    let store = open(&server.url_by_way_of(proxy.folder(), "ledger")).await;
    let other = open(&server.url("ledger")).await;
    let faults = [Fault::Lost, Fault::AnswerLost, Fault::Late(Duration::from_millis(600))];
    for (number, fault) in (1..).zip(faults.into_iter().cycle().take(9)) {
        let entry = purchase(0, 0, number * 10, 10);
        proxy.arm(fault);
        let outcomes = store.accept_batch(std::slice::from_ref(&entry)).await.unwrap();
        assert!(is_new(&outcomes[0]), "{fault:?}: {outcomes:?}");
        assert_eq!(proxy.faults(), usize::try_from(number).unwrap(), "{fault:?} did not happen");
        // The control: whoever does not know that the batch is its own takes it for an earlier one.
        let again = other.accept_batch(&[entry]).await.unwrap();
        assert!(matches!(again[0], Outcome::Charged { again: true, .. }), "{fault:?}: {again:?}");
        assert_eq!(charged(&other).await, Some(number * 10), "{fault:?}");
    }
}

/// Several gateways buy, each item once, until told to stop; what they were told is bought is noted.
struct Load {
    stop: Arc<AtomicBool>,
    /// How many purchases there were.
    made: Arc<AtomicUsize>,
    buyers: JoinSet<Bought>,
}

/// Cumulative amounts by buyer.
type Bought = BTreeSet<(u8, u128)>;

impl Load {
    /// Each buyer is a person of its own at a gateway of its own, but for every second, which shares one.
    fn start(stores: &[Arc<PostgresStore>]) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut buyers = JoinSet::new();
        for (person, store) in (0..6).zip(stores.iter().cycle()) {
            let (stop, made, store) = (Arc::clone(&stop), Arc::clone(&made), Arc::clone(store));
            buyers.spawn(async move {
                let mut bought = BTreeSet::new();
                for item in 1.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let entries = [purchase(person, 0, item * 10, 5), purchase(person, 1, item * 10, 5)];
                    // Not stored is not bought; whatever it was, the next item is another.
                    let Ok(outcomes) = store.accept_batch(&entries).await else { continue };
                    assert!(outcomes.iter().all(is_new), "charged before, or refused: {outcomes:?}");
                    bought.insert((person, item * 10));
                    made.fetch_add(1, Ordering::SeqCst);
                }
                bought
            });
        }
        Self { stop, made, buyers }
    }

    /// Waits until so many more purchases are made, and a moment.
    async fn go_on(&self, purchases: usize) {
        let enough = self.made.load(Ordering::SeqCst) + purchases;
        wait_until("purchases are made", async || self.made.load(Ordering::SeqCst) >= enough).await;
        sleep(Duration::from_millis(rand::random_range(0..50))).await;
    }

    async fn finish(self) -> Bought {
        self.stop.store(true, Ordering::SeqCst);
        self.buyers.join_all().await.into_iter().flatten().collect()
    }
}

/// Panics unless everything that was bought is in the ledger, and the books are right.
async fn check(store: &dyn PayeeStore, bought: &Bought) {
    let lost = lost(store, bought).await;
    assert!(lost.is_empty(), "of {} purchases these are lost: {lost:?}", bought.len());
    let kept = store.all_charges().await.unwrap().len() as u128;
    assert_eq!(charged(store).await, Some(kept * 5), "the books are not what the charges add up to");
}

/// What was bought and is not in the ledger.
async fn lost(store: &dyn PayeeStore, bought: &Bought) -> Bought {
    let mut kept = BTreeSet::new();
    for (channel_id, charge) in store.all_charges().await.unwrap() {
        kept.insert((channel_id, charge.cumulative_amount.base_units()));
    }
    let is_kept = |(person, cumulative): &&(u8, u128)| {
        [0, 1].iter().all(|salt| {
            let channel = channel(&signer(*person), *salt);
            kept.contains(&(channel.id(&identity().deployment), *cumulative))
        })
    };
    bought.iter().filter(|purchase| !is_kept(purchase)).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_is_lost_when_the_server_is_killed_again_and_again() {
    let _turn = SERVERS.lock().await;
    let mut server = PostgresServer::start();
    server.create_database("ledger").await;
    let url = server.url("ledger");
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let load = Load::start(&stores);
    for _ in 0..4 {
        load.go_on(20).await;
        server.kill();
        server.start_again();
    }
    load.go_on(20).await;
    let bought = load.finish().await;
    check(stores[0].as_ref(), &bought).await;
    // After a kill no store has to be opened again, for reading or writing.
    assert!(is_new(&stores[1].accept_batch(&[purchase(7, 0, 10, 5)]).await.unwrap()[0]));
}

/// A store asks the server to keep what it commits, whatever the server is set to otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_on_the_disk_even_if_the_database_does_not_ask_for_it() {
    let _turn = SERVERS.lock().await;
    let mut server = PostgresServer::start_with(&["wal_writer_delay=10s"]);
    server.create_database("ledger").await;
    let url = server.url("ledger");
    let client = connect(&url).await;
    client.batch_execute("ALTER DATABASE ledger SET synchronous_commit = off").await.unwrap();
    client.batch_execute("CREATE TABLE control (item INTEGER)").await.unwrap();
    let store = open(&url).await;
    assert!(is_new(&store.accept_batch(&[purchase(0, 0, 10, 10)]).await.unwrap()[0]));
    // The control comes last: what is synced syncs all that is before it.
    connect(&url).await.batch_execute("INSERT INTO control VALUES (1)").await.unwrap();
    server.kill();
    server.start_again();
    assert_eq!(charged(&store).await, Some(10));
    let rows = connect(&url).await.query("SELECT item FROM control", &[]).await.unwrap();
    assert!(rows.is_empty(), "a kill loses nothing here, so this test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_costs_a_batch_and_no_more() {
    let _turn = SERVERS.lock().await;
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    let store = open_within(&server.url("ledger"), Duration::from_secs(2)).await.unwrap();
    assert!(is_new(&store.accept_batch(&[purchase(0, 0, 10, 10)]).await.unwrap()[0]));
    server.freeze();
    let started = Instant::now();
    let error = store.accept_batch(&[purchase(0, 0, 20, 10)]).await.unwrap_err();
    assert!(error.to_string().contains("the server does not answer"), "{error}");
    let error = store.books(farthing::core::ChannelId::default()).await.unwrap_err();
    assert!(error.to_string().contains("the server does not answer"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    server.thaw();
    assert!(is_new(&store.accept_batch(&[purchase(0, 0, 30, 10)]).await.unwrap()[0]));
    let charged = charged(&store).await;
    assert_eq!(charged, Some(20), "the batch that was given up had not sent its commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_is_lost_when_the_standby_takes_over() {
    let _turn = SERVERS.lock().await;
    let mut pair = PostgresPair::start().await;
    pair.primary.create_database("ledger").await;
    let url = pair.url("ledger");
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let load = Load::start(&stores);
    load.go_on(20).await;
    // Cut off and not dead: it goes on as if nothing were, once it can.
    pair.primary.freeze();
    pair.promote();
    let promoted = Instant::now();
    while stores[0].accept_batch(&[purchase(7, 0, 10, 5)]).await.is_err() {
        assert!(promoted.elapsed() < Duration::from_secs(30), "the stores do not find the new primary");
    }
    println!("a batch is stored {:?} after the standby took over", promoted.elapsed());
    pair.primary.thaw();
    load.go_on(20).await;
    let bought = load.finish().await;
    pair.primary.kill();
    check(&open(&pair.standby.url("ledger")).await, &bought).await;
}

/// The control: with a standby that no commit waits for, the same loses what was answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_no_commit_waits_for_loses_what_was_answered() {
    let _turn = SERVERS.lock().await;
    let mut pair = PostgresPair::start_asynchronous().await;
    pair.primary.create_database("ledger").await;
    let stores = [Arc::new(open(&pair.primary.url("ledger")).await)];
    let load = Load::start(&stores);
    load.go_on(20).await;
    // It is away for a moment, which is when the primary fails.
    pair.standby.kill();
    load.go_on(20).await;
    let bought = load.finish().await;
    pair.primary.kill();
    pair.standby.start_again();
    pair.promote();
    let lost = lost(&open(&pair.standby.url("ledger")).await, &bought).await;
    assert!(!lost.is_empty(), "nothing is lost, so the test above shows nothing");
    println!("of {} purchases {} are lost with an asynchronous standby", bought.len(), lost.len());
}
