//! Asking, paying, receiving: what a well-behaved client sees.

use crate::shop::{Buyer, PRICE, SONG, Shop, dollar, request, song};
use axum::http::{HeaderValue, Method, StatusCode};
use farthing_core::Amount;
use farthing_core::wire::{Listing, ProblemType};

#[tokio::test]
async fn asks_for_the_price_of_an_item() {
    let shop = Shop::open();
    let answer = shop.send(request(Method::GET, SONG, None)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.problem().problem_type(), Some(ProblemType::PaymentRequired));
    let challenge = answer.challenge();
    assert_eq!(challenge.realm, "localhost:8402");
    assert_eq!(challenge.description.as_deref(), Some("Greensleeves <live>"));
    let asked = challenge.session_request().expect("a request");
    assert_eq!((asked.amount, asked.method_details.item.as_str()), (PRICE, SONG));
}

#[tokio::test]
async fn a_browser_gets_a_page_that_says_what_to_do() {
    let shop = Shop::open();
    let mut asked = request(Method::GET, SONG, None);
    asked.headers_mut().insert("accept", HeaderValue::from_static("text/html,*/*;q=0.8"));
    let answer = shop.send(asked).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.challenge().session_request().expect("a request").amount, PRICE);
    let page = String::from_utf8(answer.body).expect("UTF-8");
    assert!(page.contains("Greensleeves &lt;live&gt;") && page.contains("$0.50"), "{page}");
    assert!(page.contains("farthing get http://localhost:8402/songs/greensleeves"), "{page}");
}

#[tokio::test]
async fn a_voucher_buys_the_exact_bytes_and_a_receipt() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let answer = shop.buy(&buyer, SONG, PRICE).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("audio/wav"));
    assert_eq!(answer.header("cache-control"), Some("private"));
    assert!(answer.body == song(), "not a byte more, less or other");
    let receipt = answer.receipt().expect("a receipt");
    receipt.verify(shop.payee.domain(), shop.payee.address()).expect("the payee's");
    assert_eq!((receipt.receipt.item.as_str(), receipt.receipt.price), (SONG, PRICE));
    assert_eq!(shop.spent().await, PRICE);
}

#[tokio::test]
async fn a_retry_is_answered_again_and_not_charged_again() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let first = shop.buy(&buyer, SONG, PRICE).await;
    let second = shop.buy(&buyer, SONG, PRICE).await;
    assert_eq!(second.status, StatusCode::OK);
    assert!(first.body == second.body);
    let proven = |answer: &crate::shop::Answer| answer.receipt().expect("a receipt").signature;
    assert_eq!(proven(&first), proven(&second), "the same sale, the same proof");
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test]
async fn ranges_of_what_was_bought_cost_nothing_more() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let challenge = shop.challenge(Method::GET, SONG).await;
    let credential = buyer.credential(&challenge, PRICE);
    for (range, bytes) in [("bytes=0-999", 0..1_000), ("bytes=50000-", 50_000..100_003), ("bytes=-3", 100_000..100_003)]
    {
        let mut asked = request(Method::GET, SONG, Some(&credential));
        asked.headers_mut().insert("range", HeaderValue::from_static(range));
        let answer = shop.send(asked).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert!(answer.body == song()[bytes], "{range}");
        assert!(answer.receipt().is_some());
    }
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test]
async fn a_range_of_another_version_is_the_whole_file() {
    let shop = Shop::open();
    let credential = Buyer::of(&shop).credential(&shop.challenge(Method::GET, SONG).await, PRICE);
    let bought = shop.send(request(Method::GET, SONG, Some(&credential))).await;
    let etag = bought.headers["etag"].clone();
    for (validator, status) in
        [(etag, StatusCode::PARTIAL_CONTENT), (HeaderValue::from_static("\"older\""), StatusCode::OK)]
    {
        let mut asked = request(Method::GET, SONG, Some(&credential));
        asked.headers_mut().insert("range", HeaderValue::from_static("bytes=0-9"));
        asked.headers_mut().insert("if-range", validator);
        assert_eq!(shop.send(asked).await.status, status);
    }
}

#[tokio::test]
async fn head_never_charges() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let challenge = shop.challenge(Method::GET, SONG).await;
    let credential = buyer.credential(&challenge, PRICE);
    for credential in [None, Some(&credential)] {
        let answer = shop.send(request(Method::HEAD, SONG, credential)).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        assert!(answer.body.is_empty() && answer.receipt().is_none());
        assert_eq!(answer.challenge().session_request().expect("a request").amount, PRICE);
    }
    assert!(shop.charges().await.is_empty());
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&credential))).await.status, StatusCode::OK);
    let answer = shop.send(request(Method::HEAD, SONG, Some(&credential))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-length"), Some("100003"));
    assert!(answer.body.is_empty() && answer.receipt().is_some());
    assert_eq!(shop.charges().await.len(), 1);
}

#[tokio::test]
async fn what_can_not_be_served_is_not_charged() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let credential = buyer.credential(&shop.challenge(Method::GET, SONG).await, PRICE);
    let file = shop.folder.path().join("greensleeves.wav");

    let with = |name: &'static str, value: &'static str| {
        let mut request = request(Method::GET, SONG, Some(&credential));
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    // How long it is, and which copy is current, is for its buyer to know.
    for stranger in [with("range", "bytes=200000-"), with("if-none-match", "*")] {
        let answer = shop.send(stranger).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        assert!(answer.header("etag").is_none() && answer.header("content-range").is_none());
    }

    std::fs::remove_file(&file).expect("removes");
    let answer = shop.send(request(Method::GET, SONG, Some(&credential))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.receipt().is_none() && answer.problem().detail.contains("nothing was charged"));

    std::fs::create_dir(&file).expect("makes a folder");
    let answer = shop.send(request(Method::GET, SONG, Some(&credential))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(shop.charges().await.is_empty());

    std::fs::remove_dir(&file).expect("removes");
    std::fs::write(&file, song()).expect("writes");
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&credential))).await.status, StatusCode::OK);
    assert_eq!(shop.send(with("range", "bytes=200000-")).await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let answer = shop.send(with("if-none-match", "*")).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(shop.spent().await, PRICE);
}

#[tokio::test]
async fn nothing_is_asked_for_where_nothing_is_sold() {
    let shop = Shop::open();
    let credential = Buyer::of(&shop).credential(&shop.challenge(Method::GET, SONG).await, PRICE);
    for path in
        ["/songs/unknown", "/catalog.toml", "/greensleeves.wav", "/songs/../catalog.toml", "/songs/greensleeves/"]
    {
        for credential in [None, Some(&credential)] {
            let answer = shop.send(request(Method::GET, path, credential)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert!(answer.header("www-authenticate").is_none());
            assert_eq!(answer.problem().status, 404);
        }
    }
    assert!(shop.charges().await.is_empty());
}

#[tokio::test]
async fn an_item_is_bought_with_get_alone() {
    let shop = Shop::open();
    let credential = Buyer::of(&shop).credential(&shop.challenge(Method::GET, SONG).await, PRICE);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = shop.send(request(method, SONG, Some(&credential))).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert!(shop.charges().await.is_empty());
}

#[tokio::test]
async fn one_challenge_covers_the_whole_shop() {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let challenge = shop.challenge(Method::GET, SONG).await;
    for (path, total) in [(SONG, 500_000), ("/songs/minuet", 1_000_000)] {
        let credential = buyer.credential(&challenge, Amount::new(total));
        assert_eq!(shop.send(request(Method::GET, path, Some(&credential))).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(shop.spent().await, Amount::new(1_000_000));
}

#[tokio::test]
async fn the_index_and_the_listing_are_free() {
    let shop = Shop::open();
    for path in ["/", "/.well-known/farthing"] {
        let answer = shop.send(request(Method::GET, path, None)).await;
        let listing: Listing = serde_json::from_slice(&answer.body).expect("a listing");
        assert_eq!((listing.recipient, listing.currency), (shop.payee.address(), dollar().address));
        assert_eq!(listing.items[0].price, PRICE);
        assert_eq!(listing.items[0].media_type.as_deref(), Some("audio/wav"));
        assert_eq!(listing.tip.expect("a tip").path, "/tip");
    }
    let mut asked = request(Method::GET, "/", None);
    asked.headers_mut().insert("accept", HeaderValue::from_static("text/html"));
    let page = String::from_utf8(shop.send(asked).await.body).expect("UTF-8");
    assert!(page.contains("Nocturne Records") && page.contains("Greensleeves &lt;live&gt;"), "{page}");
    assert_eq!(shop.send(request(Method::GET, "/healthz", None)).await.body, b"ok\n");
}

#[tokio::test]
async fn pages_of_other_sites_can_pay_here() {
    let shop = Shop::open();
    let mut preflight = request(Method::OPTIONS, SONG, None);
    preflight.headers_mut().insert("origin", HeaderValue::from_static("https://player.example"));
    preflight.headers_mut().insert("access-control-request-method", HeaderValue::from_static("GET"));
    preflight.headers_mut().insert("access-control-request-headers", HeaderValue::from_static("authorization"));
    let answer = shop.send(preflight).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("access-control-allow-headers").expect("listed").contains("authorization"));

    let mut asked = request(Method::GET, SONG, None);
    asked.headers_mut().insert("origin", HeaderValue::from_static("https://player.example"));
    let answer = shop.send(asked).await;
    let exposed = answer.header("access-control-expose-headers").expect("listed");
    assert!(exposed.contains("www-authenticate") && exposed.contains("payment-receipt"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}
