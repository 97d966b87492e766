//! Transactions that wait, are undone or find another state than they were simulated on.

use super::{IMPATIENT, ask, automine, not_mined, records, settle, sold};
use crate::payee::DIME;
use alloy::primitives::U256;
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use farthing::chain::{Chain, ChainError, Place};
use farthing::core::Amount;
use farthing::core::redemption::RedemptionTerms;
use farthing::escrow::{Escrow, EscrowError};
use farthing::payee::redeemer::{Patience, RedeemError};
use farthing::payee::store::RedemptionState;
use farthing::payee::{Payee, Redeemer, RedemptionOptions};
use farthing_testkit::{Fixture, wait_until};
use serde_json::json;
use std::time::Duration;

/// Two blocks, however fast they come.
const TWO_BLOCKS: Patience = Patience { blocks: 2, at_least: Duration::ZERO };

async fn redeemer(fixture: &Fixture, payee: &Payee, chain: &Chain) -> Redeemer {
    super::redeemer(fixture, payee, chain.clone()).await.with_patience(TWO_BLOCKS)
}

async fn base_fee(chain: &Chain) -> u128 {
    let latest = chain.provider().get_block_by_number(Default::default()).await.unwrap().unwrap().header;
    latest.base_fee_per_gas.unwrap().into()
}

/// A block in which gas costs this: nothing that offers less is in it.
async fn mine_at(chain: &Chain, base_fee: u128) {
    ask(chain, "anvil_setNextBlockBaseFeePerGas", json!([U256::from(base_fee)])).await;
    ask(chain, "evm_mine", json!([])).await;
}

async fn sent(payee: &Payee) -> usize {
    payee.store().redemptions().await.unwrap().len()
}

#[tokio::test]
async fn what_is_not_mined_within_the_patience_is_replaced_without_anybody() {
    let (fixture, _folder, payee, chain) = sold(2).await;
    automine(&chain, false).await;
    let redeemer = redeemer(&fixture, &payee, &chain).await;
    let redeeming = tokio::spawn({
        let redeemer = redeemer.clone();
        async move { redeemer.redeem().await }
    });
    wait_until("it is sent", || async { chain.next_nonce_of(Fixture::payee().address()).await.unwrap() == 1 }).await;
    let dear = base_fee(&chain).await * 3;
    wait_until("more is offered for its place", || async {
        mine_at(&chain, dear).await;
        sent(&payee).await > 1
    })
    .await;
    wait_until("it is mined", || async {
        ask(&chain, "evm_mine", json!([])).await;
        redeeming.is_finished()
    })
    .await;
    let done = redeeming.await.unwrap().unwrap().done;
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(2 * DIME)));
    automine(&chain, true).await;
    settle(&fixture, &redeemer).await;
    let mut records = records(&payee).await;
    records.sort_by_key(|record| record.fees.max_fee_per_gas);
    assert!(records.iter().all(|record| record.nonce == 0), "{records:?}");
    let (first, last) = (&records[0], &records[records.len() - 1]);
    assert!(last.fees.max_fee_per_gas >= dear && first.fees.max_fee_per_gas < dear, "{records:?}");
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
}

/// While no blocks come, nothing is gained by offering more.
#[tokio::test]
async fn nothing_is_replaced_while_the_chain_stands_still() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    let chain = chain.with_mined_within(Duration::from_secs(2));
    not_mined(redeemer(&fixture, &payee, &chain).await.redeem().await);
    assert_eq!(sent(&payee).await, 1);
}

/// It waits for gas to get cheaper, at its place.
#[tokio::test]
async fn a_replacement_offers_no_more_than_the_owner_pays() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    let base_fee = base_fee(&chain).await;
    // Twice the base fee is what would be offered at first.
    let cap = base_fee * 3 / 2;
    let terms = RedemptionTerms { gas_price_max: Amount::new(cap), ..RedemptionTerms::default() };
    let options = RedemptionOptions { terms, ..RedemptionOptions::default() };
    let redeemer = redeemer(&fixture, &payee, &chain).await.with_terms(&options);
    let redeeming = tokio::spawn({
        let redeemer = redeemer.clone();
        async move { redeemer.redeem().await }
    });
    wait_until("it is sent", || async { chain.next_nonce_of(Fixture::payee().address()).await.unwrap() == 1 }).await;
    wait_until("it has given up", || async {
        mine_at(&chain, base_fee * 3).await;
        redeeming.is_finished()
    })
    .await;
    let refused = redeeming.await.unwrap().unwrap_err();
    let is_too_dear = |error: &RedeemError| matches!(error, RedeemError::Escrow(EscrowError::Chain(ChainError::TooDear { maximum, .. })) if *maximum == cap);
    assert!(is_too_dear(&refused), "{refused:?}");
    let waiting = records(&payee).await;
    assert!(waiting.iter().all(|record| record.fees.max_fee_per_gas <= cap), "{waiting:?}");
    assert!(waiting.iter().any(|record| record.state == RedemptionState::Sent), "{waiting:?}");
    mine_at(&chain, base_fee / 2).await;
    automine(&chain, true).await;
    // What waited may be mined while this looks: then the attempt fails, and the next one finds it.
    wait_until("it is redeemed", || async { redeemer.redeem().await.is_ok() }).await;
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    assert_eq!(chain.transactions_of(Fixture::payee().address()).await.unwrap(), 1);
}

/// The payer was quicker within the same block: the transaction is mined, pays nothing, and is settled when that is final.
#[tokio::test]
async fn what_reverts_after_its_simulation_has_failed_when_that_is_final() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    automine(&chain, false).await;
    let redeemer = redeemer(&fixture, &payee, &chain).await;
    let redeeming = tokio::spawn({
        let redeemer = redeemer.clone();
        async move { redeemer.redeem().await }
    });
    wait_until("it is sent", || async { chain.next_nonce_of(Fixture::payee().address()).await.unwrap() == 1 }).await;
    withdraw_all_before(&fixture).await;
    ask(&chain, "evm_mine", json!([])).await;
    let reverted = redeeming.await.unwrap().unwrap_err();
    assert!(reverted.to_string().contains("mined and reverted"), "{reverted}");
    assert_eq!(records(&payee).await[0].state, RedemptionState::Sent, "a reorg may still let it pay");
    automine(&chain, true).await;
    settle(&fixture, &redeemer).await;
    assert_eq!(records(&payee).await[0].state, RedemptionState::Failed);
    let again = redeemer.redeem().await.unwrap_err();
    assert!(matches!(again, RedeemError::Uncovered { owed } if owed == Amount::new(DIME)), "{again:?}");
    assert_eq!(sent(&payee).await, 1, "and no gas is paid for it again");
}

/// Withdraws all that is in the payer's account, for so high a tip that it comes first in its block.
async fn withdraw_all_before(fixture: &Fixture) {
    use alloy::sol_types::SolCall;
    use farthing::escrow::bindings::Escrow as abi;
    let payer = fixture.escrow(Fixture::payer()).await;
    let account = fixture.account();
    let amount = U256::from(payer.account_balance(&account).await.unwrap().base_units());
    let abi_account =
        abi::Account { payer: account.payer, authorizedSigner: account.authorized_signer, token: account.token };
    let call = abi::withdrawCall { account: abi_account, amount, to: account.payer };
    let request = TransactionRequest::default().to(fixture.deployment.escrow).input(call.abi_encode().into());
    let high = farthing::chain::Fees { max_fee_per_gas: 1 << 40, max_priority_fee_per_gas: 1 << 39 };
    let nonce = payer.chain().next_nonce_of(account.payer).await.unwrap();
    let place = Place { nonce, rival: Some(high), fee_max: u128::MAX };
    let signed = payer.chain().sign_at(request, place).await.unwrap();
    payer.chain().submit(&signed).await.unwrap();
}

/// Something of ours was dropped, and the same key's next transaction waits behind the gap: the gap is filled.
#[tokio::test]
async fn a_gap_is_filled() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let address = Fixture::payee().address();
    automine(&chain, false).await;
    not_mined(super::redeemer(&fixture, &payee, chain.clone().with_mined_within(IMPATIENT)).await.redeem().await);
    let request = TransactionRequest::default().to(address).value(U256::from(1));
    let behind = chain.sign_at(request, Place { nonce: 1, rival: None, fee_max: u128::MAX }).await.unwrap();
    ask(&chain, "anvil_dropTransaction", json!([records(&payee).await[0].hash])).await;
    chain.submit(&behind).await.unwrap();
    automine(&chain, true).await;
    assert_eq!(chain.transactions_of(address).await.unwrap(), 0, "it waits");
    let redeemer = redeemer(&fixture, &payee, &chain).await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    wait_until("both are mined", || async {
        ask(&chain, "evm_mine", json!([])).await;
        chain.transactions_of(address).await.unwrap() == 2
    })
    .await;
    assert!(records(&payee).await.iter().all(|record| record.nonce == 0));
}

/// What a redemption paid is what the escrow says in its receipt, also when it is found after a restart.
#[tokio::test]
async fn what_was_paid_is_read_from_the_receipt() {
    let (fixture, _folder, payee, chain) = sold(1).await;
    let redeemer = redeemer(&fixture, &payee, &chain).await;
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
    crate::payee::buy(&fixture, &payee, &fixture.channel(0), "/2", 3 * DIME).await.unwrap();
    crate::payee::buy(&fixture, &payee, &fixture.channel(0), "/3", 2 * DIME).await.unwrap();
    let done = redeemer.redeem().await.unwrap().done;
    assert_eq!(done[0].paid, Amount::new(2 * DIME), "what the total has grown by");
    let payer: Escrow = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&fixture.channel(0), Amount::new(5 * DIME)).await.unwrap();
    crate::payee::buy(&fixture, &payee, &fixture.channel(0), "/4", 4 * DIME).await.unwrap();
    let closed = redeemer.close(fixture.channel(0).id(&fixture.deployment)).await.unwrap();
    assert_eq!((closed.paid, closed.refunded), (Amount::new(DIME), Amount::new(4 * DIME)));
}
