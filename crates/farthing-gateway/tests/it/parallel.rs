//! Many requests at once (losses 12 and 18).

use crate::shop::{Buyer, PRICE, SONG, Shop, request, send, song};
use axum::http::{Method, StatusCode};
use farthing_core::wire::SignedReceipt;
use farthing_core::{Amount, VoucherSignature};
use farthing_gateway::AppOptions;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use tokio::task::JoinSet;

fn shop_of(items: usize) -> Shop {
    let mut catalog = String::from(
        "name = \"Many\"\n[credit]\nlimit = \"$1000\"\nfirst = \"$1000\"\nstrangers_per_day = \"$1000\"\n",
    );
    for item in 0..items {
        let entry = format!("path = \"/{item}\"\nfile = \"minuet.wav\"\ntitle = \"{item}\"\nprice = \"$0.50\"");
        write!(catalog, "[[item]]\n{entry}\n").expect("writes");
    }
    Shop::open_with(&catalog, AppOptions::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_copies_of_a_voucher_are_one_charge() {
    let shop = Shop::open();
    let credential = Buyer::of(&shop).credential(&shop.challenge(Method::GET, SONG).await, PRICE);
    let mut answers = JoinSet::new();
    for _ in 0..200 {
        let (router, asked) = (shop.router.clone(), request(Method::GET, SONG, Some(&credential)));
        answers.spawn(async move { send(&router, asked).await });
    }
    for answer in answers.join_all().await {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body == song());
    }
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_copies_of_a_voucher_buy_one_of_two_hundred_items() {
    let shop = shop_of(200);
    let credential = Buyer::of(&shop).credential(&shop.challenge(Method::GET, "/0").await, PRICE);
    let mut answers = JoinSet::new();
    for item in 0..200 {
        let asked = request(Method::GET, &format!("/{item}"), Some(&credential));
        let router = shop.router.clone();
        answers.spawn(async move { send(&router, asked).await.status });
    }
    let answers = answers.join_all().await;
    let served = answers.iter().filter(|status| **status == StatusCode::OK).count();
    let refused = answers.iter().filter(|status| **status == StatusCode::PAYMENT_REQUIRED).count();
    assert_eq!((served, refused), (1, 199));
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_of_one_payer_all_succeed_in_any_order() {
    let shop = shop_of(64);
    let buyer = Buyer::of(&shop);
    let challenge = shop.challenge(Method::GET, "/0").await;
    let mut answers = JoinSet::new();
    // 37 and 64 have no common factor, so this visits every item once and never in order.
    for step in 0..64_u128 {
        let item = step * 37 % 64;
        let total = Amount::new((item + 1) * PRICE.base_units());
        let asked = request(Method::GET, &format!("/{item}"), Some(&buyer.credential(&challenge, total)));
        let router = shop.router.clone();
        answers.spawn(async move { send(&router, asked).await });
    }
    for answer in answers.join_all().await {
        assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body[..200]));
    }
    assert_eq!((shop.charges().await.len(), shop.spent().await), (64, Amount::new(64 * PRICE.base_units())));
}

/// Buys every item of a shop with 128 at the same time.
async fn buy_all(shop: &Shop, buyer: &Buyer) -> Vec<SignedReceipt> {
    let challenge = shop.challenge(Method::GET, "/0").await;
    let mut answers = JoinSet::new();
    for item in 0..128_u128 {
        let total = Amount::new((item + 1) * PRICE.base_units());
        let asked = request(Method::GET, &format!("/{item}"), Some(&buyer.credential(&challenge, total)));
        let router = shop.router.clone();
        answers.spawn(async move { send(&router, asked).await });
    }
    answers.join_all().await.iter().map(|answer| answer.receipt().expect("a receipt")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_charged_together_shares_a_signature_and_each_receipt_proves_itself() {
    let shop = shop_of(128);
    // How many come together is for the disk to say; sooner or later some do.
    for seed in 1..=50 {
        let receipts = buy_all(&shop, &Buyer::with(shop.payee.address(), seed)).await;
        let items: HashSet<&str> = receipts.iter().map(|signed| signed.receipt.item.as_str()).collect();
        assert_eq!(items.len(), 128, "each has its own");
        let mut groups: HashMap<VoucherSignature, Vec<&SignedReceipt>> = HashMap::new();
        for signed in &receipts {
            assert_eq!(signed.verify(shop.payee.domain(), shop.payee.address()), Ok(()), "{signed:?}");
            groups.entry(signed.signature).or_default().push(signed);
        }
        for group in groups.values() {
            assert!(group.len() <= 64, "{}", group.len());
            // Alone it is signed as before there were batches.
            assert!(group.iter().all(|signed| signed.path.is_some() == (group.len() > 1)), "{group:?}");
        }
        if let Some(group) = groups.values().find(|group| group.len() > 1) {
            let others = SignedReceipt { path: group[1].path.clone(), ..group[0].clone() };
            let proven = others.verify(shop.payee.domain(), shop.payee.address());
            assert!(proven.is_err(), "the control: with another's path it proves nothing");
            return;
        }
    }
    panic!("no two receipts were ever signed together");
}
