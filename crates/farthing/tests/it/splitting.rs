//! Splits and operators against real contracts.

use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::U256;
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{SolCall, SolValue};
use farthing::PrivateKeySigner;
use farthing::chain::ChainError;
use farthing::core::{Address, Amount, Member, SplitTerms};
use farthing::escrow::EscrowError;
use farthing::local_chain::{LocalChain, mint_demo_dollars};
use farthing::split::bindings::factory::RevenueSplitFactory as factory_abi;
use farthing::split::{self, Part, Split, SplitError, factory_address, split_address};
use farthing_testkit::Fixture;

/// Anvil's test keys 4, 5 and 6, in ascending order of their addresses.
fn band() -> Vec<PrivateKeySigner> {
    let mut keys: Vec<PrivateKeySigner> = (4..7).map(LocalChain::test_key).collect();
    keys.sort_by_key(PrivateKeySigner::address);
    keys
}

fn terms(fixture: &Fixture, shares: [u64; 3]) -> SplitTerms {
    let members = band().iter().zip(shares).map(|(key, shares)| Member { account: key.address(), shares }).collect();
    let operator = LocalChain::test_key(3).address();
    SplitTerms::new(fixture.deployment.escrow, operator, operator, members).unwrap()
}

async fn dollars(fixture: &Fixture, to: Address, amount: u128) {
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    mint_demo_dollars(&chain, fixture.token.address, to, Amount::new(amount)).await.unwrap();
}

/// The address is worked out without the chain, and the chain agrees: on the factory's, the clones' and the terms.
#[tokio::test]
async fn a_split_is_where_its_terms_say_and_is_deployed_once() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let terms = terms(&fixture, [1, 1, 1]);
    let absent = Split::bind(chain.clone(), split_address(&terms)).await;
    assert!(matches!(absent, Err(SplitError::NoCode { .. })), "{absent:?}");

    let deployed = split::deploy(&chain, &terms).await.unwrap();
    assert_eq!(deployed.mined.len(), 2, "the factory and the split");
    assert_eq!(deployed.split.address(), split_address(&terms));
    let again = split::deploy(&chain, &terms).await.unwrap();
    assert_eq!((again.split.address(), again.mined.len()), (deployed.split.address(), 0));

    for shares in [[1, 1, 1], [7, 2, 1], [1, 1, 9_998]] {
        let terms = self::terms(&fixture, shares);
        let asked = factory_abi::SplitTerms {
            escrow: terms.escrow(),
            operator: terms.operator(),
            receiptKey: terms.receipt_key(),
            members: terms
                .members()
                .iter()
                .map(|member| factory_abi::Member { account: member.account, shares: U256::from(member.shares) })
                .collect(),
        };
        let call = factory_abi::addressOfCall { terms: asked }.abi_encode();
        let request = TransactionRequest::default().with_to(factory_address()).with_input(call);
        let answer = chain.call(request, BlockNumberOrTag::Latest).await.unwrap();
        assert_eq!(Address::abi_decode(&answer).unwrap(), split_address(&terms), "{shares:?}");
        let other = split::deploy(&chain, &terms).await.unwrap();
        assert_eq!(other.mined.len(), usize::from(shares != [1, 1, 1]), "the factory was there");
        let bound = Split::bind(chain.clone(), other.split.address()).await.unwrap();
        assert_eq!(bound.terms(), &terms);
    }
    let escrow = fixture.escrow(LocalChain::test_key(0)).await;
    assert!(escrow.is_operator(deployed.split.address(), terms.operator()).await.unwrap(), "appointed at creation");
}

/// A contract that only says what a split says has another address than a split of its terms.
#[tokio::test]
async fn what_is_no_genuine_split_is_refused() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    for address in [fixture.deployment.escrow, fixture.token.address, farthing::escrow::CREATE2_DEPLOYER] {
        let refused = Split::bind(chain.clone(), address).await;
        assert!(matches!(refused, Err(SplitError::NotGenuine { .. })), "{refused:?}");
    }
    // The very code of a split, at an address of somebody's choice.
    let split = split::deploy(&chain, &terms(&fixture, [1, 1, 1])).await.unwrap().split;
    let code = chain.provider().get_code_at(split.address()).await.unwrap();
    let copy = Address::repeat_byte(0x77);
    let () = chain.provider().raw_request("anvil_setCode".into(), (copy, code)).await.unwrap();
    let refused = Split::bind(chain, copy).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("would be at {}", split.address())), "{refused}");
}

#[tokio::test]
async fn members_release_what_the_rule_says_to_the_base_unit() {
    let fixture = Fixture::start().await;
    let terms = terms(&fixture, [1, 1, 1]);
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let split = split::deploy(&chain, &terms).await.unwrap().split;
    let token = fixture.token.address;
    dollars(&fixture, split.address(), 2_000_000).await;

    let parts = split.parts(token).await.unwrap();
    let due = |parts: &[Part]| parts.iter().map(|part| part.due.base_units()).collect::<Vec<_>>();
    assert_eq!(due(&parts), [666_667, 666_667, 666_666], "the last round has two base units");
    for part in &parts {
        assert_eq!(part.due, terms.part_of(part.member.account, Amount::new(2_000_000)));
        assert_eq!(split.releasable(token, part.member.account).await.unwrap(), part.due);
    }
    let band = band();
    split.release(token, band[0].address()).await.unwrap();
    assert_eq!(fixture.dollars_of(band[0].address()).await, Amount::new(666_667));
    let twice = split.release(token, band[0].address()).await.unwrap_err();
    assert!(twice.to_string().contains("is due nothing of this token"), "{twice}");

    // One base unit more is the third's, since the round goes on where it stood.
    dollars(&fixture, split.address(), 1).await;
    assert_eq!(due(&split.parts(token).await.unwrap()), [0, 666_667, 666_667]);

    let elsewhere = Address::repeat_byte(0x99);
    let third = Split::bind(fixture.connect(band[2].clone()).await, split.address()).await.unwrap();
    third.release_to(token, elsewhere).await.unwrap();
    assert_eq!(fixture.dollars_of(elsewhere).await, Amount::new(666_667));
    let stranger = split.release_to(token, elsewhere).await.unwrap_err();
    assert!(matches!(stranger, SplitError::NotMember { .. }), "{stranger}");
    let stranger = split.release(token, elsewhere).await.unwrap_err();
    assert!(matches!(stranger, SplitError::NotMember { .. }), "{stranger}");

    let parts = split.parts(token).await.unwrap();
    assert_eq!(parts[2].released, Amount::new(666_667));
    assert_eq!(fixture.dollars_of(split.address()).await, Amount::new(666_667), "the second's, who is in no hurry");
}

/// Ether that a redemption or anybody sends is dealt out as any token is.
#[tokio::test]
async fn the_native_coin_is_dealt_out_as_well() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let split = split::deploy(&chain, &terms(&fixture, [2, 1, 1])).await.unwrap().split;
    fixture.local.give_ether(&chain, split.address(), Amount::new(7)).await.unwrap();
    let parts = split.parts(Address::ZERO).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.due.base_units()).collect::<Vec<_>>(), [4, 2, 1]);
    let first = band()[0].address();
    let before = chain.balance(first).await.unwrap();
    split.release(Address::ZERO, first).await.unwrap();
    assert_eq!(chain.balance(first).await.unwrap(), Amount::new(before.base_units() + 4));
}

/// The rule is written twice, in the core and in the contract. They agree on small totals, where a round is not full, and
/// on the largest; with members first, last and alone in a round.
#[tokio::test]
async fn the_core_and_the_contract_deal_out_alike() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    for shares in [[1, 1, 1], [1, 2, 3], [5, 1, 1], [9_998, 1, 1], [3_333, 3_334, 3_333]] {
        let terms = terms(&fixture, shares);
        let split = split::deploy(&chain, &terms).await.unwrap().split;
        let total = u128::from(terms.total_shares());
        let around = [0, 1, 2, total / 2, total - 1, total, total + 1, 7 * total + 3, 1_234_567_890];
        for received in around.into_iter().chain([u128::MAX - 1, u128::MAX]) {
            let received = Amount::new(received);
            fixture.local.give_ether(&chain, split.address(), received).await.unwrap();
            for part in split.parts(Address::ZERO).await.unwrap() {
                assert_eq!(part.due, terms.part_of(part.member.account, received), "{shares:?} {received}");
            }
        }
    }
}

#[tokio::test]
async fn terms_that_no_code_can_hold_are_refused_before_anything_is_sent() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let member = |index: u64| Member { account: Address::left_padding_from(&index.to_be_bytes()), shares: 1 };
    let operator = LocalChain::test_key(3).address();
    let of = |count: u64| {
        SplitTerms::new(fixture.deployment.escrow, operator, operator, (1..=count).map(member).collect()).unwrap()
    };
    let sender = chain.sender().unwrap();
    let before = chain.transactions_of(sender).await.unwrap();
    for count in [381, 1_100, 10_000] {
        let refused = split::deploy(&chain, &of(count)).await.unwrap_err();
        assert!(matches!(refused, SplitError::TooLong { .. }), "{refused}");
    }
    assert_eq!(chain.transactions_of(sender).await.unwrap(), before);
    let most = of(379);
    assert_eq!(split::deploy(&chain, &most).await.unwrap().split.address(), split_address(&most));
}

#[tokio::test]
async fn a_payee_names_and_dismisses_its_operators() {
    let fixture = Fixture::start().await;
    let payee = Fixture::payee();
    let operator = LocalChain::test_key(3).address();
    let escrow = fixture.escrow(payee.clone()).await;
    assert!(!escrow.is_operator(payee.address(), operator).await.unwrap());
    escrow.set_operator(operator, true).await.unwrap();
    assert!(escrow.is_operator(payee.address(), operator).await.unwrap());
    assert!(!escrow.is_operator(Fixture::payer().address(), operator).await.unwrap(), "of this payee only");
    escrow.set_operator(operator, false).await.unwrap();
    assert!(!escrow.is_operator(payee.address(), operator).await.unwrap());
    let read_only = farthing::chain::Chain::connect(fixture.local.url(), None).await.unwrap();
    let read_only = farthing::escrow::Escrow::bind(read_only, fixture.deployment.escrow).await.unwrap();
    let refused = read_only.set_operator(operator, true).await;
    assert!(matches!(refused, Err(EscrowError::Chain(ChainError::ReadOnly))), "{refused:?}");
}
