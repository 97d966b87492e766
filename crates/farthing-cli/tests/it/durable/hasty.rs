//! A gateway in a process of its own whose store can be made to answer before it writes.

use farthing::core::ledger::{ChannelBooks, Charge, Purchase};
use farthing::core::wire::ChallengeSecret;
use farthing::core::{AccountId, Amount, B256, Channel, ChannelId, Token};
use farthing::escrow::{EscrowError, Funds};
use farthing::payee::store::{
    Entry, Outcome, OwingVisitor, Record, RecordKind, Redemption, Relayed, StoreError, Visitor,
};
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{EmbeddedStore, LedgerIdentity, Payee, PayeeOptions, PayeeStore};
use farthing::{PrivateKeySigner, clock};
use farthing_gateway::{AppOptions, Catalog, app};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const TASK: &str = "FARTHING_TEST_GATEWAY";

/// Whom it sells for: a key that it holds, so that its receipts are good.
fn key() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x77)).expect("a key")
}

/// How long after its answer a hasty store writes.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What the process has to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    is_hasty: bool,
    catalog: PathBuf,
    data: PathBuf,
    identity: LedgerIdentity,
    token: Token,
}

impl Task {
    pub(super) fn new(is_hasty: bool, catalog: &Path, data: &Path, identity: LedgerIdentity, token: &Token) -> Self {
        let identity = LedgerIdentity { payee: key().address(), ..identity };
        std::fs::create_dir_all(data).expect("a folder");
        let (catalog, data, token) = (catalog.to_owned(), data.to_owned(), token.clone());
        Self { is_hasty, catalog, data, identity, token }
    }

    pub(super) const fn identity(&self) -> &LedgerIdentity {
        &self.identity
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.data.join("ledger.redb")
    }
}

/// This test binary as that process.
pub(super) fn serving(task: &Task) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["durable::hasty::a_gateway_in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]);
    command.env_clear().env(TASK, serde_json::to_string(task).expect("JSON"));
    command
}

/// Every account holds a thousand dollars.
#[derive(Debug)]
struct Rich;

impl FundsSource for Rich {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        let head = Funds { account_balance: Amount::new(1_000_000_000), ..Funds::default() };
        Box::pin(std::future::ready(Ok(Reading { head, ..Reading::default() })))
    }
}

/// Answers out of a file that is not the ledger, and writes the ledger later.
#[derive(Debug)]
struct Hasty {
    ledger: Arc<EmbeddedStore>,
    scratch: EmbeddedStore,
}

macro_rules! from_scratch {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> BoxFuture<'_, Result<$answer, StoreError>> {
            self.scratch.$name($($argument),*)
        })*
    };
}

impl PayeeStore for Hasty {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            let (ledger, later) = (Arc::clone(&self.ledger), batch.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(AFTERWARDS).await;
                ledger.accept_batch(&later).await.expect("writes");
            });
            self.scratch.accept_batch(batch).await
        })
    }

    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.scratch.restore(records)
    }

    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.scratch.visit(kinds, visitor)
    }

    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.scratch.visit_owing(visitor)
    }

    from_scratch! {
        challenge_secret() -> ChallengeSecret;
        books(channel_id: ChannelId) -> Option<ChannelBooks>;
        books_of(account: AccountId) -> Vec<(ChannelId, ChannelBooks)>;
        charge(channel_id: ChannelId, cumulative_amount: Amount) -> Option<Charge>;
        purchase(purchase: Purchase) -> Option<(ChannelId, Charge)>;
        redeemable(channel_id: ChannelId) -> Option<Charge>;
        last_resort(channel_id: ChannelId) -> Option<Charge>;
        relayed(request: B256) -> Option<Relayed>;
        relayed_in(hash: B256) -> Option<Relayed>;
        relay_spent(day: u64) -> Amount;
        unsettled() -> Vec<Redemption>;
        redemption(hash: B256) -> Option<Redemption>;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process of another test"]
async fn a_gateway_in_a_process_of_its_own() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).expect("a task");
    let catalog = Catalog::load(&task.catalog, &task.token).expect("a catalog");
    let ledger = EmbeddedStore::open(&task.ledger(), &task.identity).expect("opens");
    let store: Arc<dyn PayeeStore> = if task.is_hasty {
        let scratch = EmbeddedStore::open(&task.data.join("scratch.redb"), &task.identity).expect("opens");
        Arc::new(Hasty { ledger: Arc::new(ledger), scratch })
    } else {
        Arc::new(ledger)
    };
    let options = PayeeOptions {
        identity: task.identity,
        exit_delay: farthing::escrow::EXIT_DELAY_DEFAULT,
        token: task.token,
        credit: catalog.credit(),
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation: None,
    };
    let secret = store.challenge_secret().await.expect("reads");
    let payee = Payee::start(options, secret, key(), store, Arc::new(Rich)).expect("starts");
    payee.views().note_seen(clock::now());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    // On a line of its own, behind the name of the test.
    println!("\n{}", serde_json::json!({ "url": url }));
    farthing_gateway::serve(listener, app(payee, catalog, AppOptions::default()), std::future::pending()).await;
}
