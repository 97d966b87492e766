//! A payee's process killed, held up by another, and out of room, on a real file.

use super::seller::{BUYERS, PRICE, Seller, channel_of, charged};
use farthing::payee::store::Record;
use farthing::payee::{EmbeddedStore, StoreError};
use farthing_testkit::conformance::adds_up;
use farthing_testkit::histories::identity;
use farthing_testkit::sales::records;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A buyer, and the cumulative amount of a voucher.
type Sold = BTreeSet<(u8, u128)>;

/// After so many kills a ledger is given up for a new one, so that openings stay quick.
const KILLS_A_LEDGER: u32 = 20;

/// What killing a seller again and again came to.
#[derive(Debug, Default)]
struct Kills {
    kills: u32,
    acknowledged: usize,
    /// Charges that the ledger has and that nobody was told of.
    in_flight: usize,
    lost: usize,
    rounds_with_losses: u32,
}

fn ledger_in(folder: &TempDir) -> PathBuf {
    folder.path().join("ledger.redb")
}

/// All charges of a ledger that was copied to look at it, so that the next process finds it as the killed one left it.
async fn sold_in(ledger: &Path) -> Sold {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = ledger_in(&folder);
    for extension in ["redb", "journal-0", "journal-1", "mark"] {
        // Killed early, it may not have come to make them.
        let from = ledger.with_extension(extension);
        if from.exists() {
            fs::copy(from, copy.with_extension(extension)).expect("copies");
        }
    }
    let store = EmbeddedStore::open(&copy, &identity()).expect("opens after a kill");
    let all = records(&store).await.expect("reads");
    adds_up(&all);
    let buyers: Vec<_> = (0..BUYERS).map(|buyer| channel_of(buyer).1).collect();
    let charges = all.into_iter().filter_map(|record| match record {
        Record::Charge { channel_id, charge } => Some((channel_id, charge)),
        _ => None,
    });
    charges
        .map(|(channel_id, charge)| {
            assert_eq!(charge.price.base_units(), PRICE);
            let buyer = buyers.iter().position(|id| *id == channel_id).expect("a buyer's channel");
            (u8::try_from(buyer).expect("few"), charge.cumulative_amount.base_units())
        })
        .collect()
}

/// Kills a seller at a random moment: mostly while it sells, sometimes while it starts.
fn kill_one(mut seller: Seller, random: &mut StdRng) -> Vec<String> {
    let mut said = Vec::new();
    if random.random_ratio(3, 4) {
        said = seller.hear(1);
    }
    std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
    seller.kill();
    said.extend(seller.hear(usize::MAX));
    said
}

async fn kill_often(kills: u32, seed: u64, start: fn(&Path) -> Seller) -> Kills {
    let (mut random, mut found) = (StdRng::seed_from_u64(seed), Kills::default());
    while found.kills < kills {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = ledger_in(&folder);
        let mut before = Sold::new();
        for _ in 0..KILLS_A_LEDGER.min(kills - found.kills) {
            let said = kill_one(start(&ledger), &mut random);
            let acknowledged: Sold = said.iter().filter_map(|said| charged(said)).collect();
            assert_eq!(acknowledged.len(), said.len(), "a seller that is killed has not failed before: {said:?}");
            let after = sold_in(&ledger).await;
            assert!(after.is_superset(&before), "what an earlier kill had left is gone");
            let lost = acknowledged.difference(&after).count();
            let new: Sold = after.difference(&before).copied().collect();
            let in_flight = new.difference(&acknowledged).count();
            assert!(in_flight <= usize::from(BUYERS), "each buyer waits for one voucher at a time");
            found.kills += 1;
            found.acknowledged += acknowledged.len();
            found.in_flight += in_flight;
            found.lost += lost;
            found.rounds_with_losses += u32::from(lost > 0);
            before = after;
        }
    }
    found
}

/// `FARTHING_KILLS` says how many sellers are killed.
fn kills() -> u32 {
    std::env::var("FARTHING_KILLS").map_or(100, |kills| kills.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_payee_has_lost_nothing_that_it_acknowledged() {
    // With tables that are written when it starts and stops, and with some that are written all the time.
    for (how, start) in [("", Seller::selling as fn(&Path) -> Seller), (", folding", Seller::folding)] {
        let found = kill_often(kills().div_ceil(2), 20_261_122, start).await;
        let Kills { kills, acknowledged, in_flight, lost, .. } = found;
        println!(
            "SIGKILL{how}: {kills} kills, {acknowledged} charges acknowledged, {lost} lost, {in_flight} more were in \
             flight"
        );
        assert_eq!(lost, 0);
        assert!(acknowledged > kills as usize / 2 && in_flight > 0, "{found:?}");
    }
}

/// The control: a seller that acknowledges before it stores is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_payee_that_acknowledges_too_early_is_found_out() {
    let found = kill_often(20.max(kills() / 10), 3, Seller::hasty).await;
    let Kills { kills, acknowledged, lost, rounds_with_losses, .. } = found;
    println!(
        "SIGKILL, control, acknowledged before it is stored: {kills} kills, {acknowledged} charges acknowledged, {lost} \
         lost in {rounds_with_losses} of them"
    );
    assert!(rounds_with_losses > 3, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_in_use_is_refused_until_its_process_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger_in(&folder);
    let mut holder = Seller::holding(&ledger);
    assert_eq!(holder.hear(1), ["holding"]);
    for _ in 0..3 {
        let refused = EmbeddedStore::open(&ledger, &identity()).expect_err("another process has it");
        assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    }
    holder.kill();
    drop(EmbeddedStore::open(&ledger, &identity()).expect("no lock is left of a killed process"));
}

/// A kill, or a power cut, between making the file and writing what it is.
#[test]
fn a_file_that_was_never_begun_is_begun_and_any_other_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger_in(&folder);
    for length in [9, 4_096, 73_728] {
        fs::write(&ledger, vec![0; length]).expect("writes");
        drop(EmbeddedStore::open(&ledger, &identity()).expect("begins"));
        fs::remove_file(ledger.with_extension("mark")).expect("removes");
        drop(EmbeddedStore::open(&ledger, &identity()).expect("opens what it has begun"));
    }
    let begun = fs::read(&ledger).expect("reads");
    let nameless: Vec<u8> = begun.iter().enumerate().map(|(at, byte)| if at < 9 { 0 } else { *byte }).collect();
    for other in [nameless, b"not a ledger".to_vec(), vec![0; 2 << 20]] {
        fs::write(&ledger, &other).expect("writes");
        EmbeddedStore::open(&ledger, &identity()).expect_err("it may hold something");
        assert!(fs::read(&ledger).expect("reads") == other, "it is not touched");
    }
}

/// No root is needed to run out of room: no file of the process may grow beyond a limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_payee_out_of_room_refuses_and_has_lost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger_in(&folder);
    let mut acknowledged = Sold::new();
    for kib in [600, 900, 1_600] {
        let mut seller = Seller::with_room_for(kib, &ledger);
        let said = seller.hear(usize::MAX);
        let failed = said.iter().filter(|said| said.starts_with("failed ")).count();
        acknowledged.extend(said.iter().filter_map(|said| charged(said)));
        assert_eq!(failed, 3 * usize::from(BUYERS), "nothing is charged without room: {:?}", said.last());
        assert!(sold_in(&ledger).await.is_superset(&acknowledged), "acknowledged and lost at {kib} KiB");
    }
    assert!(acknowledged.len() > 100, "only {} charges", acknowledged.len());
    let more = kill_one(Seller::selling(&ledger), &mut StdRng::seed_from_u64(1));
    let after = sold_in(&ledger).await;
    assert!(after.is_superset(&acknowledged));
    assert!(more.iter().filter_map(|said| charged(said)).all(|sale| after.contains(&sale)));
}
