//! Power cuts: what was acknowledged is there, and nothing but whole batches.

use farthing::payee::store::{Entry, Record};
use farthing::payee::{PayeeStore, StoreError};
use farthing_testkit::conformance::adds_up;
use farthing_testkit::disk::{Disk, Event, Part};
use farthing_testkit::power::{Cut, Cuts, Syncs};
use farthing_testkit::sales::{self, Sales, records};
use std::collections::BTreeMap;

/// How many batches each of the three processes writes: one that begins the ledger and closes it, one that is killed,
/// and one that finds what the killed one has left.
const BATCHES: usize = 20;

const SEED: u64 = 20_261_122;

/// Who brings batches to the tables: whoever wrote them, or another thread while more are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folds {
    AtOnce,
    Meanwhile,
}

/// A disk on which a ledger is begun, closed, opened, killed and opened again, with batches in between.
async fn history(folds: Folds) -> Vec<Event> {
    let disk = Disk::recording();
    // Made before: signing them takes so long that another thread would always have written the tables meanwhile.
    let batches = Sales::default().batches(3 * BATCHES);
    let mut number = 0;
    for process in 0..3 {
        let store = match folds {
            Folds::AtOnce => disk.open(),
            Folds::Meanwhile => disk.open_folding_in_background(),
        };
        let store = store.expect("opens");
        if process == 0 {
            disk.note(Event::Acknowledged(0));
        }
        for _ in 0..BATCHES {
            disk.note(Event::Begun(number + 1));
            store.accept_batch(&batches[number]).await.expect("writes");
            number += 1;
            disk.note(Event::Acknowledged(number));
        }
        if process == 1 {
            disk.fail(farthing_testkit::disk::Failing::From(1));
            drop(store);
            disk.heal();
        }
    }
    let events = disk.events();
    // All of its files have their part in what follows.
    for part in Part::ALL {
        let written = |event: &&Event| matches!(event, Event::Written { part: to, .. } if *to == part);
        assert!(
            events.iter().filter(written).count() > 3
                && events.iter().any(|event| matches!(event, Event::Synced(to) if *to == part)),
            "{part:?}"
        );
    }
    events
}

/// What became of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Sound,
    Refused,
    Lost,
    Torn,
}

async fn look(cut: &Cut, ledgers: &[Vec<Record>]) -> Finding {
    let disk = Disk::holding(cut.content.clone());
    let store = match disk.open() {
        Ok(store) => store,
        Err(StoreError::Forgotten { .. }) => return Finding::Lost,
        Err(_) => return Finding::Refused,
    };
    let found = records(&store).await.expect("reads");
    let Some(batches) = ledgers.iter().position(|ledger| *ledger == found) else { return Finding::Torn };
    adds_up(&found);
    if batches < cut.acknowledged.unwrap_or(0) {
        return Finding::Lost;
    }
    assert!(batches <= cut.begun, "more batches than were ever begun");
    Finding::Sound
}

/// After a cut the next batch is taken, whether or not it was there, and the ledger is as if nothing had happened.
async fn go_on(cut: &Cut, batches: &[Vec<Entry>], ledgers: &[Vec<Record>]) {
    let disk = Disk::holding(cut.content.clone());
    let store = disk.open().expect("opens");
    let next = cut.acknowledged.unwrap_or(0);
    let outcomes = store.accept_batch(&batches[next]).await.expect("writes");
    sales::taken(&outcomes, cut.begun > next).expect("answered right");
    drop(store);
    let store = disk.open().expect("opens");
    assert!(records(&store).await.expect("reads") == ledgers[next + 1], "{:?}", cut.moment);
}

async fn count(cuts: impl Iterator<Item = Cut>, ledgers: &[Vec<Record>]) -> BTreeMap<Finding, u32> {
    let mut found = BTreeMap::new();
    for cut in cuts {
        *found.entry(look(&cut, ledgers).await).or_default() += 1;
    }
    found
}

/// `FARTHING_CUTS` says how many states each moment is tried in, at most.
pub(super) fn most() -> usize {
    std::env::var("FARTHING_CUTS").map_or(6, |most| most.parse().expect("a number"))
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let ledgers = sales::ledgers(3 * BATCHES + 1).await;
    let batches = Sales::default().batches(3 * BATCHES + 1);
    for folds in [Folds::AtOnce, Folds::Meanwhile] {
        cut_everywhere(folds, &batches, &ledgers).await;
    }
}

async fn cut_everywhere(folds: Folds, batches: &[Vec<Entry>], ledgers: &[Vec<Record>]) {
    let events = history(folds).await;
    let (mut states, mut continued) = (0, 0);
    let how = if folds == Folds::AtOnce { "at once" } else { "meanwhile" };
    for cut in Cuts::new(&events, Syncs::Honest, most(), SEED) {
        let finding = look(&cut, ledgers).await;
        assert_eq!(finding, Finding::Sound, "{:?}, {:?} acknowledged", cut.moment, cut.acknowledged);
        states += 1;
        if states % 8 == 0 {
            go_on(&cut, batches, ledgers).await;
            continued += 1;
        }
    }
    let calls = events.iter().filter(|event| !matches!(event, Event::Begun(_) | Event::Acknowledged(_))).count();
    println!(
        "power cuts, tables written {how}: {states} states after {calls} calls of {} batches, nothing \
         acknowledged lost, no half of a batch; {continued} of them went on",
        3 * BATCHES
    );
    assert!(states > 1_000);
}

/// The controls: a disk that does not sync, and a store that acknowledges what it has only begun to write.
#[tokio::test]
async fn a_power_cut_loses_what_is_not_synced_or_acknowledged_too_early() {
    let (events, ledgers) = (history(Folds::AtOnce).await, sales::ledgers(3 * BATCHES + 1).await);
    let unsynced = count(Cuts::new(&events, Syncs::Nothing, 3, SEED), &ledgers).await;
    println!("power cuts, control, nothing is ever synced: {unsynced:?}");
    let hasty = Cuts::new(&events, Syncs::Honest, 8, SEED);
    let hasty = hasty.map(|cut| Cut { acknowledged: Some(cut.begun), ..cut });
    let hasty = count(hasty, &ledgers).await;
    println!("power cuts, control, acknowledged before it is written: {hasty:?}");
    for found in [unsynced, hasty] {
        let lost = [Finding::Lost, Finding::Refused, Finding::Torn].iter().filter_map(|kind| found.get(kind));
        assert!(lost.sum::<u32>() > 100, "{found:?}");
    }
}
