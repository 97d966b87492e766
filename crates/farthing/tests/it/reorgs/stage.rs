//! A chain on which blocks can be undone, the people of a channel's life on it, and what a payee makes of it.

use crate::payee::{DIME, credential, quote, send};
use farthing::PrivateKeySigner;
use farthing::core::exposure::{AccountPosition, AccountView, CreditTerms, Sight};
use farthing::core::ledger::{ChannelBooks, ChargeRequest, RequestId, accept};
use farthing::core::{AccountId, Amount, B256, Channel, ChannelId};
use farthing::escrow::{EXIT_DELAY_DEFAULT, Escrow};
use farthing::local_chain::{LocalChain, LocalChainOptions, mint_demo_dollars};
use farthing::payee::store::{Record, RecordKind, Redemption, RedemptionState};
use farthing::payee::views::FundsSource;
use farthing::payee::{Payee, Redeemer, Watcher};
use farthing_testkit::chain_faults::Snapshot;
use farthing_testkit::disk::Disk;
use farthing_testkit::{ChainFaults, Fixture, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

const DOLLAR: u128 = 1_000_000;

/// With 32 slots an epoch, 64 blocks are not final; some more for those that are mined in between.
const FINAL_AFTER: u64 = 70;

/// A step of a channel's life that a reorganization can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// An account that has paid before gets more money.
    Deposit,
    /// A new account gets money and buys its first item with it.
    FirstVoucher,
    /// Money of an account is reserved.
    Reserve,
    /// A channel is opened with money of its own.
    Open,
    /// A reservation grows.
    TopUp,
    /// The payee redeems one voucher.
    Redeem,
    /// The payee redeems three, of accounts and of a reservation.
    RedeemBatch,
    /// The payee closes.
    Close,
    /// The payer asks for its reservation back.
    RequestClose,
    /// And gets it.
    FinalizeClose,
    /// The payer takes money out of its account.
    Withdraw,
    /// Deposit, reservation, redemption and close request, all of them undone.
    WholeLife,
}

impl Step {
    pub(super) const ALL: [Self; 12] = [
        Self::Deposit,
        Self::FirstVoucher,
        Self::Reserve,
        Self::Open,
        Self::TopUp,
        Self::Redeem,
        Self::RedeemBatch,
        Self::Close,
        Self::RequestClose,
        Self::FinalizeClose,
        Self::Withdraw,
        Self::WholeLife,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::FirstVoucher => "first voucher",
            Self::Reserve => "reserve",
            Self::Open => "open",
            Self::TopUp => "top up",
            Self::Redeem => "redeem",
            Self::RedeemBatch => "batch redeem",
            Self::Close => "close",
            Self::RequestClose => "request close",
            Self::FinalizeClose => "finalize close",
            Self::Withdraw => "withdraw",
            Self::WholeLife => "whole life",
        }
    }

    /// Whether it is the payee's, to be taken again if it is undone.
    pub(super) const fn is_redemption(self) -> bool {
        matches!(self, Self::Redeem | Self::RedeemBatch)
    }

    /// In how many blocks its transactions are.
    pub(super) const fn blocks(self) -> u64 {
        match self {
            Self::WholeLife => 4,
            _ => 1,
        }
    }
}

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Act {
    /// Its transactions, in order.
    transactions: Vec<String>,
    /// The channels that it redeemed.
    pub(super) channels: Vec<ChannelId>,
    /// How many redemptions are sent anew if it is undone and does not come back.
    pub(super) redeemed_again: usize,
}

/// All that a payee knows of the chain, has in its books, and would give on credit.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    accounts: BTreeMap<AccountId, AccountView>,
    books: BTreeMap<ChannelId, ChannelBooks>,
    credit: BTreeMap<ChannelId, Amount>,
}

/// A payee that watches.
pub(super) struct Observer {
    pub(super) payee: Payee,
    watcher: Watcher,
    escrow: Escrow,
}

/// The chain. The payer of most steps is the fixture's; a patron, whom nothing of it concerns, has bought and paid.
pub(super) struct Stage {
    pub(super) fixture: Fixture,
    pub(super) faults: ChainFaults,
    /// A transaction that concerns nobody.
    filler: String,
    minted: Amount,
    base: Option<(Snapshot, Vec<Record>)>,
    scene: Option<Snapshot>,
    records: Vec<Record>,
}

fn patron() -> PrivateKeySigner {
    LocalChain::test_key(3)
}

fn newcomer() -> PrivateKeySigner {
    LocalChain::test_key(4)
}

/// Everybody who can hold money outside of the escrow.
fn everybody() -> [PrivateKeySigner; 4] {
    [Fixture::payer(), patron(), newcomer(), Fixture::payee()]
}

impl Stage {
    /// What is there before every step: the payer's account with three dollars and a dime owed, and the patron's with
    /// three dimes finally redeemed and two owed.
    pub(super) async fn build() -> Self {
        let options = LocalChainOptions { slots_in_an_epoch: 32, states_kept: Some(1 << 16), ..Default::default() };
        let fixture = Fixture::start_with(options).await;
        let faults = ChainFaults::of(&fixture.local);
        let chain = fixture.connect(Fixture::payer()).await;
        let fifty = Amount::new(50 * DOLLAR);
        for key in [patron(), newcomer()] {
            mint_demo_dollars(&chain, fixture.token.address, key.address(), fifty).await.unwrap();
        }
        let minted = Amount::new(200 * DOLLAR);
        let nobody = LocalChain::test_key(8).address();
        let filler =
            json!([{ "from": nobody, "to": nobody, "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x174876e800" }]);
        let filler = faults.ask("eth_signTransaction", filler).await.as_str().unwrap().to_owned();
        let mut stage = Self { fixture, faults, filler, minted, base: None, scene: None, records: Vec::new() };
        stage.deposit(&Fixture::payer(), 3 * DOLLAR).await;
        stage.deposit(&patron(), 5 * DOLLAR).await;
        let mut observer = stage.observer(stage.fixture.local.url()).await;
        stage.sell(&observer, &patron(), 9, 3).await;
        observer.redeem(&stage, &[stage.channel(&patron(), 9).id(&stage.fixture.deployment)]).await.unwrap();
        stage.make_final().await;
        observer.look().await.unwrap();
        stage.sell(&observer, &patron(), 9, 2).await;
        stage.sell(&observer, &Fixture::payer(), 0, 1).await;
        stage.records = observer.records(&RecordKind::ALL).await;
        stage.base = Some((stage.faults.snapshot().await, stage.records.clone()));
        stage
    }

    /// Does, finally, what comes before a step.
    pub(super) async fn prepare(&mut self, step: Step) {
        let (base, records) = self.base.take().expect("it was built");
        self.faults.go_back(base).await;
        self.base = Some((self.faults.snapshot().await, records.clone()));
        self.records = records;
        let payer = self.fixture.escrow(Fixture::payer()).await;
        let channel = self.fixture.channel(0);
        if matches!(step, Step::TopUp | Step::Close | Step::RequestClose | Step::FinalizeClose) {
            payer.reserve(&channel, Amount::new(DOLLAR)).await.unwrap();
        }
        if step == Step::FinalizeClose {
            payer.request_close(&channel).await.unwrap();
            self.faults.pass_time(EXIT_DELAY_DEFAULT + 1).await;
        }
        if step == Step::RedeemBatch {
            payer.reserve(&self.fixture.channel(1), Amount::new(DOLLAR)).await.unwrap();
            let observer = self.observer(self.fixture.local.url()).await;
            self.sell(&observer, &Fixture::payer(), 1, 2).await;
            self.sell(&observer, &Fixture::payer(), 2, 3).await;
            self.records = observer.records(&RecordKind::ALL).await;
        }
        self.make_final().await;
        self.scene = Some(self.faults.snapshot().await);
    }

    /// Puts the chain back to where the step has not happened.
    pub(super) async fn start_over(&mut self) {
        self.faults.go_back(self.scene.take().expect("it was prepared")).await;
        self.scene = Some(self.faults.snapshot().await);
    }

    pub(super) async fn make_final(&self) {
        self.faults.mine(FINAL_AFTER).await;
    }

    fn channel(&self, payer: &PrivateKeySigner, salt: u8) -> Channel {
        let payer = payer.address();
        Channel { payer, authorized_signer: payer, ..self.fixture.channel(salt) }
    }

    async fn deposit(&self, payer: &PrivateKeySigner, amount: u128) -> B256 {
        let escrow = self.fixture.escrow(payer.clone()).await;
        let account = self.channel(payer, 0).account();
        let mined = escrow.deposit(&account, Amount::new(amount)).await.unwrap();
        assert_eq!(mined.len(), 1, "with its permit");
        mined[0].hash
    }

    /// Sells so many items for a dime each.
    async fn sell(&self, observer: &Observer, payer: &PrivateKeySigner, salt: u8, items: u128) {
        for _ in 0..items {
            self.try_to_sell(observer, &self.channel(payer, salt), payer, DIME).await.unwrap();
        }
    }

    /// Sells the next item of a channel.
    async fn try_to_sell(
        &self,
        observer: &Observer,
        channel: &Channel,
        payer: &PrivateKeySigner,
        price: u128,
    ) -> Result<(), String> {
        let books = observer.payee.store().books(channel.id(&self.fixture.deployment)).await.unwrap();
        let total = books.map_or(0, |books| books.spent.base_units()) + price;
        let item = quote(&format!("/{total}"), price);
        let voucher = self.fixture.voucher(channel, total, payer);
        let sold = send(&observer.payee, &item, &credential(&observer.payee, &item, channel, voucher)).await;
        sold.map(drop).map_err(|error| error.problem().detail)
    }

    /// A payee with what was in the ledger before the step, which has looked once through a node.
    pub(super) async fn observer(&self, node: &Url) -> Observer {
        let mut observer = self.observer_with(&self.records, node).await;
        for salt in [0, 1, 2] {
            observer.meet(&self.fixture.channel(salt)).await;
        }
        observer.look().await.unwrap();
        observer
    }

    async fn observer_with(&self, records: &[Record], node: &Url) -> Observer {
        let store = Arc::new(Disk::default().open_for(&self.fixture.identity()).unwrap());
        farthing::payee::PayeeStore::restore(store.as_ref(), records).await.unwrap();
        let chain = farthing::chain::Chain::connect(node, Some(Fixture::payee())).await.unwrap();
        let escrow = Escrow::bind(chain, self.fixture.deployment.escrow).await.unwrap();
        let payee = self.fixture.start_payee_over(store, Arc::new(escrow.clone())).await;
        Observer { watcher: Watcher::new(payee.clone(), escrow.clone()), payee, escrow }
    }

    /// A payee with the same vouchers, which sees this chain for the first time: of what the chain has paid it knows
    /// only what was final before the step.
    pub(super) async fn fresh_observer(&self, other: &Observer) -> Observer {
        let mut records = other.records(&RecordKind::ALL).await;
        records.retain(|record| !matches!(record, Record::Redemption { .. } | Record::FinalRedemption { .. }));
        for record in &mut records {
            if let Record::Channel { channel_id, books } = record {
                books.redeemed = self.redeemed_before(*channel_id);
            }
        }
        records.extend(self.records.iter().filter(|record| matches!(record, Record::FinalRedemption { .. })).cloned());
        let mut fresh = self.observer_with(&records, self.fixture.local.url()).await;
        for account in other.payee.views().accounts() {
            for channel in other.payee.views().channels_of(account) {
                fresh.meet(&channel).await;
            }
        }
        fresh.look().await.unwrap();
        fresh
    }

    fn redeemed_before(&self, channel: ChannelId) -> Amount {
        let books = self.records.iter().find_map(|record| match record {
            Record::Channel { channel_id, books } if *channel_id == channel => Some(books.redeemed),
            _ => None,
        });
        books.unwrap_or_default()
    }

    /// Whether a redemption was not on record before the step.
    fn is_new(&self, redemption: &Redemption) -> bool {
        let before = |record: &Record| match record {
            Record::Redemption { redemption: known } => known.hash == redemption.hash,
            _ => false,
        };
        !self.records.iter().any(before)
    }

    /// Takes the step, each of its transactions in a block of its own.
    pub(super) async fn act(&self, step: Step, observer: &mut Observer) -> Act {
        let payer = self.fixture.escrow(Fixture::payer()).await;
        let (channel, dollar) = (self.fixture.channel(0), Amount::new(DOLLAR));
        let salts: &[u8] = match step {
            Step::Redeem => &[0],
            Step::RedeemBatch => &[0, 1, 2],
            _ => &[],
        };
        let mut act = Act {
            channels: salts.iter().map(|salt| self.fixture.channel(*salt).id(&self.fixture.deployment)).collect(),
            redeemed_again: usize::from(step.is_redemption()),
            ..Act::default()
        };
        let hashes = match step {
            Step::Deposit => vec![self.deposit(&Fixture::payer(), 2 * DOLLAR).await],
            Step::FirstVoucher => {
                let deposited = self.deposit(&newcomer(), 3 * DOLLAR).await;
                self.sell(observer, &newcomer(), 0, 1).await;
                vec![deposited]
            }
            Step::Reserve => vec![payer.reserve(&channel, dollar).await.unwrap().hash],
            Step::Open | Step::TopUp => vec![payer.open(&channel, dollar).await.unwrap()[0].hash],
            Step::Redeem | Step::RedeemBatch => {
                observer.redeem(self, &act.channels).await.unwrap();
                vec![observer.last_redemption(self).await]
            }
            Step::Close => {
                let redeemer = Redeemer::new(observer.payee.clone(), self.fixture.escrow(Fixture::payee()).await);
                vec![redeemer.close(channel.id(&self.fixture.deployment)).await.unwrap().transaction]
            }
            Step::RequestClose => vec![payer.request_close(&channel).await.unwrap().hash],
            Step::FinalizeClose => vec![payer.finalize_close(&channel).await.unwrap().hash],
            Step::Withdraw => {
                let to = Fixture::payer().address();
                vec![payer.withdraw(&channel.account(), Amount::new(5 * DOLLAR / 2), to).await.unwrap().hash]
            }
            Step::WholeLife => self.live(observer).await,
        };
        for hash in hashes {
            act.transactions.push(self.faults.signed(hash).await);
        }
        observer.look().await.unwrap();
        act
    }

    async fn live(&self, observer: &mut Observer) -> Vec<B256> {
        let (escrow, channel) = (self.fixture.escrow(newcomer()).await, self.channel(&newcomer(), 0));
        let deposited = self.deposit(&newcomer(), 3 * DOLLAR).await;
        let reserved = escrow.reserve(&channel, Amount::new(DOLLAR)).await.unwrap().hash;
        self.sell(observer, &newcomer(), 0, 2).await;
        observer.look().await.unwrap();
        observer.redeem(self, &[channel.id(&self.fixture.deployment)]).await.unwrap();
        let redeemed = observer.last_redemption(self).await;
        vec![deposited, reserved, redeemed, escrow.request_close(&channel).await.unwrap().hash]
    }

    /// Undoes the newest blocks. If the step's transactions move, they are in the last of the new ones.
    pub(super) async fn undo(&self, depth: u64, act: &Act, moves: bool) {
        let undone = self.faults.head().await + 1 - depth;
        let hash_of = async |block| self.fixture.connect(patron()).await.block(block).await.unwrap().unwrap().hash;
        let before = hash_of(undone.into()).await;
        let first = depth - u64::try_from(act.transactions.len()).unwrap();
        let moved = if moves { act.transactions.as_slice() } else { &[] };
        // Something else in the lowest block, or an empty one would be the very block that it replaces.
        let transactions = std::iter::once((self.filler.clone(), 0)).chain(moved.iter().cloned().zip(first..));
        self.faults.reorganize(depth, &transactions.collect::<Vec<_>>()).await;
        assert_ne!(hash_of(undone.into()).await, before, "the block is another one");
    }

    /// Whoever sent them sends the transactions once more, as they are.
    pub(super) async fn bring_back(&self, act: &Act) {
        for transaction in &act.transactions {
            let hash = self.faults.ask("eth_sendRawTransaction", json!([transaction])).await;
            // anvil answers when it has the transaction, and makes the block after that.
            let is_mined = || async { !self.faults.ask("eth_getTransactionReceipt", json!([hash])).await.is_null() };
            wait_until("the transaction is mined again", is_mined).await;
        }
    }

    /// Undoes the newest block, and has the step's transactions in its place.
    pub(super) async fn swap_for(&self, act: &Act) {
        let transactions: Vec<(String, u64)> = act.transactions.iter().map(|signed| (signed.clone(), 0)).collect();
        self.faults.reorganize(1, &transactions).await;
    }

    /// Whether everybody and the escrow have together what was minted.
    pub(super) async fn is_conserved(&self) -> bool {
        let mut held = self.fixture.dollars_of(self.fixture.deployment.escrow).await;
        for key in everybody() {
            held = held.saturating_add(self.fixture.dollars_of(key.address()).await);
        }
        held == self.minted
    }
}

impl Observer {
    pub(super) async fn look(&mut self) -> Result<(), String> {
        self.watcher.step().await.map_err(|error| error.to_string())
    }

    async fn meet(&self, channel: &Channel) {
        let reading = FundsSource::funds_of(&self.escrow, channel).await.unwrap();
        self.payee.views().enter_fresh(channel, &reading);
    }

    async fn records(&self, kinds: &[RecordKind]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut visitor = |record| {
            records.push(record);
            Ok(())
        };
        self.payee.store().visit(kinds, &mut visitor).await.unwrap();
        records
    }

    /// Redeems channels if they owe anything, and returns how many transactions that took.
    pub(super) async fn redeem(&self, stage: &Stage, channels: &[ChannelId]) -> Result<usize, String> {
        if channels.is_empty() {
            return Ok(0);
        }
        let escrow = stage.fixture.escrow(Fixture::payee()).await;
        let redeemed = Redeemer::new(self.payee.clone(), escrow).redeem_channels(channels).await;
        redeemed.map(|redeemed| redeemed.done.len()).map_err(|error| error.to_string())
    }

    /// What became of the redemptions since the step, once the redeemer has found out.
    pub(super) async fn settled_redemptions(&self, stage: &Stage) -> Result<Vec<RedemptionState>, String> {
        let escrow = stage.fixture.escrow(Fixture::payee()).await;
        Redeemer::new(self.payee.clone(), escrow).settle().await.map_err(|error| error.to_string())?;
        let records = self.payee.store().redemptions().await.map_err(|error| error.to_string())?;
        Ok(records.into_iter().filter(|record| stage.is_new(record)).map(|record| record.state).collect())
    }

    async fn last_redemption(&self, stage: &Stage) -> B256 {
        let records = self.payee.store().redemptions().await.unwrap();
        records.iter().find(|record| stage.is_new(record)).expect("one was sent").hash
    }

    pub(super) async fn standing(&self, stage: &Stage) -> Standing {
        let views = self.payee.views();
        let (mut accounts, mut credit) = (BTreeMap::new(), BTreeMap::new());
        for account in views.accounts() {
            for channel in views.channels_of(account) {
                accounts.insert(account, views.account_of(&channel).unwrap().as_ref().clone());
                credit.insert(channel.id(&stage.fixture.deployment), self.credit_left(stage, &channel).await);
            }
        }
        let books = self.payee.store().all_books().await.unwrap().into_iter().collect();
        Standing { accounts, books, credit }
    }

    /// The dearest item that the ledger would charge to a channel now.
    async fn credit_left(&self, stage: &Stage, channel: &Channel) -> Amount {
        let channel_id = channel.id(&stage.fixture.deployment);
        let signer = everybody().into_iter().find(|key| key.address() == channel.authorized_signer).unwrap();
        let voucher = stage.fixture.voucher(channel, 1_000 * DOLLAR, &signer);
        let voucher = voucher.verify(self.payee.domain(), channel).unwrap();
        let all = self.payee.store().books_of(channel.account().id()).await.unwrap();
        let books = all.iter().find(|(id, _)| *id == channel_id).map(|(_, books)| *books);
        let view = self.payee.views().account_of(channel).unwrap();
        let two_dollars = Amount::new(2 * DOLLAR);
        let credit =
            CreditTerms { limit: two_dollars, first: Some(two_dollars), strangers_per_day: Amount::MAX_ON_CHAIN };
        let books_of_all = all.iter().map(|(id, books)| (*id, books));
        let position = AccountPosition::of(channel_id, &view, books_of_all, Amount::ZERO, Sight::Clear, credit);
        let is_sold = |price: u128| {
            let request = ChargeRequest {
                price: Amount::new(price),
                item: "/probe".to_owned(),
                request: RequestId::new("GET", "/probe"),
                reservation_required: false,
                at: farthing::clock::now(),
            };
            accept(&voucher, &request, &books.unwrap_or(ChannelBooks::new(*channel)), None, &position).is_ok()
        };
        let (mut sold, mut refused) = (0, 100 * DOLLAR);
        while sold + 1 < refused {
            let middle = (sold + refused) / 2;
            if is_sold(middle) { sold = middle } else { refused = middle }
        }
        Amount::new(sold)
    }

    /// What the ledger would charge it does charge, and not a base unit more.
    pub(super) async fn spends_its_credit_and_no_more(&self, stage: &Stage) -> Result<(), String> {
        for (payer, salt) in [(Fixture::payer(), 0), (patron(), 9)] {
            let channel = stage.channel(&payer, salt);
            let credit = self.credit_left(stage, &channel).await.base_units();
            if stage.try_to_sell(self, &channel, &payer, credit + 1).await.is_ok() {
                return Err(format!("an item for {} was sold on credit of {credit}", credit + 1));
            }
            if credit > 0 {
                stage.try_to_sell(self, &channel, &payer, credit).await?;
            }
        }
        Ok(())
    }
}
