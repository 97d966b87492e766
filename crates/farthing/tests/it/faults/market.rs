//! A payee with three customers behind nodes that fail, and what came of it.

use crate::payee::{DIME, credential, quote, send};
use farthing::PrivateKeySigner;
use farthing::chain::{Chain, ChainError, ConnectOptions};
use farthing::clock;
use farthing::core::gas::CoinPrice;
use farthing::core::wire::ProblemType;
use farthing::core::{Amount, Channel, Timestamp};
use farthing::escrow::{Escrow, EscrowError};
use farthing::local_chain::{CHAIN_ID, LocalChain, LocalChainOptions, mint_demo_dollars};
use farthing::payee::coin_price::{CoinPriceSource, RedemptionOptions};
use farthing::payee::nodes::Nodes;
use farthing::payee::redeemer::Patience;
use farthing::payee::store::{Record, RecordKind, RedemptionState};
use farthing::payee::{Payee, PayeeOptions, PayeeStore, Redeemer, Watcher};
use farthing_testkit::chain_faults::Snapshot;
use farthing_testkit::disk::Disk;
use farthing_testkit::rpc_proxy::{Fault, Rule};
use farthing_testkit::{ChainFaults, Fixture, RpcProxy};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const DOLLAR: u128 = 1_000_000;

/// What the fixture's payee gives on credit.
const CREDIT_LIMIT: u128 = 2 * DOLLAR;

/// How long a node may take. Longer than an honest one here ever does.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
const CONNECT: ConnectOptions = ConnectOptions { request_within: ANSWER_WITHIN };

/// How long a transaction may take to be mined, and after how long more is offered.
const MINED_WITHIN: Duration = Duration::from_millis(1_500);
const PATIENCE: Patience = Patience { blocks: 1, at_least: Duration::from_millis(300) };

/// Has $5 in its account, owes three dimes, and takes everything out.
fn runaway() -> PrivateKeySigner {
    Fixture::payer()
}

/// Has a dollar reserved, owes three dimes, and asks for it back.
fn leaver() -> PrivateKeySigner {
    LocalChain::test_key(3)
}

/// Has $5 in its account, and buys.
fn regular() -> PrivateKeySigner {
    LocalChain::test_key(4)
}

/// What came of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The payee could connect and bind.
    starts: bool,
    /// The regular could buy on credit.
    sells: bool,
    /// What the leaver and the others owed was redeemed.
    redeems: bool,
    /// The runaway could buy with money that is gone.
    is_cheated: bool,
    /// The owner can see that something is wrong with the node.
    is_told: bool,
}

impl Outcome {
    /// A letter of the table.
    const fn letter(self) -> char {
        match self {
            Self { starts: false, .. } => 's',
            Self { is_cheated: true, is_told: false, .. } => 'b',
            Self { is_cheated: true, is_told: true, .. } => 'B',
            Self { sells: true, redeems: true, is_told: false, .. } => '.',
            Self { sells: true, redeems: true, is_told: true, .. } => 't',
            Self { sells: false, redeems: true, is_told: true, .. } => 'c',
            Self { sells: false, redeems: true, is_told: false, .. } => 'C',
            Self { sells: true, redeems: false, .. } => 'r',
            Self { sells: false, redeems: false, is_told: true, .. } => 'w',
            Self { sells: false, redeems: false, is_told: false, .. } => 'W',
        }
    }
}

/// How the market stands before every fault.
pub(super) struct Market {
    fixture: Fixture,
    faults: ChainFaults,
    proxy: RpcProxy,
    records: Vec<Record>,
    scene: Option<Snapshot>,
    /// Whether the payee reads everything anew at every look.
    pub(super) reads_all: bool,
}

/// A payee that is at work.
struct Shop {
    payee: Payee,
    nodes: Nodes,
    watcher: Watcher,
    redeemer: Redeemer,
}

impl Shop {
    /// One look of the loop that redeems. Each is a new loop's, which has nothing to wait for.
    async fn redeem(&self) {
        self.redeemer.clone().runner(&cheap_gas()).step().await;
    }
}

/// Terms for redemption under which all that is owed here is worth its gas.
fn cheap_gas() -> RedemptionOptions {
    let a_cent = CoinPrice::new(Amount::new(10_000)).unwrap();
    RedemptionOptions { coin_price: CoinPriceSource::Set(a_cent), ..Default::default() }
}

/// The answer of `fundsOf` as it was before anybody left.
pub(super) fn money_is_still_there(answer: Value) -> Value {
    let digits = answer.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    // Redeemed, reserved, close time; balance, nonce.
    if digits.len() != 5 * 64 {
        return answer;
    }
    let word = |amount: u128| format!("{amount:064x}");
    json!(format!("0x{}{}{}{}", &digits[..128], word(0), word(5 * DOLLAR), &digits[256..]))
}

impl Market {
    pub(super) async fn open() -> Self {
        let options = LocalChainOptions { states_kept: Some(1 << 16), ..Default::default() };
        let fixture = Fixture::start_with(options).await;
        let faults = ChainFaults::of(&fixture.local);
        let proxy = RpcProxy::start(fixture.local.url()).await;
        let chain = fixture.connect(Fixture::payer()).await;
        for key in [leaver(), regular()] {
            let fifty = Amount::new(50 * DOLLAR);
            mint_demo_dollars(&chain, fixture.token.address, key.address(), fifty).await.unwrap();
        }
        let mut market = Self { fixture, faults, proxy, records: Vec::new(), scene: None, reads_all: false };
        for key in [runaway(), regular()] {
            let escrow = market.fixture.escrow(key.clone()).await;
            escrow.deposit(&market.channel(&key).account(), Amount::new(5 * DOLLAR)).await.unwrap();
        }
        let escrow = market.fixture.escrow(leaver()).await;
        escrow.open(&market.channel(&leaver()), Amount::new(DOLLAR)).await.unwrap();
        market.fixture.finalize().await;
        let shop = market.shop(1).await.unwrap();
        for (key, items) in [(runaway(), 3), (leaver(), 3), (regular(), 1)] {
            for _ in 0..items {
                assert!(market.buys(&shop, &key).await, "on a good day");
            }
        }
        let mut records = Vec::new();
        let mut visitor = |record| {
            records.push(record);
            Ok(())
        };
        shop.payee.store().visit(&RecordKind::ALL, &mut visitor).await.unwrap();
        market.records = records;
        market.scene = Some(market.faults.snapshot().await);
        market
    }

    fn channel(&self, payer: &PrivateKeySigner) -> Channel {
        let payer = payer.address();
        Channel { payer, authorized_signer: payer, ..self.fixture.channel(0) }
    }

    async fn connect(&self, url: &Url) -> Result<Escrow, EscrowError> {
        let chain = Chain::connect_with(url, Some(Fixture::payee()), CONNECT).await?.with_mined_within(MINED_WITHIN);
        let expected = CHAIN_ID;
        if chain.chain_id() != expected {
            return Err(ChainError::WrongChain { actual: chain.chain_id(), expected }.into());
        }
        Escrow::bind(chain, self.fixture.deployment.escrow).await
    }

    /// The nodes of a payee, of which the first is the one that fails. With a second one, it may be down at first.
    async fn nodes(&self, count: usize) -> Result<Nodes, EscrowError> {
        let failing = self.connect(&self.proxy.url()).await;
        if count == 1 {
            return Ok(Nodes::from(failing?));
        }
        let other = self.connect(self.fixture.local.url()).await?;
        Ok(match failing {
            Ok(failing) => Nodes::new(vec![failing, other]).unwrap(),
            Err(_) => {
                let down = Chain::connect_later(&self.proxy.url(), Some(Fixture::payee()), CHAIN_ID, CONNECT)?;
                let down = Escrow::bind_later(down.with_mined_within(MINED_WITHIN), self.fixture.deployment.escrow);
                Nodes::from(other).with_unchecked(down).unwrap()
            }
        })
    }

    /// Starts a payee with so many nodes.
    async fn shop(&self, nodes: usize) -> Result<Shop, EscrowError> {
        let nodes = self.nodes(nodes).await?.with_answer_within(ANSWER_WITHIN);
        let store = Arc::new(Disk::default().open_for(&self.fixture.identity()).unwrap());
        store.restore(&self.records).await.unwrap();
        let payee = self.fixture.start_payee_over(store, Arc::new(nodes.clone())).await;
        let mut watcher = Watcher::new(payee.clone(), nodes.clone());
        if self.reads_all {
            watcher = watcher.with_all_read_every(Duration::ZERO);
        }
        // What is wrong shows later.
        let _ = watcher.step().await;
        let redeemer = Redeemer::new(payee.clone(), nodes.clone()).with_patience(PATIENCE);
        Ok(Shop { payee, nodes, watcher, redeemer })
    }

    /// Whether the next item is sold. A refusal must be one for want of money or of a view of the chain.
    async fn buys(&self, shop: &Shop, payer: &PrivateKeySigner) -> bool {
        let channel = self.channel(payer);
        let books = shop.payee.store().books(channel.id(&self.fixture.deployment)).await.unwrap();
        let total = books.map_or(0, |books| books.spent.base_units()) + DIME;
        let item = quote(&format!("/{total}"), DIME);
        let voucher = self.fixture.voucher(&channel, total, payer);
        match send(&shop.payee, &item, &credential(&shop.payee, &item, &channel, voucher)).await {
            Ok(_) => true,
            Err(error) => {
                let kind = error.problem().problem_type();
                let expected =
                    [ProblemType::InsufficientBalance, ProblemType::Unavailable, ProblemType::ChannelFinalized];
                assert!(kind.is_some_and(|kind| expected.contains(&kind)), "{error}");
                false
            }
        }
    }

    /// What a payee asks for on a day without faults.
    pub(super) async fn methods_of_a_good_day(&mut self) -> Vec<String> {
        let (letter, hits) = self.suffer(None, Fault::Late(Duration::ZERO), 1).await;
        assert!(letter == '.' && hits > 0, "{letter}");
        self.proxy.methods().into_keys().collect()
    }

    fn hits(&self) -> usize {
        self.proxy.methods().values().map(|calls| calls.faulted).sum()
    }

    /// A fault happens to every call of a method to the first of so many nodes. Returns what came of it, and how many
    /// calls it happened to, once all is well again and has been counted.
    pub(super) async fn suffer(&mut self, method: Option<&str>, fault: Fault, nodes: usize) -> (char, usize) {
        let hits_before = self.hits();
        let rule = || method.map_or(Rule::on_everything(fault.clone()), |method| Rule::on(method, fault.clone()));
        let mut outcome = Outcome::default();
        if method == Some("eth_gasPrice") {
            // It is asked for where there is no base fee.
            self.faults.set_next_base_fee(0).await;
            self.faults.mine(1).await;
        }
        self.proxy.inject(rule());
        let started = self.shop(nodes).await;
        outcome.starts = started.is_ok();
        self.proxy.heal();
        // One that did not start is started once the node is well, and then the fault comes again.
        let mut shop = match started {
            Ok(shop) => shop,
            Err(_) => self.shop(nodes).await.unwrap(),
        };
        shop.watcher.step().await.unwrap();
        // What it has read is final, so that it reads again only what it is told has changed.
        self.fixture.finalize().await;
        shop.watcher.step().await.unwrap();
        self.proxy.inject(rule());

        self.everybody_leaves().await;
        // As if it had not looked for as long as it takes for credit to end: then it matters whether it can.
        let long_ago = clock::now().unix_seconds() - PayeeOptions::STALE_AFTER_SECONDS - 1;
        shop.payee.views().note_seen(Timestamp::from_unix_seconds(long_ago));
        let _ = shop.watcher.step().await;
        let mut cheated = 0;
        while self.buys(&shop, &runaway()).await {
            cheated += DIME;
        }
        outcome.is_cheated = cheated > 0;
        assert!(3 * DIME + cheated <= CREDIT_LIMIT, "never more than the creator has allowed to be lost");
        outcome.sells = self.buys(&shop, &regular()).await;
        // What fails is tried again.
        for _ in 0..2 {
            shop.redeem().await;
        }
        outcome.redeems = self.paid().await >= Amount::new(3 * DIME);
        let troubled =
            |health: &farthing::payee::nodes::NodeHealth| health.trouble.is_some() || health.contradiction.is_some();
        outcome.is_told = shop.nodes.health().iter().any(troubled);

        self.proxy.heal();
        if outcome.is_cheated {
            // What a lone node kept to itself is not asked for again until something else happens there.
            shop.watcher = Watcher::new(shop.payee.clone(), shop.nodes.clone());
        }
        self.all_is_well(&mut shop).await;
        let scene = self.scene.take().expect("it is open");
        self.faults.go_back(scene).await;
        self.scene = Some(self.faults.snapshot().await);
        (outcome.letter(), self.hits() - hits_before)
    }

    async fn everybody_leaves(&self) {
        let (leaving, running) = (self.channel(&leaver()), self.channel(&runaway()).account());
        self.fixture.escrow(leaver()).await.request_close(&leaving).await.unwrap();
        let escrow = self.fixture.escrow(runaway()).await;
        escrow.withdraw(&running, Amount::new(5 * DOLLAR), runaway().address()).await.unwrap();
    }

    async fn paid(&self) -> Amount {
        self.fixture.dollars_of(Fixture::payee().address()).await
    }

    /// The node is well: without anybody's help, all is seen, sold and redeemed as it should be, once.
    async fn all_is_well(&self, shop: &mut Shop) {
        // What was believed is read again when it is final, if not before.
        self.fixture.finalize().await;
        shop.watcher.step().await.unwrap();
        assert!(!self.buys(shop, &runaway()).await, "the money is gone");
        assert!(self.buys(shop, &regular()).await, "the money is there");
        // At the second try at the latest: the first may find out what became of what was sent.
        for _ in 0..2 {
            self.faults.mine(2).await;
            shop.redeem().await;
        }
        self.fixture.finalize().await;
        shop.watcher.step().await.unwrap();
        shop.redeemer.settle().await.unwrap();
        self.is_settled(shop).await;
    }

    /// What the books say was paid is what was paid, once; and nobody has lost what was not given on credit.
    async fn is_settled(&self, shop: &Shop) {
        let store = shop.payee.store();
        for (channel_id, books) in store.all_books().await.unwrap() {
            let is_lost = books.channel == self.channel(&runaway());
            let expected = if is_lost { Amount::ZERO } else { books.due() };
            assert_eq!(books.redeemed, expected, "{channel_id}");
        }
        let books = store.all_books().await.unwrap();
        let redeemed = Amount::saturating_sum(books.iter().map(|(_, books)| books.redeemed));
        assert_eq!(self.paid().await, redeemed);
        let records = store.redemptions().await.unwrap();
        let chain = self.fixture.connect(Fixture::payee()).await;
        let mined = chain.transactions_of(Fixture::payee().address()).await.unwrap();
        for record in records {
            // What was signed for a place that has not been reached may still be mined one day; it would pay nothing.
            let is_done = matches!(record.state, RedemptionState::Final { .. } | RedemptionState::Failed);
            assert!(is_done || record.nonce >= mined, "{record:#?}");
        }
        let mut held = self.fixture.dollars_of(self.fixture.deployment.escrow).await.saturating_add(redeemed);
        for key in [runaway(), leaver(), regular()] {
            held = held.saturating_add(self.fixture.dollars_of(key.address()).await);
        }
        assert_eq!(held, Amount::new(200 * DOLLAR));
    }
}
