//! Prices that are given back: less is redeemed afterwards, and what was redeemed before is not lost.

use crate::payee::{DIME, buy, shop};
use farthing::core::ledger::CreditRefusal;
use farthing::core::{Amount, ChannelId};
use farthing::payee::refund::{RefundError, refund};
use farthing::payee::{EmbeddedStore, Payee, PayeeStore, Redeemer};
use farthing_testkit::{Fixture, wait_until};

async fn redeem(fixture: &Fixture, payee: &Payee) -> Amount {
    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    Amount::saturating_sum(redeemer.redeem().await.unwrap().done.iter().map(|redeemed| redeemed.paid))
}

#[tokio::test]
async fn after_a_refund_the_highest_voucher_within_what_is_due_is_redeemed() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    let channel_id = channel.id(&fixture.deployment);
    for count in 1..=3 {
        buy(&fixture, &payee, &channel, &format!("/{count}"), count * DIME).await.unwrap();
    }
    let refunded = payee.refund((channel_id, Amount::new(3 * DIME)), None).await.unwrap();
    assert_eq!((refunded.item.as_str(), refunded.credited, refunded.again), ("/3", Amount::new(DIME), false));
    assert_eq!(refunded.due, Amount::new(2 * DIME));
    assert_eq!(redeem(&fixture, &payee).await, Amount::new(2 * DIME), "the third dime stays the payer's");

    // A part of another: between two vouchers the lower one is as much as may be shown to the chain.
    buy(&fixture, &payee, &channel, "/4", 4 * DIME).await.unwrap();
    let half = Amount::new(DIME / 2);
    let refunded = payee.refund((channel_id, Amount::new(4 * DIME)), Some(half)).await.unwrap();
    assert_eq!((refunded.price, refunded.credited, refunded.due), (Amount::new(DIME), half, Amount::new(250_000)));
    assert_eq!(redeem(&fixture, &payee).await, Amount::ZERO);
    buy(&fixture, &payee, &channel, "/5", 5 * DIME).await.unwrap();
    assert_eq!(redeem(&fixture, &payee).await, Amount::new(DIME), "the voucher for three dimes of three and a half");
}

/// The chain takes nothing back: what was redeemed beyond what is due pays for what is bought next.
#[tokio::test]
async fn what_was_redeemed_before_a_refund_counts_towards_later_items() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    let charge = (channel.id(&fixture.deployment), Amount::new(2 * DIME));
    buy(&fixture, &payee, &channel, "/1", DIME).await.unwrap();
    buy(&fixture, &payee, &channel, "/2", 2 * DIME).await.unwrap();
    assert_eq!(redeem(&fixture, &payee).await, Amount::new(2 * DIME));
    payee.refund(charge, None).await.unwrap();
    assert_eq!(redeem(&fixture, &payee).await, Amount::ZERO);
    buy(&fixture, &payee, &channel, "/3", 3 * DIME).await.unwrap();
    assert_eq!(redeem(&fixture, &payee).await, Amount::ZERO, "paid for already");
    buy(&fixture, &payee, &channel, "/4", 4 * DIME).await.unwrap();
    assert_eq!(redeem(&fixture, &payee).await, Amount::new(DIME));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(3 * DIME), "three items at last");
}

#[tokio::test]
async fn a_charge_is_given_back_from_once() {
    let (fixture, folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    let charge = (channel.id(&fixture.deployment), Amount::new(DIME));
    buy(&fixture, &payee, &channel, "/1", DIME).await.unwrap();
    let first = payee.refund(charge, Some(Amount::new(40_000))).await.unwrap();
    let again = payee.refund(charge, Some(Amount::new(40_000))).await.unwrap();
    assert!(!first.again && again.again);
    assert_eq!((first.due, again.due), (Amount::new(60_000), Amount::new(60_000)), "given back once");
    let refused = |result| match result {
        Err(RefundError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let other = refused(payee.refund(charge, None).await);
    assert!(matches!(other, CreditRefusal::AlreadyCredited { credited, .. } if credited == Amount::new(40_000)));
    let books = payee.store().books(charge.0).await.unwrap().unwrap();
    assert_eq!(books.credited, Amount::new(40_000), "a refusal changes nothing");

    // Without a payee, on the same ledger.
    drop(payee);
    let path = folder.path().join("ledger.redb");
    wait_until("the ledger is released", || async { EmbeddedStore::open(&path, &fixture.identity()).is_ok() }).await;
    let store = EmbeddedStore::open(&path, &fixture.identity()).unwrap();
    assert!(refund(&store, charge, Some(Amount::new(40_000))).await.unwrap().again);
    let missing = [(charge.0, Amount::new(7)), (ChannelId::default(), charge.1)];
    for charge in missing {
        assert!(matches!(refused(refund(&store, charge, None).await), CreditRefusal::NoSuchCharge { .. }));
    }
    assert_eq!(store.books(charge.0).await.unwrap().unwrap().credited, Amount::new(40_000));
}

#[tokio::test]
async fn no_more_is_given_back_than_was_paid() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    let charge = (channel.id(&fixture.deployment), Amount::new(DIME));
    buy(&fixture, &payee, &channel, "/1", DIME).await.unwrap();
    let more = payee.refund(charge, Some(Amount::new(DIME + 1))).await;
    assert!(matches!(more, Err(RefundError::Refused(CreditRefusal::TooMuch { .. }))), "{more:?}");
    let nothing = payee.refund(charge, Some(Amount::ZERO)).await;
    assert!(matches!(nothing, Err(RefundError::Refused(CreditRefusal::Nothing { .. }))), "{nothing:?}");
    assert!(!payee.refund(charge, Some(Amount::new(DIME))).await.unwrap().again, "all of it");
}
