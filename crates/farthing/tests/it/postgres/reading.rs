//! What the server reads to answer.

use super::open;
use farthing::chain::Fees;
use farthing::core::{Address, B256, Timestamp};
use farthing::payee::PostgresStore;
use farthing::payee::store::{PayeeStore, Record, Redemption, RedemptionState};
use farthing_testkit::postgres::{PostgresServer, connect};
use farthing_testkit::wait_until;
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
