//! What goes into a transaction: what would be paid, and no more than fits.

use super::{ask, redeemer};
use crate::payee::{DIME, buy, shop};
use alloy::primitives::U256;
use farthing::chain::Chain;
use farthing::core::{Amount, Channel, ChannelId};
use farthing::escrow::Escrow;
use farthing::local_chain::CHAIN_ID;
use farthing::payee::redeemer::{RedeemError, Redemptions};
use farthing::payee::{Payee, Redeemer, Watcher};
use farthing_testkit::Fixture;
use farthing_testkit::rpc_proxy::{Fault, RpcProxy, Rule};
use serde_json::json;
use tempfile::TempDir;

struct Stage {
    fixture: Fixture,
    _folder: TempDir,
    payee: Payee,
    watcher: Watcher,
    payer: Escrow,
}

impl Stage {
    /// One item sold on each channel, of which those from `reserved` on are paid from reservations.
    async fn new(channels: u8, reserved: u8) -> Self {
        let (fixture, folder, payee, mut watcher) = shop().await;
        let payer = fixture.escrow(Fixture::payer()).await;
        for salt in reserved..channels {
            payer.reserve(&fixture.channel(salt), Amount::new(DIME)).await.unwrap();
        }
        fixture.finalize().await;
        for salt in 0..channels {
            buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
        }
        watcher.step().await.unwrap();
        Self { fixture, _folder: folder, payee, watcher, payer }
    }

    async fn redeemer_by(&self, proxy: &RpcProxy) -> Redeemer {
        let chain = Chain::connect_to(&proxy.url(), Some(Fixture::payee()), CHAIN_ID).await.unwrap();
        redeemer(&self.fixture, &self.payee, chain).await
    }

    fn id(&self, salt: u8) -> ChannelId {
        let channel: Channel = self.fixture.channel(salt);
        channel.id(&self.fixture.deployment)
    }

    /// Leaves so much in the account.
    async fn withdraw_all_but(&self, left: u128) {
        let account = self.fixture.account();
        let balance = self.payer.account_balance(&account).await.unwrap();
        let amount = balance.saturating_sub(Amount::new(left));
        self.payer.withdraw(&account, amount, account.payer).await.unwrap();
    }
}

/// Forty-three vouchers, of which three lose their money after the last look: they are found by halving, named, and the
/// rest is paid by one transaction.
#[tokio::test]
async fn what_lost_its_money_meanwhile_is_found_and_left_out() {
    let stage = Stage::new(43, 3).await;
    stage.withdraw_all_but(0).await;
    let proxy = RpcProxy::start(stage.fixture.local.url()).await;
    let redeemer = stage.redeemer_by(&proxy).await;
    let Redemptions { done, skipped } = redeemer.redeem().await.unwrap();
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 40, Amount::new(40 * DIME)));
    let mut found: Vec<ChannelId> = skipped.iter().map(|skipped| skipped.channel_id).collect();
    found.sort_unstable();
    let mut expected = [0, 1, 2].map(|salt| stage.id(salt));
    expected.sort_unstable();
    assert_eq!(found, expected);
    for skipped in skipped {
        assert!(matches!(skipped.error, RedeemError::Uncovered { .. }), "{skipped:?}");
    }
    assert!(proxy.calls("eth_call").asked < 60, "{:?}", proxy.calls("eth_call"));
}

#[tokio::test]
async fn what_channels_of_one_account_share_is_counted_once() {
    let mut stage = Stage::new(3, 3).await;
    stage.withdraw_all_but(DIME * 3 / 2).await;
    stage.watcher.step().await.unwrap();
    let redeemer = redeemer(&stage.fixture, &stage.payee, stage.fixture.connect(Fixture::payee()).await).await;
    let due = redeemer.due().await.unwrap().due;
    let amounts: Vec<u128> = due.iter().map(|due| due.amount.base_units()).collect();
    assert_eq!(amounts, [DIME, DIME / 2], "and nothing is left for the third");
    let done = redeemer.redeem().await.unwrap().done;
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(DIME * 3 / 2)));
}

/// What somebody else has redeemed meanwhile is nobody's fault: it is left out without a word.
#[tokio::test]
async fn what_was_redeemed_by_others_meanwhile_is_left_out() {
    let stage = Stage::new(3, 0).await;
    let chain = stage.fixture.connect(Fixture::payee()).await;
    let first = redeemer(&stage.fixture, &stage.payee, chain.clone()).await;
    first.redeem_channels(&[stage.id(1)]).await.unwrap();
    // No look of the watcher in between.
    let Redemptions { done, skipped } = first.redeem().await.unwrap();
    assert_eq!((done.len(), done[0].vouchers, done[0].paid), (1, 2, Amount::new(2 * DIME)));
    assert!(skipped.is_empty(), "{skipped:?}");
}

#[tokio::test]
async fn a_batch_fits_a_block() {
    let stage = Stage::new(6, 6).await;
    let chain = stage.fixture.connect(Fixture::payee()).await;
    ask(&chain, "evm_setBlockGasLimit", json!([U256::from(200_000)])).await;
    stage.fixture.finalize().await;
    let redeemer = redeemer(&stage.fixture, &stage.payee, chain).await;
    let done = redeemer.redeem().await.unwrap().done;
    let vouchers: Vec<usize> = done.iter().map(|redeemed| redeemed.vouchers).collect();
    assert_eq!(vouchers, [3, 3]);
    assert!(done.iter().all(|redeemed| redeemed.gas_used < 200_000), "{done:?}");
    assert_eq!(stage.fixture.dollars_of(Fixture::payee().address()).await, Amount::new(6 * DIME));
}

/// The node says that it takes more gas than any transaction may use (EIP-7825): half of it is tried.
#[tokio::test]
async fn a_batch_that_takes_more_gas_than_thought_is_halved() {
    let stage = Stage::new(4, 4).await;
    let proxy = RpcProxy::start(stage.fixture.local.url()).await;
    let too_much = Fault::lie(|_, _| json!(U256::from(1_u64 << 24)));
    proxy.inject(Rule::on("eth_estimateGas", too_much).when(|request| request.to_string().len() > 1_000));
    let done = stage.redeemer_by(&proxy).await.redeem().await.unwrap().done;
    assert_eq!(done.iter().map(|redeemed| redeemed.vouchers).sum::<usize>(), 4);
    assert!(done.len() > 1, "{done:?}");
}
