//! Disks that fail: at every call, and when they are full.

use farthing::payee::store::{Entry, Record};
use farthing::payee::{EmbeddedStore, PayeeStore};
use farthing_testkit::disk::{Disk, Failing};
use farthing_testkit::sales::{self, Sales, records};

/// How many batches each of two processes writes, one after the other.
const BATCHES: usize = 4;

/// What one run came to.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// How many calls the disk was asked for.
    calls: u64,
    /// Whether any of them failed.
    failed: bool,
    /// How often the store said so.
    errors: u32,
    /// How many bytes were in the ledger's files at most, as far as it was looked at.
    length: usize,
    /// How often a batch that had failed was there all the same when the ledger was opened again.
    was_there: u32,
}

/// Opens, as a process does that was started anew; on a disk that fails, a second time when it has been mended.
fn open(disk: &Disk, run: &mut Run) -> EmbeddedStore {
    disk.open().unwrap_or_else(|_| {
        run.errors += 1;
        note(disk, run);
        disk.open().expect("opens on a disk that has been mended")
    })
}

/// Mends the disk.
fn note(disk: &Disk, run: &mut Run) {
    run.length = run.length.max(disk.content().length());
    let (calls, failed) = disk.heal();
    run.calls = run.calls.max(calls);
    run.failed |= failed > 0;
}

/// Two processes write batches on a disk that fails as it is told to. What fails is tried once more on the store as it
/// is, and then on one that was opened anew. At each opening the ledger has to be the one after all acknowledged batches,
/// or the one after the batch in doubt, and the retry is answered for what it is.
async fn run(failing: Failing, batches: &[Vec<Entry>], ledgers: &[Vec<Record>]) -> Run {
    let (disk, mut run) = (Disk::default(), Run::default());
    let mut acknowledged = 0;
    disk.fail(failing);
    for _ in 0..2 {
        let mut store = open(&disk, &mut run);
        for _ in 0..BATCHES {
            let batch = &batches[acknowledged];
            let mut written = store.accept_batch(batch).await;
            for _ in 0..2 {
                if written.is_ok() {
                    break;
                }
                run.errors += 1;
                written = store.accept_batch(batch).await;
            }
            if let Ok(outcomes) = &written {
                sales::taken(outcomes, run.errors > 0).expect("answered right");
            } else {
                drop(store);
                note(&disk, &mut run);
                store = disk.open().expect("opens on a disk that has been mended");
                let found = records(&store).await.expect("reads");
                let is_there = found == ledgers[acknowledged + 1];
                assert!(
                    is_there || found == ledgers[acknowledged],
                    "{failing:?}: not {acknowledged} batches or one more"
                );
                run.was_there += u32::from(is_there);
                let outcomes = store.accept_batch(batch).await.expect("writes");
                sales::taken(&outcomes, is_there).expect("answered right");
            }
            acknowledged += 1;
        }
    }
    note(&disk, &mut run);
    let store = disk.open().expect("opens");
    assert!(
        records(&store).await.expect("reads") == ledgers[acknowledged],
        "{failing:?}: the ledger differs at the end"
    );
    run
}

#[tokio::test]
async fn whichever_call_fails_nothing_acknowledged_is_lost() {
    let (batches, ledgers) = (Sales::default().batches(2 * BATCHES), sales::ledgers(2 * BATCHES).await);
    let calls = run(Failing::Nth(u64::MAX), &batches, &ledgers).await.calls;
    let (mut runs, mut errors, mut was_there) = (0, 0, 0);
    for nth in 1..=calls {
        for failing in [Failing::Nth(nth), Failing::From(nth)] {
            let run = run(failing, &batches, &ledgers).await;
            assert!(run.failed, "{failing:?} never happened");
            runs += 1;
            errors += u32::from(run.errors > 0);
            was_there += run.was_there;
        }
    }
    println!(
        "failing calls: each of {calls} alone and with all after it, {runs} runs, an error in {errors}; the batch in doubt \
         was there in {was_there}; nothing acknowledged lost, every retry answered right"
    );
    // What the mark and the end of a process can't write is no error: nothing depends on it.
    assert!(calls > 100 && errors > calls.try_into().unwrap_or(u32::MAX) && was_there > 0);
}

#[tokio::test]
async fn a_full_disk_refuses_batches_and_loses_none() {
    let (batches, ledgers) = (Sales::default().batches(2 * BATCHES), sales::ledgers(2 * BATCHES).await);
    let healthy = run(Failing::Nth(u64::MAX), &batches, &ledgers).await.length;
    let (mut runs, mut errors) = (0, 0);
    for most in (0..healthy).step_by(4_096) {
        let run = run(Failing::Beyond(most), &batches, &ledgers).await;
        // What closing a ledger has no room for stays in the journal, and is no error.
        assert!(run.failed, "there was room enough");
        runs += 1;
        errors += u32::from(run.errors > 0);
    }
    println!("full disks: {runs} sizes below {healthy} bytes, an error in {errors}, nothing acknowledged lost");
    assert!(errors > runs * 3 / 4);
}

/// The control: a ledger that lacks a batch, or has half of it, is not taken for one of those that there may be.
#[tokio::test]
async fn a_missing_or_half_a_batch_is_noticed() {
    let (ledgers, disk, sales) = (sales::ledgers(3).await, Disk::default(), Sales::default());
    let store = disk.open().expect("opens");
    store.accept_batch(&sales.batch(0)).await.expect("writes");
    let half: Vec<_> = sales.batch(1).into_iter().take(2).collect();
    store.accept_batch(&half).await.expect("writes");
    let found = records(&store).await.expect("reads");
    assert!(ledgers.iter().all(|ledger| *ledger != found));
    let outcomes = store.accept_batch(&sales.batch(1)).await.expect("writes");
    sales::taken(&outcomes, true).expect_err("half of it is answered as a retry");
    assert!(records(&store).await.expect("reads") == ledgers[2]);
    assert!(ledgers.windows(2).all(|two| two[0] != two[1]), "every batch makes another ledger");
}
