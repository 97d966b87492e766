//! The proxy does to each request what it is told, and nothing to the others; the chain's faults are what they say.

use farthing::chain::{Chain, ChainError};
use farthing::core::Amount;
use farthing::local_chain::LocalChainOptions;
use farthing_testkit::rpc_proxy::{Calls, Fault, Rule};
use farthing_testkit::{ChainFaults, Fixture, RpcProxy, wait_until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn behind_a_proxy() -> (Fixture, ChainFaults, RpcProxy, Chain) {
    let fixture = Fixture::start().await;
    let faults = ChainFaults::of(&fixture.local);
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let chain = Chain::connect(&proxy.url(), Some(Fixture::payer())).await.unwrap();
    (fixture, faults, proxy, chain)
}

#[tokio::test]
async fn each_fault_without_an_answer_is_an_error_and_the_next_request_is_answered() {
    let (_fixture, _, proxy, chain) = behind_a_proxy().await;
    let broken = [
        Fault::Unheard,
        Fault::AnswerLost,
        Fault::CutOff,
        Fault::TooManyRequests,
        Fault::ServerError,
        Fault::Error("the node is out of order"),
        Fault::Truncated,
        Fault::NotJson,
        Fault::Null,
    ];
    for fault in broken {
        let name = fault.name();
        chain.head().await.unwrap();
        proxy.inject(Rule::on("eth_getBalance", fault).times(1));
        let error = chain.balance(Fixture::payer().address()).await.expect_err(name);
        assert!(matches!(error, ChainError::Unreachable { .. }), "{name}: {error}");
        chain.balance(Fixture::payer().address()).await.unwrap();
    }
    assert_eq!(proxy.calls("eth_getBalance"), Calls { asked: 18, faulted: 9 });
    assert_eq!(proxy.calls("eth_getBlockByNumber"), Calls { asked: 9, faulted: 0 });
}

#[tokio::test]
async fn a_silent_node_keeps_the_connection_and_a_late_one_answers_at_last() {
    let (_fixture, _, proxy, chain) = behind_a_proxy().await;
    proxy.inject(Rule::on("eth_getBalance", Fault::Silent).times(1));
    let silent = chain.balance(Fixture::payer().address());
    let waited = tokio::time::timeout(Duration::from_millis(300), silent).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(proxy.calls("eth_getBalance").faulted, 1);
    proxy.inject(Rule::on("eth_getBalance", Fault::Late(Duration::from_millis(300))));
    assert!(chain.balance(Fixture::payer().address()).await.unwrap() > Amount::ZERO);
}

#[tokio::test]
async fn rules_count_requests_and_pick_them() {
    let (_fixture, _, proxy, chain) = behind_a_proxy().await;
    let (payer, payee) = (Fixture::payer().address(), Fixture::payee().address());
    let is_payees = move |request: &Value| request["params"][0] == json!(payee);
    proxy.inject(Rule::on("eth_getBalance", Fault::Null).when(is_payees).after(1).times(2));
    let mut failed = Vec::new();
    for _ in 0..4 {
        chain.balance(payer).await.unwrap();
        failed.push(chain.balance(payee).await.is_err());
    }
    assert_eq!(failed, [false, true, true, false]);
    proxy.inject(Rule::on_everything(Fault::ServerError));
    chain.head().await.unwrap_err();
    proxy.heal();
    chain.head().await.unwrap();
}

#[tokio::test]
async fn a_lie_changes_what_the_node_said_and_the_request_is_made_once_or_twice() {
    let (_fixture, faults, proxy, chain) = behind_a_proxy().await;
    let payer = Fixture::payer().address();
    faults.set_balance(payer, Amount::new(0x7a)).await;
    let dearer = |_: &Value, truth: Value| json!(truth.as_str().unwrap().replace("0x", "0x1"));
    proxy.inject(Rule::on("eth_getBalance", Fault::lie(dearer)));
    assert_eq!(chain.balance(payer).await.unwrap(), Amount::new(0x17a));
    let before = faults.head().await;
    proxy.inject(Rule::on("eth_getBalance", Fault::OtherAnswer));
    assert_eq!(chain.balance(payer).await.unwrap(), Amount::new(before.into()));
    proxy.inject(Rule::on("evm_mine", Fault::Twice));
    let connected = ChainFaults::at(&proxy.url());
    connected.ask("evm_mine", json!([])).await;
    assert_eq!(faults.head().await, before + 2);
    proxy.inject(Rule::on("evm_mine", Fault::made_up(|_| json!("0x0"))));
    assert_eq!(connected.ask("evm_mine", json!([])).await, json!("0x0"));
    assert_eq!(faults.head().await, before + 2);
}

/// What a stale node says fits together: head, balances, counts, receipts and logs are of the same moment.
#[tokio::test]
async fn a_stale_node_knows_nothing_of_the_newest_blocks() {
    let (fixture, faults, proxy, chain) = behind_a_proxy().await;
    let escrow = fixture.escrow(Fixture::payer()).await;
    faults.mine(3).await;
    let before = (chain.head().await.unwrap(), chain.transactions_of(Fixture::payer().address()).await.unwrap());
    let mined = escrow.deposit(&fixture.account(), Amount::new(1_000_000)).await.unwrap()[0];
    faults.mine(2).await;

    proxy.inject(Rule::on_everything(Fault::Stale(3)));
    let stale = farthing::escrow::Escrow::bind(chain.clone(), fixture.deployment.escrow).await.unwrap();
    assert_eq!((chain.head().await.unwrap(), chain.transactions_of(Fixture::payer().address()).await.unwrap()), before);
    assert_eq!(stale.account_balance(&fixture.account()).await.unwrap(), Amount::ZERO);
    assert!(chain.receipt(mined.hash).await.unwrap().is_none());
    let connected = ChainFaults::at(&proxy.url());
    let logs = |from: u64| json!([{ "fromBlock": format!("{from:#x}"), "toBlock": "latest", "address": fixture.deployment.escrow }]);
    assert_eq!(connected.ask("eth_getLogs", logs(mined.block)).await, json!([]));

    proxy.heal();
    assert_eq!(stale.account_balance(&fixture.account()).await.unwrap(), Amount::new(1_000_000));
    assert_eq!(connected.ask("eth_getLogs", logs(mined.block)).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_is_down_refuses_connections_until_it_comes_back() {
    let (_fixture, _, proxy, chain) = behind_a_proxy().await;
    proxy.go_down().await;
    assert!(TcpStream::connect(proxy.url().socket_addrs(|| None).unwrap()[0]).await.is_err());
    chain.head().await.unwrap_err();
    proxy.come_back().await;
    chain.head().await.unwrap();
}

/// A text frame as clients send it, with a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short frame");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

async fn read_until(stream: &mut TcpStream, what: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(what) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
}

#[tokio::test]
async fn a_websocket_is_handed_on_silenced_and_cut() {
    let (_fixture, _, proxy, _) = behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.url().socket_addrs(|| None).unwrap()[0]).await.unwrap();
    let hello = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    socket.write_all(hello.as_bytes()).await.unwrap();
    read_until(&mut socket, "101 Switching Protocols").await;
    let ask = frame(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#);
    socket.write_all(&ask).await.unwrap();
    read_until(&mut socket, "0x7a69").await;
    assert_eq!(proxy.open_websockets(), 1);

    proxy.silence_websockets(true);
    socket.write_all(&ask).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(300), read_until(&mut socket, "0x7a69")).await;
    assert!(silent.is_err());
    proxy.silence_websockets(false);
    read_until(&mut socket, "0x7a69").await;

    proxy.cut_websockets().await;
    assert_eq!(socket.read(&mut [0; 16]).await.unwrap_or(0), 0, "the end");
    wait_until("it is gone", || async { proxy.open_websockets() == 0 }).await;
}

/// Ethereum's finality: the deepest reorganization there is takes all 64 blocks that are not final.
#[tokio::test]
async fn a_reorganization_takes_transactions_away_or_moves_them() {
    let fixture = Fixture::start_with(LocalChainOptions { slots_in_an_epoch: 32, ..Default::default() }).await;
    let faults = ChainFaults::of(&fixture.local);
    faults.mine(70).await;
    let escrow = fixture.escrow(Fixture::payer()).await;
    let kept = faults.snapshot().await;
    let mined = escrow.deposit(&fixture.account(), Amount::new(5_000_000)).await.unwrap()[0];
    faults.mine(63).await;
    let finalized = escrow.chain().block("finalized".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(finalized.number, mined.block - 1);
    let signed = faults.signed(mined.hash).await;

    faults.reorganize(64, &[(signed, 2)]).await;
    assert_eq!(escrow.chain().receipt(mined.hash).await.unwrap().unwrap().block_number, Some(mined.block + 2));
    faults.reorganize(64, &[]).await;
    assert!(escrow.chain().receipt(mined.hash).await.unwrap().is_none());
    assert_eq!(escrow.account_balance(&fixture.account()).await.unwrap(), Amount::ZERO);
    assert_eq!(faults.head().await, mined.block + 63);
    assert_eq!(escrow.chain().block("finalized".parse().unwrap()).await.unwrap(), Some(finalized));

    faults.go_back(kept).await;
    assert_eq!(faults.head().await, mined.block - 1);
}
