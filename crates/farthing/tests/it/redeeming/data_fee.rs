//! What a rollup charges for a transaction's bytes, told by an oracle as the OP stack has one.

use super::{ask, sold};
use crate::payee::DIME;
use farthing::chain::{Chain, DataFees, GAS_PRICE_ORACLE};
use farthing::core::Amount;
use farthing::core::gas::CoinPrice;
use farthing::payee::{CoinPriceSource, RedemptionOptions};
use farthing_testkit::Fixture;
use serde_json::json;

/// A thousand gwei.
pub(crate) const PER_BYTE: u128 = 1_000_000_000_000;

/// Puts a contract where the OP stack has its oracle. Its `getL1Fee(bytes)` says so many wei for each byte.
pub(crate) async fn put_oracle(chain: &Chain, per_byte: u128) {
    // Calldata is a selector (4 bytes), an offset (32) and a length (32), and then the bytes.
    let length = "602435"; // PUSH1 36, CALLDATALOAD
    let fee = format!("6f{per_byte:032x}02"); // PUSH16 per_byte, MUL
    let answer = "5f5260205ff3"; // PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    ask(chain, "anvil_setCode", json!([GAS_PRICE_ORACLE, format!("0x{length}{fee}{answer}")])).await;
}

#[tokio::test]
async fn a_rollups_bytes_cost_what_its_oracle_says() {
    let (_fixture, _folder, _payee, chain) = sold(0).await;
    assert_eq!(chain.data_fees().await.unwrap(), DataFees::default(), "nobody charges for them elsewhere");
    put_oracle(&chain, PER_BYTE).await;
    let DataFees { transaction, row } = chain.data_fees().await.unwrap();
    // Its header takes fewer bytes than the largest numbers would.
    assert!((20 * PER_BYTE..100 * PER_BYTE).contains(&transaction.base_units()), "{transaction}");
    assert!((98 * PER_BYTE..99 * PER_BYTE).contains(&row.base_units()), "{row}");
    // Somebody else's contract there is no oracle.
    ask(&chain, "anvil_setCode", json!([GAS_PRICE_ORACLE, "0x5f5ffd"])).await;
    assert_eq!(chain.data_fees().await.unwrap(), DataFees::default());
}

/// The gas is nothing, and the bytes are dear: the redeemer waits.
#[tokio::test]
async fn a_redemption_waits_while_its_bytes_cost_too_much() {
    let (fixture, _folder, payee, chain) = sold(2).await;
    let redeemer = super::redeemer(&fixture, &payee, chain.clone()).await;
    // Two dimes for 75,000 gas at two gwei, which at $1 a coin is a hundredth of a cent; and whatever its bytes cost.
    let coin_price = CoinPriceSource::Set(CoinPrice::new(Amount::new(1_000_000)).unwrap());
    let options = RedemptionOptions { coin_price, ..RedemptionOptions::default() };
    put_oracle(&chain, 1_000 * PER_BYTE).await;
    redeemer.clone().runner(&options).step().await;
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 0);
    ask(&chain, "anvil_setCode", json!([GAS_PRICE_ORACLE, "0x"])).await;
    redeemer.runner(&options).step().await;
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(2 * DIME));
}
