//! The disk failing and the gateway dying at the n-th call, for one n after the other until none is left to hit.

use super::hasty::{Task, serving};
use super::{PRICE, Stage, buy, read_record, under_strace};
use crate::world::Shop;
use farthing::core::Amount;
use farthing::payee::{EmbeddedStore, LedgerIdentity, PayeeStore};
use farthing::payer::PayerError;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many items are bought from a gateway that something will happen to. strace counts each thread's calls by
/// themselves, and one round is one number: as long as that is one of those at the start, no purchase is met. So there
/// are more purchases than syncs at the start.
const PURCHASES: usize = 16;

/// How many of them are met at the least, or what was to be tried was not.
const MET: usize = 3;

/// The exit code of a store that can't be used.
const STORE: i32 = 11;

/// What happens to which calls.
#[derive(Clone, Copy, Debug)]
struct Fault {
    calls: &'static str,
    /// As strace's `inject` takes it.
    effect: &'static str,
    /// Whether it ends the process.
    kills: bool,
    /// At which calls it is tried: one in so many.
    stride: usize,
}

/// Of the calls that write there are many; a short run tries one in so many, unless the environment says otherwise.
fn stride_of_writes() -> usize {
    let wanted = std::env::var("FARTHING_FAULT_STRIDE").ok();
    wanted.map_or(3, |wanted| wanted.parse().expect("FARTHING_FAULT_STRIDE is a number"))
}

/// How often what happened.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    not_started: usize,
    /// How often somebody was told that nothing was stored.
    refused: usize,
    /// How often nobody noticed: what failed is not needed to sell.
    tolerated: usize,
    /// How often the answer did not come.
    unanswered: usize,
    /// How often it was refused again while the gateway ran on.
    refused_again: usize,
    sold: usize,
}

impl Fault {
    fn at(self, nth: usize, record: &Path, inner: &Command) -> Command {
        let (trace, inject) = (format!("trace={}", self.calls), format!("inject={}:when={nth}", self.name()));
        let record = record.to_str().expect("UTF-8");
        under_strace(&["-o", record, "-s", "0", "-e", &trace, "-e", &inject], inner)
    }

    fn name(self) -> String {
        format!("{}:{}", self.calls, self.effect)
    }
}

/// What is served is charged and what is charged is served, wherever it happens.
async fn happens(fault: Fault) -> Tally {
    let (stage, mut tally, mut served) = (Stage::new().await, Tally::default(), BTreeSet::new());
    // A site is its address.
    let address = stage.creator.serve(&stage.folder, &[]).address().to_owned();
    let listen = ["--listen", address.as_str()];
    let record = stage.world.folder.path().join("record");
    for nth in (1..).step_by(fault.stride) {
        tally.rounds += 1;
        let command = fault.at(nth, &record, &stage.creator.serving(&stage.folder, &listen));
        let is_hit = match Shop::open(command, Stdio::null()) {
            Err(status) => {
                assert!(fault.kills || status.code() == Some(STORE), "{fault:?} at {nth}: {status}");
                tally.not_started += 1;
                true
            }
            Ok(shop) => {
                let failed = shopping(&stage, &shop, fault, &mut tally, &mut served).await;
                let is_hit = is_injected(&record, shop, fault) || failed;
                tally.tolerated += usize::from(is_hit && !failed);
                is_hit
            }
        };
        afterwards(&stage, &listen, nth, &mut served).await;
        if !is_hit {
            break;
        }
    }
    tally.sold = served.len();
    println!("{}, every {}: {tally:?}", fault.name(), fault.stride);
    tally
}

/// Ends a gateway, and says whether anything was done to it.
fn is_injected(record: &Path, shop: Shop, fault: Fault) -> bool {
    let process = shop.id();
    if fault.kills {
        shop.kill();
    } else {
        assert_eq!(shop.stop(), 0, "{fault:?}");
    }
    read_record(record, process).contains("(INJECTED")
}

/// Buys until something happens. Says whether it did.
async fn shopping(stage: &Stage, shop: &Shop, fault: Fault, tally: &mut Tally, served: &mut BTreeSet<Amount>) -> bool {
    for purchase in 0..PURCHASES {
        let url = format!("{}/songs/{}", shop.url, ["nocturne", "minuet"][purchase % 2]);
        match buy(&stage.payer, &url, true).await {
            Ok(amount) => assert!(served.insert(amount), "{amount} was served before"),
            Err(PayerError::Unanswered { status: 503, .. }) => {
                assert!(!fault.kills);
                tally.refused += 1;
                match buy(&stage.payer, &url, false).await {
                    Ok(amount) => assert!(served.insert(amount), "{amount} was served before"),
                    Err(PayerError::Unanswered { status: 503, .. }) => tally.refused_again += 1,
                    Err(error) => panic!("{error}"),
                }
                return true;
            }
            Err(PayerError::Http(_) | PayerError::OutcomeUnknown { .. }) if fault.kills => {
                tally.unanswered += 1;
                return true;
            }
            Err(error) => panic!("{fault:?}: {error}"),
        }
    }
    false
}

/// With a good disk again, whoever was not served is, for the voucher of then; and the ledger has what was served.
async fn afterwards(stage: &Stage, listen: &[&str], nth: usize, served: &mut BTreeSet<Amount>) {
    let shop = stage.creator.serve(&stage.folder, listen);
    let promises = stage.payer.unfinished().await.expect("reads");
    if nth.is_multiple_of(2) {
        // Not what was refused, but something else first.
        let minuet = promises.iter().any(|promise| promise.url.ends_with("minuet"));
        let url = format!("{}/songs/{}", shop.url, if minuet { "nocturne" } else { "minuet" });
        let amount = buy(&stage.payer, &url, true).await.expect("sells");
        assert!(served.insert(amount), "{amount} was served before");
    }
    for promise in promises {
        let amount = buy(&stage.payer, &promise.url, false).await.expect("serves what was promised");
        assert!(served.insert(amount), "{amount} was served before");
    }
    assert_eq!(shop.stop(), 0);
    let (charged, spent) = charged(&stage.ledger(), &stage.identity).await;
    assert_eq!(charged, *served, "after {nth}: what is charged is not what was served");
    assert_eq!(spent, PRICE * served.len() as u128);
}

/// The totals of the vouchers that were charged in a ledger, and what was spent.
async fn charged(ledger: &Path, identity: &LedgerIdentity) -> (BTreeSet<Amount>, u128) {
    let store = EmbeddedStore::open(ledger, identity).expect("opens");
    let store: &dyn PayeeStore = &store;
    let charges = store.all_charges().await.expect("reads");
    let books = store.all_books().await.expect("reads");
    let spent = books.iter().map(|(_, books)| books.spent.base_units()).sum();
    (charges.iter().map(|(_, charge)| charge.cumulative_amount).collect(), spent)
}

/// The control: killed after its answer, a store that answers first has charged less than was served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_answers_first_has_not_charged_what_it_served() {
    let stage = Stage::new().await;
    for is_hasty in [false, true] {
        let data = stage.world.folder.path().join(format!("hasty-{is_hasty}"));
        let task = Task::new(is_hasty, &stage.folder, &data, stage.identity, &stage.world.token);
        let shop = Shop::open(serving(&task), Stdio::inherit()).expect("opens");
        let url = format!("{}/songs/nocturne", shop.url);
        let served = BTreeSet::from([buy(&stage.payer, &url, true).await.expect("sells")]);
        shop.kill();
        let (charged, _) = charged(&task.ledger(), task.identity()).await;
        assert_eq!(charged != served, is_hasty, "charged {charged:?}, served {served:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn a_failing_sync_serves_nothing_and_charges_nothing_that_is_not_served() {
    let tally = happens(Fault { calls: "fdatasync", effect: "error=EIO", kills: false, stride: 1 }).await;
    assert!(tally.refused >= MET, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn a_full_disk_serves_nothing_and_charges_nothing_that_is_not_served() {
    let tally =
        happens(Fault { calls: "pwrite64", effect: "error=ENOSPC", kills: false, stride: stride_of_writes() }).await;
    assert!(tally.refused >= MET, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn a_gateway_killed_at_a_sync_or_a_write_has_charged_what_it_served() {
    let tally = happens(Fault { calls: "fdatasync", effect: "signal=KILL", kills: true, stride: 1 }).await;
    assert!(tally.unanswered >= MET, "{tally:?}");
    let tally =
        happens(Fault { calls: "pwrite64", effect: "signal=KILL", kills: true, stride: stride_of_writes() }).await;
    assert!(tally.unanswered >= MET, "{tally:?}");
}
