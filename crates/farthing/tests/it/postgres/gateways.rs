//! Gateways in processes of their own sell on the same channels while gateways, server and connections fail at random.
//! At the end everything that was answered is in the ledger, once, and could have been answered by one gateway alone.

use super::failing::SERVERS;
use super::process::{Process, say, task};
use super::{SECONDS, charged, is_new, open, purchase};
use farthing::core::{Amount, ChannelId, Timestamp};
use farthing::payee::PostgresStore;
use farthing::payee::store::{Entry, Outcome, PayeeStore};
use farthing_testkit::channel_history::{self, Kind, Moment, Operation};
use farthing_testkit::commit_proxy::{CommitProxy, Fault};
use farthing_testkit::histories::{channel, identity, signer};
use farthing_testkit::postgres::{PostgresServer, connect};
use rand::Rng;
use rand::seq::IteratorRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// How many channels are sold on, by how many gateways, each to how many buyers.
const PEOPLE: u8 = 4;
const GATEWAYS: usize = 3;
const BUYERS: u64 = 6;

/// Every purchase costs the same, so that a channel is a counter; its voucher promises more than is ever spent.
const PRICE: u128 = 1;
const PROMISED: u64 = 1_000_000_000;

fn channel_id(person: u8) -> ChannelId {
    channel(&signer(person), 0).id(&identity().deployment)
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the tests below, in a process of its own"]
async fn a_gateway() {
    let Some(task) = task() else { return };
    let (url, number) = task.split_once(' ').unwrap();
    let number: u64 = number.parse().unwrap();
    let store = loop {
        // The server may be away when a gateway starts.
        match super::open_within(url, Duration::from_secs(5)).await {
            Ok(store) => break Arc::new(store),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..BUYERS {
        let first = (number * BUYERS + buyer) << 20;
        buyers.spawn(buy(Arc::clone(&store), first));
    }
    buyers.join_all().await;
}

/// Buys, each time something else, on one or more channels at once; now and then it just looks.
async fn buy(store: Arc<PostgresStore>, first: u64) {
    for id in first.. {
        let people = (0..PEOPLE).choose_multiple(&mut rand::rng(), rand::rng().random_range(1..3));
        if rand::rng().random_ratio(1, 4) {
            let begun = now();
            if let Ok(Some(books)) = store.books(channel_id(people[0])).await {
                say(format_args!("look {} {begun} {} {}", people[0], now(), books.spent));
            }
            continue;
        }
        let entry = |person: &u8| purchase(*person, 0, u128::from(PROMISED + id), PRICE);
        let batch: Vec<Entry> = people.iter().map(entry).collect();
        let mut begun = now();
        for person in &people {
            say(format_args!("begin {person} {id} {begun}"));
        }
        // Told nothing, a buyer asks once more; then it goes on.
        for _ in 0..2 {
            let Ok(outcomes) = store.accept_batch(&batch).await else {
                begun = now();
                continue;
            };
            for (person, outcome) in people.iter().zip(outcomes) {
                match outcome {
                    Outcome::Charged { books, again: false, .. } => {
                        say(format_args!("told {person} {id} {} {}", now(), books.spent));
                    }
                    Outcome::Charged { books, .. } => {
                        say(format_args!("look {person} {begun} {} {}", now(), books.spent));
                    }
                    other => say(format_args!("refused {other:?}")),
                }
            }
            break;
        }
    }
}

/// What gateways have said, channel by channel.
#[derive(Debug, Default)]
struct Heard {
    purchases: BTreeMap<(u8, u64), Operation>,
    looks: Vec<(u8, Operation)>,
    refused: Vec<String>,
}

impl Heard {
    fn note(&mut self, said: &str) {
        let mut words = said.split(' ');
        let kind = words.next().unwrap();
        if kind == "refused" {
            self.refused.push(said.to_owned());
            return;
        }
        // A gateway may be killed in the middle of a line.
        let Some(person) = next::<u8>(&mut words) else { return };
        let (Some(first), Some(second)) = (next::<u64>(&mut words), next::<u64>(&mut words)) else { return };
        match (kind, next::<u64>(&mut words)) {
            ("begin", None) => {
                let kind = Kind::Purchase { id: first, count: None };
                let operation = Operation { begun: second, answered: None, kind };
                self.purchases.insert((person, first), operation);
            }
            ("told", Some(count)) => {
                let operation = self.purchases.get_mut(&(person, first)).expect("it was begun");
                operation.answered = Some(second);
                operation.kind = Kind::Purchase { id: first, count: Some(count) };
            }
            ("look", Some(count)) => {
                let operation = Operation { begun: first, answered: Some(second), kind: Kind::Look { count } };
                self.looks.push((person, operation));
            }
            _ => {}
        }
    }

    fn answered(&self) -> usize {
        self.purchases.values().filter(|purchase| purchase.answered.is_some()).count()
    }

    fn of(&self, person: u8) -> Vec<Operation> {
        let looks = self.looks.iter().filter(|(whose, _)| *whose == person).map(|(_, look)| *look);
        let purchases = self.purchases.range((person, 0)..=(person, u64::MAX)).map(|(_, purchase)| *purchase);
        looks.chain(purchases).collect()
    }

    /// Whether all of it can be, given the ledger at the end.
    async fn check(&self, store: &dyn PayeeStore) -> Result<(), String> {
        if let Some(refused) = self.refused.first() {
            return Err(refused.clone());
        }
        let mut kept: BTreeMap<ChannelId, BTreeSet<u64>> = BTreeMap::new();
        for (channel_id, charge) in store.all_charges().await.unwrap() {
            // What is below was bought before.
            if let Some(id) = u64::try_from(charge.cumulative_amount.base_units()).unwrap().checked_sub(PROMISED) {
                kept.entry(channel_id).or_default().insert(id);
            }
        }
        for person in 0..PEOPLE {
            let kept = kept.remove(&channel_id(person)).unwrap_or_default();
            channel_history::check(&self.of(person), &kept).map_err(|why| format!("channel of {person}: {why}"))?;
        }
        let charged = charged(store).await;
        charged.map(drop).ok_or_else(|| "the books are not what the charges add up to".to_owned())
    }
}

fn next<T: FromStr>(words: &mut std::str::Split<'_, char>) -> Option<T> {
    words.next()?.parse().ok()
}

/// Begins a ledger in which everybody has paid before: for strangers the day's share would make the gateways wait for
/// each other.
async fn begin(url: &str) {
    let store = open(url).await;
    for person in 0..PEOPLE {
        let id = channel(&signer(person), 9).id(&identity().deployment);
        let paid = u128::from(PROMISED);
        let at = Timestamp::from_unix_seconds(0);
        let redeemed = Entry::Redeemed { channel_id: id, redeemed: Amount::new(paid), block: 1, at };
        // In another channel, which is not looked at below.
        let outcomes = store.accept_batch(&[purchase(person, 9, paid - 1, paid - 1), redeemed]).await.unwrap();
        assert!(is_new(&outcomes[0]));
    }
}

/// A gateway's process, which is told its URL and its number.
struct Gateway {
    url: String,
    process: Process,
}

impl Gateway {
    fn start(url: &str, number: u64, heard: &Arc<Mutex<Heard>>) -> Self {
        let (test, heard) = ("postgres::gateways::a_gateway", Arc::clone(heard));
        let process = Process::start(test, &format!("{url} {number}"), move |said| heard.lock().unwrap().note(said));
        Self { url: url.to_owned(), process }
    }

    fn kill(&mut self) {
        self.process.kill();
    }
}

/// What may fail, and how often it did.
#[derive(Debug, Default)]
struct Failures {
    gateways_killed: u32,
    server_killed: u32,
    server_frozen: u32,
    connections_cut: u32,
    commits_unanswered: u32,
}

/// Lets things fail at random for a while.
async fn fail(
    server: &mut PostgresServer,
    proxies: &[CommitProxy],
    gateways: &mut [Gateway],
    heard: &Arc<Mutex<Heard>>,
    duration: Duration,
) -> Failures {
    let mut failures = Failures::default();
    let mut started = GATEWAYS as u64;
    let until = Instant::now() + duration;
    while Instant::now() < until {
        sleep(Duration::from_millis(rand::random_range(100..500))).await;
        let which = rand::random_range(0..gateways.len());
        match rand::random_range(0..10) {
            0 => {
                server.kill();
                server.start_again();
                failures.server_killed += 1;
            }
            1 => {
                server.freeze();
                sleep(Duration::from_millis(rand::random_range(50..1_000))).await;
                server.thaw();
                failures.server_frozen += 1;
            }
            2..=3 => {
                gateways[which].kill();
                gateways[which] = Gateway::start(&gateways[which].url.clone(), started, heard);
                started += 1;
                failures.gateways_killed += 1;
            }
            4..=5 => {
                proxies[which].cut();
                failures.connections_cut += 1;
            }
            _ => {
                let late = Fault::Late(Duration::from_millis(rand::random_range(1..800)));
                proxies[which].arm([Fault::Lost, Fault::AnswerLost, late][rand::random_range(0..3)]);
            }
        }
    }
    failures.commits_unanswered = proxies.iter().map(|proxy| u32::try_from(proxy.faults()).unwrap()).sum();
    failures
}

async fn run(duration: Duration) -> (Failures, usize) {
    let _turn = SERVERS.lock().await;
    let mut server = PostgresServer::start();
    server.create_database("ledger").await;
    begin(&server.url("ledger")).await;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let (mut proxies, mut gateways) = (Vec::new(), Vec::new());
    for number in 0..GATEWAYS {
        let proxy = CommitProxy::start(server.socket()).await;
        gateways.push(Gateway::start(&server.url_by_way_of(proxy.folder(), "ledger"), number as u64, &heard));
        proxies.push(proxy);
    }
    let failures = fail(&mut server, &proxies, &mut gateways, &heard, duration).await;
    sleep(Duration::from_secs(1)).await;
    gateways.iter_mut().for_each(Gateway::kill);
    let store = open(&server.url("ledger")).await;
    let heard = Arc::try_unwrap(heard).unwrap().into_inner().unwrap();
    heard.check(&store).await.unwrap_or_else(|why| panic!("{why}; {failures:?}"));
    (failures, heard.answered())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_fail_at_random_answer_as_if_they_were_one() {
    let (failures, answered) = run(Duration::from_secs(8)).await;
    println!("{answered} purchases answered; {failures:?}");
    assert!(answered > 200, "only {answered} purchases were answered");
    assert!(failures.commits_unanswered > 0, "{failures:?}");
}

/// `FARTHING_TEST_SECONDS` says how long.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told; script/verify.sh runs it"]
async fn gateways_that_fail_at_random_for_long_answer_as_if_they_were_one() {
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(120);
    let (failures, answered) = run(Duration::from_secs(seconds)).await;
    println!("{seconds} s: {answered} purchases answered, each once and none lost; {failures:?}");
}

/// The control: nothing fails, but each gateway has rows of accounts of its own, so none waits for another.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_do_not_wait_for_each_other_are_found_out() {
    let _turn = SERVERS.lock().await;
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    let url = server.url("ledger");
    begin(&url).await;
    let client = connect(&url).await;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let mut gateways = Vec::new();
    for number in 0..GATEWAYS {
        let own = format!(
            "CREATE SCHEMA own{number};
            CREATE TABLE own{number}.farthing_accounts (LIKE farthing_accounts INCLUDING ALL)"
        );
        client.batch_execute(&own).await.unwrap();
        let url = format!("{url}?options=-c%20search_path%3Down{number},public");
        gateways.push(Gateway::start(&url, number as u64, &heard));
    }
    sleep(Duration::from_secs(3)).await;
    gateways.iter_mut().for_each(Gateway::kill);
    let heard = Arc::try_unwrap(heard).unwrap().into_inner().unwrap();
    assert!(heard.answered() > 50, "only {} purchases were answered", heard.answered());
    let found = heard.check(&open(&url).await).await.expect_err("so the test above shows nothing");
    println!("found out: {found}");
}
