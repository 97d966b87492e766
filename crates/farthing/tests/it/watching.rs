//! Seeing one chain through several nodes, of which one lags, lies, hangs or dies: never a wrong acceptance while an
//! honest one answers, less credit instead, and the owner is told.
//!
//! Each lie is also told by a node that is alone, and believed: a rule that nothing breaks shows nothing.

use crate::payee::{DIME, buy, credential, quote, send};
use farthing::chain::{Chain, ConnectOptions};
use farthing::core::wire::ProblemType;
use farthing::core::{Amount, Channel, Timestamp};
use farthing::escrow::Escrow;
use farthing::local_chain::CHAIN_ID;
use farthing::payee::earnings::{Period, earnings};
use farthing::payee::{AcceptError, Nodes, Payee, Quote, Redeemer, Sale, Trouble, Watcher};
use farthing_testkit::rpc_proxy::{Fault, Rule};
use farthing_testkit::{ChainFaults, Fixture, RpcProxy, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use url::Url;

const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const DEPOSIT: u128 = 5_000_000;
const NEVER: Duration = Duration::from_secs(86_400);

/// A payee that sees the chain through a node that may misbehave, and perhaps through an honest one beside it.
struct Scene {
    fixture: Fixture,
    _folder: TempDir,
    proxy: RpcProxy,
    nodes: Nodes,
    payee: Payee,
    watcher: Watcher,
}

async fn escrow_at(fixture: &Fixture, url: &Url) -> Escrow {
    let options = ConnectOptions { request_within: Duration::from_secs(20) };
    let chain = Chain::connect_with(url, Some(Fixture::payee()), options).await.unwrap();
    Escrow::bind(chain, fixture.deployment.escrow).await.unwrap()
}

impl Scene {
    async fn open(has_honest: bool) -> Self {
        let fixture = Fixture::start().await;
        let payer = fixture.escrow(Fixture::payer()).await;
        payer.deposit(&fixture.account(), Amount::new(DEPOSIT)).await.unwrap();
        fixture.finalize().await;
        let proxy = RpcProxy::start(fixture.local.url()).await;
        let mut escrows = vec![escrow_at(&fixture, &proxy.url()).await];
        if has_honest {
            escrows.push(fixture.escrow(Fixture::payee()).await);
        }
        Self::over(fixture, proxy, Nodes::new(escrows).unwrap()).await
    }

    async fn over(fixture: Fixture, proxy: RpcProxy, nodes: Nodes) -> Self {
        let nodes = nodes.with_answer_within(ANSWER_WITHIN);
        let folder = tempfile::tempdir().unwrap();
        let payee = fixture.start_payee_with(folder.path(), Arc::new(nodes.clone())).await;
        let mut watcher = Watcher::new(payee.clone(), nodes.clone());
        watcher.step().await.unwrap();
        Self { fixture, _folder: folder, proxy, nodes, payee, watcher }
    }

    async fn payer(&self) -> Escrow {
        self.fixture.escrow(Fixture::payer()).await
    }

    async fn withdraw_everything(&self) {
        let (payer, to) = (self.payer().await, Fixture::payer().address());
        payer.withdraw(&self.fixture.account(), Amount::new(DEPOSIT), to).await.unwrap();
    }

    async fn buys(&self, count: u128) -> Result<Sale, AcceptError> {
        let channel = self.fixture.channel(0);
        buy(&self.fixture, &self.payee, &channel, &format!("/{count}"), count * DIME).await
    }

    /// Buys what only a reservation pays for.
    async fn buys_reserved(&self, channel: &Channel, count: u128) -> Result<Sale, AcceptError> {
        let item = Quote { reservation_required: Some(Amount::new(DIME)), ..quote(&format!("/{count}"), DIME) };
        let signed = self.fixture.voucher(channel, count * DIME, &Fixture::payer());
        send(&self.payee, &item, &credential(&self.payee, &item, channel, signed)).await
    }

    /// Whether the owner can see that something is wrong with a node.
    fn is_alarmed(&self) -> bool {
        self.nodes.health().iter().any(|node| node.trouble.is_some() || node.contradiction.is_some())
    }
}

/// Plays a deception with an honest node beside the liar, and with the liar alone.
async fn is_found_out(deceive: impl AsyncFn(&mut Scene) -> Result<Sale, AcceptError>) {
    let mut scene = Scene::open(true).await;
    assert!(!scene.is_alarmed(), "{:?}", scene.nodes.health());
    let refused = deceive(&mut scene).await.expect_err("served for what is not there").problem();
    assert_ne!(refused.problem_type(), Some(ProblemType::MalformedCredential), "{refused:?}");
    assert!(scene.is_alarmed(), "nobody was told: {:?}", scene.nodes.health());

    scene.proxy.heal();
    scene.fixture.finalize().await;
    scene.watcher.step().await.unwrap();
    scene.watcher.step().await.unwrap();
    assert!(!scene.is_alarmed(), "all is well again: {:?}", scene.nodes.health());

    let mut scene = Scene::open(false).await;
    deceive(&mut scene).await.expect("a liar that is alone is believed");
}

/// The words that `fundsOf` answers: redeemed, reserved, when the close can be finalized; the account's balance, nonce.
fn with_words(truth: &Value, change: impl Fn(&mut [u128; 5])) -> Value {
    let Some(digits) = truth.as_str().and_then(|text| text.strip_prefix("0x")).filter(|digits| digits.len() == 320)
    else {
        return truth.clone();
    };
    let mut words = [0; 5];
    for (index, word) in words.iter_mut().enumerate() {
        *word = u128::from_str_radix(&digits[index * 64 + 32..(index + 1) * 64], 16).unwrap();
    }
    change(&mut words);
    json!(format!("0x{}", words.map(|word| format!("{word:064x}")).concat()))
}

fn lie_about_funds(change: impl Fn(&mut [u128; 5]) + Send + Sync + Copy + 'static) -> Rule {
    Rule::on("eth_call", Fault::lie(move |_, truth| with_words(&truth, change)))
}

#[tokio::test]
async fn a_balance_that_one_node_makes_up_is_not_believed() {
    is_found_out(async |scene| {
        scene.buys(1).await.unwrap();
        scene.proxy.inject(lie_about_funds(|words| words[3] = DEPOSIT));
        scene.withdraw_everything().await;
        scene.watcher.step().await.unwrap();
        scene.buys(2).await
    })
    .await;
}

#[tokio::test]
async fn a_reservation_that_one_node_makes_up_is_not_believed() {
    is_found_out(async |scene| {
        let channel = scene.fixture.channel(5);
        scene.proxy.inject(lie_about_funds(|words| words[1] = 10 * DIME));
        // The first contact asks both nodes, and then the watcher compares what they show.
        let first = scene.buys_reserved(&channel, 1).await;
        scene.watcher.step().await.unwrap();
        first
    })
    .await;
}

#[tokio::test]
async fn a_close_request_that_one_node_hides_is_seen() {
    is_found_out(async |scene| {
        let channel = scene.fixture.channel(5);
        scene.payer().await.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
        scene.fixture.finalize().await;
        scene.watcher.step().await.unwrap();
        scene.buys_reserved(&channel, 1).await.unwrap();
        scene.proxy.inject(lie_about_funds(|words| words[2] = 0));
        scene.payer().await.request_close(&channel).await.unwrap();
        scene.watcher.step().await.unwrap();
        scene.buys_reserved(&channel, 2).await
    })
    .await;
}

#[tokio::test]
async fn events_that_one_node_leaves_out_are_seen() {
    is_found_out(async |scene| {
        scene.buys(1).await.unwrap();
        scene.watcher.step().await.unwrap();
        scene.proxy.inject(Rule::on("eth_getLogs", Fault::made_up(|_| json!([]))));
        // Only the head is looked at anew: a final block has the account read whatever the events say.
        scene.proxy.inject(stands_still("finalized", &scene.fixture).await);
        scene.withdraw_everything().await;
        scene.watcher.step().await.unwrap();
        scene.buys(2).await
    })
    .await;
}

/// A node whose block of a tag stays the one that it is now.
async fn stands_still(tag: &'static str, fixture: &Fixture) -> Rule {
    let faults = ChainFaults::of(&fixture.local);
    let block = faults.ask("eth_getBlockByNumber", json!([tag, false])).await;
    Rule::on("eth_getBlockByNumber", Fault::made_up(move |_| block.clone()))
        .when(move |request| request["params"][0] == json!(tag))
}

#[tokio::test]
async fn a_redemption_that_one_node_makes_up_relieves_nobody() {
    is_found_out(async |scene| {
        for count in 1..=20 {
            scene.buys(count).await.unwrap();
        }
        scene.buys(21).await.expect_err("the credit is used up");
        scene.proxy.inject(lie_about_funds(|words| words[0] = 20 * DIME));
        scene.payer().await.deposit(&scene.fixture.account(), Amount::ZERO).await.ok();
        // Something has to happen to the account for it to be read anew.
        let payer = scene.payer().await;
        payer.reserve(&scene.fixture.channel(9), Amount::new(1)).await.unwrap();
        scene.watcher.step().await.unwrap();
        let served = scene.buys(21).await;
        if scene.nodes.preferred().len() == 2 {
            let written = earnings(scene.payee.store().as_ref(), Period::default()).await.unwrap();
            assert_eq!(written.redeemed, Amount::ZERO, "the ledger goes by the chain");
        }
        served
    })
    .await;
}

/// The liar's head is a thousand blocks ahead: that must not make the honest node look as if it lagged.
#[tokio::test]
async fn a_head_that_one_node_raises_leaves_the_honest_one_its_say() {
    is_found_out(async |scene| {
        scene.buys(1).await.unwrap();
        let raised = Fault::lie(|_, mut truth| {
            let number = u64::from_str_radix(&truth["number"].as_str().unwrap()[2..], 16).unwrap();
            truth["number"] = json!(format!("{:#x}", number + 1_000));
            truth
        });
        let raised = Rule::on("eth_getBlockByNumber", raised);
        scene.proxy.inject(raised.when(|request| request["params"][0] == json!("latest")));
        scene.proxy.inject(lie_about_funds(|words| words[3] = DEPOSIT));
        scene.withdraw_everything().await;
        scene.watcher.step().await.unwrap();
        assert!(scene.nodes.health().iter().all(|node| node.trouble.is_none()), "{:?}", scene.nodes.health());
        scene.buys(2).await
    })
    .await;
}

/// A node that is blocks behind, as its blocks say and as nobody else's do.
#[tokio::test]
async fn what_a_lagging_node_does_not_know_yet_is_seen_through_the_other() {
    for has_honest in [true, false] {
        let mut scene = Scene::open(has_honest).await;
        scene.buys(1).await.unwrap();
        scene.proxy.inject(Rule::on_everything(Fault::Stale(3)));
        scene.withdraw_everything().await;
        scene.watcher.step().await.unwrap();
        assert_eq!(scene.buys(2).await.is_ok(), !has_honest);
        // It is asked on, and it contradicts nobody: in the older block both show the same.
        assert!(!scene.is_alarmed(), "{:?}", scene.nodes.health());
    }
}

#[tokio::test]
async fn a_node_whose_blocks_are_old_is_left_out_by_the_own_clock() {
    let mut scene = Scene::open(true).await;
    let age_max = Duration::from_secs(8);
    scene.proxy.inject(stands_still("latest", &scene.fixture).await);
    let head = scene.payer().await.chain().head().await.unwrap();
    wait_until("the block is old", || async { farthing::clock::now().seconds_since(head.at) > 8 }).await;
    scene.fixture.finalize().await;
    scene.watcher = Watcher::new(scene.payee.clone(), scene.nodes.clone()).with_head_age_max(age_max);
    scene.watcher.step().await.unwrap();
    let [stuck, honest] = scene.nodes.health().try_into().expect("two nodes");
    assert!(matches!(stuck.trouble, Some(Trouble::Old { .. })) && honest.trouble.is_none(), "{stuck:?} {honest:?}");
    scene.buys(1).await.expect("the honest one sees enough");

    // And from the future, which no honest node shows.
    scene.proxy.heal();
    let ahead = Fault::lie(|_, mut truth| {
        let seconds = u64::from_str_radix(&truth["timestamp"].as_str().unwrap()[2..], 16).unwrap();
        truth["timestamp"] = json!(format!("{:#x}", seconds + 3_600));
        truth
    });
    scene.proxy.inject(Rule::on("eth_getBlockByNumber", ahead));
    scene.fixture.finalize().await;
    scene.watcher.step().await.unwrap();
    let [ahead, honest] = scene.nodes.health().try_into().expect("two nodes");
    assert!(matches!(ahead.trouble, Some(Trouble::Future { .. })) && honest.trouble.is_none(), "{ahead:?} {honest:?}");
}

/// What is slow or gone holds nobody up, and comes back by itself.
#[tokio::test]
async fn a_slow_or_dead_node_is_left_out_until_it_is_well() {
    let mut scene = Scene::open(true).await;
    scene.buys(1).await.unwrap();
    for is_dead in [false, true] {
        if is_dead {
            scene.proxy.go_down().await;
        } else {
            scene.proxy.inject(Rule::on_everything(Fault::Silent));
        }
        scene.fixture.finalize().await;
        scene.watcher.step().await.expect("the honest node answers");
        assert!(matches!(scene.nodes.health()[0].trouble, Some(Trouble::Failing { .. })), "{:?}", scene.nodes.health());
        assert_eq!(
            scene.nodes.preferred()[0].chain().origin(),
            scene.fixture.local.url().origin().ascii_serialization()
        );
        if is_dead {
            scene.proxy.come_back().await;
        } else {
            scene.proxy.heal();
        }
        scene.watcher.step().await.unwrap();
        assert!(!scene.is_alarmed(), "{:?}", scene.nodes.health());
    }
    scene.proxy.go_down().await;
    scene.withdraw_everything().await;
    scene.watcher.step().await.unwrap();
    scene.buys(2).await.expect_err("what the other one sees counts");
}

/// A lone node that is silent: the view ages, and credit stops with it.
#[tokio::test]
async fn a_lone_node_that_is_silent_ends_credit_when_the_view_is_old() {
    let mut scene = Scene::open(false).await;
    scene.buys(1).await.unwrap();
    scene.proxy.inject(Rule::on_everything(Fault::Silent));
    scene.payee.views().note_seen(Timestamp::from_unix_seconds(0));
    scene.watcher.step().await.expect_err("nobody answers");
    let refused = scene.buys(2).await.unwrap_err().problem();
    assert_eq!(refused.problem_type(), Some(ProblemType::Unavailable));
    scene.proxy.heal();
    scene.watcher.step().await.unwrap();
    scene.buys(2).await.unwrap();
}

/// The honest node dies, and the liar is left: what the honest one said last counts until the other is as far, and with
/// two required the liar alone is nobody to believe.
#[tokio::test]
async fn a_liar_that_is_left_alone_is_not_believed_if_two_are_required() {
    for required in [2, 1] {
        let fixture = Fixture::start().await;
        let payer = fixture.escrow(Fixture::payer()).await;
        payer.deposit(&fixture.account(), Amount::new(DEPOSIT)).await.unwrap();
        let (liar, honest) = (RpcProxy::start(fixture.local.url()).await, RpcProxy::start(fixture.local.url()).await);
        let escrows = vec![escrow_at(&fixture, &liar.url()).await, escrow_at(&fixture, &honest.url()).await];
        let nodes = Nodes::new(escrows).unwrap().with_required(required);
        let mut scene = Scene::over(fixture, liar, nodes).await;
        scene.buys(1).await.unwrap();
        scene.watcher.step().await.unwrap();

        scene.proxy.inject(lie_about_funds(|words| words[3] = DEPOSIT));
        scene.withdraw_everything().await;
        scene.watcher.step().await.unwrap();
        honest.go_down().await;
        scene.fixture.finalize().await;
        scene.payee.views().note_seen(Timestamp::from_unix_seconds(0));
        let looked = scene.watcher.step().await;
        let served = scene.buys(2).await;
        assert_eq!((looked.is_ok(), served.is_ok()), (required == 1, required == 1), "{looked:?} {served:?}");
    }
}

/// Two nodes that call different blocks final: one of them is on another chain, or lies.
#[tokio::test]
async fn no_credit_is_given_while_nodes_disagree_about_a_final_block() {
    let mut scene = Scene::open(true).await;
    scene.buys(1).await.unwrap();
    let other_hash = json!(format!("0x{}", "ab".repeat(32)));
    let forked = other_hash.clone();
    let fork = Fault::lie(move |_, mut truth| {
        truth["hash"] = forked.clone();
        truth
    });
    scene
        .proxy
        .inject(Rule::on("eth_getBlockByNumber", fork).when(|request| request["params"][0] == json!("finalized")));
    // It has a state for its own block as well.
    scene.proxy.inject(
        Rule::on("eth_call", Fault::made_up(|_| json!(format!("0x{}", "0".repeat(320)))))
            .when(move |request| request["params"][1]["blockHash"] == other_hash),
    );
    scene.fixture.finalize().await;
    scene.watcher.step().await.unwrap();
    scene.watcher.step().await.unwrap();
    assert!(scene.nodes.health().iter().all(|node| node.contradiction.is_some()), "{:?}", scene.nodes.health());
    let refused = scene.buys(2).await.unwrap_err().problem();
    assert_eq!(refused.problem_type(), Some(ProblemType::Unavailable), "{refused:?}");

    // One of them is gone: it may have been the honest one.
    scene.proxy.go_down().await;
    scene.watcher.step().await.unwrap();
    scene.buys(2).await.expect_err("nobody has settled it");

    scene.proxy.heal();
    scene.proxy.come_back().await;
    scene.watcher.step().await.unwrap();
    scene.watcher.step().await.unwrap();
    assert!(!scene.is_alarmed(), "{:?}", scene.nodes.health());
    scene.buys(2).await.unwrap();
}

/// What the ledger has as redeemed is gone from a final block: then an account gets no credit.
#[tokio::test]
async fn an_account_whose_final_redemption_is_gone_gets_no_credit() {
    let mut scene = Scene::open(false).await;
    scene.buys(1).await.unwrap();
    Redeemer::new(scene.payee.clone(), scene.nodes.clone()).redeem().await.unwrap();
    scene.fixture.finalize().await;
    scene.watcher.step().await.unwrap();
    let redeemed = earnings(scene.payee.store().as_ref(), Period::default()).await.unwrap().redeemed;
    assert_eq!(redeemed, Amount::new(DIME));
    scene.buys(2).await.unwrap();

    scene.proxy.inject(lie_about_funds(|words| words[0] = 0));
    scene.payer().await.reserve(&scene.fixture.channel(9), Amount::new(1)).await.unwrap();
    scene.watcher.step().await.unwrap();
    let refused = scene.buys(3).await.unwrap_err().problem();
    assert_eq!(refused.problem_type(), Some(ProblemType::InsufficientBalance), "{refused:?}");
    scene.proxy.heal();
    scene.fixture.finalize().await;
    scene.watcher.step().await.unwrap();
    scene.buys(3).await.unwrap();
}

#[tokio::test]
async fn without_a_final_block_no_reservation_counts_and_it_is_said() {
    let mut scene = Scene::open(false).await;
    let channel = scene.fixture.channel(5);
    scene.payer().await.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    scene.fixture.finalize().await;
    let unknown = Rule::on("eth_getBlockByNumber", Fault::Error("unknown block"));
    scene.proxy.inject(unknown.when(|request| request["params"][0] == json!("finalized")));
    scene.watcher = Watcher::new(scene.payee.clone(), scene.nodes.clone());
    scene.watcher.step().await.unwrap();
    scene.buys(1).await.expect("credit needs only the head");
    assert!(scene.nodes.health()[0].is_without_final);
    scene.proxy.heal();
    scene.watcher.step().await.unwrap();
    assert!(!scene.nodes.health()[0].is_without_final);
    scene.buys_reserved(&channel, 1).await.unwrap();
}

/// A node that was replaced by one of another chain, behind the same URL.
#[tokio::test]
async fn a_node_of_another_chain_is_left_out() {
    let scene = Scene::open(true).await;
    scene.proxy.inject(Rule::on("eth_chainId", Fault::made_up(|_| json!("0x1"))));
    let options = ConnectOptions::default();
    let chain = Chain::connect_later(&scene.proxy.url(), None, CHAIN_ID, options).unwrap();
    let other = Escrow::bind_later(chain, scene.fixture.deployment.escrow);
    let honest = scene.fixture.escrow(Fixture::payee()).await;
    let nodes = Nodes::from(honest).with_unchecked(other).unwrap();
    assert_eq!(nodes.health()[1].trouble, Some(Trouble::Unknown));
    let mut watcher = Watcher::new(scene.payee.clone(), nodes.clone());
    watcher.step().await.unwrap();
    let Some(Trouble::Failing { reason }) = nodes.health()[1].trouble.clone() else { panic!("{:?}", nodes.health()) };
    assert!(reason.contains("chain 1, not chain 31337"), "{reason}");
    scene.proxy.heal();
    watcher.step().await.unwrap();
    assert!(nodes.health()[1].trouble.is_none(), "{:?}", nodes.health());
}

/// Days of downtime: thousands of blocks, through a node that shows ten at a time.
#[tokio::test]
async fn what_happened_in_thousands_of_blocks_is_seen_afterwards() {
    let mut scene = Scene::open(false).await;
    let (leaving, emptied) = (scene.fixture.channel(1), scene.fixture.channel(0));
    scene.payer().await.reserve(&leaving, Amount::new(DIME)).await.unwrap();
    scene.fixture.finalize().await;
    scene.buys_reserved(&leaving, 1).await.unwrap();
    scene.buys(1).await.unwrap();
    scene.watcher.step().await.unwrap();

    let faults = ChainFaults::of(&scene.fixture.local);
    faults.mine(1_000).await;
    scene.payer().await.request_close(&leaving).await.unwrap();
    faults.mine(1_000).await;
    let to = Fixture::payer().address();
    let left = Amount::new(DEPOSIT - DIME);
    scene.payer().await.withdraw(&scene.fixture.account(), left, to).await.unwrap();
    faults.mine(1_000).await;

    let range = |request: &Value| {
        let number = |end: &str| u64::from_str_radix(request["params"][0][end].as_str()?.strip_prefix("0x")?, 16).ok();
        Some(number("toBlock")? - number("fromBlock")? + 1)
    };
    let refusal = Fault::Error("eth_getLogs is limited to a 10 block range");
    scene
        .proxy
        .inject(Rule::on("eth_getLogs", refusal).when(move |request| range(request).is_some_and(|blocks| blocks > 10)));
    // The one that watched before, and one that starts over the same ledger.
    let mut later = Watcher::new(scene.payee.clone(), scene.nodes.clone());
    for watcher in [&mut scene.watcher, &mut later] {
        watcher.step().await.unwrap();
        let view = scene.payee.views().account_of(&leaving).unwrap();
        let closing = view.channel(leaving.id(&scene.fixture.deployment)).unwrap();
        assert!(closing.head.close_at.is_some());
        assert_eq!(scene.payee.views().account_of(&emptied).unwrap().balance, Amount::ZERO);
    }
    let calls = scene.proxy.calls("eth_getLogs");
    assert!(calls.faulted > 0 && calls.asked - calls.faulted >= 300, "{calls:?}");
    assert!(calls.asked < 700, "it learns what is allowed: {calls:?}");
}

/// Over a WebSocket a block is looked at when the node announces it, and not at some interval; and a connection that is
/// cut, or falls silent, is made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_request_is_seen_in_its_own_block_over_a_websocket() {
    let fixture = Fixture::start().await;
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.deposit(&fixture.account(), Amount::new(DEPOSIT)).await.unwrap();
    let channels = [1, 2, 3].map(|salt| fixture.channel(salt));
    for channel in &channels {
        payer.reserve(channel, Amount::new(10 * DIME)).await.unwrap();
    }
    fixture.finalize().await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let options = ConnectOptions { request_within: Duration::from_secs(3) };
    let chain = Chain::connect_with(&proxy.websocket_url(), Some(Fixture::payee()), options).await.unwrap();
    let nodes = Nodes::from(Escrow::bind(chain, fixture.deployment.escrow).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let payee = fixture.start_payee_with(folder.path(), Arc::new(nodes.clone())).await;
    let mut watcher = Watcher::new(payee.clone(), nodes.clone());
    watcher.step().await.unwrap();
    let scene = Scene { fixture, _folder: folder, proxy, nodes, payee, watcher };
    for channel in &channels {
        scene.buys_reserved(channel, 1).await.unwrap();
    }
    let payer = scene.payer().await;
    let Scene { fixture, proxy, payee, watcher, nodes, .. } = &scene;
    let _ = (watcher, nodes);
    let watching = tokio::spawn(Watcher::new(payee.clone(), scene.nodes.clone()).run(NEVER));
    let is_seen = |channel: Channel| {
        let view = payee.views().account_of(&channel).and_then(|view| view.channel(channel.id(&fixture.deployment)));
        view.is_some_and(|view| view.head.close_at.is_some())
    };
    wait_until("the node announces its blocks", || async { proxy.open_websockets() == 1 }).await;
    for (round, channel) in channels.iter().enumerate() {
        match round {
            // The connection stands.
            0 => {}
            1 => {
                proxy.cut_websockets().await;
                wait_until("the connection is made again", || async { proxy.open_websockets() == 1 }).await;
            }
            _ => {
                proxy.go_down().await;
                proxy.come_back().await;
                wait_until("the connection is made again", || async { proxy.open_websockets() == 1 }).await;
            }
        }
        let block = payer.request_close(channel).await.unwrap().block;
        wait_until("the close request is seen", || async { is_seen(*channel) }).await;
        assert_eq!(payer.chain().head().await.unwrap().number, block, "no other block was needed");
    }
    watching.abort();
}

/// While a WebSocket is lost, requests fail; what waits in a queue would be sent long after anyone wanted it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_while_a_websocket_is_lost() {
    let fixture = Fixture::start().await;
    let proxy = RpcProxy::start(fixture.local.url()).await;
    let options = ConnectOptions { request_within: Duration::from_millis(700) };
    let chain = Chain::connect_with(&proxy.websocket_url(), None, options).await.unwrap();
    chain.head().await.unwrap();
    proxy.silence_websockets(true);
    let silent = chain.head().await.expect_err("nothing comes through").to_string();
    assert!(silent.contains("no answer within 700ms"), "{silent}");
    proxy.silence_websockets(false);
    wait_until("it answers again", || async { chain.head().await.is_ok() }).await;
    proxy.go_down().await;
    chain.head().await.expect_err("it is gone");
    proxy.come_back().await;
    wait_until("it answers again", || async { chain.head().await.is_ok() }).await;
}
