//! Receipts that a gateway's key signs for a payee.

use super::peer::{Peer, Reply, Shop, cents, deployment};
use super::{Home, text};
use farthing::PrivateKeySigner;
use farthing::clock;
use farthing::core::wire::listing::LISTING_PATH;
use farthing::core::wire::{Delegation, SignedDelegation, SignedReceipt};
use farthing::core::{Address, Member, SplitTerms, Timestamp};
use farthing::delegation::{delegate, receipt_key};
use farthing::payer::ReceiptError;
use farthing::split::split_address;

/// A shop of a payee whose receipts another key signs, until some time.
fn shop(expires: Timestamp) -> (Shop, PrivateKeySigner) {
    let (mut shop, gateway) =
        (Shop::new().selling("/a", cents(10)).selling("/b", cents(20)), PrivateKeySigner::random());
    shop.receipt_key = Some(gateway.clone());
    shop.delegation = Some(signed(&shop, gateway.address(), expires));
    (shop, gateway)
}

fn signed(shop: &Shop, receipt_key: Address, expires: Timestamp) -> Delegation {
    Delegation::Signature(delegate(&shop.payee, receipt_key, expires, deployment()).expect("signs"))
}

/// What a shop shows for the key of its receipts.
type Proof<'a> = dyn Fn(&Shop, Address) -> Delegation + 'a;

fn listings(peer: &Peer) -> usize {
    peer.lock().seen.iter().filter(|seen| seen.path() == LISTING_PATH).count()
}

#[tokio::test]
async fn a_receipt_by_a_key_that_the_payee_delegated_is_kept_with_the_proof() {
    let (shop, gateway) = shop(clock::now().plus_seconds(3_600));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    for path in ["/a", "/b"] {
        let bought = home.payer().await.fetch(&peer.url(path)).await.expect("buys");
        assert_eq!(bought.receipt_error, None);
        assert!(bought.receipt.is_some());
    }
    assert_eq!(listings(&peer), 1, "the second item needs no listing");
    // What is on file proves the purchase without the site.
    let payee = peer.lock().shop.payee.address();
    for promise in home.store().await.history().await.expect("reads") {
        let receipt = promise.receipt().expect("a receipt");
        let delegation = receipt.delegation.as_ref().expect("its proof");
        let key = receipt_key(delegation, deployment(), payee, receipt.receipt.timestamp);
        assert_eq!(key, Ok(gateway.address()));
        receipt.verify(&peer.lock().shop.domain(), gateway.address()).expect("signed by it");
    }
}

#[tokio::test]
async fn a_splits_receipts_are_by_the_key_in_its_terms() {
    let gateway = PrivateKeySigner::random();
    let members = [1, 2].map(|byte| Member { account: Address::repeat_byte(byte), shares: 1 }).to_vec();
    let operator = Address::repeat_byte(3);
    let terms = SplitTerms::new(deployment().escrow, operator, gateway.address(), members).expect("good terms");
    let mut shop = Shop::new();
    shop.receipt_key = Some(gateway);
    shop.delegation = Some(Delegation::Split(terms.clone()));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    let bought = home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
    assert_eq!(bought.receipt_error, None);
    assert_eq!(bought.receipt.expect("a receipt").delegation, Some(Delegation::Split(terms.clone())));
    assert_eq!(home.store().await.channels().await.expect("reads")[0].channel.payee, split_address(&terms));

    // The gateway of somebody who merely knows the terms signs nothing that counts.
    peer.lock().shop.receipt_key = Some(PrivateKeySigner::random());
    let bought = home.payer().await.fetch(&peer.url("/b")).await.expect("buys");
    assert!(matches!(bought.receipt_error, Some(ReceiptError::Signer { .. })), "{:?}", bought.receipt_error);
}

#[tokio::test]
async fn a_delegation_that_does_not_hold_makes_no_receipt_good() {
    let hour = clock::now().plus_seconds(3_600);
    let stranger = PrivateKeySigner::random();
    let expired = |shop: &Shop, key| signed(shop, key, Timestamp::from_unix_seconds(1_000));
    let by_stranger =
        |_: &Shop, key| Delegation::Signature(delegate(&stranger, key, hour, deployment()).expect("signs"));
    let of_other_key = |shop: &Shop, _| signed(shop, stranger.address(), hour);
    let changed = |shop: &Shop, key| match signed(shop, key, Timestamp::from_unix_seconds(1_000)) {
        Delegation::Signature(old) => Delegation::Signature(SignedDelegation { expires: hour, ..old }),
        split => split,
    };
    let cases: [(&str, &Proof<'_>); 4] = [
        ("expired at", &expired),
        ("is signed by", &by_stranger),
        ("should have", &of_other_key),
        ("is signed by", &changed),
    ];
    for (expected, delegation) in cases {
        let (mut shop, gateway) = shop(hour);
        shop.delegation = Some(delegation(&shop, gateway.address()));
        let (home, peer) = (Home::new(), Peer::honest(shop).await);
        let bought = home.payer().await.fetch(&peer.url("/a")).await.expect("the item is here all the same");
        assert_eq!(bought.receipt, None, "{expected}");
        let error = bought.receipt_error.clone().expect("an error").to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(home.store().await.history().await.expect("reads")[0].receipt(), None);
        assert_eq!(text(bought).await, "this is /a");
    }
}

/// The challenge and the listing that came with it are kept for an hour; a payee may change its gateway's key meanwhile.
#[tokio::test]
async fn a_new_delegation_is_fetched_when_the_old_one_does_not_fit() {
    let hour = clock::now().plus_seconds(3_600);
    let (shop, _) = shop(hour);
    let (home, peer) = (Home::new(), Peer::honest(shop.selling("/c", cents(30))).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    let other = PrivateKeySigner::random();
    {
        let shop = &mut peer.lock().shop;
        shop.delegation = Some(signed(shop, other.address(), hour));
        shop.receipt_key = Some(other);
    }
    let bought = payer.fetch(&peer.url("/b")).await.expect("buys");
    assert_eq!((bought.receipt_error, listings(&peer)), (None, 2));
    let bought = payer.fetch(&peer.url("/c")).await.expect("buys");
    assert_eq!((bought.receipt_error, listings(&peer)), (None, 2), "it is kept");
}

/// A kind of proof that is added later must not make a listing unreadable.
#[tokio::test]
async fn an_unknown_kind_of_delegation_is_none() {
    let peer = Peer::honest(Shop::new().selling("/a", cents(10))).await;
    peer.twist(|shop, seen| {
        let honest = (seen.path() == LISTING_PATH).then(|| shop.answer(seen));
        let Some(Reply::Send { body, .. }) = honest else { return None };
        let mut listing: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        listing["delegation"] = serde_json::json!({ "proof": "starlight", "of": [1, 2] });
        Some(Reply::status(200).with_body(listing.to_string()))
    });
    let home = Home::new();
    let payer = home.payer().await;
    let listing = payer.listing(&peer.url("/a")).await.expect("answers").expect("a listing");
    assert_eq!((listing.delegation, listing.items.len()), (None, 1));
    assert!(payer.fetch(&peer.url("/a")).await.expect("buys").receipt.is_some(), "by the payee itself");
}

/// A payee may as well send the proof with the receipt; it is checked all the same.
#[tokio::test]
async fn a_receipt_may_bring_its_proof_along() {
    let hour = clock::now().plus_seconds(3_600);
    let (mut shop, gateway) = shop(hour);
    let good = shop.delegation.take().expect("signed");
    let stranger = PrivateKeySigner::random();
    let bad = delegate(&stranger, gateway.address(), hour, deployment()).expect("signs");
    let (home, peer) = (Home::new(), Peer::honest(shop.selling("/c", cents(30))).await);
    let cases =
        [("/a", good.clone(), true, false), ("/b", Delegation::Signature(bad), false, false), ("/c", good, true, true)];
    for (path, proof, is_good, with_others) in cases {
        let shown = proof.clone();
        peer.twist(move |shop, seen| {
            seen.credential.as_ref()?;
            let Reply::Send { status, headers, body } = shop.answer(seen) else { return None };
            let mut receipt = SignedReceipt::from_header(&headers[1].1).expect("reads");
            if with_others {
                receipt = shop.sign_with_others(receipt.receipt);
            }
            let with_proof = SignedReceipt { delegation: Some(shown.clone()), ..receipt };
            let headers = vec![("payment-receipt", with_proof.to_header().expect("writes"))];
            Some(Reply::Send { status, headers, body })
        });
        let bought = home.payer().await.fetch(&peer.url(path)).await.expect("buys");
        assert_eq!(bought.receipt.and_then(|receipt| receipt.delegation), is_good.then_some(proof));
        assert_eq!(bought.receipt_error.is_some(), !is_good);
    }
}
