//! Several gateways send for one ledger, in processes whose clocks differ and which stand still at any moment: under
//! the lease's fence nothing is written behind the back of whoever has it.

use super::failing::SERVERS;
use super::process::{Process, say, task};
use super::{SECONDS, open, open_within};
use farthing::chain::Fees;
use farthing::core::{Address, B256, Timestamp};
use farthing::payee::PostgresStore;
use farthing::payee::store::{Entry, Outcome, PayeeStore, Redemption, RedemptionState};
use farthing_testkit::postgres::{PostgresServer, connect};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

const SENDERS: u64 = 3;

/// Whether redemptions are written under the fence; the control writes them without.
const FENCED: &str = "fenced";
const UNFENCED: &str = "unfenced";

/// A second of these clocks is this long, so that leases pass on often; each clock is ahead of the one before it.
const SECOND: Duration = Duration::from_millis(20);
const AHEAD: u64 = 8;

/// How long a lease lasts, in such seconds.
const LASTS: u64 = 10;

fn now(sender: u64) -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seconds = since.as_millis() / SECOND.as_millis();
    Timestamp::from_unix_seconds(u64::try_from(seconds).unwrap() + sender * AHEAD)
}

/// For about as long as a lease lasts, or for longer.
async fn think() {
    let most = SECOND * u32::try_from(2 * LASTS).unwrap();
    sleep(rand::rng().random_range(Duration::ZERO..most)).await;
}

/// Says under which fence it was prepared.
const fn hash(fence: u64, sender: u64, number: u64) -> u64 {
    (fence << 32) | (sender << 24) | number
}

const fn fence_of(hash: u64) -> u64 {
    hash >> 32
}

fn redemption(hash: u64) -> Redemption {
    Redemption {
        hash: B256::left_padding_from(&hash.to_be_bytes()),
        sender: Address::repeat_byte(2),
        nonce: hash,
        fees: Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: Vec::new(),
        closes: true,
        at: Timestamp::from_unix_seconds(1),
        state: RedemptionState::Sent,
    }
}

fn hash_of(redemption: &Redemption) -> u64 {
    u64::from_be_bytes(redemption.hash[24..].try_into().unwrap())
}

/// How much was prepared under earlier fences.
fn earlier(hashes: impl IntoIterator<Item = u64>, fence: u64) -> usize {
    hashes.into_iter().filter(|hash| fence_of(*hash) < fence).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the tests below, in a process of its own"]
async fn a_sender() {
    let Some(task) = task() else { return };
    let [url, sender, mode] = task.split(' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let store = open_within(url, Duration::from_secs(10)).await.unwrap();
    Sender {
        store,
        sender: sender.parse().unwrap(),
        is_fenced: mode == FENCED,
        holder: rand::random::<[u8; 32]>().into(),
        number: 0,
    }
    .send()
    .await;
}

struct Sender {
    store: PostgresStore,
    sender: u64,
    is_fenced: bool,
    holder: B256,
    number: u64,
}

impl Sender {
    async fn send(&mut self) {
        let mut last = 0;
        loop {
            let Some(fence) = self.ask(LASTS).await else {
                think().await;
                continue;
            };
            if fence != last {
                // As a redeemer does: what others have written is what they may have sent.
                let unsettled = self.store.unsettled().await.unwrap();
                let seen = earlier(unsettled.iter().map(hash_of), fence);
                say(format_args!("leased {fence} {seen}"));
                last = fence;
            }
            for _ in 0..rand::rng().random_range(1..4) {
                think().await;
                if !self.write(fence).await {
                    break;
                }
            }
            if rand::rng().random_ratio(1, 3) {
                self.ask(0).await;
            }
        }
    }

    async fn ask(&self, lasts: u64) -> Option<u64> {
        let at = now(self.sender);
        let ask = Entry::Lease { holder: self.holder, at, until: at.plus_seconds(lasts) };
        match self.store.accept_batch(&[ask]).await.unwrap()[..] {
            [Outcome::Leased(lease)] => Some(lease.fence),
            _ => None,
        }
    }

    async fn write(&mut self, fence: u64) -> bool {
        self.number += 1;
        let hash = hash(fence, self.sender, self.number);
        let entry = Entry::Redemption { redemption: redemption(hash), fence: self.is_fenced.then_some(fence) };
        let is_written = match self.store.accept_batch(&[entry]).await.unwrap()[..] {
            [Outcome::Noted] => true,
            [Outcome::Fenced(lease)] => {
                assert!(lease.fence > fence, "{lease:?}");
                false
            }
            ref other => panic!("{other:?}"),
        };
        say(format_args!("{} {hash}", if is_written { "noted" } else { "refused" }));
        is_written
    }
}

/// What the senders have said.
#[derive(Debug, Default)]
struct Heard {
    /// How much each holder saw of what was written under earlier fences, by its own.
    leased: BTreeMap<u64, usize>,
    noted: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    twice: Vec<u64>,
}

impl fmt::Display for Heard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leased, noted, refused) = (self.leased.len(), self.noted.len(), self.refused.len());
        write!(formatter, "the lease passed on {leased} times, {noted} were written, {refused} refused")
    }
}

impl Heard {
    fn hear(&mut self, said: &str) {
        let mut words = said.split(' ');
        let kind = words.next().unwrap();
        // A sender may be killed in the middle of a line.
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else { return };
        match (kind, words.next().and_then(|word| word.parse().ok())) {
            ("leased", Some(seen)) => self.twice.extend(self.leased.insert(number, seen).map(|_| number)),
            ("noted", None) => drop(self.noted.insert(number)),
            ("refused", None) => drop(self.refused.insert(number)),
            _ => {}
        }
    }

    /// Whether more was written under earlier fences than some holder has seen of it.
    fn is_overtaken(&self) -> bool {
        self.leased.iter().any(|(fence, seen)| earlier(self.noted.iter().copied(), *fence) > *seen)
    }

    /// Whether all of it can be, given what was written in the end.
    fn check(&self, written: &BTreeSet<u64>) -> Result<(), String> {
        if let Some(fence) = self.twice.first() {
            return Err(format!("fence {fence} was given to two"));
        }
        if let Some(hash) = self.noted.difference(written).next() {
            return Err(format!("{hash:x} was noted and is not there"));
        }
        if let Some(hash) = self.refused.intersection(written).next() {
            return Err(format!("{hash:x} was refused and is there"));
        }
        for (fence, seen) in &self.leased {
            let there = earlier(written.iter().copied(), *fence);
            if there != *seen {
                return Err(format!("the holder of fence {fence} saw {seen} of earlier ones, and there are {there}"));
            }
        }
        Ok(())
    }
}

/// How long is waited until enough was heard; a busy machine needs longer than another.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of a while of sending, and how often a sender stood still or was killed meanwhile.
struct Run {
    heard: Heard,
    verdict: Result<(), String>,
    disturbed: usize,
}

/// Lets them send until enough was heard, for so long at most.
async fn run(
    server: &PostgresServer,
    mode: &str,
    url_of: impl Fn(u64) -> String,
    patience: Duration,
    is_enough: impl Fn(&Heard) -> bool,
) -> Run {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let start = |sender: u64, number: u64| {
        let heard = Arc::clone(&heard);
        // Another sender each time, for the names of what it writes.
        let task = format!("{} {} {mode}", url_of(sender), number * SENDERS + sender);
        Process::start("postgres::leasing::a_sender", &task, move |said| heard.lock().unwrap().hear(said))
    };
    let mut senders: Vec<Process> = (0..SENDERS).map(|sender| start(sender, 0)).collect();
    let (mut disturbed, until) = (0, Instant::now() + patience);
    while !is_enough(&heard.lock().unwrap()) && Instant::now() < until {
        sleep(Duration::from_millis(rand::random_range(20..150))).await;
        let which = rand::random_range(0..senders.len());
        disturbed += 1;
        if rand::random_ratio(1, 12) {
            senders[which].kill();
            senders[which] = start(which as u64, disturbed as u64);
        } else {
            senders[which].freeze();
            sleep(SECOND * rand::random_range(1..30)).await;
            senders[which].thaw();
        }
    }
    senders.iter_mut().for_each(Process::kill);
    // The row of the lease is waited for, and so is what a killed sender had sent to the server.
    let store = open(&server.url("ledger")).await;
    let at = Timestamp::MAX;
    store.accept_batch(&[Entry::Lease { holder: B256::ZERO, at, until: at }]).await.unwrap();
    let written = (&store as &dyn PayeeStore).redemptions().await.unwrap().iter().map(hash_of).collect();
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    let verdict = heard.check(&written);
    Run { heard, verdict, disturbed }
}

async fn server() -> PostgresServer {
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    drop(open(&server.url("ledger")).await);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_lease_has_seen_all_that_was_written_before_it() {
    let _turn = SERVERS.lock().await;
    let server = server().await;
    let is_enough = |heard: &Heard| heard.leased.len() > 12 && heard.noted.len() > 30 && heard.refused.len() > 5;
    let Run { heard, verdict, disturbed } = run(&server, FENCED, |_| server.url("ledger"), PATIENCE, is_enough).await;
    println!("{heard}; {disturbed} times one stood still or was killed");
    assert_eq!(verdict, Ok(()));
    assert!(is_enough(&heard), "{heard:?}");
}

/// `FARTHING_TEST_SECONDS` says how long.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told; script/verify.sh runs it"]
async fn whoever_has_the_lease_for_long_has_seen_all_that_was_written_before_it() {
    let _turn = SERVERS.lock().await;
    let server = server().await;
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(120);
    let patience = Duration::from_secs(seconds);
    let Run { heard, verdict, disturbed } = run(&server, FENCED, |_| server.url("ledger"), patience, |_| false).await;
    println!("{seconds} s: {heard}; {disturbed} times one stood still or was killed");
    assert_eq!(verdict, Ok(()));
}

/// The control: whoever thinks that it has the lease writes.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_something_is_written_behind_the_holders_back() {
    let _turn = SERVERS.lock().await;
    let server = server().await;
    let run = run(&server, UNFENCED, |_| server.url("ledger"), PATIENCE, Heard::is_overtaken).await;
    let found = run.verdict.expect_err("so the test above shows nothing");
    println!("found out: {found}");
    assert!(found.contains("saw"), "{found}");
}

/// The other control: each has a lease of its own.
#[tokio::test(flavor = "multi_thread")]
async fn without_one_row_for_all_two_have_the_lease() {
    let _turn = SERVERS.lock().await;
    let server = server().await;
    let client = connect(&server.url("ledger")).await;
    for sender in 0..SENDERS {
        let own = format!(
            "CREATE SCHEMA own{sender};
            CREATE TABLE own{sender}.farthing_lease (LIKE farthing_lease INCLUDING ALL);
            INSERT INTO own{sender}.farthing_lease SELECT * FROM public.farthing_lease"
        );
        client.batch_execute(&own).await.unwrap();
    }
    let url = |sender: u64| format!("{}?options=-c%20search_path%3Down{sender},public", server.url("ledger"));
    let run = run(&server, FENCED, url, PATIENCE, |heard| !heard.twice.is_empty()).await;
    let found = run.verdict.expect_err("so the test above shows nothing");
    println!("found out: {found}");
    assert!(found.contains("was given to two"), "{found}");
}
