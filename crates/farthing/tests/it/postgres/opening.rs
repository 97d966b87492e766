//! Which databases a ledger is opened in, and what nobody gets to see.

use super::{charged, is_new, open, open_within, purchase};
use crate::books::{data, is_that_of_the_earlier_versions};
use farthing::core::Amount;
use farthing::payee::store::{PayeeStore, RecordKind, StoreError};
use farthing::payee::{PostgresOptions, PostgresStore, PostgresUrl};
use farthing_testkit::histories::{channel, charge, identity, signer, voucher};
use farthing_testkit::postgres::{PostgresServer, connect, test_database};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_begin_a_ledger_at_once_begin_one() {
    let database = test_database().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = database.url().to_owned();
        tasks.spawn(async move { open(&url).await });
    }
    let stores = tasks.join_all().await;
    let mut secrets = std::collections::BTreeSet::new();
    let client = connect(database.url()).await;
    for row in client.query("SELECT challenge_secret FROM farthing_ledger", &[]).await.unwrap() {
        secrets.insert(row.get::<_, Vec<u8>>(0));
    }
    assert_eq!((stores.len(), secrets.len()), (8, 1));
    for store in &stores {
        assert!(store.challenge_secret().await.is_ok());
    }
}

/// As the first version of the schema left it: what was mined was settled, and nobody had a lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_first_schema_is_brought_up_to_date_by_one_of_many() {
    let database = test_database().await;
    let dump = String::from_utf8(data("postgres-of-version-one.sql")).unwrap();
    connect(database.url()).await.batch_execute(&dump).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = database.url().to_owned();
        tasks.spawn(async move { open(&url).await });
    }
    for store in tasks.join_all().await {
        is_that_of_the_earlier_versions(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_even_when_it_comes_while_the_ledger_is_open() {
    let database = test_database().await;
    let store = open_within(database.url(), SOON).await.unwrap();
    let client = connect(database.url()).await;
    client.batch_execute("UPDATE farthing_schema SET version = 1000").await.unwrap();
    let refused = open_within(database.url(), SOON).await.unwrap_err();
    assert!(matches!(refused, StoreError::Schema { found: 1_000, .. }), "{refused}");
    // An open gateway has the choice when it connects again. Other tests have databases of their own on the server.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'farthing' AND datname = current_database()";
    client.batch_execute(cut).await.unwrap();
    let refused = store.accept_batch(&[purchase(0, 0, 10, 10)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Schema { found: 1_000, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_to_make_tables_opens_a_ledger_that_is_there() {
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    drop(open(&server.url("ledger")).await);
    let client = connect(&server.url("ledger")).await;
    client.batch_execute("CREATE ROLE gateway LOGIN PASSWORD 'a-word-to-look-for'").await.unwrap();
    let grant = "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO gateway";
    client.batch_execute(grant).await.unwrap();
    let (_, host) =
        server.url("ledger").split_once('@').map(|(user, host)| (user.to_owned(), host.to_owned())).unwrap();
    let store = open(&format!("postgres://gateway:a-word-to-look-for@{host}")).await;
    assert!(is_new(&store.accept_batch(&[purchase(0, 0, 10, 10)]).await.unwrap()[0]));
    assert_eq!(charged(&store).await, Some(10));

    // Whatever is said of it, the password is not.
    let wrong = format!("postgres://gateway:another-word-to-look-for@{host}");
    let url: PostgresUrl = wrong.parse().unwrap();
    let error = open_within(&wrong, SOON).await.unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    let options = PostgresOptions::new(url.clone());
    let malformed = "postgres://gateway:word-to-look-for?@/@host".parse::<PostgresUrl>().unwrap_err();
    let said = format!("{url} {url:?} {options:?} {store:?} {error} {error:?} {malformed} {malformed:?}");
    assert!(!said.contains("word-to-look-for"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_sync_its_disk_is_refused() {
    let server = PostgresServer::start_with(&["fsync=off"]);
    server.create_database("ledger").await;
    let refused = open_within(&server.url("ledger"), SOON).await.unwrap_err();
    assert!(refused.to_string().contains("fsync is off"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_numbers_that_a_person_reads_and_adds() {
    let database = test_database().await;
    let store = open(database.url()).await;
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let largest = Amount::MAX_ON_CHAIN.base_units();
    let prices = [0, 1, 9_999, 10_000, 10_001, 100_000_000, 12_345_678_901_234_567_890, largest / 2];
    let item = |(place, price)| charge(voucher(&signer, &channel, largest - place), price, &format!("/{place}"));
    let batch: Vec<_> = (0_u128..).zip(prices).map(item).collect();
    let outcomes = store.accept_batch(&batch).await.unwrap();
    assert!(outcomes[0..7].iter().all(is_new), "{outcomes:?}");
    let client = connect(database.url()).await;
    let query = "SELECT price::TEXT FROM farthing_charges ORDER BY cumulative_amount DESC";
    let rows = client.query(query, &[]).await.unwrap();
    let written: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let bought = outcomes.iter().filter(|outcome| is_new(outcome)).count();
    assert_eq!(written, prices[..bought].iter().map(u128::to_string).collect::<Vec<_>>());
    let sum = client.query_one("SELECT sum(price)::TEXT FROM farthing_charges", &[]).await.unwrap();
    assert_eq!(charged(&store).await, Some(sum.get::<_, String>(0).parse().unwrap()));
}

/// Half a ledger would take vouchers that the other half has seen: until an import has ended, nobody opens it.
#[tokio::test]
async fn a_ledger_that_is_imported_is_nobodys_until_all_of_it_is_there() {
    let database = test_database().await;
    let options = || PostgresOptions::new(database.url().parse().unwrap());
    let import = PostgresStore::open_to_import(options(), &identity()).await.unwrap();
    let source = test_database().await;
    let source = open(source.url()).await;
    source.accept_batch(&[purchase(0, 0, 10, 10), purchase(1, 0, 10, 10)]).await.unwrap();
    let mut records = Vec::new();
    let mut visitor = |record| {
        records.push(record);
        Ok(())
    };
    source.visit(&RecordKind::ALL, &mut visitor).await.unwrap();
    let (first, rest) = records.split_at(2);
    import.restore(first).await.unwrap();
    let refused = PostgresStore::open(options(), &identity()).await.unwrap_err();
    assert!(refused.to_string().contains("an import did not end"), "{refused}");
    import.restore(rest).await.unwrap();
    import.finish_import().await.unwrap();
    let store = open(database.url()).await;
    assert_eq!(charged(&store).await, charged(&source).await);

    // One that has something in it stays open to those who use it.
    drop(PostgresStore::open_to_import(options(), &identity()).await.unwrap());
    open(database.url()).await;
}
