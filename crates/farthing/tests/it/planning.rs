//! What a payee would redeem now, against a chain: `farthing::payee::planning`.

use crate::payee::{DIME, buy, shop};
use farthing::core::gas::{CoinPrice, Percentage};
use farthing::core::redemption::{Cause, Obstacle, RedemptionTerms};
use farthing::core::{Amount, Timestamp};
use farthing::escrow::Escrow;
use farthing::payee::past::past;
use farthing::payee::planning::{Planned, look_at_owing};
use farthing::payee::{ChainViews, CoinPriceSource, CoinPrices, Payee, Redeemer, Watcher};
use farthing_testkit::Fixture;

/// A coin so cheap that its gas costs next to nothing, and one so dear that nothing is worth it.
const CHEAP: u128 = 1_000_000;
const DEAR: u128 = 1_000_000_000_000;

fn coins_at(base_units: u128, payee: &Payee) -> CoinPrices {
    let price = CoinPrice::new(Amount::new(base_units)).unwrap();
    CoinPrices::new(CoinPriceSource::Set(price), payee.token())
}

async fn redeemer(fixture: &Fixture, payee: &Payee) -> Redeemer {
    let chain = fixture.connect(Fixture::payee()).await;
    Redeemer::new(payee.clone(), Escrow::bind(chain, fixture.deployment.escrow).await.unwrap())
}

async fn plan(redeemer: &Redeemer, coins: &CoinPrices) -> Planned {
    redeemer.plan(RedemptionTerms::default(), coins).await.unwrap()
}

#[tokio::test]
async fn what_is_planned_is_what_a_redemption_pays() {
    let (fixture, _folder, payee, _) = shop().await;
    for salt in 0..3 {
        buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
    }
    let redeemer = redeemer(&fixture, &payee).await;

    let dear = plan(&redeemer, &coins_at(DEAR, &payee)).await;
    assert!(dear.plan.redeem.is_empty() && dear.plan.wait.len() == 3, "{dear:?}");
    assert_eq!((dear.held, dear.plan.at_best.channels), (Amount::new(3 * DIME), 3));
    assert!(
        dear.share > Some(Percentage::whole(1)) && dear.gas_price_awaited < Some(dear.prices.gas_price),
        "{dear:?}"
    );

    let planned = plan(&redeemer, &coins_at(CHEAP, &payee)).await;
    assert_eq!((planned.plan.redeem.len(), planned.plan.now.pays), (3, Amount::new(3 * DIME)), "{planned:?}");
    assert!(planned.share <= Some(Percentage::whole(1)), "{planned:?}");
    let redeemed = redeemer.redeem().await.unwrap();
    assert_eq!(redeemed.done[0].paid, planned.plan.now.pays);
    let (used, gas) = (redeemed.done[0].gas_used, planned.plan.now.gas);
    assert!(used.abs_diff(gas) * 10 <= used, "{gas} gas were planned, {used} used");

    Watcher::new(payee.clone(), redeemer.escrow().clone()).step().await.unwrap();
    let after = plan(&redeemer, &coins_at(CHEAP, &payee)).await;
    assert_eq!(after.plan.choices().count(), 0, "it is on its way: {after:?}");
}

#[tokio::test]
async fn without_a_price_of_the_coin_nothing_is_weighed() {
    let (fixture, _folder, payee, _) = shop().await;
    buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
    let redeemer = redeemer(&fixture, &payee).await;
    let planned = plan(&redeemer, &CoinPrices::new(CoinPriceSource::Unknown, payee.token())).await;
    assert_eq!(planned.plan.wait[0].obstacle, Some(Obstacle::CoinPrice));
    assert_eq!((planned.share, planned.gas_price_awaited), (None, None));
}

/// After half a price was given back no voucher is low enough, until the next sale.
#[tokio::test]
async fn a_debt_that_no_voucher_meets_is_named_and_not_promised() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    buy(&fixture, &payee, &channel, "/song", DIME).await.unwrap();
    buy(&fixture, &payee, &fixture.channel(1), "/song", DIME).await.unwrap();
    let id = channel.id(&fixture.deployment);
    payee.refund((id, Amount::new(DIME)), Some(Amount::new(DIME / 2))).await.unwrap();
    let redeemer = redeemer(&fixture, &payee).await;
    let planned = plan(&redeemer, &coins_at(CHEAP, &payee)).await;
    assert_eq!(planned.between_vouchers, [id]);
    assert_eq!((planned.plan.redeem.len(), planned.plan.now.pays), (1, Amount::new(DIME)), "{planned:?}");
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, planned.plan.now.pays);
}

#[tokio::test]
async fn a_payer_that_leaves_is_planned_for_before_it_can_be_gone() {
    let (fixture, _folder, payee, _) = shop().await;
    let (channel, escrow) = (fixture.channel(0), fixture.escrow(Fixture::payer()).await);
    buy(&fixture, &payee, &channel, "/song", DIME).await.unwrap();
    escrow.reserve(&channel, Amount::new(DIME)).await.unwrap();
    escrow.request_close(&channel).await.unwrap();
    // Without a payee: as a command does while no gateway runs.
    let views = ChainViews::new(fixture.deployment);
    look_at_owing(payee.store().as_ref(), &views, &escrow).await.unwrap();
    let seen = views.account_of(&channel).unwrap().channel(channel.id(&fixture.deployment)).unwrap();
    Watcher::new(payee.clone(), escrow.clone()).step().await.unwrap();
    let planned = plan(&redeemer(&fixture, &payee).await, &coins_at(DEAR, &payee)).await;
    let close_at = seen.head.close_at.unwrap();
    let redeem_by = Timestamp::from_unix_seconds(close_at.unix_seconds() - 43_200);
    assert_eq!(planned.plan.latest, Some(redeem_by));
    assert_eq!(planned.plan.wait[0].cause, Cause::Leaving { redeem_by, close_at });
}

/// What was given back is taken off; what was owed when the period begins is owed from its beginning, and as old.
#[tokio::test]
async fn a_ledgers_past_is_what_was_charged_and_not_given_back() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(1);
    let id = channel.id(&fixture.deployment);
    for cumulative in [DIME, 2 * DIME] {
        let path = format!("/song/{cumulative}");
        buy(&fixture, &payee, &channel, &path, cumulative).await.unwrap();
    }
    payee.refund((id, Amount::new(DIME)), Some(Amount::new(DIME / 2))).await.unwrap();
    let store = payee.store().as_ref();
    let since_ever = past(store, Timestamp::from_unix_seconds(0)).await.unwrap();
    let mut amounts: Vec<_> = since_ever.charges.iter().map(|charge| charge.amount.base_units()).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [DIME / 2, DIME]);
    assert_eq!(since_ever.channels[&id].opening, Amount::ZERO);
    let sold_at = since_ever.charges.iter().map(|charge| charge.at).min().unwrap();

    let tomorrow = sold_at.plus_seconds(86_400);
    let from_tomorrow = past(store, tomorrow).await.unwrap();
    let opening = from_tomorrow.channels[&id];
    assert_eq!((from_tomorrow.charges.len(), opening.opening), (0, Amount::new(DIME + DIME / 2)));
    assert_eq!((opening.since, opening.is_long), (sold_at, true), "it has a salt");
}
