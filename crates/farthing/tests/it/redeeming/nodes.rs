//! Redeeming by way of several nodes, of which some are of no use.

use super::{IMPATIENT, automine, not_mined, records, settle, sold};
use crate::payee::DIME;
use farthing::chain::Chain;
use farthing::core::Amount;
use farthing::escrow::Escrow;
use farthing::local_chain::CHAIN_ID;
use farthing::payee::store::RedemptionState;
use farthing::payee::{Nodes, Payee, Redeemer, RedemptionOptions, Watcher};
use farthing_testkit::Fixture;
use farthing_testkit::rpc_proxy::{Fault, RpcProxy, Rule};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

async fn escrow_by(fixture: &Fixture, node: &Url, mined_within: Duration) -> Escrow {
    let chain = Chain::connect_to(node, Some(Fixture::payee()), CHAIN_ID).await.unwrap();
    Escrow::bind(chain.with_mined_within(mined_within), fixture.deployment.escrow).await.unwrap()
}

/// The proxy first, the node itself after it.
async fn by_both(fixture: &Fixture, payee: &Payee, proxy: &RpcProxy, mined_within: Duration) -> Redeemer {
    let nodes = vec![
        escrow_by(fixture, &proxy.url(), mined_within).await,
        escrow_by(fixture, fixture.local.url(), mined_within).await,
    ];
    Redeemer::new(payee.clone(), Nodes::new(nodes).unwrap())
}

/// Says of every transaction that it is in the newest block.
fn claims_that_all_is_mined() -> Rule {
    let receipt = |request: &Value| {
        let hash = &request["params"][0];
        let zero = format!("0x{}", "0".repeat(64));
        json!({
            "transactionHash": hash, "transactionIndex": "0x0", "blockHash": zero, "blockNumber": "0x1",
            "from": format!("0x{}", "1".repeat(40)), "to": null, "cumulativeGasUsed": "0x5208", "gasUsed": "0x5208",
            "contractAddress": null, "logs": [], "logsBloom": format!("0x{}", "0".repeat(512)), "type": "0x2",
            "status": "0x1", "effectiveGasPrice": "0x1",
        })
    };
    Rule::on("eth_getTransactionReceipt", Fault::made_up(receipt))
}

#[tokio::test]
async fn a_node_that_is_down_is_left_for_the_next() {
    let (fixture, _folder, payee, _) = sold(2).await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let redeemer = by_both(&fixture, &payee, &proxy, Chain::MINED_WITHIN).await;
    proxy.go_down().await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(2 * DIME));
    settle(&fixture, &redeemer).await;
    assert!(records(&payee).await.iter().all(|record| matches!(record.state, RedemptionState::Final { .. })));
}

/// It fails in the middle: whatever was sent by then is on record, and the next node goes on from there.
#[tokio::test]
async fn a_node_that_fails_after_anything_is_left_without_sending_twice() {
    for method in [
        "eth_getTransactionCount",
        "eth_feeHistory",
        "eth_call",
        "eth_estimateGas",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    ] {
        for fault in [Fault::ServerError, Fault::NotJson, Fault::Error("try again later")] {
            let (fixture, _folder, payee, chain) = sold(1).await;
            let proxy = RpcProxy::start(fixture.local.url()).await;
            let redeemer = by_both(&fixture, &payee, &proxy, Chain::MINED_WITHIN).await;
            proxy.inject(Rule::on(method, fault.clone()));
            let case = format!("{} on {method}", fault.name());
            redeemer.redeem().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(proxy.calls(method).faulted > 0, "{case}");
            assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1, "{case}");
            assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME), "{case}");
        }
    }
}

/// It takes what is sent, and lets nobody know.
#[tokio::test]
async fn what_one_node_swallows_another_passes_on() {
    let (fixture, _folder, payee, _) = sold(1).await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let swallow = Fault::made_up(|_| json!(format!("0x{}", "7".repeat(64))));
    proxy.inject(Rule::on("eth_sendRawTransaction", swallow));
    let redeemer = by_both(&fixture, &payee, &proxy, Chain::MINED_WITHIN).await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
}

#[tokio::test]
async fn a_node_that_claims_that_all_is_mined_does_not_end_the_effort() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    proxy.inject(claims_that_all_is_mined());
    automine(&chain, false).await;
    let redeemer = by_both(&fixture, &payee, &proxy, IMPATIENT).await;
    not_mined(redeemer.redeem().await);
    assert_eq!(records(&payee).await[0].state, RedemptionState::Sent);
    automine(&chain, true).await;
    redeemer.redeem().await.unwrap();
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    settle(&fixture, &redeemer).await;
    let is_final = |state: RedemptionState| matches!(state, RedemptionState::Final { .. });
    assert!(records(&payee).await.iter().any(|record| is_final(record.state)));
}

/// The control: a liar that nobody contradicts is believed.
#[tokio::test]
async fn alone_it_would_be_believed() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    proxy.inject(claims_that_all_is_mined());
    automine(&chain, false).await;
    let alone = Redeemer::new(payee.clone(), escrow_by(&fixture, &proxy.url(), IMPATIENT).await);
    assert_eq!(alone.redeem().await.unwrap().done.len(), 1);
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::ZERO);
}

/// Hides what is behind every channel, and says that nothing would be paid.
fn hides_all_money() -> Rule {
    let nothing = Fault::lie(|_, truth| {
        let length = truth.as_str().map_or(0, str::len);
        json!(format!("0x{}", "0".repeat(length.saturating_sub(2))))
    });
    Rule::on("eth_call", nothing)
}

/// The safer answer keeps credit from being given on a lie; it must not keep a reservation from being redeemed.
#[tokio::test]
async fn a_node_that_hides_money_does_not_keep_it_from_being_redeemed() {
    let (fixture, _folder, payee, _) = sold(1).await;
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&fixture.channel(0), Amount::new(DIME)).await.unwrap();
    payer.request_close(&fixture.channel(0)).await.unwrap();
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let nodes = vec![
        escrow_by(&fixture, &proxy.url(), Chain::MINED_WITHIN).await,
        escrow_by(&fixture, fixture.local.url(), Chain::MINED_WITHIN).await,
    ];
    let nodes = Nodes::new(nodes).unwrap();
    proxy.inject(hides_all_money());
    Watcher::new(payee.clone(), nodes.clone()).step().await.unwrap();
    let view = payee.views().account_of(&fixture.channel(0)).unwrap();
    assert_eq!(view.balance, Amount::ZERO, "what the payee gives credit by");
    let mut runner = Redeemer::new(payee.clone(), nodes).runner(&RedemptionOptions::default());
    runner.step().await;
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
}
