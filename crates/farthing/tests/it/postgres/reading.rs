//! What the server reads to answer, and what it waits for.

use super::{charged, is_new, open, open_within, purchase};
use farthing::chain::Fees;
use farthing::core::{Address, B256, Timestamp};
use farthing::payee::PostgresStore;
use farthing::payee::store::{Entry, Outcome, PayeeStore, Record, Redemption, RedemptionState};
use farthing_testkit::postgres::{PostgresServer, connect};
use farthing_testkit::wait_until;
use std::time::Duration;
use tokio_postgres::Client;

const SETTLED: u64 = 2_000;
const UNSETTLED: u64 = 3;

fn redemption(nonce: u64) -> Record {
    let state = match nonce {
        SETTLED.. => RedemptionState::Sent,
        nonce if nonce.is_multiple_of(4) => RedemptionState::Failed,
        block => RedemptionState::Final { block, gas_used: 100_000, gas_price: 7 },
    };
    let redemption = Redemption {
        hash: B256::left_padding_from(&nonce.to_be_bytes()),
        sender: Address::repeat_byte(2),
        nonce,
        fees: Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: Vec::new(),
        closes: true,
        at: Timestamp::from_unix_seconds(nonce),
        state,
    };
    Record::Redemption { redemption }
}

/// How many redemptions the server has read since it last forgot its statistics.
async fn read(client: &Client) -> i64 {
    let query = "SELECT (seq_tup_read + idx_tup_fetch)::BIGINT FROM pg_stat_user_tables
        WHERE relname = 'farthing_redemptions'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Closes a store, and waits until the server has counted what it did for it.
async fn close(client: &Client, store: PostgresStore) {
    drop(store);
    wait_until("its sessions have ended", || async {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'farthing'";
        client.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
}

/// Whoever sends holds the lease's row for as long as a batch takes, and sales go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_does_not_wait_for_the_lease() {
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    let url = server.url("ledger");
    let client = connect(&format!("{url}?application_name=test")).await;
    let store = open_within(&url, Duration::from_secs(2)).await.unwrap();
    client.batch_execute("BEGIN; SELECT 1 FROM farthing_lease FOR UPDATE").await.unwrap();
    for sale in 1..=20 {
        assert!(is_new(&store.accept_batch(&[purchase(0, 0, sale * 10, 10)]).await.unwrap()[0]));
    }
    // The control: whoever asks for the lease waits, and with it whatever else is in its batch.
    let at = Timestamp::from_unix_seconds(1);
    let ask = Entry::Lease { holder: B256::repeat_byte(1), at, until: at.plus_seconds(1) };
    store.accept_batch(&[purchase(0, 0, 210, 10), ask.clone()]).await.expect_err("somebody else has it");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(store.accept_batch(&[ask]).await.unwrap()[0], Outcome::Leased(_)));
    assert_eq!(charged(&store).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_is_not_read_to_find_what_is_not() {
    let server = PostgresServer::start();
    server.create_database("ledger").await;
    let url = server.url("ledger");
    let client = connect(&format!("{url}?application_name=test")).await;
    let store = open(&url).await;
    let records: Vec<Record> = (0..SETTLED + UNSETTLED).map(redemption).collect();
    store.restore(&records).await.unwrap();
    close(&client, store).await;

    client.batch_execute("SELECT pg_stat_reset()").await.unwrap();
    let store = open(&url).await;
    assert_eq!(store.unsettled().await.unwrap().len() as u64, UNSETTLED);
    assert!(store.redemption(B256::left_padding_from(&5_u64.to_be_bytes())).await.unwrap().is_some());
    close(&client, store).await;
    assert_eq!(read(&client).await.unsigned_abs(), UNSETTLED + 1);

    // The control: whoever looks through all of them is counted.
    let store = open(&url).await;
    assert_eq!((&store as &dyn PayeeStore).redemptions().await.unwrap().len() as u64, SETTLED + UNSETTLED);
    close(&client, store).await;
    assert_eq!(read(&client).await.unsigned_abs(), SETTLED + 2 * UNSETTLED + 1);
}
