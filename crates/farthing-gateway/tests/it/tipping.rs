//! Tips: the payer names the amount, once per voucher.

use crate::shop::{Answer, Buyer, HOST, Shop, request};
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Request, StatusCode};
use farthing_core::Amount;
use farthing_core::wire::{Credential, ProblemType};
use farthing_gateway::{AppOptions, TipReceived};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const LEAST: Amount = Amount::new(10_000);

const DOLLAR: Amount = Amount::new(1_000_000);

async fn tip(shop: &Shop, credential: &Credential, body: impl Into<Body>) -> Answer {
    let header = credential.to_header().expect("writes");
    let asked = Request::post("/tip").header("host", HOST).header(AUTHORIZATION, header);
    shop.send(asked.body(body.into()).expect("builds")).await
}

/// A dollar against a challenge that asked for a cent.
async fn generous(shop: &Shop) -> Credential {
    let challenge = shop.challenge(Method::POST, "/tip").await;
    let mut credential = Buyer::of(shop).credential(&challenge, DOLLAR);
    credential.payload.amount = Some(DOLLAR);
    credential
}

#[tokio::test]
async fn asks_for_the_least() {
    let shop = Shop::open();
    let answer = shop.send(request(Method::POST, "/tip", None)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let asked = answer.challenge().session_request().expect("a request");
    assert_eq!((asked.amount, asked.method_details.item.as_str()), (LEAST, "/tip"));
    let answer = shop.send(request(Method::GET, "/tip", None)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.problem().status, 405);
}

#[tokio::test]
async fn takes_the_whole_amount_and_says_thanks_once() {
    let heard: Arc<Mutex<Vec<TipReceived>>> = Arc::default();
    let listener = Arc::clone(&heard);
    let on_tip: farthing_gateway::OnTip = Arc::new(move |tip| listener.lock().expect("unpoisoned").push(tip));
    let shop = Shop::open_for_tips(AppOptions { on_tip: Some(on_tip), ..AppOptions::default() });
    let credential = generous(&shop).await;
    let body = json!({"message": "lovely\u{1b}[2J"}).to_string();
    for _ in 0..2 {
        let answer = tip(&shop, &credential, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body));
        let thanks: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(thanks, json!({"thanks": "Thank you.", "amount": "1000000"}));
        let receipt = answer.receipt().expect("a receipt");
        receipt.verify(shop.payee.domain(), shop.payee.address()).expect("the payee's");
        assert_eq!((receipt.receipt.price, receipt.receipt.item.as_str()), (DOLLAR, "/tip"));
        assert_eq!(receipt.receipt.challenge_id, credential.challenge.id);
    }
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, DOLLAR));
    let heard = heard.lock().expect("unpoisoned");
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].amount, heard[0].message.as_deref()), (DOLLAR, Some("lovely [2J")));
}

#[tokio::test]
async fn two_vouchers_are_two_tips() {
    let shop = Shop::open();
    let credential = generous(&shop).await;
    assert_eq!(tip(&shop, &credential, Body::empty()).await.status, StatusCode::OK);
    let mut second = Buyer::of(&shop).credential(&credential.challenge, Amount::new(2_000_000));
    second.payload.amount = Some(DOLLAR);
    assert_eq!(tip(&shop, &second, Body::empty()).await.status, StatusCode::OK);
    assert_eq!(shop.spent().await, Amount::new(2_000_000));
}

#[tokio::test]
async fn who_names_no_amount_gives_the_least() {
    let shop = Shop::open();
    let mut credential = generous(&shop).await;
    credential.payload.amount = None;
    assert_eq!(tip(&shop, &credential, Body::empty()).await.status, StatusCode::OK);
    assert_eq!(shop.spent().await, LEAST);
}

#[tokio::test]
async fn refuses_less_than_the_least_and_more_than_the_voucher() {
    let shop = Shop::open();
    let credential = generous(&shop).await;
    for (amount, kind) in [
        (Amount::new(9_999), ProblemType::PaymentInsufficient),
        (Amount::ZERO, ProblemType::PaymentInsufficient),
        (Amount::new(1_000_001), ProblemType::DeltaTooSmall),
    ] {
        let mut other = credential.clone();
        other.payload.amount = Some(amount);
        let answer = tip(&shop, &other, Body::empty()).await;
        assert_eq!(answer.problem().problem_type(), Some(kind));
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(answer.challenge().session_request().expect("a request").method_details.item, "/tip");
    }
    assert!(shop.charges().await.is_empty());
}

#[tokio::test]
async fn a_forged_challenge_buys_no_tip_either() {
    let shop = Shop::open();
    let mut credential = generous(&shop).await;
    credential.challenge.id = "AAAA".to_owned();
    let answer = tip(&shop, &credential, Body::empty()).await;
    assert_eq!(answer.problem().problem_type(), Some(ProblemType::InvalidChallenge));
    assert!(shop.charges().await.is_empty());
}

#[tokio::test]
async fn a_message_that_can_not_be_taken_costs_nothing() {
    let shop = Shop::open();
    let credential = generous(&shop).await;
    let long = json!({"message": "a".repeat(1_001)}).to_string();
    for (body, status) in [
        ("no JSON".to_owned(), StatusCode::BAD_REQUEST),
        (json!({"message": 5}).to_string(), StatusCode::BAD_REQUEST),
        (long, StatusCode::PAYLOAD_TOO_LARGE),
        ("x".repeat(10_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(tip(&shop, &credential, body).await.status, status);
    }
    assert!(shop.charges().await.is_empty());
    assert_eq!(tip(&shop, &credential, "{}").await.status, StatusCode::OK);
}
