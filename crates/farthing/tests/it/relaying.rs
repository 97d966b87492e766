//! The relay against a real escrow: what it sends, what it refuses, and what that costs.

use crate::payee::{DIME, buy, shop};
use crate::redeeming::data_fee::{PER_BYTE, put_oracle};
use crate::redeeming::{ask, automine};
use farthing::PrivateKeySigner;
use farthing::chain::{Chain, Place};
use farthing::clock;
use farthing::core::funding::Withdrawal;
use farthing::core::voucher::Domain;
use farthing::core::wire::{ProblemType, RelayOrder, RelayRequest, SignedAuthorization};
use farthing::core::{Account, Address, Amount, B256, Timestamp, VoucherSignature};
use farthing::escrow::Escrow;
use farthing::local_chain::LocalChain;
use farthing::payee::relay::RelayError;
use farthing::payee::store::{Redemption, RedemptionState};
use farthing::payee::{EmbeddedStore, Payee, Redeemer, Relay, RelayLimits, Watcher};
use farthing::signer::SignerSync;
use farthing::token::domain_of;
use farthing_testkit::{Fixture, wait_until};
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

const DOLLAR: u128 = 1_000_000;

/// How long a transaction may take here: long enough for a busy machine, short enough for what is never mined.
const PATIENCE: Duration = Duration::from_millis(1_500);

struct Stage {
    fixture: Fixture,
    folder: TempDir,
    payee: Payee,
    watcher: Watcher,
    /// Sends with the payee's key.
    escrow: Escrow,
    redeemer: Redeemer,
}

/// A budget that no test uses up, and a minimum of a dollar.
fn limits() -> RelayLimits {
    RelayLimits::new(Amount::new(DOLLAR), Amount::new(10_u128.pow(18)))
}

impl Stage {
    async fn new() -> Self {
        let (fixture, folder, payee, watcher) = shop().await;
        let chain = fixture.connect(Fixture::payee()).await.with_mined_within(PATIENCE);
        let escrow = Escrow::bind(chain, fixture.deployment.escrow).await.unwrap();
        let redeemer = Redeemer::new(payee.clone(), escrow.clone());
        Self { fixture, folder, payee, watcher, escrow, redeemer }
    }

    async fn relay(&self, limits: RelayLimits) -> Relay {
        Relay::start(self.redeemer.clone(), limits).await.unwrap()
    }

    fn chain(&self) -> &Chain {
        self.escrow.chain()
    }

    async fn now(&self) -> Timestamp {
        self.chain().time().await.unwrap()
    }

    /// How many transactions the relay has had mined.
    async fn sent(&self) -> u64 {
        self.chain().transactions_of(Fixture::payee().address()).await.unwrap()
    }

    async fn balance(&self) -> Amount {
        self.escrow.account_balance(&self.fixture.account()).await.unwrap()
    }

    async fn spent(&self) -> Amount {
        self.payee.store().relay_spent(clock::now().day()).await.unwrap()
    }

    /// Waits until one of the attempts at each place is mined.
    async fn settled(&self) {
        wait_until("it is settled", || async {
            let records = self.payee.store().redemptions().await.unwrap();
            let taken = |record: &Redemption| {
                records.iter().any(|other| other.nonce == record.nonce && other.state != RedemptionState::Sent)
            };
            records.iter().all(taken)
        })
        .await;
    }

    async fn sign(&self, mut order: RelayOrder, key: &PrivateKeySigner) -> RelayRequest {
        let deployment = self.fixture.deployment;
        let digest = match &order {
            RelayOrder::Withdrawal { withdrawal, .. } => withdrawal.digest(&Domain::new(deployment)),
            order => {
                let domain = domain_of(self.chain(), order.token()).await.unwrap();
                order.authorization(&deployment).unwrap().digest(&domain)
            }
        };
        let by_payer = VoucherSignature::from_bytes(&key.sign_hash_sync(&digest).unwrap().as_bytes()).unwrap();
        match &mut order {
            RelayOrder::Deposit { authorization, .. } | RelayOrder::Open { authorization, .. } => {
                authorization.signature = by_payer;
            }
            RelayOrder::Withdrawal { signature, .. } => *signature = by_payer,
        }
        RelayRequest { deployment, order }
    }

    /// An order of the fixture's payer, with a salt of its own.
    async fn deposit(&self, dollars: u128, salt: u8) -> RelayRequest {
        let (account, amount) = (self.fixture.account(), Amount::new(dollars * DOLLAR));
        let authorization = authorization(salt, self.now().await.plus_seconds(600));
        self.sign(RelayOrder::Deposit { account, amount, authorization }, &Fixture::payer()).await
    }

    async fn withdrawal(&self, amount: u128, nonce: u64) -> RelayRequest {
        let (account, deadline) = (self.fixture.account(), self.now().await.plus_seconds(600));
        let withdrawal = Withdrawal { account, amount: Amount::new(amount), to: account.payer, nonce, deadline };
        self.sign(RelayOrder::Withdrawal { withdrawal, signature: unsigned() }, &Fixture::payer()).await
    }
}

fn unsigned() -> VoucherSignature {
    let mut bytes = [0; 65];
    bytes[64] = 27;
    VoucherSignature::from_bytes(&bytes).unwrap()
}

fn authorization(salt: u8, valid_before: Timestamp) -> SignedAuthorization {
    let (valid_after, salt) = (Timestamp::from_unix_seconds(0), B256::repeat_byte(salt));
    SignedAuthorization { valid_after, valid_before, salt, signature: unsigned() }
}

fn kind(error: &RelayError) -> ProblemType {
    error.problem().problem_type().unwrap()
}

#[tokio::test]
async fn one_order_is_one_transaction_however_often_it_is_sent() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let order = stage.deposit(2, 1).await;
    let (first, second, third) = tokio::join!(relay.relay(&order), relay.relay(&order), relay.relay(&order));
    let first = first.unwrap();
    assert_eq!((second.unwrap(), third.unwrap()), (first, first));
    stage.settled().await;
    assert_eq!(relay.relay(&order).await.unwrap(), first, "mined, and not sent again");
    assert_eq!((stage.sent().await, stage.balance().await), (1, Amount::new(7 * DOLLAR)));
    let again = stage.deposit(2, 2).await;
    assert_ne!(relay.relay(&again).await.unwrap(), first, "another salt is another order");
    stage.settled().await;
    assert_eq!((stage.sent().await, stage.balance().await), (2, Amount::new(9 * DOLLAR)));
}

/// The first copy keeps its turn until a block has it; the others need no turn of their own.
#[tokio::test]
async fn copies_of_one_order_are_answered_before_it_is_mined() {
    let stage = Stage::new().await;
    let chain = stage.fixture.connect(Fixture::payee()).await;
    let escrow = Escrow::bind(chain, stage.fixture.deployment.escrow).await.unwrap();
    let relay = Relay::start(Redeemer::new(stage.payee.clone(), escrow), limits()).await.unwrap();
    automine(stage.chain(), false).await;
    let order = stage.deposit(2, 1).await;
    let all = async { tokio::join!(relay.relay(&order), relay.relay(&order), relay.relay(&order)) };
    let (first, second, third) = tokio::time::timeout(Duration::from_secs(15), all).await.expect("answered");
    let first = first.unwrap();
    assert_eq!((second.unwrap(), third.unwrap()), (first, first));
    ask(stage.chain(), "evm_mine", json!([])).await;
    assert_eq!((stage.sent().await, stage.balance().await), (1, Amount::new(7 * DOLLAR)));
}

/// Whoever relays, or stands in between, can change nothing.
#[tokio::test]
async fn an_order_that_was_changed_is_refused_and_nothing_is_sent() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let order = stage.deposit(2, 1).await;
    let RelayOrder::Deposit { account, amount, authorization } = order.order else { panic!("a deposit") };
    let thief = Address::repeat_byte(0x66);
    let more = Amount::new(3 * DOLLAR);
    let redirected = Account { authorized_signer: thief, ..account };
    let channel = stage.fixture.channel(1);
    let changed = [
        RelayOrder::Deposit { account: redirected, amount, authorization },
        RelayOrder::Deposit { account: Account { payer: thief, ..account }, amount, authorization },
        RelayOrder::Deposit { account, amount: more, authorization },
        RelayOrder::Open { channel, amount, authorization },
        RelayOrder::Deposit {
            account,
            amount,
            authorization: SignedAuthorization { salt: B256::ZERO, ..authorization },
        },
        RelayOrder::Deposit {
            account,
            amount,
            authorization: SignedAuthorization {
                valid_before: authorization.valid_before.plus_seconds(1),
                ..authorization
            },
        },
    ];
    for order in changed {
        let refused = relay.relay(&RelayRequest { order, ..stage.deposit(2, 1).await }).await.unwrap_err();
        assert!(matches!(refused, RelayError::Signature(_)), "{refused}");
        // The contract holds without the relay's help.
        let place = Place { nonce: 0, rival: None, fee_max: u128::MAX };
        stage.escrow.sign_relayed(&order, place).await.expect_err("would revert");
    }
    let withdrawal = stage.withdrawal(DOLLAR, 0).await;
    let RelayOrder::Withdrawal { withdrawal: signed, signature } = withdrawal.order else { panic!("a withdrawal") };
    for changed in [Withdrawal { to: thief, ..signed }, Withdrawal { amount: more, ..signed }] {
        let order = RelayOrder::Withdrawal { withdrawal: changed, signature };
        let refused = relay.relay(&RelayRequest { order, ..withdrawal }).await.unwrap_err();
        assert_eq!(kind(&refused), ProblemType::RelayInvalid, "{refused}");
    }
    assert_eq!((stage.sent().await, stage.balance().await), (0, Amount::new(5 * DOLLAR)));
    assert!(relay.relay(&order).await.is_ok(), "unchanged it is sent");
}

#[tokio::test]
async fn only_this_ledgers_escrow_token_and_payee_are_relayed_for() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let mut elsewhere = stage.deposit(2, 1).await;
    elsewhere.deployment.escrow = Address::repeat_byte(1);
    let mut other_chain = stage.deposit(2, 1).await;
    other_chain.deployment.chain_id += 1;
    let chain = stage.fixture.connect(LocalChain::test_key(0)).await;
    let (other, _) = farthing::local_chain::deploy_demo_dollar(&chain).await.unwrap();
    let mut account = stage.fixture.account();
    account.token = other.address;
    let until = stage.now().await.plus_seconds(600);
    let amount = Amount::new(2 * DOLLAR);
    let order = RelayOrder::Deposit { account, amount, authorization: authorization(1, until) };
    let other_token = stage.sign(order, &Fixture::payer()).await;
    let mut channel = stage.fixture.channel(1);
    channel.payee = Address::repeat_byte(2);
    let order = RelayOrder::Open { channel, amount, authorization: authorization(1, until) };
    let other_payee = stage.sign(order, &Fixture::payer()).await;
    for request in [elsewhere, other_chain, other_token, other_payee] {
        let refused = relay.relay(&request).await.unwrap_err();
        assert!(matches!(refused, RelayError::NotOurs { .. }), "{refused}");
    }
    let mut little = stage.deposit(2, 1).await;
    let RelayOrder::Deposit { amount, .. } = &mut little.order else { panic!("a deposit") };
    *amount = Amount::new(DOLLAR - 1);
    assert_eq!(kind(&relay.relay(&little).await.unwrap_err()), ProblemType::RelayMinimum);
    assert_eq!(stage.sent().await, 0);
}

#[tokio::test]
async fn what_is_over_or_would_fail_is_not_sent() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let (account, amount) = (stage.fixture.account(), Amount::new(2 * DOLLAR));
    let now = stage.now().await;
    let later = SignedAuthorization { valid_after: now.plus_seconds(300), ..authorization(1, now.plus_seconds(600)) };
    for authorization in [authorization(1, now), authorization(1, now.plus_seconds(59)), later] {
        let order = stage.sign(RelayOrder::Deposit { account, amount, authorization }, &Fixture::payer()).await;
        let refused = relay.relay(&order).await.unwrap_err();
        assert!(matches!(refused, RelayError::Time { .. }), "{refused}");
    }
    // Somebody who holds nothing.
    let pauper = PrivateKeySigner::random();
    let (address, until) = (pauper.address(), now.plus_seconds(600));
    let account = Account { payer: address, authorized_signer: address, ..account };
    let order = RelayOrder::Deposit { account, amount, authorization: authorization(1, until) };
    let order = stage.sign(order, &pauper).await;
    let refused = relay.relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::WouldFail { .. }), "{refused}");
    assert_eq!((stage.sent().await, stage.spent().await), (0, Amount::ZERO));

    // Somebody else was quicker: it counts once, and is not paid for twice.
    let order = stage.deposit(2, 7).await;
    let other = stage.fixture.escrow(LocalChain::test_key(5)).await;
    let place = Place { nonce: 0, rival: None, fee_max: u128::MAX };
    let signed = other.sign_relayed(&order.order, place).await.unwrap();
    other.chain().broadcast(signed).await.unwrap();
    let refused = relay.relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::WouldFail { .. }), "{refused}");
    assert_eq!((stage.sent().await, stage.balance().await), (0, Amount::new(7 * DOLLAR)));
}

#[tokio::test]
async fn the_days_gas_is_counted_to_the_wei_and_over_a_restart() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let before = stage.chain().balance(Fixture::payee().address()).await.unwrap();
    relay.relay(&stage.deposit(2, 1).await).await.unwrap();
    stage.settled().await;
    let paid = before.checked_sub(stage.chain().balance(Fixture::payee().address()).await.unwrap()).unwrap();
    assert_eq!(stage.spent().await, paid, "what it cost, not what it could have");

    let order = stage.deposit(2, 2).await;
    let Stage { fixture, folder, payee, watcher, escrow, redeemer } = stage;
    drop((relay, payee, watcher, redeemer, escrow));
    wait_until("the ledger is released", || async {
        EmbeddedStore::open(&folder.path().join("ledger.redb"), &fixture.identity()).is_ok()
    })
    .await;
    let payee = fixture.start_payee(folder.path()).await;
    let escrow = fixture.escrow(Fixture::payee()).await;
    let redeemer = Redeemer::new(payee.clone(), escrow.clone());
    let tight = RelayLimits { gas_budget_per_day: paid, ..limits() };
    let refused = Relay::start(redeemer.clone(), tight).await.unwrap().relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::BudgetSpent { spent, .. } if spent == paid), "{refused}");
    let last_second = Timestamp::from_unix_seconds(86_399);
    assert_eq!(refused.retry_after(last_second), Some(1), "tomorrow");
    let frugal = RelayLimits { gas_max: 80_000, ..limits() };
    let refused = Relay::start(redeemer.clone(), frugal).await.unwrap().relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::TooMuchGas { gas, .. } if gas > 80_000), "{refused}");
    let dear = RelayLimits { gas_price_max: 1, ..limits() };
    let refused = Relay::start(redeemer.clone(), dear).await.unwrap().relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::GasTooDear { .. }), "{refused}");
    assert_eq!(escrow.chain().transactions_of(Fixture::payee().address()).await.unwrap(), 1);
    Relay::start(redeemer, limits()).await.unwrap().relay(&order).await.expect("within the budget it is sent");
}

/// What a creator needs to redeem before a reservation leaves is not given away.
#[tokio::test]
async fn the_wallet_keeps_enough_to_redeem_with() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let order = stage.deposit(2, 1).await;
    let give = |wei: u128| stage.fixture.local.give_ether(stage.chain(), Fixture::payee().address(), Amount::new(wei));
    give(10_u128.pow(15)).await.unwrap();
    let refused = relay.relay(&order).await.unwrap_err();
    let RelayError::WalletLow { required, .. } = refused else { panic!("{refused}") };
    assert_eq!((stage.sent().await, stage.spent().await), (0, Amount::ZERO));
    give(required.base_units() * 2).await.unwrap();
    relay.relay(&order).await.expect("with enough it is sent");
}

#[tokio::test]
async fn a_payer_has_its_share_of_the_day_and_no_more() {
    let stage = Stage::new().await;
    let relay = stage.relay(RelayLimits { orders_per_payer_and_day: 2, ..limits() }).await;
    for salt in 1..=2 {
        relay.relay(&stage.deposit(1, salt).await).await.unwrap();
        stage.settled().await;
    }
    let refused = relay.relay(&stage.deposit(1, 3).await).await.unwrap_err();
    assert_eq!(kind(&refused), ProblemType::RelayTooMany, "{refused}");
    assert_eq!(stage.sent().await, 2);
}

#[tokio::test]
async fn withdrawals_are_relayed_for_customers_and_leave_what_they_owe() {
    let mut stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    let refused = relay.relay(&stage.withdrawal(DOLLAR, 0).await).await.unwrap_err();
    assert!(matches!(refused, RelayError::Stranger { .. }), "{refused}");
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/1", DIME).await.unwrap();
    let refused = relay.relay(&stage.withdrawal(5 * DOLLAR, 0).await).await.unwrap_err();
    let owed_and_held = (Amount::new(DIME), Amount::new(5 * DOLLAR));
    assert!(matches!(refused, RelayError::Owes { balance, owed, .. } if (owed, balance) == owed_and_held), "{refused}");
    let refused = relay.relay(&stage.withdrawal(DOLLAR - 1, 0).await).await.unwrap_err();
    assert_eq!(kind(&refused), ProblemType::RelayMinimum, "{refused}");
    relay.relay(&stage.withdrawal(4 * DOLLAR, 0).await).await.unwrap();
    stage.settled().await;
    // The same nonce again is nothing that the escrow takes.
    let refused = relay.relay(&stage.withdrawal(DOLLAR / 2, 0).await).await.unwrap_err();
    assert_eq!(kind(&refused), ProblemType::RelayMinimum, "{refused}");
    let rest = DOLLAR - DIME;
    let refused = relay.relay(&stage.withdrawal(rest, 0).await).await.unwrap_err();
    assert!(matches!(refused, RelayError::WouldFail { .. }), "a used nonce: {refused}");
    // All that is left is relayed, though it is less than the minimum.
    relay.relay(&stage.withdrawal(rest, 1).await).await.unwrap();
    stage.settled().await;
    assert_eq!(stage.balance().await, Amount::new(DIME), "what is owed stays");
    assert_eq!(stage.sent().await, 2);

    // The watcher has seen it go: nothing more is served on credit.
    stage.watcher.step().await.unwrap();
    let refused = buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/2", 2 * DIME).await.unwrap_err();
    assert_eq!(refused.problem().problem_type(), Some(ProblemType::InsufficientBalance));
    let redeemed = stage.redeemer.redeem().await.unwrap().done;
    assert_eq!(redeemed[0].paid, Amount::new(DIME), "and what was owed is paid");
}

/// A favour never holds up the creator's own money, and what was pushed aside can be sent again.
#[tokio::test]
async fn a_redemption_takes_the_place_of_what_is_stuck() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/1", DIME).await.unwrap();
    let order = stage.deposit(2, 1).await;
    automine(stage.chain(), false).await;
    let stuck = relay.relay(&order).await.unwrap();
    assert!(stage.spent().await > Amount::ZERO, "set aside before it is sent");
    assert_eq!(relay.relay(&order).await.unwrap(), stuck, "it waits, and is not sent again");
    // Its turn ends after the time that a transaction may take; blocks come again.
    tokio::time::sleep(PATIENCE).await;
    let redeemer = stage.redeemer.clone();
    let redeeming = tokio::spawn(async move { redeemer.redeem().await });
    let next = || async { stage.payee.store().redemptions().await.unwrap().iter().any(|record| !record.is_relayed()) };
    wait_until("the redemption is written down", next).await;
    ask(stage.chain(), "evm_mine", json!([])).await;
    let redeemed = redeeming.await.unwrap().unwrap().done;
    assert_eq!((redeemed.len(), redeemed[0].paid), (1, Amount::new(DIME)));
    assert_eq!((stage.sent().await, stage.spent().await), (1, Amount::ZERO), "what was pushed aside cost nothing");
    automine(stage.chain(), true).await;
    assert_ne!(relay.relay(&order).await.unwrap(), stuck, "sent again");
    stage.settled().await;
    assert_eq!((stage.sent().await, stage.balance().await), (2, Amount::new(7 * DOLLAR - DIME)));
}

#[tokio::test]
async fn a_redemption_that_waits_is_not_pushed_aside() {
    let stage = Stage::new().await;
    let relay = stage.relay(limits()).await;
    buy(&stage.fixture, &stage.payee, &stage.fixture.channel(0), "/1", DIME).await.unwrap();
    let order = stage.deposit(2, 1).await;
    automine(stage.chain(), false).await;
    stage.redeemer.redeem().await.expect_err("not mined in time");
    let refused = relay.relay(&order).await.unwrap_err();
    assert!(matches!(refused, RelayError::Busy), "{refused}");
    ask(stage.chain(), "evm_mine", json!([])).await;
    automine(stage.chain(), true).await;
    relay.relay(&order).await.unwrap();
    stage.settled().await;
    assert_eq!(stage.fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    assert_eq!((stage.sent().await, stage.balance().await), (2, Amount::new(7 * DOLLAR - DIME)));
}

/// On a rollup the bytes of an order may cost more than its gas.
#[tokio::test]
async fn a_rollups_data_fee_counts_against_the_budget() {
    let stage = Stage::new().await;
    let relay = stage.relay(RelayLimits { gas_budget_per_day: Amount::new(10_u128.pow(15)), ..limits() }).await;
    put_oracle(stage.chain(), 1_000 * PER_BYTE).await;
    let refused = relay.relay(&stage.deposit(2, 1).await).await.unwrap_err();
    let RelayError::BudgetSpent { cost, .. } = refused else { panic!("{refused}") };
    assert!(cost > Amount::new(100 * 1_000 * PER_BYTE), "{cost}");
    put_oracle(stage.chain(), 0).await;
    relay.relay(&stage.deposit(2, 1).await).await.unwrap();
}

/// The dollars that most people hold sign with version 2, and tell nobody.
#[tokio::test]
async fn a_dollar_whose_domain_has_version_two_is_relayed_as_well() {
    let mut fixture = Fixture::start().await;
    let maker = fixture.connect(LocalChain::test_key(0)).await;
    fixture.token.address = crate::signing::token(&maker, "2", false, B256::ZERO).await;
    crate::signing::mint(&maker, fixture.token.address, Fixture::payer().address(), 2 * DOLLAR).await;
    let folder = tempfile::tempdir().unwrap();
    let payee = fixture.start_payee(folder.path()).await;
    let escrow = fixture.escrow(Fixture::payee()).await;
    let watcher = Watcher::new(payee.clone(), escrow.clone());
    let redeemer = Redeemer::new(payee.clone(), escrow.clone());
    let stage = Stage { fixture, folder, payee, watcher, escrow, redeemer };
    let relay = stage.relay(limits()).await;
    relay.relay(&stage.deposit(2, 1).await).await.unwrap();
    stage.settled().await;
    assert_eq!((stage.sent().await, stage.balance().await), (1, Amount::new(2 * DOLLAR)));
}
