//! What is signed for tokens and for relays, against the contracts that check it.

use crate::redeeming::{ask as ask_node, automine};
use alloy::consensus::Transaction;
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{SolCall, SolConstructor};
use farthing::chain::{Chain, Fees, Place};
use farthing::core::funding::{TokenDomain, Withdrawal, authorization_nonce};
use farthing::core::voucher::Domain;
use farthing::core::{Account, Amount, Timestamp};
use farthing::escrow::bindings::Escrow as abi;
use farthing::local_chain::LocalChain;
use farthing::token::{SigningError, balance_of, domain_of};
use farthing_testkit::Fixture;
use std::time::Duration;

mod bindings {
    alloy::sol!(
        #[derive(Debug)]
        DomainDollar,
        "tests/abi/DomainDollar.json"
    );
}
use bindings::DomainDollar;

const DOLLAR: u128 = 1_000_000;

/// A token with a domain of the test's choice.
pub(crate) async fn token(chain: &Chain, version: &str, tells: bool, borrowed: B256) -> Address {
    let constructor = DomainDollar::constructorCall {
        name_: "USD Coin".into(),
        version_: version.into(),
        tells_: tells,
        borrowed_: borrowed,
    };
    let code = [DomainDollar::BYTECODE.as_ref(), &constructor.abi_encode()].concat();
    let sender = chain.sender().unwrap();
    let address = sender.create(chain.next_nonce_of(sender).await.unwrap());
    chain.send(TransactionRequest::default().with_deploy_code(code)).await.unwrap();
    address
}

pub(crate) async fn mint(chain: &Chain, token: Address, to: Address, amount: u128) {
    let call = DomainDollar::mintCall { to, amount: U256::from(amount) };
    chain.send(TransactionRequest::default().with_to(token).with_input(call.abi_encode())).await.unwrap();
}

async fn ask<C: SolCall>(chain: &Chain, to: Address, call: C) -> C::Return {
    let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
    C::abi_decode_returns(&chain.call(request, Default::default()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn digests_and_nonces_are_those_of_the_contract() {
    let fixture = Fixture::start().await;
    let (chain, escrow) = (fixture.connect(Fixture::payer()).await, fixture.deployment.escrow);
    let account = Account { authorized_signer: Address::repeat_byte(7), ..fixture.account() };
    let (to, deadline) = (Address::repeat_byte(9), Timestamp::from_unix_seconds(1_900_000_000));
    for (amount, nonce) in [(1, 0), (Amount::MAX_ON_CHAIN.base_units(), u64::MAX)] {
        let withdrawal = Withdrawal { account, amount: Amount::new(amount), to, nonce, deadline };
        let call = abi::withdrawalDigestCall {
            account: abi::Account {
                payer: account.payer,
                authorizedSigner: account.authorized_signer,
                token: account.token,
            },
            amount: U256::from(amount),
            to,
            nonce: U256::from(nonce),
            deadline: U256::from(deadline.unix_seconds()),
        };
        assert_eq!(ask(&chain, escrow, call).await, withdrawal.digest(&Domain::new(fixture.deployment)));
    }
    let (id, salt) = (account.id().0, B256::repeat_byte(3));
    assert_eq!(ask(&chain, escrow, abi::authorizationNonceCall { id, salt }).await, authorization_nonce(id, salt));
}

#[tokio::test]
async fn a_tokens_domain_is_found_whether_or_not_it_tells() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    for (version, tells) in [("2", true), ("2", false), ("1", false), ("3", true), ("", true), ("", false)] {
        let token = token(&chain, version, tells, B256::ZERO).await;
        let domain = domain_of(&chain, token).await.unwrap();
        let said = ask(&chain, token, DomainDollar::DOMAIN_SEPARATORCall {}).await;
        assert_eq!(domain.separator(), said, "version {version:?}, tells: {tells}");
    }
    assert!(domain_of(&chain, fixture.token.address).await.is_ok(), "the demo's dollar");
}

/// Whoever signs in it would sign a transfer of the other token.
#[tokio::test]
async fn a_token_that_claims_anothers_domain_gets_no_signature() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let real = TokenDomain::new("Demo Dollar", Some("1"), chain.chain_id(), fixture.token.address).separator();
    assert_eq!(domain_of(&chain, fixture.token.address).await.unwrap().separator(), real);
    for (version, tells) in [("1", true), ("1", false), ("9", false)] {
        let borrowed = if version == "9" { B256::ZERO } else { real };
        let liar = token(&chain, version, tells, borrowed).await;
        let refused = domain_of(&chain, liar).await;
        assert!(
            matches!(refused, Err(SigningError::UnknownDomain { token, .. }) if token == liar),
            "{version} {refused:?}"
        );
    }
    let refused = domain_of(&chain, fixture.deployment.escrow).await;
    assert!(matches!(refused, Err(SigningError::Unsupported { .. })), "no token at all: {refused:?}");
}

#[tokio::test]
async fn a_permit_saves_the_approval_and_any_other_token_is_approved() {
    let fixture = Fixture::start().await;
    let (maker, payer) = (fixture.connect(LocalChain::test_key(0)).await, Fixture::payer().address());
    let escrow = fixture.escrow(Fixture::payer()).await;
    // The permit of a token without a version is checked in another domain than the token says, so it fails.
    for (version, transactions) in [("2", 1), ("", 2)] {
        let token = token(&maker, version, false, B256::ZERO).await;
        mint(&maker, token, payer, 5 * DOLLAR).await;
        let account = Account { token, ..fixture.account() };
        let mined = escrow.deposit(&account, Amount::new(3 * DOLLAR)).await.unwrap();
        assert_eq!(mined.len(), transactions, "version {version:?}");
        assert_eq!(escrow.account_balance(&account).await.unwrap(), Amount::new(3 * DOLLAR));
        let left = ask(&maker, token, DomainDollar::allowanceCall { owner: payer, spender: fixture.deployment.escrow });
        assert_eq!(left.await, U256::ZERO, "exactly the amount was allowed");
        let channel = farthing::core::Channel { token, ..fixture.channel(4) };
        let mined = escrow.open(&channel, Amount::new(2 * DOLLAR)).await.unwrap();
        assert_eq!(mined.len(), transactions);
        assert_eq!(balance_of(&maker, token, fixture.deployment.escrow).await.unwrap(), Amount::new(5 * DOLLAR));
    }
    // What was allowed before is used, and no permit is signed: its nonce stays.
    let token = token(&maker, "2", false, B256::ZERO).await;
    mint(&maker, token, payer, DOLLAR).await;
    let chain = fixture.connect(Fixture::payer()).await;
    farthing::token::approve_if_needed(&chain, token, fixture.deployment.escrow, Amount::new(DOLLAR)).await.unwrap();
    escrow.deposit(&Account { token, ..fixture.account() }, Amount::new(DOLLAR)).await.unwrap();
    assert_eq!(ask(&maker, token, DomainDollar::noncesCall { owner: payer }).await, U256::ZERO);
}

/// Whoever sees a permit on its way can show it to the token first. It allows the same, and the deposit goes on.
#[tokio::test]
async fn a_permit_that_somebody_shows_first_stops_no_deposit() {
    let fixture = Fixture::start().await;
    let (chain, token) = (fixture.connect(LocalChain::test_key(7)).await, fixture.token.address);
    let payer = Fixture::payer().address();
    automine(&chain, false).await;
    let (escrow, account) = (fixture.escrow(Fixture::payer()).await, fixture.account());
    let depositing = tokio::spawn(async move { escrow.deposit(&account, Amount::new(3 * DOLLAR)).await });
    let seen = loop {
        let pending = chain.provider().get_block_by_number(BlockNumberOrTag::Pending).full().await.unwrap().unwrap();
        let call =
            pending.transactions.as_transactions().unwrap_or_default().first().map(|found| found.input().clone());
        match call {
            Some(input) => break abi::depositWithPermitCall::abi_decode(&input).unwrap().permit,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let call = DomainDollar::permitCall {
        owner: payer,
        spender: fixture.deployment.escrow,
        value: U256::from(3 * DOLLAR),
        deadline: seen.deadline,
        v: seen.v,
        r: seen.r,
        s: seen.s,
    };
    let request = TransactionRequest::default().with_to(token).with_input(call.abi_encode());
    let rival = Some(Fees { max_fee_per_gas: 50_000_000_000, max_priority_fee_per_gas: 40_000_000_000 });
    let first = chain.sign_at(request, Place { nonce: 0, rival, fee_max: u128::MAX }).await.unwrap();
    chain.submit(&first).await.unwrap();
    ask_node(&chain, "evm_mine", serde_json::json!([])).await;
    automine(&chain, true).await;
    let mined = depositing.await.unwrap().unwrap();
    assert_eq!(mined.len(), 1);
    let (theirs, ours) =
        (chain.receipt(first.hash).await.unwrap().unwrap(), chain.receipt(mined[0].hash).await.unwrap());
    let ours = ours.unwrap();
    assert!(theirs.status() && theirs.block_number == ours.block_number, "in one block");
    assert!(theirs.transaction_index < ours.transaction_index, "theirs first");
    let escrow = fixture.escrow(Fixture::payer()).await;
    assert_eq!(escrow.account_balance(&fixture.account()).await.unwrap(), Amount::new(3 * DOLLAR));
    assert_eq!(
        ask(&chain, token, DomainDollar::noncesCall { owner: payer }).await,
        U256::from(1),
        "one permit was used"
    );
}
