//! Payees that serve only what a reservation covers.

use super::peer::{Peer, Shop, cents, token};
use super::{Home, plenty};
use farthing::core::exposure::{ChannelFunds, ChannelView};
use farthing::core::wire::{Problem, ProblemType};
use farthing::core::{Amount, Channel, Deployment};
use farthing::payer::{BudgetError, PayerError, StoreError};

struct Needed {
    deployment: Deployment,
    channel: Channel,
    amount: Amount,
    required: Amount,
}

fn needed(error: PayerError) -> Needed {
    match error {
        PayerError::ReservationNeeded { deployment, channel, amount, required, .. } => {
            Needed { deployment, channel: *channel, amount, required }
        }
        other => panic!("{other}"),
    }
}

fn reserving(amount: Amount) -> Shop {
    let mut shop = Shop::new();
    shop.details.reservation = Some(amount);
    shop
}

fn see_reserved(peer: &Peer, reserved: Amount) {
    let funds = ChannelFunds { reserved, ..ChannelFunds::default() };
    peer.lock().shop.view = ChannelView { head: funds, confirmed: funds };
}

#[tokio::test]
async fn a_reservation_is_asked_for_made_waited_for_and_used_up() {
    let (home, peer) = (Home::new(), Peer::honest(reserving(cents(100))).await);
    let payer = home.payer().await;
    let first = needed(payer.fetch(&peer.url("/a")).await.expect_err("nothing is reserved"));
    assert_eq!((first.amount, first.required), (cents(100), cents(100)));
    assert!(peer.vouchers().is_empty(), "nothing is promised before there is a reservation");
    // Asking again names the same channel, so that the money is reserved where it will be used.
    let again = needed(payer.fetch(&peer.url("/a")).await.expect_err("nothing is reserved"));
    assert_eq!(again.channel, first.channel);

    let id = first.channel.id(&first.deployment);
    payer.store().record_reservation(id, first.required).await.expect("records");
    payer.store().record_reservation(id, first.required).await.expect("twice is once");
    let error = payer.fetch(&peer.url("/a")).await.expect_err("not final yet");
    assert!(
        matches!(&error, PayerError::ReservationNotFinal { guaranteed, .. } if *guaranteed == cents(100)),
        "{error}"
    );
    see_reserved(&peer, cents(100));
    for path in ["/a", "/b"] {
        assert_eq!(payer.fetch(&peer.url(path)).await.expect("buys").paid_now, cents(50));
    }
    assert_eq!(peer.redeemable(), cents(100), "the voucher that was too early is the first one");

    let more = needed(payer.fetch(&peer.url("/c")).await.expect_err("used up"));
    assert_eq!((more.channel, more.amount, more.required), (first.channel, cents(100), cents(200)));
}

// 20
#[tokio::test]
async fn a_reservation_above_the_owners_limit_is_refused() {
    let (home, peer) = (Home::new(), Peer::honest(reserving(cents(90_000))).await);
    let error = home.payer().await.fetch(&peer.url("/a")).await.expect_err("too much");
    assert!(
        matches!(&error, PayerError::Budget(error) if matches!(**error, BudgetError::Reservation { .. })),
        "{error}"
    );
    let expected = "a reservation of $900.00 is above the $5.00 that may be locked for one payee";
    assert_eq!(error.to_string(), expected);
    assert!(peer.vouchers().is_empty());
    // Control: without the limit the caller would be told to reserve it.
    let unlimited = home.payer_with(plenty).await;
    assert_eq!(needed(unlimited.fetch(&peer.url("/a")).await.expect_err("reserve")).amount, cents(90_000));
}

// 20
#[tokio::test]
async fn figures_in_a_refusal_decide_nothing() {
    let mut shop = Shop::new();
    shop.suggested_deposit = Some(cents(90_000));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let problem = Problem::new(ProblemType::AmountExceedsDeposit, "reserve more").with("required", &cents(90_000));
        Some(shop.asks(seen.path(), cents(50), &problem))
    });
    let payer = home.payer().await;
    let asked = needed(payer.fetch(&peer.url("/a")).await.expect_err("reserve"));
    assert!(asked.amount <= cents(500), "a suggestion is taken as far as the limit goes: {}", asked.amount);
    peer.lock().shop.suggested_deposit = None;
    let asked = needed(payer.fetch(&peer.url("/a")).await.expect_err("reserve"));
    assert_eq!(asked.amount, cents(50), "what the item takes, whatever the refusal says");
    assert_eq!(peer.redeemable(), cents(50));
}

#[tokio::test]
async fn a_reservation_in_a_channel_that_is_not_ours_is_not_recorded() {
    let home = Home::new();
    let store = home.store().await;
    let stranger = Channel {
        payer: token().address,
        payee: token().address,
        token: token().address,
        salt: farthing::core::B256::ZERO,
        authorized_signer: token().address,
    };
    let id = stranger.id(&super::deployment());
    assert!(matches!(store.record_reservation(id, cents(1)).await, Err(StoreError::UnknownChannel(_))));
}
