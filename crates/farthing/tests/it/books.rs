//! A payee's books: what was earned, by anything and in any period.

use farthing::core::{Address, Amount, Timestamp};
use farthing::payee::audit::audit;
use farthing::payee::earnings::{Earnings, EarningsBy, Grouping, Period, earnings, earnings_by};
use farthing::payee::store::{Record, RecordKind, RedemptionState};
use farthing::payee::{EmbeddedStore, PayeeStore, transfer};
use farthing_testkit::histories::{History, identity};
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;

/// A ledger in a file with a random history in it.
pub(crate) async fn random_ledger(seed: u64, batches: usize) -> (TempDir, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut history = History::new(seed, seed.is_multiple_of(2));
    for _ in 0..batches {
        store.accept_batch(&history.batch()).await.unwrap();
    }
    (folder, store)
}

pub(crate) fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&folder.join("ledger.redb"), &identity()).unwrap()
}

/// All records of a ledger.
pub(crate) async fn records(store: &dyn PayeeStore) -> Vec<Record> {
    let mut records = Vec::new();
    store
        .visit(&RecordKind::ALL, &mut |record| {
            records.push(record);
            Ok(())
        })
        .await
        .unwrap();
    records
}

/// Makes sure that a ledger is the one that earlier versions have written to a file, to a database and as an export:
/// each gets to the same, and what was mined is final in all of them.
pub(crate) async fn is_that_of_the_earlier_versions(store: &dyn PayeeStore) {
    assert_eq!(audit(store, &identity()).await.unwrap().problems, []);
    let final_state = RedemptionState::Final { block: 9, gas_used: 100_000, gas_price: u128::from(u64::MAX) * 3 };
    let states =
        [(0x02, final_state), (0xa1, RedemptionState::Failed), (0xb1, final_state), (0xc1, RedemptionState::Sent)];
    let mut found: Vec<_> = store.redemptions().await.unwrap().iter().map(|one| (one.hash[0], one.state)).collect();
    found.sort_by_key(|(hash, _)| *hash);
    assert_eq!(found, states);
    let unsettled: Vec<u8> = store.unsettled().await.unwrap().iter().map(|one| one.hash[0]).collect();
    assert_eq!(unsettled, [0xc1]);
    let folder = tempfile::tempdir().unwrap();
    let exported = open(folder.path());
    let counts =
        transfer::import(&exported, data("exported-ledger-of-version-one.jsonl").as_slice()).await.unwrap().counts;
    assert_eq!((counts.channels, counts.charges, counts.redemptions), (13, 28, 4));
    let lines = |records: Vec<Record>| -> BTreeSet<String> { records.iter().map(|one| format!("{one:?}")).collect() };
    let (found, expected) = (lines(records(store).await), lines(records(&exported).await));
    assert_eq!(found.symmetric_difference(&expected).collect::<Vec<_>>(), [""; 0]);
}

/// What an earlier version has written.
pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// Sold, earned, credited and redeemed, added up the simplest way.
fn sums(records: &[Record], period: Period) -> [u128; 4] {
    let mut sums = [0; 4];
    for record in records {
        match record {
            Record::Charge { charge, .. } if period.contains(charge.at) => {
                sums[0] += 1;
                sums[1] += charge.price.base_units();
            }
            Record::Credit { credit, .. } if period.contains(credit.at) => sums[2] += credit.amount.base_units(),
            Record::FinalRedemption { redemption, .. } if period.contains(redemption.at) => {
                sums[3] += redemption.paid.base_units();
            }
            _ => {}
        }
    }
    sums
}

fn add(rows: impl Iterator<Item = (u64, Amount, Amount, Option<Amount>)>) -> [u128; 4] {
    let mut sums = [0; 4];
    for (sold, earned, credited, redeemed) in rows {
        sums[0] += u128::from(sold);
        sums[1] += earned.base_units();
        sums[2] += credited.base_units();
        sums[3] += redeemed.unwrap_or_default().base_units();
    }
    sums
}

fn sums_of(earnings: &EarningsBy) -> [u128; 4] {
    match earnings {
        EarningsBy::Item(rows) => add(rows.iter().map(|row| (row.sold, row.earned, row.credited, None))),
        EarningsBy::Day(rows) => add(rows.iter().map(|row| (row.sold, row.earned, row.credited, Some(row.redeemed)))),
        EarningsBy::Channel(rows) => {
            add(rows.iter().map(|row| (row.sold, row.spent, row.credited, Some(row.redeemed))))
        }
        EarningsBy::Payer(rows) => add(rows.iter().map(|row| (row.sold, row.earned, row.credited, Some(row.redeemed)))),
        EarningsBy::Charge(rows) => add(rows.iter().map(|row| (1, row.price, row.credited, None))),
    }
}

/// The days of a ledger, the first and the last among them.
fn days(records: &[Record]) -> Vec<u64> {
    let days: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Charge { charge, .. } => Some(charge.at.day()),
            _ => None,
        })
        .collect();
    days.into_iter().collect()
}

fn midnight(day: u64) -> Timestamp {
    Timestamp::from_unix_seconds(day * 86_400)
}

#[tokio::test]
async fn earnings_are_the_same_by_whatever_they_are_added_up() {
    for seed in 0..6 {
        let (_folder, store) = random_ledger(seed, 60).await;
        let records = records(&store).await;
        let days = days(&records);
        let (first, last) = (days[0], days[days.len() - 1]);
        assert!(last > first + 1, "a history of several days");
        let inner = Period { since: Some(midnight(first + 1)), until: Some(midnight(last)) };
        for period in [Period::default(), inner, Period { until: None, ..inner }, Period { since: None, ..inner }] {
            let expected = sums(&records, period);
            assert!(expected.iter().all(|sum| *sum > 0), "{expected:?}");
            let total: Earnings = earnings(&store, period).await.unwrap();
            let found = [u128::from(total.items_sold), total.earned.base_units(), total.credited.base_units()];
            assert_eq!((found, total.redeemed.base_units()), ([expected[0], expected[1], expected[2]], expected[3]));
            for grouping in [Grouping::Item, Grouping::Day, Grouping::Channel, Grouping::Payer, Grouping::Charge] {
                let by = earnings_by(&store, grouping, period).await.unwrap();
                let mut expected = expected;
                if matches!(grouping, Grouping::Item | Grouping::Charge) {
                    // Money on the chain is of channels, not of items.
                    expected[3] = 0;
                }
                let mut found = sums_of(&by);
                if grouping == Grouping::Charge && period != Period::default() {
                    // A charge shows what was given back of it whenever that was.
                    (expected[2], found[2]) = (0, 0);
                }
                assert_eq!(found, expected, "{grouping:?} {period:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_day_is_utc_and_counts_what_happened_in_it() {
    let (_folder, store) = random_ledger(1, 60).await;
    let records = records(&store).await;
    let EarningsBy::Day(rows) = earnings_by(&store, Grouping::Day, Period::default()).await.unwrap() else {
        panic!("not by day")
    };
    assert!(rows.is_sorted_by(|first, second| first.day < second.day));
    for row in &rows {
        let since: Timestamp = format!("{}T00:00:00Z", row.day).parse().unwrap();
        let day = Period { since: Some(since), until: Some(since.plus_seconds(86_400)) };
        let found = [u128::from(row.sold), row.earned.base_units(), row.credited.base_units()];
        let expected = sums(&records, day);
        assert_eq!((found.as_slice(), row.redeemed.base_units()), (&expected[..3], expected[3]), "{}", row.day);
    }
}

/// What is owed now is owed whatever period is looked at.
#[tokio::test]
async fn what_is_outstanding_is_as_of_now() {
    let (_folder, store) = random_ledger(3, 60).await;
    let total = earnings(&store, Period::default()).await.unwrap();
    let never = Period { since: Some(Timestamp::MAX), until: None };
    let later = earnings(&store, never).await.unwrap();
    assert!(!total.outstanding.is_zero());
    assert_eq!(later, Earnings { outstanding: total.outstanding, ..Earnings::default() });
    let EarningsBy::Payer(payers) = earnings_by(&store, Grouping::Payer, Period::default()).await.unwrap() else {
        panic!("not by payer")
    };
    let owed = Amount::saturating_sum(payers.iter().map(|row| row.outstanding));
    assert_eq!(owed, total.outstanding);
    let each: BTreeSet<Address> = payers.iter().map(|row| row.payer).collect();
    assert_eq!(each.len(), payers.len(), "one row for each");
    assert!(payers.iter().any(|row| row.channels > 1));
}
