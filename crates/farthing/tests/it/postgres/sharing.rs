//! Several gateways on one ledger are as strict as one.

use super::{charged, is_new, open, purchase, purchase_on, terms};
use farthing::chain::Fees;
use farthing::core::exposure::CreditTerms;
use farthing::core::{Address, Amount, B256, Timestamp};
use farthing::payee::PostgresStore;
use farthing::payee::store::{Entry, Outcome, PayeeStore, Redemption, RedemptionState};
use farthing_testkit::histories::{channel, identity, signer};
use farthing_testkit::postgres::{TestDatabase, connect, test_database};
use std::sync::Arc;

const GATEWAYS: usize = 3;

/// Opens a ledger for several gateways, each with options of its own.
async fn gateways(database: &TestDatabase, options: impl Fn(usize) -> String) -> Vec<Arc<PostgresStore>> {
    let mut gateways = Vec::new();
    for gateway in 0..GATEWAYS {
        gateways.push(Arc::new(open(&format!("{}?{}", database.url(), options(gateway))).await));
    }
    gateways
}

/// Sends each entry through one of the gateways, all at once, and counts what was newly charged.
async fn race(gateways: &[Arc<PostgresStore>], entries: Vec<Entry>) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for (entry, gateway) in entries.into_iter().zip(gateways.iter().cycle()) {
        let gateway = Arc::clone(gateway);
        tasks.spawn(async move { gateway.accept_batch(&[entry]).await.unwrap() });
    }
    tasks.join_all().await.iter().flatten().filter(|outcome| is_new(outcome)).count()
}

/// What an account may owe here, which is one item; and what it owed before and has paid.
const LIMIT: u128 = 10;
const PAID: u128 = 500;

/// How many accounts there are, one after the other.
const ACCOUNTS: u8 = 12;

/// Each account has credit for one item, and wants six at once, in three channels, through all gateways. How many were
/// bought by all accounts, and what was charged in all.
///
/// The accounts have paid before, in a channel that is not used any more: for a stranger the day's share would make the
/// gateways wait for each other as well.
async fn race_for_credit(gateways: &[Arc<PostgresStore>]) -> (usize, Option<u128>) {
    let mut bought = 0;
    for account in 0..ACCOUNTS {
        let id = channel(&signer(account), 9).id(&identity().deployment);
        let at = Timestamp::from_unix_seconds(0);
        let paid = Entry::Redeemed { channel_id: id, redeemed: Amount::new(PAID), block: 1, at };
        gateways[0].accept_batch(&[purchase(account, 9, PAID, PAID), paid]).await.unwrap();
        let terms = terms(LIMIT, PAID * u128::from(ACCOUNTS));
        let items = [1_u128, 2].into_iter().flat_map(|item| [0, 1, 2].map(|salt| (item, salt)));
        let purchase = |(item, salt)| purchase_on(terms, account, salt, item * 10, 10);
        bought += race(gateways, items.map(purchase).collect()).await;
    }
    (bought, charged(gateways[0].as_ref()).await)
}

/// What it comes to when the limit holds.
const WITHIN_LIMITS: (usize, Option<u128>) = (ACCOUNTS as usize, Some(ACCOUNTS as u128 * (PAID + LIMIT)));

#[tokio::test(flavor = "multi_thread")]
async fn an_account_owes_no_more_than_its_limit_at_any_isolation_level() {
    for level in ["read%20committed", "repeatable%20read", "serializable"] {
        let database = test_database().await;
        let escaped = level.replace("%20", "%5C%20");
        let option = format!("options=-c%20default_transaction_isolation%3D{escaped}");
        let gateways = gateways(&database, |_| option.clone()).await;
        assert_eq!(race_for_credit(&gateways).await, WITHIN_LIMITS, "{level}");
    }
}

/// Gives each gateway a table of its own in place of a shared one, so that what the gateways share by that table is lost.
async fn gateways_with_their_own(table: &str, database: &TestDatabase) -> Vec<Arc<PostgresStore>> {
    drop(open(database.url()).await);
    let client = connect(database.url()).await;
    for gateway in 0..GATEWAYS {
        let own = format!("CREATE SCHEMA own{gateway}; CREATE TABLE own{gateway}.{table} (LIKE {table} INCLUDING ALL)");
        client.batch_execute(&own).await.unwrap();
    }
    gateways(database, |gateway| format!("options=-c%20search_path%3Down{gateway},public")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rows_of_accounts_the_limit_would_not_hold() {
    let database = test_database().await;
    let gateways = gateways_with_their_own("farthing_accounts", &database).await;
    assert_ne!(race_for_credit(&gateways).await, WITHIN_LIMITS, "so the test above shows nothing");
}

/// Sixty purchases of 10 by eight accounts without history.
fn purchases_of_strangers(terms: CreditTerms) -> Vec<Entry> {
    (0..60_u8).map(|item| purchase_on(terms, item % 8, item / 8, 10, 10)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_given_no_more_than_the_days_share_by_all_gateways_together() {
    for level in ["read%20committed", "repeatable%20read", "serializable"] {
        let database = test_database().await;
        let escaped = level.replace("%20", "%5C%20");
        let option = format!("options=-c%20default_transaction_isolation%3D{escaped}");
        let gateways = gateways(&database, |_| option.clone()).await;
        let bought = race(&gateways, purchases_of_strangers(terms(1_000, 50))).await;
        assert_eq!((bought, charged(gateways[0].as_ref()).await), (5, Some(50)), "{level}");
    }
    let database = test_database().await;
    let gateways = gateways_with_their_own("farthing_strangers", &database).await;
    let bought = race(&gateways, purchases_of_strangers(terms(1_000, 50))).await;
    assert_eq!(bought, 5 * GATEWAYS, "each for itself");
}

/// All gateways ask for the lease at once, again and again, each time when the last one has run out: to how many it
/// was given each time, at most.
async fn race_for_the_lease(gateways: &[Arc<PostgresStore>]) -> usize {
    let mut most = 0;
    for round in 0..20_u64 {
        let mut tasks = tokio::task::JoinSet::new();
        for (holder, gateway) in (1_u8..).zip(gateways) {
            let gateway = Arc::clone(gateway);
            let at = Timestamp::from_unix_seconds(10 + 10 * round);
            let ask = Entry::Lease { holder: B256::repeat_byte(holder), at, until: at.plus_seconds(10) };
            tasks.spawn(async move { gateway.accept_batch(&[ask]).await.unwrap() });
        }
        let outcomes = tasks.join_all().await;
        most = most.max(outcomes.iter().flatten().filter(|outcome| matches!(outcome, Outcome::Leased(_))).count());
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_all_gateways_gets_the_lease_at_any_isolation_level() {
    for level in ["read%20committed", "repeatable%20read", "serializable"] {
        let database = test_database().await;
        let escaped = level.replace("%20", "%5C%20");
        let option = format!("options=-c%20default_transaction_isolation%3D{escaped}");
        let gateways = gateways(&database, |_| option.clone()).await;
        assert_eq!(race_for_the_lease(&gateways).await, 1, "{level}");
    }
    let database = test_database().await;
    let gateways = gateways_with_their_own("farthing_lease", &database).await;
    let client = connect(database.url()).await;
    // A lease that nobody can hold is nobody's.
    let at = Timestamp::from_unix_seconds(1);
    let ask = Entry::Lease { holder: B256::repeat_byte(1), at, until: at.plus_seconds(1) };
    let refused = gateways[0].accept_batch(std::slice::from_ref(&ask)).await.unwrap_err();
    assert!(refused.to_string().contains("the lease has no row"), "{refused}");
    for gateway in 0..GATEWAYS {
        let row = format!("INSERT INTO own{gateway}.farthing_lease SELECT * FROM public.farthing_lease");
        client.batch_execute(&row).await.unwrap();
    }
    assert_eq!(race_for_the_lease(&gateways).await, GATEWAYS, "each for itself");
}

fn transaction(hash: u8, state: RedemptionState) -> Entry {
    let redemption = Redemption {
        hash: B256::repeat_byte(hash),
        sender: Address::repeat_byte(2),
        nonce: hash.into(),
        fees: Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: Vec::new(),
        closes: true,
        at: Timestamp::from_unix_seconds(1),
        state,
    };
    Entry::Redemption { redemption, fence: None }
}

/// One gateway has seen that a transaction is final, when others write what they have seen before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_final_stays_so_whoever_writes_last() {
    let final_state = RedemptionState::Final { block: 1, gas_used: 2, gas_price: 3 };
    let states = [final_state, RedemptionState::Failed, RedemptionState::Mined { block: 1, gas_used: 2, gas_price: 3 }];
    for level in ["read%20committed", "repeatable%20read", "serializable"] {
        let database = test_database().await;
        let escaped = level.replace("%20", "%5C%20");
        let option = format!("options=-c%20default_transaction_isolation%3D{escaped}");
        let gateways = gateways(&database, |_| option.clone()).await;
        for hash in 0..20 {
            gateways[0].accept_batch(&[transaction(hash, RedemptionState::Sent)]).await.unwrap();
            let mut tasks = tokio::task::JoinSet::new();
            for (gateway, state) in gateways.iter().cloned().zip(states) {
                tasks.spawn(async move { gateway.accept_batch(&[transaction(hash, state)]).await.unwrap() });
            }
            assert!(tasks.join_all().await.iter().all(|outcomes| outcomes[..] == [Outcome::Noted]));
        }
        let all = (gateways[0].as_ref() as &dyn PayeeStore).redemptions().await.unwrap();
        assert!(all.iter().all(|redemption| redemption.state == final_state), "{level}: {all:?}");
        assert_eq!((all.len(), gateways[0].unsettled().await.unwrap().len()), (20, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_one_voucher_at_all_gateways_are_one_charge() {
    let database = test_database().await;
    let gateways = gateways(&database, |_| String::new()).await;
    let entry = purchase(0, 0, 10, 10);
    assert_eq!(race(&gateways, vec![entry; 60]).await, 1);
    assert_eq!(charged(gateways[0].as_ref()).await, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batches_that_share_accounts_all_get_through() {
    let database = test_database().await;
    let gateways = gateways(&database, |_| String::new()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, gateway) in gateways.iter().cloned().enumerate() {
        tasks.spawn(async move {
            for round in 0..6_u128 {
                // Each gateway meets the same accounts in an order of its own.
                let people: Vec<u8> = if number % 2 == 0 { (0..8).collect() } else { (0..8).rev().collect() };
                let base = 1 + 4 * (round * GATEWAYS as u128 + number as u128);
                let items = people.into_iter().flat_map(|person| (0..4_u128).map(move |item| (person, base + item)));
                let batch: Vec<Entry> = items.map(|(person, total)| purchase(person, 0, total * 10, 1)).collect();
                let outcomes = gateway.accept_batch(&batch).await.unwrap();
                assert!(outcomes.iter().all(is_new), "{outcomes:?}");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(charged(gateways[0].as_ref()).await, Some(8 * 4 * 6 * GATEWAYS as u128));
}
