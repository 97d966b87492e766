//! Every method that a payee asks its node for meets every fault, while one payer empties its account, another asks for
//! its reservation back, and a third buys. What comes of each is written down here and must come. Nothing is sold for
//! money that is gone, unless the only node lies, and then within the credit limit; and once the node is well again,
//! all is seen, sold and redeemed as it should be, once, and nobody lacks a base unit.
//!
//! `FARTHING_FAULTS=all` plays the whole table, which `script/verify.sh faults` does.

mod market;

use farthing_testkit::rpc_proxy::Fault;
use market::Market;
use serde_json::{Value, json};
use std::time::Duration;

/// What comes of each fault on each method of a lone node, one letter a fault.
///
/// `.` all goes on. `t` all goes on, and the owner is told that something is wrong with the node. `c` no credit is
/// given until the node is well, and what is owed is redeemed all the same. `r` it is redeemed later. `w` both wait. `s`
/// the payee does not start. `b` the node is believed: it is the only one, and what it says makes sense.
const LONE: [(&str, &str); 13] = [
    ("eth_chainId", "ssss.ssssss.s.s."),
    ("eth_getCode", "ssss.ssssss.s.s."),
    ("eth_getBlockByNumber", "wwww.wwwwwwbc.w."),
    ("eth_getLogs", "cccc.cccccccb.c."),
    ("eth_call", "wwww.wwwwwwcb.w."),
    ("eth_getTransactionCount", "rrrr.rrrrrr.r.r."),
    ("eth_getTransactionReceipt", "................"),
    ("eth_estimateGas", "rrrr.rrrrrr.r.r."),
    ("eth_feeHistory", "rrrr.rrrrrr...r."),
    ("eth_sendRawTransaction", "r..r.rrr.rr.r..."),
    ("eth_getBalance", "................"),
    ("eth_gasPrice", "rrrr.rrrrrr....."),
    (EVERYTHING, "ssss.ssssssbb.s."),
];

/// The same of one of two nodes.
const ONE_OF_TWO: [(&str, &str); 13] = [
    ("eth_chainId", "................"),
    ("eth_getCode", "................"),
    ("eth_getBlockByNumber", "tttt.tttttt.t.t."),
    ("eth_getLogs", "tttt.tttttttt.t."),
    ("eth_call", "tttt.tttttttt.t."),
    ("eth_getTransactionCount", "................"),
    ("eth_getTransactionReceipt", "................"),
    ("eth_estimateGas", "................"),
    ("eth_feeHistory", "................"),
    ("eth_sendRawTransaction", "................"),
    ("eth_getBalance", "................"),
    ("eth_gasPrice", "................"),
    (EVERYTHING, "tttt.tttttt.t.t."),
];

/// All methods at once.
const EVERYTHING: &str = "everything";

/// What can happen to each.
fn faults(method: &str) -> [Fault; 16] {
    [
        Fault::Unheard,
        Fault::AnswerLost,
        Fault::CutOff,
        Fault::Silent,
        Fault::Late(Duration::from_millis(50)),
        Fault::TooManyRequests,
        Fault::ServerError,
        Fault::Error("the node is out of order"),
        Fault::Truncated,
        Fault::NotJson,
        Fault::Null,
        Fault::Stale(4),
        lie(method),
        Fault::WrongId,
        Fault::OtherAnswer,
        Fault::Twice,
    ]
}

/// Those that stand for the others where there is not so much time.
const IN_SHORT: [&str; 5] = ["HTTP 500", "null", "stale", "lie", "made up"];

fn number(value: &Value) -> u128 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    u128::from_str_radix(digits, 16).unwrap_or_default()
}

fn raised(value: &Value, by: u128) -> Value {
    json!(format!("{:#x}", number(value) + by))
}

/// The answer of each method that would do the most harm if it were believed.
fn lie(method: &str) -> Fault {
    match method {
        "eth_chainId" => Fault::lie(|_, _| json!("0x1")),
        "eth_getCode" => Fault::lie(|_, _| json!("0x")),
        // A head that is far ahead.
        "eth_getBlockByNumber" => Fault::lie(|_, mut block| {
            block["number"] = raised(&block["number"], 1_000);
            block
        }),
        // Nothing has happened.
        "eth_getLogs" => Fault::lie(|_, _| json!([])),
        // All the money is still there, and nobody leaves.
        "eth_call" => Fault::lie(|_, answer| market::money_is_still_there(answer)),
        "eth_getTransactionCount" => Fault::lie(|_, count| raised(&count, 5)),
        // It has reverted.
        "eth_getTransactionReceipt" => Fault::lie(|_, mut receipt| {
            if receipt.is_object() {
                receipt["status"] = json!("0x0");
            }
            receipt
        }),
        "eth_getTransactionByHash" => Fault::lie(|_, _| Value::Null),
        // Too little: what would be sent with it would revert, and cost its gas.
        "eth_estimateGas" => Fault::lie(|_, _| json!("0x7530")),
        "eth_feeHistory" => Fault::lie(|_, mut history| {
            if let Some(fees) = history["baseFeePerGas"].as_array_mut() {
                fees.iter_mut().for_each(|fee| *fee = json!(format!("{:#x}", number(fee) * 100)));
            }
            history
        }),
        // Taken, and never passed on.
        "eth_sendRawTransaction" => Fault::made_up(|_| json!(format!("0x{}", "11".repeat(32)))),
        // The wallet is empty.
        "eth_getBalance" => Fault::lie(|_, _| json!("0x0")),
        "eth_gasPrice" => Fault::lie(|_, price| json!(format!("{:#x}", number(&price) * 1_000))),
        // Of the money alone, where every answer could be changed.
        EVERYTHING => lie("eth_call"),
        other => panic!("no lie for {other}"),
    }
}

/// Plays a table and returns what came of it, with where it differs from what is written down.
async fn play(market: &mut Market, expected: &[(&str, &str)], nodes: usize) -> (usize, Vec<String>) {
    let is_whole = std::env::var("FARTHING_FAULTS").is_ok_and(|which| which == "all");
    let (mut played, mut wrong) = (0, Vec::new());
    for (method, letters) in expected {
        let mut row = String::new();
        for (fault, expected) in faults(method).into_iter().zip(letters.chars()) {
            let name = fault.name();
            if !is_whole && !IN_SHORT.contains(&name) {
                row.push(' ');
                continue;
            }
            let (letter, hits) =
                market.suffer(Some(*method).filter(|method| *method != EVERYTHING), fault, nodes).await;
            row.push(letter);
            played += 1;
            if letter != expected || hits == 0 {
                wrong.push(format!("{method}, {name}: {letter} instead of {expected}, met {hits} times"));
            }
        }
        println!("faults: {method:<26} {row}");
    }
    (played, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_lone_node_ends_as_it_is_written() {
    let mut market = Market::open().await;
    let called = market.methods_of_a_good_day().await;
    let written: Vec<&str> = LONE.iter().map(|(method, _)| *method).filter(|method| *method != EVERYTHING).collect();
    assert!(called.iter().all(|method| written.contains(&method.as_str())), "{called:?} and no others");
    let (played, wrong) = play(&mut market, &LONE, 1).await;
    println!("faults: a lone node: {played} cells, {} otherwise than written", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_node_service_goes_on_through_every_fault() {
    let mut market = Market::open().await;
    let (played, wrong) = play(&mut market, &ONE_OF_TWO, 2).await;
    println!("faults: one of two nodes: {played} cells, {} otherwise than written", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a lone node leaves out of its events is in nobody's view until all accounts are read anew, which is often enough
/// for every exit delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_leaves_out_is_found_when_everything_is_read_anew() {
    let mut market = Market::open().await;
    let left_out = market.suffer(Some("eth_getLogs"), lie("eth_getLogs"), 1).await.0;
    market.reads_all = true;
    let found = market.suffer(Some("eth_getLogs"), lie("eth_getLogs"), 1).await.0;
    assert_eq!((left_out, found), ('b', '.'));
}
