//! Redemptions that don't go as planned: stuck, lost, sent twice, or with something damaged among them.

mod batches;
pub(crate) mod data_fee;
mod nodes;
mod outbidding;
mod running;
mod turns;

use crate::payee::{DIME, buy, shop};
use alloy::primitives::{U256, hex};
use alloy::providers::Provider;
use axum::extract::{Json, State};
use farthing::chain::Chain;
use farthing::core::{Amount, ChannelId};
use farthing::escrow::{Escrow, EscrowError};
use farthing::local_chain::CHAIN_ID;
use farthing::payee::redeemer::{RedeemError, Redemptions};
use farthing::payee::store::{Redemption, RedemptionState};
use farthing::payee::{EmbeddedStore, Payee, Redeemer, StoreError, Watcher};
use farthing_testkit::{Fixture, wait_until};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use url::Url;

const IMPATIENT: Duration = Duration::from_millis(300);

/// A shop that sold one item on each of several channels, and a connection with the payee's key.
async fn sold(channels: u8) -> (Fixture, TempDir, Payee, Chain) {
    let (fixture, folder, payee, _) = shop().await;
    for salt in 0..channels {
        buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
    }
    let chain = fixture.connect(Fixture::payee()).await;
    (fixture, folder, payee, chain)
}

async fn redeemer(fixture: &Fixture, payee: &Payee, chain: Chain) -> Redeemer {
    Redeemer::new(payee.clone(), Escrow::bind(chain, fixture.deployment.escrow).await.unwrap())
}

pub(crate) async fn ask(chain: &Chain, method: &'static str, parameters: Value) {
    chain.provider().raw_request::<_, Value>(method.into(), parameters).await.unwrap();
}

/// With `false` no block is made until `evm_mine`.
pub(crate) async fn automine(chain: &Chain, on: bool) {
    ask(chain, "evm_setAutomine", json!([on])).await;
}

/// A block that has no room for what waits, and in which gas is three times as dear: more than what waits offers.
async fn gas_gets_dearer(chain: &Chain) {
    let latest = chain.provider().get_block_by_number(Default::default()).await.unwrap().unwrap().header;
    ask(chain, "anvil_setNextBlockBaseFeePerGas", json!([U256::from(latest.base_fee_per_gas.unwrap() * 3)])).await;
    ask(chain, "evm_setBlockGasLimit", json!([U256::from(21_000)])).await;
    ask(chain, "evm_mine", json!([])).await;
    ask(chain, "evm_setBlockGasLimit", json!([U256::from(latest.gas_limit)])).await;
    let payee = Fixture::payee().address();
    let (mined, next) = (chain.transactions_of(payee).await.unwrap(), chain.next_nonce_of(payee).await.unwrap());
    assert_eq!((mined, next), (0, 1), "one waits, too cheap now");
}

/// Blocks are made again, and the newest has its usual room: batches are made to fit the newest block, and anvil makes
/// the one that it owes for what waits a moment after it has answered.
async fn blocks_have_room_again(chain: &Chain) {
    automine(chain, true).await;
    wait_until("a block has its usual room", || async { chain.block_gas_limit().await.unwrap() > 21_000 }).await;
}

async fn records(payee: &Payee) -> Vec<Redemption> {
    let mut records = payee.store().redemptions().await.unwrap();
    records.sort_by_key(|record| record.state != RedemptionState::Failed);
    records
}

fn is_final(record: &Redemption) -> bool {
    matches!(record.state, RedemptionState::Final { .. })
}

/// Lets what was mined become final, and be noted so.
async fn settle(fixture: &Fixture, redeemer: &Redeemer) {
    fixture.finalize().await;
    redeemer.settle().await.unwrap();
}

fn not_mined<T: fmt::Debug>(result: Result<T, RedeemError>) {
    let error = result.expect_err("nothing is mined").to_string();
    assert!(error.contains("not mined within"), "{error}");
}

/// A node between us and anvil that answers some requests itself.
pub(crate) async fn node_in_between(
    fixture: &Fixture,
    answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
) -> Url {
    type Answer = Arc<dyn Fn(&Value) -> Option<Value> + Send + Sync>;
    async fn handle(State((url, answer)): State<(Url, Answer)>, Json(request): Json<Value>) -> Json<Value> {
        if let Some(Value::Object(mut answer)) = answer(&request) {
            answer.insert("jsonrpc".to_owned(), json!("2.0"));
            answer.insert("id".to_owned(), request["id"].clone());
            return Json(Value::Object(answer));
        }
        let forwarded = reqwest::Client::new().post(url).json(&request).send().await.unwrap();
        Json(serde_json::from_slice(&forwarded.bytes().await.unwrap()).unwrap())
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer: Answer = Arc::new(answer);
    let router = axum::Router::new().fallback(handle).with_state((fixture.local.url().clone(), answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn refusal(message: &str) -> Value {
    json!({ "error": { "code": -32000, "message": message } })
}

/// Gas became dearer after the redemption was signed: the next attempt takes its place instead of queueing behind it.
#[tokio::test]
async fn a_stuck_redemption_is_replaced_at_the_same_nonce_and_pays_once() {
    let (fixture, _folder, payee, chain) = sold(3).await;
    let payee_address = Fixture::payee().address();
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    gas_gets_dearer(&chain).await;
    blocks_have_room_again(&chain).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    let redeemed = redeemer.redeem().await.unwrap().done;
    assert_eq!((redeemed.len(), redeemed[0].vouchers, redeemed[0].paid), (1, 3, Amount::new(3 * DIME)));
    assert_eq!(fixture.dollars_of(payee_address).await, Amount::new(3 * DIME));
    assert_eq!(chain.transactions_of(payee_address).await.unwrap(), 1);
    assert_eq!(chain.next_nonce_of(payee_address).await.unwrap(), 1, "nothing waits");
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    let [stuck, replacement] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((stuck.nonce, stuck.state), (0, RedemptionState::Failed));
    assert!(replacement.nonce == 0 && is_final(replacement), "{replacement:?}");
    assert!(redeemer.redeem().await.unwrap().done.is_empty());
}

/// Nothing got dearer, blocks are just slow: the replacement still has to outbid what waits, or the node refuses it.
#[tokio::test]
async fn each_attempt_offers_an_eighth_more() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await;
    for _ in 0..3 {
        not_mined(redeemer.redeem().await);
    }
    let mut offers: Vec<_> = records(&payee).await.iter().map(|record| record.fees).collect();
    offers.sort_by_key(|fees| fees.max_fee_per_gas);
    assert_eq!(offers.len(), 3);
    for pair in offers.windows(2) {
        assert!(pair[1].max_fee_per_gas * 1_000 >= pair[0].max_fee_per_gas * 1_125, "{pair:?}");
        assert!(pair[1].max_priority_fee_per_gas * 1_000 >= pair[0].max_priority_fee_per_gas * 1_125, "{pair:?}");
    }
    ask(&chain, "evm_mine", json!([])).await;
    automine(&chain, true).await;
    assert!(redeemer.redeem().await.unwrap().done.is_empty(), "it was mined, and is found");
    settle(&fixture, &redeemer).await;
    let (mined, failed): (Vec<_>, Vec<_>) = records(&payee).await.into_iter().partition(is_final);
    assert_eq!((mined.len(), failed.len()), (1, 2));
    assert!(failed.iter().all(|record| record.state == RedemptionState::Failed));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
}

/// The process died between writing the record and sending: the record is found, and its nonce used.
#[tokio::test]
async fn a_crash_before_sending_is_made_good() {
    let (fixture, folder, payee, chain) = sold(1).await;
    let lost = node_in_between(&fixture, |request| {
        (request["method"] == "eth_sendRawTransaction").then(|| refusal("the connection is gone"))
    })
    .await;
    let lost = Chain::connect_to(&lost, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
    redeemer(&fixture, &payee, lost).await.redeem().await.unwrap_err();
    assert_eq!(records(&payee).await[0].state, RedemptionState::Sent);
    drop(payee);
    wait_until("the ledger is released", || async {
        EmbeddedStore::open(&folder.path().join("ledger.redb"), &fixture.identity()).is_ok()
    })
    .await;

    let payee = fixture.start_payee(folder.path()).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    assert_eq!(records.iter().map(|record| record.nonce).collect::<Vec<_>>(), [0, 0]);
    assert!(records[0].state == RedemptionState::Failed && is_final(&records[1]), "{records:?}");
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
}

/// The process died between sending and noting that it was mined: the receipt is found, and nothing is sent again.
#[tokio::test]
async fn a_crash_after_sending_is_made_good() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    ask(&chain, "evm_mine", json!([])).await;
    automine(&chain, true).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    assert!(redeemer.redeem().await.unwrap().done.is_empty(), "nothing is due");
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    assert!(records.len() == 1 && is_final(&records[0]), "{records:?}");
}

#[tokio::test]
async fn a_dropped_redemption_is_sent_again() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    ask(&chain, "anvil_dropTransaction", json!([records(&payee).await[0].hash])).await;
    automine(&chain, true).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    assert!(records[0].state == RedemptionState::Failed && is_final(&records[1]), "{records:?}");
}

/// Another transaction of the wallet took the nonce: what waited for it can never be mined.
#[tokio::test]
async fn a_redemption_whose_nonce_is_gone_has_failed() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    ask(&chain, "anvil_dropTransaction", json!([records(&payee).await[0].hash])).await;
    automine(&chain, true).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    let other = farthing::token::approve_if_needed;
    other(&chain, fixture.token.address, fixture.deployment.escrow, Amount::new(1)).await.unwrap();
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    assert_eq!((records[0].nonce, records[0].state), (0, RedemptionState::Failed));
    assert!(records[1].nonce == 1 && is_final(&records[1]), "{records:?}");
}

/// The old transaction is mined while the new one is being sent: it is found, and counts.
#[tokio::test]
async fn a_rival_that_is_mined_after_all_is_what_counts() {
    let (fixture, _folder, payee, chain) = sold(2).await;
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    let stuck = records(&payee).await[0].hash;
    let refused = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&refused);
    let node = node_in_between(&fixture, move |request| {
        (request["method"] == "eth_sendRawTransaction").then(|| {
            refuses.store(true, Ordering::SeqCst);
            refusal("replacement transaction underpriced")
        })
    })
    .await;
    let node = Chain::connect_to(&node, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
    let redeemer = redeemer(&fixture, &payee, node).await;
    let second = tokio::spawn({
        let redeemer = redeemer.clone();
        async move { redeemer.redeem().await }
    });
    wait_until("the replacement was refused", || async { refused.load(Ordering::SeqCst) }).await;
    ask(&chain, "evm_mine", json!([])).await;
    let redeemed = second.await.unwrap().unwrap().done;
    assert_eq!((redeemed.len(), redeemed[0].transaction), (1, stuck));
    assert_eq!((redeemed[0].vouchers, redeemed[0].paid), (2, Amount::new(2 * DIME)));
    settle(&fixture, &redeemer).await;
    let records = records(&payee).await;
    assert!(records[0].state == RedemptionState::Failed && records[1].hash == stuck && is_final(&records[1]));
}

/// The serve loop and the admin command at the same time: one transaction, and the other finds nothing due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_of_a_redeemer_take_turns() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    let both = tokio::join!(
        tokio::spawn({
            let redeemer = redeemer.clone();
            async move { redeemer.redeem().await }
        }),
        tokio::spawn({
            let redeemer = redeemer.clone();
            async move { redeemer.redeem().await }
        })
    );
    let sent = both.0.unwrap().unwrap().done.len() + both.1.unwrap().unwrap().done.len();
    assert_eq!((sent, records(&payee).await.len()), (1, 1));
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
}

/// A close takes the place of a stuck redemption: what that would have paid, the close pays.
#[tokio::test]
async fn a_close_replaces_a_stuck_redemption() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let channel = fixture.channel(0);
    fixture.escrow(Fixture::payer()).await.reserve(&channel, Amount::new(5 * DIME)).await.unwrap();
    Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await).step().await.unwrap();
    automine(&chain, false).await;
    not_mined(redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    gas_gets_dearer(&chain).await;
    blocks_have_room_again(&chain).await;
    let redeemer = redeemer(&fixture, &payee, chain.clone()).await;
    let closed = redeemer.close(channel.id(&fixture.deployment)).await.unwrap();
    assert_eq!((closed.paid, closed.refunded), (Amount::new(DIME), Amount::new(4 * DIME)));
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
    // Nothing is left to close, and the refusal is the contract's.
    let again = redeemer.close(channel.id(&fixture.deployment)).await;
    assert!(matches!(again, Err(RedeemError::Escrow(EscrowError::Chain(_)))), "{again:?}");
}

/// One payer leaves: what others owe is not dragged along, whatever gas it is worth.
#[tokio::test]
async fn only_the_channels_that_are_named_are_redeemed() {
    let (fixture, _folder, payee, chain) = sold(3).await;
    let redeemer = redeemer(&fixture, &payee, chain).await;
    let ids = [1, 2].map(|salt| fixture.channel(salt).id(&fixture.deployment));
    let Redemptions { done, skipped } = redeemer.redeem_channels(&ids).await.unwrap();
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(2 * DIME)));
    Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await).step().await.unwrap();
    let left = redeemer.due().await.unwrap().due;
    assert_eq!(
        left.iter().map(|due| due.voucher.voucher().channel_id).collect::<Vec<_>>(),
        [fixture.channel(0).id(&fixture.deployment)]
    );

    assert!(redeemer.redeem_channels(&[]).await.unwrap().done.is_empty());
    let unknown = redeemer.redeem_channels(&[ChannelId::default()]).await;
    assert!(matches!(unknown, Err(RedeemError::UnknownChannel { .. })), "{unknown:?}");
}

type Bytes = &'static [u8];

/// A channel's row in the ledger's tables: what is before its one charge, and the charge.
fn row_of(rows: &impl redb::ReadableTable<Bytes, Bytes>, fixture: &Fixture, salt: u8) -> (Vec<u8>, Vec<u8>) {
    let row = rows.get(fixture.channel(salt).id(&fixture.deployment).0.as_slice()).unwrap().unwrap().value().to_vec();
    let charge = row.windows(16).position(|bytes| bytes == DIME.to_be_bytes()).unwrap();
    (row[..charge].to_vec(), row[charge..].to_vec())
}

/// Damage is skipped and named, and what is whole is paid.
#[tokio::test]
async fn damaged_entries_hold_nothing_else_up() {
    let (fixture, folder, payee, chain) = sold(4).await;
    drop(payee);
    let path = folder.path().join("ledger.redb");
    wait_until("the ledger is released", || async { EmbeddedStore::open(&path, &fixture.identity()).is_ok() }).await;
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(redb::TableDefinition::<Bytes, Bytes>::new("books")).unwrap();
        let [first, second, third] = [1, 2, 3].map(|salt| row_of(&rows, &fixture, salt));
        // The third channel's voucher in the second one's place: well formed, and not its signature.
        for (salt, row) in [(1, [first.0, vec![0xff; 3]]), (2, [second.0, third.1])] {
            rows.insert(fixture.channel(salt).id(&fixture.deployment).0.as_slice(), row.concat().as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);

    let payee = fixture.start_payee(folder.path()).await;
    let redeemer = redeemer(&fixture, &payee, chain).await;
    let Redemptions { done, skipped } = redeemer.redeem().await.unwrap();
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(2 * DIME)));
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    for skipped in skipped {
        let salt = [1, 2].into_iter().find(|salt| fixture.channel(*salt).id(&fixture.deployment) == skipped.channel_id);
        match salt.expect("one of the damaged") {
            1 => assert!(matches!(skipped.error, RedeemError::Store(StoreError::Failed { .. })), "{skipped:?}"),
            _ => assert!(matches!(skipped.error, RedeemError::Damaged { .. }), "{skipped:?}"),
        }
    }
    // Nothing but damage is left: that is no success.
    redeemer.redeem().await.unwrap_err();
}

/// The node fails at one channel, or at all of them. Nothing is in view yet: each channel has to be asked for.
#[tokio::test]
async fn a_channel_that_the_node_fails_at_holds_nothing_else_up() {
    let (fixture, folder, payee, _) = sold(3).await;
    drop(payee);
    let path = folder.path().join("ledger.redb");
    wait_until("the ledger is released", || async { EmbeddedStore::open(&path, &fixture.identity()).is_ok() }).await;
    let payee = fixture.start_payee(folder.path()).await;
    let salt = hex::encode(fixture.channel(1).salt);
    let node = node_in_between(&fixture, move |request| {
        let is_its = request["method"] == "eth_call" && request.to_string().contains(&salt);
        is_its.then(|| refusal("header not found"))
    })
    .await;
    let node = Chain::connect_to(&node, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
    let Redemptions { done, skipped } = redeemer(&fixture, &payee, node).await.redeem().await.unwrap();
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(2 * DIME)));
    assert_eq!(skipped[0].channel_id, fixture.channel(1).id(&fixture.deployment));
    assert!(skipped[0].error.to_string().contains("header not found"), "{skipped:?}");

    let down =
        node_in_between(&fixture, |request| (request["method"] == "eth_call").then(|| refusal("header not found")))
            .await;
    let down = Chain::connect_to(&down, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
    redeemer(&fixture, &payee, down).await.redeem().await.expect_err("nothing due is another thing");
}
