//! What the embedded store alone has to do: one file, on a disk that may be tampered with.

mod damage;
mod faults;
mod folding;
mod journal;
mod kills;
mod power;
mod seller;

use crate::books::{data, is_that_of_the_earlier_versions};
use farthing::core::ledger::Purchase;
use farthing::core::{Address, Amount, B256, Deployment};
use farthing::payee::audit::{AuditProblem, audit};
use farthing::payee::store::{PayeeStore, StoreError};
use farthing::payee::{EmbeddedStore, LedgerIdentity};
use farthing_testkit::conformance::adds_up;
use farthing_testkit::histories::{History, channel, charge, identity, signer, voucher};
use farthing_testkit::sales::records;
use redb::{Database, TableDefinition};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn open(folder: &Path) -> Result<Arc<dyn PayeeStore>, StoreError> {
    EmbeddedStore::open(&folder.join("ledger.redb"), &identity()).map(|store| Arc::new(store) as _)
}

/// A ledger with some batches in it, closed.
async fn ledger(batches: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut history) = (open(folder.path()).unwrap(), History::new(2, false));
    for _ in 0..batches {
        store.accept_batch(&history.batch()).await.unwrap();
    }
    folder
}

/// What belongs together.
const FILES: [&str; 4] = ["ledger.redb", "ledger.journal-0", "ledger.journal-1", "ledger.mark"];

fn copy(from: &Path, to: &Path) {
    for file in FILES {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn remove_journal(folder: &Path) {
    for file in ["ledger.journal-0", "ledger.journal-1"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
}

#[track_caller]
fn forgotten(folder: &Path) -> (u64, u64) {
    match open(folder) {
        Err(StoreError::Forgotten { found, acknowledged, .. }) => (found, acknowledged),
        other => panic!("{other:?}"),
    }
}

/// Written by the version before entries of what the chain has paid, credits and purchases: seven items on two channels,
/// six of them redeemed.
#[tokio::test]
async fn a_ledger_of_version_one_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    fs::write(&path, data("ledger-of-version-one.redb")).unwrap();
    let address = |hex: &str| hex.parse::<Address>().unwrap();
    let escrow = address("0x21aba1b9c1077179205400deb9daee84f3861c58");
    let owner = LedgerIdentity {
        deployment: Deployment { chain_id: 31_337, escrow },
        payee: address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8"),
        token: address("0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"),
    };
    for _ in 0..2 {
        let store: Arc<dyn PayeeStore> = Arc::new(EmbeddedStore::open(&path, &owner).unwrap());
        adds_up(&records(store.as_ref()).await.unwrap());
        let books = store.all_books().await.unwrap();
        let mut sums: Vec<_> = books.iter().map(|(_, books)| (books.spent, books.redeemed)).collect();
        sums.sort();
        let units = Amount::new;
        assert_eq!(sums, [(units(300_000), units(300_000)), (units(400_000), units(300_000))]);
        let charges = store.all_charges().await.unwrap();
        assert_eq!(charges.len(), 7);
        for (channel_id, charge) in charges {
            let books = store.books(channel_id).await.unwrap().unwrap();
            charge.voucher(&books.channel, &farthing::core::voucher::Domain::new(owner.deployment)).unwrap();
            let bought = store.purchase(charge.purchase(&books.channel)).await.unwrap();
            assert_eq!(bought.unwrap().1.request, charge.request);
        }
    }
    let refused = EmbeddedStore::open(&path, &identity()).unwrap_err();
    assert!(matches!(refused, StoreError::OtherLedger { .. }), "{refused}");
}

/// Written by the version in which what was mined was settled: one transaction is sent, two are mined, one has failed.
#[tokio::test]
async fn a_ledger_of_version_two_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ledger.redb"), data("ledger-of-version-two.redb")).unwrap();
    for _ in 0..2 {
        let store = open(folder.path()).unwrap();
        is_that_of_the_earlier_versions(store.as_ref()).await;
    }
}

/// Written by the version in which every charge and every purchase had a row of its own.
#[tokio::test]
async fn a_ledger_of_version_three_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ledger.redb"), data("ledger-of-version-three.redb")).unwrap();
    for _ in 0..2 {
        let store = open(folder.path()).unwrap();
        is_that_of_the_earlier_versions(store.as_ref()).await;
    }
}

/// A transaction that is not in the index would never be looked for again.
#[tokio::test]
async fn an_audit_finds_an_index_of_the_unsettled_that_is_wrong() {
    for (hash, is_there) in [(0xc1, false), (0xb1, true), (0xa1, true)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ledger.redb"), data("ledger-of-version-two.redb")).unwrap();
        drop(open(folder.path()).unwrap());
        let hash = B256::repeat_byte(hash);
        let database = Database::create(folder.path().join("ledger.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let index: TableDefinition<'_, &[u8], ()> = TableDefinition::new("unsettled");
            let mut index = transaction.open_table(index).unwrap();
            if is_there { index.insert(hash.as_slice(), ()) } else { index.remove(hash.as_slice()) }.unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let problems = audit(open(folder.path()).unwrap().as_ref(), &identity()).await.unwrap().problems;
        assert_eq!(problems, [AuditProblem::Unsettled { hash }]);
    }
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_left_alone() {
    let folder = ledger(3).await;
    let before = records(open(folder.path()).unwrap().as_ref()).await.unwrap();
    set_version(folder.path(), 5);
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Schema { found: 5, expected: 4, .. }), "{refused}");
    set_version(folder.path(), 4);
    assert_eq!(records(open(folder.path()).unwrap().as_ref()).await.unwrap(), before);
}

fn set_version(folder: &Path, version: u8) {
    let database = Database::create(folder.join("ledger.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("version", [version].as_slice()).unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_ledger_is_opened_once_at_a_time() {
    let folder = ledger(1).await;
    let store = open(folder.path()).unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(store);
    open(folder.path()).unwrap();
}

/// Nothing inside a whole file tells that it is not the newest: the count beside it does.
#[tokio::test]
async fn a_file_that_has_forgotten_batches_is_refused() {
    let folder = ledger(5).await;
    let older = tempfile::tempdir().unwrap();
    copy(folder.path(), older.path());
    let (store, mut history) = (open(folder.path()).unwrap(), History::new(3, false));
    for _ in 0..4 {
        store.accept_batch(&history.batch()).await.unwrap();
    }
    drop(store);
    let newest = fs::read(folder.path().join("ledger.redb")).unwrap();
    let path = folder.path().join("ledger.redb");

    // The journal has what the older copy lacks, for so few batches are not written over; without it the mark tells.
    let all = records(open(folder.path()).unwrap().as_ref()).await.unwrap();
    fs::copy(older.path().join("ledger.redb"), &path).unwrap();
    assert_eq!(records(open(folder.path()).unwrap().as_ref()).await.unwrap(), all);
    fs::copy(older.path().join("ledger.redb"), &path).unwrap();
    remove_journal(folder.path());
    assert_eq!(forgotten(folder.path()), (5, 9));
    fs::remove_file(&path).unwrap();
    assert_eq!(forgotten(folder.path()), (0, 9));
    assert!(!path.exists(), "nothing is begun in its place");
    fs::write(&path, []).unwrap();
    assert_eq!(forgotten(folder.path()), (0, 9));
    // Another ledger of the same owner, with more in it.
    fs::copy(ledger(20).await.path().join("ledger.redb"), &path).unwrap();
    assert_eq!(forgotten(folder.path()), (0, 9));

    fs::write(&path, newest).unwrap();
    open(folder.path()).unwrap();
    // The control: without the mark the older copy is taken for the newest.
    fs::copy(older.path().join("ledger.redb"), &path).unwrap();
    fs::remove_file(folder.path().join("ledger.mark")).unwrap();
    remove_journal(folder.path());
    open(folder.path()).unwrap();
}

/// A killed process leaves batches in the journal alone: the tables' file by itself is no copy of the ledger.
#[tokio::test]
async fn what_was_copied_without_its_journal_is_refused() {
    let folder = ledger(5).await;
    let (store, mut history) = (open(folder.path()).unwrap(), History::new(3, false));
    for _ in 0..4 {
        store.accept_batch(&history.batch()).await.unwrap();
    }
    // As a kill leaves them: nothing was brought to the tables when they are copied.
    let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(folder.path(), whole.path());
    copy(folder.path(), part.path());
    remove_journal(part.path());
    assert_eq!(forgotten(part.path()), (5, 9));
    let found = records(open(whole.path()).unwrap().as_ref()).await.unwrap();
    assert_eq!(found, records(store.as_ref()).await.unwrap());
}

/// Whoever closes a ledger has all of it in the tables' file.
#[tokio::test]
async fn a_closed_ledger_is_whole_without_its_journal() {
    let folder = ledger(5).await;
    let store = EmbeddedStore::open(&folder.path().join("ledger.redb"), &identity()).unwrap();
    store.accept_batch(&History::new(3, false).batch()).await.unwrap();
    let all = records(&store).await.unwrap();
    store.close().unwrap();
    remove_journal(folder.path());
    assert_eq!(records(open(folder.path()).unwrap().as_ref()).await.unwrap(), all);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_any_of_its_files() {
    let folder = ledger(1).await;
    for file in FILES {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder.path().join(file)).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// Charges gather in rows of many. Whatever order they come in, each is found by its amount and by its request, and the
/// highest and lowest around an amount are the right ones; in memory, in the tables and in both.
#[tokio::test]
async fn packed_charges_are_found_in_whatever_order_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let channel_id = channel.id(&identity().deployment);
    let entry = |number: u128| charge(voucher(&signer, &channel, number * 10), 10, &format!("/{number}"));
    let mut store = open(folder.path()).unwrap();
    // The highest first, so that all others come late; then downwards, upwards and in between.
    let rest: Vec<u128> = (1..400).collect();
    let (low, high) = rest.split_at(200);
    let orders = [vec![400], high.iter().rev().copied().collect(), low.iter().copied().step_by(2).collect()];
    let mut sold = std::collections::BTreeSet::new();
    for (round, order) in orders.into_iter().chain([low.iter().copied().skip(1).step_by(2).collect()]).enumerate() {
        for numbers in order.chunks(7) {
            let batch: Vec<_> = numbers.iter().map(|number| entry(*number)).collect();
            let outcomes = store.accept_batch(&batch).await.unwrap();
            assert!(
                outcomes.iter().all(|one| matches!(one, farthing::payee::store::Outcome::Charged { again: false, .. }))
            );
            sold.extend(numbers.iter().copied());
        }
        for number in 1..=400_u128 {
            let found = store.charge(channel_id, Amount::new(number * 10)).await.unwrap();
            assert_eq!(found.map(|charge| charge.item), sold.contains(&number).then(|| format!("/{number}")));
            let request = farthing::core::ledger::RequestId::new("GET", &format!("/{number}"));
            let bought = store.purchase(Purchase { signer: signer.address(), request }).await.unwrap();
            assert_eq!(bought.map(|(_, charge)| charge.request), sold.contains(&number).then_some(request));
        }
        let due = sold.len() as u128;
        let highest = store.redeemable(channel_id).await.unwrap().map(|charge| charge.cumulative_amount);
        assert_eq!(highest, sold.range(..=due).next_back().map(|number| Amount::new(number * 10)));
        let lowest = store.last_resort(channel_id).await.unwrap().map(|charge| charge.cumulative_amount);
        assert_eq!(lowest, sold.range(due..).next().map(|number| Amount::new(number * 10)));
        if round % 2 == 0 {
            assert_eq!(store.all_charges().await.unwrap().len(), sold.len());
        } else {
            drop(store);
            store = open(folder.path()).unwrap();
        }
    }
    let in_order: Vec<_> = store.all_charges().await.unwrap().iter().map(|(_, one)| one.cumulative_amount).collect();
    assert_eq!(in_order, (1..=400).map(|number| Amount::new(number * 10)).collect::<Vec<_>>());
    assert_eq!(audit(store.as_ref(), &identity()).await.unwrap().problems, []);
}

#[tokio::test]
async fn a_mark_that_was_never_written_out_refuses_nothing_and_a_damaged_one_does() {
    let folder = ledger(3).await;
    let path = folder.path().join("ledger.mark");
    let whole = fs::read(&path).unwrap();
    for unwritten in [vec![], vec![0; whole.len()]] {
        fs::write(&path, unwritten).unwrap();
        open(folder.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("ledger.mark"), "{refused}");
    }
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    open(folder.path()).unwrap_err();
}

/// A whole backup that is put back on purpose is a ledger like any other: what was sold since is forgotten, and a payer
/// loses nothing by it.
#[tokio::test]
async fn a_restored_backup_goes_on_and_charges_nobody_twice() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let entry = |total: u128| charge(voucher(&signer, &channel, total), 10, &format!("/{total}"));
    let store = open(folder.path()).unwrap();
    store.accept_batch(&[entry(10), entry(20)]).await.unwrap();
    drop(store);
    let backup = tempfile::tempdir().unwrap();
    copy(folder.path(), backup.path());
    open(folder.path()).unwrap().accept_batch(&[entry(30), entry(40)]).await.unwrap();

    let store = open(backup.path()).unwrap();
    adds_up(&records(store.as_ref()).await.unwrap());
    // What the backup knows is not charged again, what it has forgotten is charged for the very same voucher at most.
    let outcomes = store.accept_batch(&[entry(20), entry(40), entry(50)]).await.unwrap();
    let again: Vec<bool> = outcomes
        .iter()
        .map(|outcome| match outcome {
            farthing::payee::store::Outcome::Charged { again, .. } => *again,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(again, [true, false, false]);
    let channel_id = channel.id(&identity().deployment);
    let books = store.books(channel_id).await.unwrap().unwrap();
    assert_eq!((books.spent, books.accepted), (Amount::new(40), Amount::new(50)));
    // The highest voucher that is due covers what was served twice over, never more than was promised.
    let highest = store.redeemable(channel_id).await.unwrap().unwrap();
    assert_eq!(highest.cumulative_amount, Amount::new(40));
}
