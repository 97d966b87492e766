//! A process that redeems is killed at each of its requests to the node, before the node hears of it or after. Whoever
//! comes next finds what was sent, and everything is paid once.

use crate::payee::{DIME, buy};
use farthing::chain::Chain;
use farthing::core::exposure::CreditTerms;
use farthing::core::{Amount, Token};
use farthing::escrow::Escrow;
use farthing::payee::store::RedemptionState;
use farthing::payee::{EmbeddedStore, LedgerIdentity, Redeemer, Watcher};
use farthing_testkit::chain_faults::Snapshot;
use farthing_testkit::rpc_proxy::{Fault, Rule};
use farthing_testkit::{ChainFaults, Fixture, RpcProxy, start_payee_of, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use url::Url;

const TASK: &str = "FARTHING_TEST_REDEEMER";

/// Longer than anybody here lives.
const FOREVER: Duration = Duration::from_secs(3_600);

/// How many channels owe a dime.
const CHANNELS: u8 = 2;

fn copy_ledger(from: &Path, to: &Path) {
    for name in ["ledger.redb", "ledger.mark"] {
        fs::copy(from.join(name), to.join(name)).expect("copies");
    }
}

/// A process that redeems everything, and then ends.
struct Redeeming(Child);

impl Redeeming {
    fn start(node: &Url, ledger: &Path, stage: &Stage) -> Self {
        let Fixture { token, .. } = &stage.fixture;
        let token = json!({ "address": token.address, "symbol": token.symbol, "decimals": token.decimals });
        let task = json!({ "node": node, "ledger": ledger, "identity": stage.fixture.identity(), "token": token });
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["killing::another_process", "--exact", "--ignored"]).env(TASK, task.to_string());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("it is ours").is_some()
    }

    /// SIGKILL: nothing in it gets a chance to clean up.
    fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of other tests"]
async fn another_process() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task: Value = serde_json::from_str(&task.to_string_lossy()).unwrap();
    let identity: LedgerIdentity = serde_json::from_value(task["identity"].clone()).unwrap();
    let decimals = u8::try_from(task["token"]["decimals"].as_u64().unwrap()).unwrap();
    let token = Token { address: identity.token, symbol: "dUSD".to_owned(), decimals, dollar: true };
    let store = EmbeddedStore::open(Path::new(task["ledger"].as_str().unwrap()), &identity).unwrap();
    let node: Url = task["node"].as_str().unwrap().parse().unwrap();
    let chain = Chain::connect(&node, Some(Fixture::payee())).await.unwrap();
    let escrow = Escrow::bind(chain, identity.deployment.escrow).await.unwrap();
    let nothing = Amount::ZERO;
    let credit = CreditTerms { limit: nothing, first: None, strangers_per_day: nothing };
    let payee = start_payee_of(identity, &token, Arc::new(store), Arc::new(escrow.clone()), credit).await;
    Redeemer::new(payee, escrow).redeem().await.unwrap();
}

/// A ledger on which two channels owe a dime each, as its last process left it, and the chain of that moment.
struct Stage {
    fixture: Fixture,
    faults: ChainFaults,
    proxy: RpcProxy,
    ledger: TempDir,
    scene: Option<Snapshot>,
}

impl Stage {
    async fn build() -> Self {
        let (fixture, ledger, payee, watcher) = crate::payee::shop().await;
        for salt in 0..CHANNELS {
            buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
        }
        drop((payee, watcher));
        let path = ledger.path().join("ledger.redb");
        let is_free = || async { EmbeddedStore::open(&path, &fixture.identity()).is_ok() };
        wait_until("the ledger is released", is_free).await;
        let faults = ChainFaults::of(&fixture.local);
        let proxy = RpcProxy::start(fixture.local.url()).await;
        let scene = Some(faults.snapshot().await);
        Self { fixture, faults, proxy, ledger, scene }
    }

    async fn start_over(&mut self) {
        self.proxy.heal();
        self.faults.go_back(self.scene.take().expect("it was kept")).await;
        self.scene = Some(self.faults.snapshot().await);
    }

    /// Starts a process that redeems, and kills it at a request. Returns its ledger's folder; none if it had ended
    /// before.
    async fn kill_at(&self, rule: Rule) -> Option<TempDir> {
        let folder = tempfile::tempdir().expect("a folder");
        copy_ledger(self.ledger.path(), folder.path());
        let before = self.proxy.withheld();
        self.proxy.inject(rule);
        let mut redeeming = Redeeming::start(&self.proxy.url(), &folder.path().join("ledger.redb"), self);
        while self.proxy.withheld() == before {
            if redeeming.has_ended() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        redeeming.kill();
        Some(folder)
    }

    async fn sent(&self) -> u64 {
        let chain = self.fixture.connect(Fixture::payee()).await;
        chain.transactions_of(Fixture::payee().address()).await.unwrap()
    }

    /// Redeems what is left to redeem in a folder, and makes sure that all is paid, once and with one transaction.
    async fn make_good(&self, folder: &Path) {
        let payee = self.fixture.start_payee(folder).await;
        let escrow = self.fixture.escrow(Fixture::payee()).await;
        let redeemer = Redeemer::new(payee.clone(), escrow.clone());
        redeemer.redeem().await.unwrap();
        self.fixture.finalize().await;
        Watcher::new(payee.clone(), escrow).step().await.unwrap();
        redeemer.settle().await.unwrap();
        let all = Amount::new(u128::from(CHANNELS) * DIME);
        assert_eq!(self.fixture.dollars_of(Fixture::payee().address()).await, all);
        assert_eq!(self.sent().await, 1);
        let books = payee.store().all_books().await.unwrap();
        assert_eq!(Amount::saturating_sum(books.iter().map(|(_, books)| books.redeemed)), all);
        let records = payee.store().redemptions().await.unwrap();
        let is_final = |state: &RedemptionState| matches!(state, RedemptionState::Final { .. });
        let count = records.iter().filter(|record| is_final(&record.state)).count();
        let failed = records.iter().filter(|record| record.state == RedemptionState::Failed).count();
        assert!(count == 1 && count + failed == records.len(), "{records:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeemer_killed_at_any_request_leaves_what_the_next_one_makes_good() {
    let mut stage = Stage::build().await;
    let mut kills = [0, 0];
    // The node never hears of the request; or it has carried it out, and its answer is on the way.
    for (which, fault) in [Fault::Silent, Fault::Late(FOREVER)].into_iter().enumerate() {
        let mut has_ended = false;
        for request in 0.. {
            let folder = stage.kill_at(Rule::on_everything(fault.clone()).after(request)).await;
            stage.proxy.heal();
            let Some(folder) = folder else {
                has_ended = true;
                stage.start_over().await;
                break;
            };
            kills[which] += 1;
            stage.make_good(folder.path()).await;
            stage.start_over().await;
        }
        assert!(has_ended);
    }
    println!("a redeemer killed before {} requests and after {}: paid once each time", kills[0], kills[1]);
    assert!(kills.iter().all(|kills| *kills > 10), "{kills:?}");
}

/// Negative control: the transaction waits, and the next process does not know of it. It sends another one behind it,
/// whose gas is paid for nothing; with the record the same place is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_record_a_redemption_is_sent_twice() {
    let mut stage = Stage::build().await;
    let mut sent = Vec::new();
    for knows in [true, false] {
        stage.faults.automine(false).await;
        let rule = Rule::on("eth_sendRawTransaction", Fault::Late(FOREVER));
        let folder = stage.kill_at(rule).await.expect("it sends");
        let ledger = if knows { folder.path() } else { stage.ledger.path() };
        let payee = stage.fixture.start_payee(ledger).await;
        let escrow = stage.fixture.escrow(Fixture::payee()).await;
        let escrow =
            Escrow::bind(escrow.chain().clone().with_mined_within(Duration::ZERO), stage.fixture.deployment.escrow);
        Redeemer::new(payee, escrow.await.unwrap()).redeem().await.expect_err("nothing is mined");
        stage.faults.mine(1).await;
        sent.push(stage.sent().await);
        stage.faults.automine(true).await;
        stage.start_over().await;
    }
    assert_eq!(sent, [1, 2]);
}
