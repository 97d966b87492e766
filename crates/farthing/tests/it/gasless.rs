//! A payer without gas against sites that relay, and sites that only say so.

use crate::payee::{DIME, buy, shop};
use crate::redeeming::{ask, automine};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use farthing::chain::Place;
use farthing::core::wire::{Listing, Problem, ProblemType, RelayAnswer, RelayRequest, RelayTerms};
use farthing::core::{Account, Address, Amount, B256};
use farthing::escrow::Escrow;
use farthing::local_chain::LocalChain;
use farthing::payee::{Payee, Redeemer, Relay, RelayLimits};
use farthing::payer::{OrderError, Payer, PayerError, PayerOptions, PayerStore, Policy, Trust, Wish};
use farthing_testkit::Fixture;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const DOLLAR: u128 = 1_000_000;

/// What a site does with an order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Sends it and says so.
    Honest,
    /// Sends it, and its answer is lost.
    Mute,
    /// Keeps it, and says that it does not relay now.
    Keep,
    /// Says that it has sent it.
    Lie,
}

struct Inner {
    manner: Mutex<Manner>,
    listing: Mutex<Listing>,
    relay: Relay,
    /// The orders that came, and whether each was on record at the payer when it did.
    seen: Mutex<Vec<(RelayRequest, bool)>>,
    store: PayerStore,
}

#[derive(Clone)]
struct Site {
    inner: Arc<Inner>,
    url: String,
}

impl Site {
    async fn open(stage: &Stage, manner: Manner) -> Self {
        let limits = RelayLimits::new(Amount::new(DOLLAR), Amount::new(10_u128.pow(18)));
        let relay = Relay::start(stage.redeemer.clone(), limits).await.unwrap();
        let listing = Listing {
            name: "a site".to_owned(),
            description: None,
            recipient: stage.payee.address(),
            currency: stage.fixture.token.address,
            method_details: stage.payee.method_details(),
            items: Vec::new(),
            tip: None,
            relay: Some(relay.terms()),
            delegation: None,
        };
        let (manner, listing, seen) = (Mutex::new(manner), Mutex::new(listing), Mutex::default());
        let inner = Arc::new(Inner { manner, listing, relay, seen, store: stage.store.clone() });
        let router = Router::new()
            .route("/.well-known/farthing", get(listed))
            .route("/.well-known/farthing/relay", post(taken))
            .with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, url }
    }

    fn behave(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    fn list(&self, change: impl FnOnce(&mut Listing)) {
        change(&mut self.inner.listing.lock().unwrap());
    }

    fn seen(&self) -> Vec<RelayRequest> {
        self.inner.seen.lock().unwrap().iter().map(|(request, _)| *request).collect()
    }
}

async fn listed(State(site): State<Arc<Inner>>) -> Response {
    Json(site.listing.lock().unwrap().clone()).into_response()
}

async fn taken(State(site): State<Arc<Inner>>, Json(request): Json<RelayRequest>) -> Response {
    let is_durable = site.store.open_orders().await.unwrap().iter().any(|open| open.request == request);
    site.seen.lock().unwrap().push((request, is_durable));
    let manner = *site.manner.lock().unwrap();
    match manner {
        Manner::Honest => match site.relay.relay(&request).await {
            Ok(answer) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
            Err(error) => refuse(&error.problem()),
        },
        Manner::Mute => {
            let _ = site.relay.relay(&request).await;
            StatusCode::BAD_GATEWAY.into_response()
        }
        Manner::Keep => refuse(&Problem::new(ProblemType::RelayExhausted, "not now")),
        Manner::Lie => {
            (StatusCode::ACCEPTED, Json(RelayAnswer { transaction: B256::repeat_byte(0xaa) })).into_response()
        }
    }
}

fn refuse(problem: &Problem) -> Response {
    (StatusCode::from_u16(problem.status).unwrap(), Json(problem)).into_response()
}

struct Stage {
    fixture: Fixture,
    _folders: (TempDir, TempDir),
    payee: Payee,
    redeemer: Redeemer,
    store: PayerStore,
    /// To read, as a payer without gas does.
    escrow: Escrow,
}

impl Stage {
    async fn new() -> Self {
        let (fixture, folder, payee, _) = shop().await;
        let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
        let home = tempfile::tempdir().unwrap();
        let store = PayerStore::open(home.path().join("payer.store")).await.unwrap();
        // Bound by a key that never signs a transaction here.
        let escrow = fixture.escrow(LocalChain::test_key(9)).await;
        Self { fixture, _folders: (folder, home), payee, redeemer, store, escrow }
    }

    /// For what is never mined: a payer that waits no longer than it takes to be sure.
    async fn impatient(&self) -> Escrow {
        let chain = self.fixture.connect(LocalChain::test_key(9)).await.with_mined_within(Duration::from_millis(400));
        Escrow::bind(chain, self.fixture.deployment.escrow).await.unwrap()
    }

    fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.know(self.fixture.deployment.chain_id, self.fixture.token.clone());
        policy
    }

    fn payer_with(&self, policy: Policy) -> Payer {
        Payer::new(PayerOptions::new(Fixture::payer(), self.store.clone()).with_policy(policy)).unwrap()
    }

    fn payer(&self) -> Payer {
        self.payer_with(self.policy())
    }

    fn deposit(&self, dollars: u128) -> Wish {
        Wish::Deposit { account: self.fixture.account(), amount: Amount::new(dollars * DOLLAR) }
    }

    fn withdraw(&self, amount: u128, to: Address) -> Wish {
        Wish::Withdraw { account: self.fixture.account(), amount: Amount::new(amount), to }
    }

    async fn balance(&self) -> u128 {
        self.escrow.account_balance(&self.fixture.account()).await.unwrap().base_units()
    }

    /// Whoever has an order sends it, with a key of its own.
    async fn send_late(&self, request: &RelayRequest) -> bool {
        let other = self.fixture.escrow(LocalChain::test_key(6)).await;
        let nonce = other.chain().next_nonce_of(other.chain().sender().unwrap()).await.unwrap();
        match other.sign_relayed(&request.order, Place { nonce, rival: None, fee_max: u128::MAX }).await {
            Ok(signed) => other.chain().broadcast(signed).await.is_ok(),
            Err(_) => false,
        }
    }

    async fn assert_nothing_is_open(&self) {
        assert_eq!(self.store.open_orders().await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_order_is_on_record_before_it_leaves_and_counts_once_the_chain_shows_it() {
    let stage = Stage::new().await;
    let site = Site::open(&stage, Manner::Honest).await;
    let relayed = stage.payer().relay(&stage.escrow, &site.url, stage.deposit(2)).await.unwrap();
    assert!(!relayed.was_open && relayed.transaction.is_some());
    assert_eq!(site.inner.seen.lock().unwrap().as_slice(), [(relayed.request, true)], "durable, then sent");
    assert_eq!(stage.balance().await, 7 * DOLLAR);
    stage.assert_nothing_is_open().await;
    let accounts = stage.store.accounts().await.unwrap();
    assert!(accounts.iter().any(|funded| funded.account == stage.fixture.account()), "it can be paid from");
    // Asked for anew, it is another deposit.
    stage.payer().relay(&stage.escrow, &site.url, stage.deposit(2)).await.unwrap();
    assert_eq!(stage.balance().await, 9 * DOLLAR);
    let channel = stage.fixture.channel(3);
    let wish = Wish::Open { channel, amount: Amount::new(2 * DOLLAR) };
    stage.payer().relay(&stage.escrow, &site.url, wish).await.unwrap();
    let funds = stage.escrow.funds_of(&channel, Default::default()).await.unwrap();
    assert_eq!((funds.channel.reserved, funds.account_balance), (Amount::new(2 * DOLLAR), Amount::new(9 * DOLLAR)));
    let payer = Fixture::payer().address();
    assert_eq!(stage.escrow.chain().transactions_of(payer).await.unwrap(), 1, "the fixture's own deposit");
}

#[tokio::test]
async fn a_lost_answer_deposits_once() {
    let stage = Stage::new().await;
    let site = Site::open(&stage, Manner::Mute).await;
    // Mined at once: the chain says what the site did not.
    let relayed = stage.payer().relay(&stage.escrow, &site.url, stage.deposit(2)).await.unwrap();
    assert_eq!((relayed.transaction, stage.balance().await), (None, 7 * DOLLAR));
    // Mined later: nobody knows yet.
    automine(stage.escrow.chain(), false).await;
    let lost = stage.payer().relay(&stage.escrow, &site.url, stage.deposit(3)).await.unwrap_err();
    assert!(matches!(lost, OrderError::OutcomeUnknown { .. }), "{lost}");
    let other = stage.payer().relay(&stage.escrow, &site.url, stage.deposit(4)).await.unwrap_err();
    assert!(matches!(other, OrderError::Open { amount, .. } if amount == Amount::new(3 * DOLLAR)), "{other}");
    ask(stage.escrow.chain(), "evm_mine", json!([])).await;
    automine(stage.escrow.chain(), true).await;
    let sent_before = site.seen().len();
    let relayed = stage.payer().relay(&stage.escrow, &site.url, stage.deposit(3)).await.unwrap();
    assert!(relayed.was_open);
    assert_eq!((site.seen().len(), stage.balance().await), (sent_before, 10 * DOLLAR), "found, and not sent again");
    stage.assert_nothing_is_open().await;
}

#[tokio::test]
async fn a_site_that_keeps_an_order_and_sends_it_late_makes_no_second_deposit() {
    let stage = Stage::new().await;
    let (keeper, honest) = (Site::open(&stage, Manner::Keep).await, Site::open(&stage, Manner::Honest).await);
    let refused = stage.payer().relay(&stage.escrow, &keeper.url, stage.deposit(2)).await.unwrap_err();
    assert!(matches!(refused, OrderError::Refused { status: 503, .. }), "{refused}");
    let relayed = stage.payer().relay(&stage.escrow, &honest.url, stage.deposit(2)).await.unwrap();
    assert_eq!((keeper.seen(), relayed.was_open), (vec![relayed.request], true), "the same order at both");
    assert_eq!(stage.balance().await, 7 * DOLLAR);
    assert!(!stage.send_late(&keeper.seen()[0]).await);
    assert_eq!(stage.balance().await, 7 * DOLLAR);

    // Or it waits until the payer has given up, and is too late as well.
    stage.payer().relay(&stage.escrow, &keeper.url, stage.deposit(3)).await.unwrap_err();
    stage.fixture.local.pass_time(stage.escrow.chain(), 1_300).await.unwrap();
    assert!(!stage.send_late(&keeper.seen()[1]).await);
    let relayed = stage.payer().relay(&stage.escrow, &honest.url, stage.deposit(4)).await.unwrap();
    assert!(!relayed.was_open);
    assert_eq!(stage.balance().await, 11 * DOLLAR);

    // Or it sends it before the payer asks again: that is the deposit, and no other one is made.
    stage.payer().relay(&stage.escrow, &keeper.url, stage.deposit(5)).await.unwrap_err();
    assert!(stage.send_late(&keeper.seen()[2]).await);
    let relayed = stage.payer().relay(&stage.escrow, &honest.url, stage.deposit(5)).await.unwrap();
    assert!(relayed.was_open && relayed.transaction.is_none());
    assert_eq!(stage.balance().await, 16 * DOLLAR);
    stage.assert_nothing_is_open().await;
}

#[tokio::test]
async fn a_site_that_lies_about_sending_is_not_believed() {
    let stage = Stage::new().await;
    let site = Site::open(&stage, Manner::Lie).await;
    let impatient = stage.impatient().await;
    let lie = stage.payer().relay(&impatient, &site.url, stage.deposit(2)).await.unwrap_err();
    assert!(matches!(lie, OrderError::NotSeen { transaction, .. } if transaction == B256::repeat_byte(0xaa)), "{lie}");
    assert_eq!(stage.balance().await, 5 * DOLLAR);
    site.behave(Manner::Honest);
    stage.payer().relay(&stage.escrow, &site.url, stage.deposit(2)).await.unwrap();
    let seen = site.seen();
    assert_eq!((seen.len(), seen[0]), (2, seen[1]), "the very same order");
    assert_eq!(stage.balance().await, 7 * DOLLAR);
}

#[tokio::test]
async fn two_that_sign_at_once_send_one_order() {
    let stage = Stage::new().await;
    let site = Site::open(&stage, Manner::Honest).await;
    // No block until both have signed and sent.
    automine(stage.escrow.chain(), false).await;
    let (one, other) = (stage.payer(), stage.payer());
    let impatient = stage.impatient().await;
    let (first, second) = tokio::join!(
        one.relay(&impatient, &site.url, stage.deposit(2)),
        other.relay(&impatient, &site.url, stage.deposit(2))
    );
    for outcome in [first, second] {
        let error = outcome.expect_err("nothing is mined");
        assert!(matches!(error, OrderError::NotSeen { .. }), "{error}");
    }
    let seen = site.seen();
    assert_eq!((seen.len(), seen[0]), (2, seen[1]), "one order, sent twice");
    ask(stage.escrow.chain(), "evm_mine", json!([])).await;
    automine(stage.escrow.chain(), true).await;
    assert!(stage.payer().relay(&stage.escrow, &site.url, stage.deposit(2)).await.unwrap().was_open);
    assert_eq!(stage.balance().await, 7 * DOLLAR);
}

#[tokio::test]
async fn of_two_withdrawals_with_one_nonce_one_is_carried_out_and_the_other_says_so() {
    let stage = Stage::new().await;
    let (keeper, honest) = (Site::open(&stage, Manner::Keep).await, Site::open(&stage, Manner::Honest).await);
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/1", DIME).await.unwrap();
    let (elsewhere, home) = (Address::repeat_byte(0x77), Fixture::payer().address());
    stage.payer().relay(&stage.escrow, &keeper.url, stage.withdraw(2 * DOLLAR, elsewhere)).await.unwrap_err();
    // The later one takes its place at once.
    let relayed = stage.payer().relay(&stage.escrow, &honest.url, stage.withdraw(DOLLAR, home)).await.unwrap();
    assert!(!relayed.was_open);
    assert_eq!(stage.balance().await, 4 * DOLLAR);
    assert!(!stage.send_late(&keeper.seen()[0]).await, "the nonce is used");

    // The earlier one wins, while the later is on its way.
    stage.payer().relay(&stage.escrow, &keeper.url, stage.withdraw(2 * DOLLAR, elsewhere)).await.unwrap_err();
    let site = honest.clone();
    site.behave(Manner::Lie);
    let (payer, escrow, wish) = (stage.payer(), stage.escrow.clone(), stage.withdraw(DOLLAR, home));
    let later = tokio::spawn(async move { payer.relay(&escrow, &site.url, wish).await });
    while honest.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(stage.send_late(&keeper.seen()[1]).await);
    let superseded = later.await.unwrap().unwrap_err();
    assert!(matches!(superseded, OrderError::Superseded { to, .. } if to == elsewhere), "{superseded}");
    assert_eq!(stage.balance().await, 2 * DOLLAR);
    stage.assert_nothing_is_open().await;
}

#[tokio::test]
async fn nothing_is_signed_against_the_owners_policy_or_for_somebody_elses_terms() {
    let stage = Stage::new().await;
    let site = Site::open(&stage, Manner::Honest).await;
    let relay = |policy: Policy, wish: Wish| {
        let (payer, escrow, url) = (stage.payer_with(policy), stage.escrow.clone(), site.url.clone());
        async move { payer.relay(&escrow, &url, wish).await.unwrap_err() }
    };
    let untrusting = Policy { trust: Trust::nobody(), ..stage.policy() };
    let error = relay(untrusting, stage.deposit(2)).await;
    assert!(matches!(error, OrderError::Payer(PayerError::UntrustedEscrow { .. })), "{error}");
    let hurried = Policy { exit_delay_max: 86_399, ..stage.policy() };
    let error = relay(hurried, stage.deposit(2)).await;
    assert!(matches!(error, OrderError::Payer(PayerError::ExitDelayTooLong { .. })), "{error}");
    let error = relay(Policy::default(), stage.deposit(2)).await;
    assert!(matches!(error, OrderError::Payer(PayerError::UnknownToken { .. })), "{error}");
    let someone = Address::repeat_byte(1);
    let account = Account { payer: someone, ..stage.fixture.account() };
    let error = relay(stage.policy(), Wish::Deposit { account, amount: Amount::new(2 * DOLLAR) }).await;
    assert!(matches!(error, OrderError::NotPayer { payer, .. } if payer == someone), "{error}");
    let error = relay(stage.policy(), stage.deposit(96)).await;
    assert!(matches!(error, OrderError::TooLittle { .. }), "{error}");
    let wish = Wish::Deposit { account: stage.fixture.account(), amount: Amount::new(DOLLAR - 1) };
    let error = relay(stage.policy(), wish).await;
    assert!(matches!(error, OrderError::Minimum { .. }), "{error}");
    let channel = farthing::core::Channel { payee: someone, ..stage.fixture.channel(1) };
    let error = relay(stage.policy(), Wish::Open { channel, amount: Amount::new(2 * DOLLAR) }).await;
    assert!(matches!(error, OrderError::NotTheirs { what: "the payee", .. }), "{error}");
    site.list(|listing| listing.method_details.escrow_contract = someone);
    let error = relay(stage.policy(), stage.deposit(2)).await;
    assert!(matches!(error, OrderError::NotTheirs { what: "the escrow", .. }), "{error}");
    let escrow = stage.fixture.deployment.escrow;
    for path in ["//127.0.0.1:1/relay", "http://127.0.0.1:1/relay", "https://elsewhere.example/"] {
        site.list(|listing| {
            listing.method_details.escrow_contract = escrow;
            listing.relay = Some(RelayTerms {
                path: path.to_owned(),
                minimum_deposit: Amount::ZERO,
                minimum_withdrawal: Amount::ZERO,
            });
        });
        let error = relay(stage.policy(), stage.deposit(2)).await;
        assert!(matches!(error, OrderError::NoRelay { .. }), "{path}: {error}");
    }
    site.list(|listing| listing.relay = None);
    let error = relay(stage.policy(), stage.deposit(2)).await;
    assert!(matches!(error, OrderError::NoRelay { .. }), "{error}");
    assert_eq!((site.seen(), stage.balance().await), (vec![], 5 * DOLLAR));
    stage.assert_nothing_is_open().await;
}
