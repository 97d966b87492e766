//! The layer in front of an integrator's own handlers.

use crate::shop::{Answer, Buyer, PRICE, Shop, request, send};
use axum::Router;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post};
use farthing::payee::Quote;
use farthing_core::wire::ProblemType;
use farthing_gateway::{ChargeLayer, Gate};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn service(shop: &Shop, calls: &Arc<AtomicUsize>) -> Router {
    let price = |request: &Parts| {
        let path = request.uri.path();
        let quote = Quote::new(path, PRICE);
        path.starts_with("/paid").then_some(quote)
    };
    let calls = Arc::clone(calls);
    let forecast = move || async move {
        calls.fetch_add(1, Ordering::SeqCst);
        "rain"
    };
    Router::new()
        .route("/free", get(|| async { "hello" }))
        .route("/paid/forecast", get(forecast))
        .route("/paid/broken", get(|| async { (StatusCode::BAD_GATEWAY, "the upstream is away") }))
        .route("/paid/elsewhere", get(|| async { Redirect::temporary("https://cdn.example/secret") }))
        .route("/paid/order", post(|| async { "ordered" }))
        .layer(ChargeLayer::new(Gate::new(shop.payee.clone(), None), price))
}

async fn buy(router: &Router, shop: &Shop, path: &str) -> Answer {
    let challenge = send(router, request(Method::GET, path, None)).await.challenge();
    let credential = Buyer::of(shop).credential(&challenge, PRICE);
    send(router, request(Method::GET, path, Some(&credential))).await
}

#[tokio::test]
async fn charges_what_has_a_price_and_passes_the_rest() {
    let (shop, calls) = (Shop::open(), Arc::default());
    let router = service(&shop, &calls);
    assert_eq!(send(&router, request(Method::GET, "/free", None)).await.body, b"hello");
    assert_eq!(send(&router, request(Method::GET, "/paid/forecast", None)).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the handler does not run for nothing");
    let answer = buy(&router, &shop, "/paid/forecast").await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"rain".as_slice()));
    assert!(answer.receipt().is_some());
    assert_eq!(shop.spent().await, PRICE);
}

#[tokio::test]
async fn a_failed_upstream_is_not_charged() {
    let shop = Shop::open();
    let answer = buy(&service(&shop, &Arc::default()), &shop, "/paid/broken").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.receipt().is_none() && shop.charges().await.is_empty());
}

#[tokio::test]
async fn where_to_is_not_told_for_nothing() {
    let shop = Shop::open();
    let router = service(&shop, &Arc::default());
    let challenge = send(&router, request(Method::GET, "/paid/elsewhere", None)).await.challenge();
    let mut forged = Buyer::of(&shop).credential(&challenge, PRICE);
    forged.payload.terms = None;
    let answer = send(&router, request(Method::GET, "/paid/elsewhere", Some(&forged))).await;
    assert_eq!(answer.problem().problem_type(), Some(ProblemType::ChannelNotFound));
    assert!(answer.header("location").is_none());
    assert_eq!(buy(&router, &shop, "/paid/elsewhere").await.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(shop.spent().await, PRICE);
}

#[tokio::test]
async fn one_voucher_buys_the_answer_to_one_query() {
    let shop = Shop::open();
    let router = service(&shop, &Arc::default());
    let challenge = send(&router, request(Method::GET, "/paid/forecast?day=1", None)).await.challenge();
    let credential = Buyer::of(&shop).credential(&challenge, PRICE);
    let ask = |query: &str| request(Method::GET, &format!("/paid/forecast?{query}"), Some(&credential));
    for (query, status) in
        [("day=1", StatusCode::OK), ("day=2", StatusCode::PAYMENT_REQUIRED), ("day=1", StatusCode::OK)]
    {
        assert_eq!(send(&router, ask(query)).await.status, status, "{query}");
    }
    assert_eq!(shop.spent().await, PRICE);
}

#[tokio::test]
async fn a_handler_with_effects_is_not_sold_by_the_layer() {
    let shop = Shop::open();
    let router = service(&shop, &Arc::default());
    let challenge = send(&router, request(Method::GET, "/paid/order", None)).await.challenge();
    let credential = Buyer::of(&shop).credential(&challenge, PRICE);
    let answer = send(&router, request(Method::POST, "/paid/order", Some(&credential))).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(shop.charges().await.is_empty());
}
