//! What a coin is worth, by what a creator says and by what a feed says.

use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, I256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use farthing::chain::Chain;
use farthing::core::gas::CoinPrice;
use farthing::core::{Amount, Timestamp, Token};
use farthing::payee::coin_price::{CoinPriceError, FEED_AGE_MAX};
use farthing::payee::{CoinPriceSource, CoinPrices};
use farthing_testkit::Fixture;
use std::time::{SystemTime, UNIX_EPOCH};

mod bindings {
    alloy::sol!(
        #[derive(Debug)]
        TestFeed,
        "tests/abi/TestFeed.json"
    );
}
use bindings::TestFeed;

async fn deploy_feed(chain: &Chain) -> Address {
    let sender = chain.sender().unwrap();
    let address = sender.create(chain.next_nonce_of(sender).await.unwrap());
    let code = TestFeed::BYTECODE.to_vec();
    chain.send(TransactionRequest::default().with_deploy_code(code)).await.unwrap();
    address
}

async fn say(chain: &Chain, feed: Address, decimals: u8, answer: I256, updated_at: u64) {
    let call = TestFeed::setCall { decimals_: decimals, answer, updatedAt: U256::from(updated_at) };
    chain.send(TransactionRequest::default().with_to(feed).with_input(call.abi_encode())).await.unwrap();
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn price(base_units: u128) -> CoinPrice {
    CoinPrice::new(Amount::new(base_units)).unwrap()
}

#[tokio::test]
async fn a_feeds_price_counts_while_it_is_fresh_and_more_than_nothing() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(Fixture::payee()).await;
    let feed = deploy_feed(&chain).await;
    let prices = CoinPrices::new(CoinPriceSource::Feed(feed), &fixture.token);
    let dollars = |dollars: i64| I256::try_from(dollars * 100_000_000).unwrap();

    say(&chain, feed, 8, dollars(3_000), now()).await;
    assert_eq!(prices.read(&chain).await.unwrap(), Some(price(3_000_000_000)));
    say(&chain, feed, 0, I256::try_from(2_500).unwrap(), now()).await;
    assert_eq!(prices.read(&chain).await.unwrap(), Some(price(2_500_000_000)), "its own decimals count");

    say(&chain, feed, 8, dollars(3_000), now() - FEED_AGE_MAX + 60).await;
    assert_eq!(prices.read(&chain).await.unwrap(), Some(price(3_000_000_000)), "a day old, as slow feeds are");
    for updated_at in [now() - FEED_AGE_MAX - 60, now() + FEED_AGE_MAX + 60, 0] {
        say(&chain, feed, 8, dollars(3_000), updated_at).await;
        assert!(matches!(prices.read(&chain).await, Err(CoinPriceError::Stale { .. })), "{updated_at}");
        assert_eq!(prices.read_or_warn(&chain).await, None, "no price, never a wrong one");
    }
    for answer in [I256::ZERO, I256::MINUS_ONE, I256::MIN, I256::MAX] {
        say(&chain, feed, 8, answer, now()).await;
        assert!(matches!(prices.read(&chain).await, Err(CoinPriceError::NoPrice { .. })), "{answer}");
    }
    say(&chain, feed, 255, dollars(3_000), now()).await;
    assert!(matches!(prices.read(&chain).await, Err(CoinPriceError::NotAFeed { .. })));
    say(&chain, feed, 8, dollars(3_000), now()).await;
    assert_eq!(prices.read_or_warn(&chain).await, Some(price(3_000_000_000)), "known again");
}

#[tokio::test]
async fn what_is_no_feed_gives_no_price() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(Fixture::payee()).await;
    for address in [Address::repeat_byte(7), fixture.token.address, fixture.deployment.escrow] {
        let prices = CoinPrices::new(CoinPriceSource::Feed(address), &fixture.token);
        let error = prices.read(&chain).await.unwrap_err();
        assert!(matches!(error, CoinPriceError::NotAFeed { feed } if feed == address), "{error}");
    }
    let unknown = CoinPrices::new(CoinPriceSource::Unknown, &fixture.token);
    assert_eq!(unknown.read(&chain).await.unwrap(), None);
    let coin = Token { address: Address::ZERO, ..fixture.token.clone() };
    let itself = CoinPrices::new(CoinPriceSource::Unknown, &coin);
    assert_eq!(itself.read(&chain).await.unwrap(), Some(CoinPrice::OF_ITSELF), "a coin needs no price of itself");
    fixture.local.stop().await;
    let feed = CoinPrices::new(CoinPriceSource::Feed(Address::repeat_byte(7)), &coin);
    assert_eq!(feed.read(&chain).await.unwrap(), Some(CoinPrice::OF_ITSELF));
    let feed = CoinPrices::new(CoinPriceSource::Feed(Address::repeat_byte(7)), &fixture.token);
    assert!(matches!(feed.read(&chain).await, Err(CoinPriceError::Chain { .. })), "a dead chain says nothing");
}

#[tokio::test]
async fn gas_costs_the_next_blocks_base_fee_and_a_tip() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(Fixture::payee()).await;
    let price = chain.gas_price().await.unwrap();
    let mined = chain.send(TransactionRequest::default().with_to(Address::repeat_byte(1))).await.unwrap();
    assert_eq!(Amount::new(mined.gas_price), price, "what was asked for is what a transaction pays");
}

#[tokio::test]
async fn a_history_of_fees_says_what_each_block_asked_for() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(Fixture::payee()).await;
    fixture.local.mine(&chain, 20).await.unwrap();
    let moments = chain.fee_history(Timestamp::from_unix_seconds(0), 1_000).await.unwrap();
    let head = chain.head().await.unwrap().number;
    assert_eq!(moments.len() as u64, head + 1, "every block: there are fewer than samples");
    for (number, moment) in (0..).zip(&moments) {
        let block = chain.provider().get_block_by_number(BlockNumberOrTag::Number(number)).await.unwrap().unwrap();
        let base_fee = u128::from(block.header.base_fee_per_gas.unwrap());
        let tip = moment.prices.gas_price.base_units().checked_sub(base_fee);
        assert!(tip.is_some_and(|tip| tip <= 2_000_000_000), "block {number}: {moment:?}, base fee {base_fee}");
        assert_eq!(moment.at.unix_seconds(), block.header.timestamp);
    }
    let few = chain.fee_history(Timestamp::from_unix_seconds(0), 5).await.unwrap();
    assert!((2..=6).contains(&few.len()), "bounded: {few:?}");
    assert_eq!(few.last(), moments.last());
    let later = Timestamp::from_unix_seconds(moments[10].at.unix_seconds());
    assert!(chain.fee_history(later, 1_000).await.unwrap().iter().all(|moment| moment.at >= later));
}
