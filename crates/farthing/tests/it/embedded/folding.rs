//! Batches that are written while others are brought to the tables, by a thread of their own.

use super::power::most;
use farthing::payee::EmbeddedStore;
use farthing::payee::embedded::Folding;
use farthing::payee::store::{Entry, PayeeStore, Record, RecordKind};
use farthing_testkit::conformance::adds_up;
use farthing_testkit::disk::{Disk, FOLDING};
use farthing_testkit::histories::{History, identity};
use farthing_testkit::sales::{self, Sales, records};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const BATCHES: usize = 40;

/// Which of the ledgers after none, one, two … batches it is.
fn batches_in(found: &[Record], ledgers: &[Vec<Record>]) -> usize {
    ledgers.iter().position(|ledger| ledger == found).expect("whole batches, in their order")
}

/// All that a ledger has, in one visit.
async fn shown(store: &EmbeddedStore) -> Vec<Record> {
    let mut shown = Vec::new();
    let mut visitor = |record| {
        shown.push(record);
        Ok(())
    };
    store.visit(&RecordKind::ALL, &mut visitor).await.expect("reads");
    shown
}

/// A kill at any moment, in the middle of a fold among them: every state of the disk is opened by another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_nothing_acknowledged_is_lost() {
    let (batches, ledgers) = (Sales::default().batches(BATCHES), sales::ledgers(BATCHES).await);
    let mut looks = 0;
    for _ in 0..most() {
        let disk = Disk::default();
        let store = disk.open_folding_in_background().expect("opens");
        let (begun, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let writer = {
            let (begun, acknowledged, batches) = (Arc::clone(&begun), Arc::clone(&acknowledged), batches.clone());
            tokio::spawn(async move {
                for batch in batches {
                    begun.fetch_add(1, Ordering::SeqCst);
                    sales::taken(&store.accept_batch(&batch).await.expect("writes"), false).expect("new");
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                store
            })
        };
        while acknowledged.load(Ordering::SeqCst) < BATCHES {
            let least = acknowledged.load(Ordering::SeqCst);
            let left = disk.content();
            let most = begun.load(Ordering::SeqCst);
            let found = records(&Disk::holding(left).open().expect("opens after a kill")).await.expect("reads");
            let found = batches_in(&found, &ledgers);
            assert!((least..=most).contains(&found), "{found} batches, of {least} acknowledged and {most} begun");
            looks += 1;
            tokio::task::yield_now().await;
        }
        let store = writer.await.expect("writes");
        assert_eq!(batches_in(&records(&store).await.expect("reads"), &ledgers), BATCHES);
        store.close().expect("closes");
        let left = records(&disk.open().expect("opens")).await.expect("reads");
        assert_eq!(batches_in(&left, &ledgers), BATCHES);
    }
    println!("killed at any moment while folding: {looks} states, nothing acknowledged lost, whole batches only");
    assert!(looks > 20, "{looks}");
}

/// What is in memory, being folded, or in the tables is found all the same: at once, and never an older state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_read_while_it_is_folded() {
    let (batches, ledgers) = (Sales::default().batches(BATCHES), sales::ledgers(BATCHES).await);
    let store = Disk::default().open_folding_in_background().expect("opens");
    for (number, batch) in batches.iter().enumerate() {
        store.accept_batch(batch).await.expect("writes");
        for record in &ledgers[number + 1] {
            match record {
                Record::Channel { channel_id, books } => {
                    assert_eq!(store.books(*channel_id).await.expect("reads"), Some(*books));
                    let of_account = store.books_of(books.channel.account().id()).await.expect("reads");
                    assert!(of_account.contains(&(*channel_id, *books)));
                }
                Record::Charge { channel_id, charge } => {
                    let found = store.charge(*channel_id, charge.cumulative_amount).await.expect("reads");
                    assert_eq!(found.as_ref(), Some(charge));
                    let books = store.books(*channel_id).await.expect("reads").expect("books");
                    let bought = store.purchase(charge.purchase(&books.channel)).await.expect("reads");
                    assert_eq!(bought.expect("is found").1.request, charge.request);
                }
                Record::Redemption { redemption } => {
                    let found = store.redemption(redemption.hash).await.expect("reads");
                    assert_eq!(found.as_ref(), Some(redemption));
                }
                Record::Relayed { relayed } => {
                    assert_eq!(store.relayed_in(relayed.hash).await.expect("reads"), Some(*relayed));
                }
                _ => {}
            }
        }
    }
}

/// However small a batch is, it has a page of the journal to itself: so it is also the journal that says when to fold,
/// whatever is in the batches.
#[tokio::test]
async fn many_small_batches_do_not_make_the_journal_long() {
    let is_transaction = |entry: &Entry| matches!(entry, Entry::Redemption { .. } | Entry::Relayed(_));
    let sales = Sales::default().batches(240);
    let transactions = sales.iter().map(|batch| batch.iter().filter(|entry| is_transaction(entry)).cloned().collect());
    let transactions: Vec<Vec<Entry>> = transactions.filter(|batch: &Vec<Entry>| !batch.is_empty()).collect();
    let charges: Vec<Vec<Entry>> = sales.iter().map(|batch| batch[..1].to_vec()).collect();
    for batches in [&charges[..60], &transactions[..60]] {
        let disk = Disk::default();
        let store = disk.open_with(Folding { size: 1 << 20, ..FOLDING }, &identity()).expect("opens");
        for batch in batches {
            store.accept_batch(batch).await.expect("writes");
        }
        let lengths = disk.content().files.map(|file| file.len());
        assert!(lengths[1..].iter().all(|length| *length < 60_000), "{lengths:?}");
    }
}

/// Whoever shows a ledger has it folded, also between what a batch looks up and what it writes: a channel that is new just
/// then is in memory alone, and what is charged on it next goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_new_while_the_ledger_is_shown_is_not_forgotten() {
    for round in 0..60 {
        let disk = Disk::default();
        let store = Arc::new(disk.open_folding_in_background().expect("opens"));
        let writer = {
            let (store, mut history) = (Arc::clone(&store), History::new(round, false));
            tokio::spawn(async move {
                for _ in 0..30 {
                    store.accept_batch(&history.batch()).await.expect("writes");
                    tokio::task::yield_now().await;
                }
            })
        };
        let mut is_over = false;
        while !is_over {
            is_over = writer.is_finished();
            adds_up(&shown(&store).await);
        }
        writer.await.expect("writes");
    }
}

/// A part has later batches than the others, but nobody is shown one without them: whoever shows a ledger sees it as it
/// was after one batch or another, and after no older one than was acknowledged before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_a_ledger_sees_whole_batches_while_parts_are_folded() {
    let (batches, ledgers) = (Sales::default().batches(BATCHES), sales::ledgers(BATCHES).await);
    let mut looks = 0;
    for _ in 0..100 {
        let store = Arc::new(Disk::default().open_folding_in_background().expect("opens"));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let writer = {
            let (store, acknowledged, batches) = (Arc::clone(&store), Arc::clone(&acknowledged), batches.clone());
            tokio::spawn(async move {
                for batch in batches {
                    store.accept_batch(&batch).await.expect("writes");
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let mut least = 0;
        while least < BATCHES {
            least = acknowledged.load(Ordering::SeqCst);
            let found = batches_in(&shown(&store).await, &ledgers);
            assert!(found >= least, "{found} batches of {least} that were acknowledged");
            looks += 1;
        }
        writer.await.expect("writes");
    }
    assert!(looks > 200, "{looks}");
}
