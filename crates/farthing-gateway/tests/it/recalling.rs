//! What a key has bought is fetched again with the key, and with nothing else.

use crate::shop::{Buyer, HOST, PRICE, SONG, Shop, deployment, request, song};
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Request, StatusCode};
use farthing::PrivateKeySigner;
use farthing::signer::SignerSync;
use farthing_core::voucher::{Domain, VoucherSignature};
use farthing_core::wire::{Challenge, Credential, ProblemType, RecallPayload};
use farthing_core::{Address, Amount};

const OTHER: &str = "/songs/minuet";

fn recall(key: &PrivateKeySigner, payee: Address, challenge: &Challenge, item: &str) -> Credential<RecallPayload> {
    let digest = RecallPayload::digest(payee, &challenge.id, item, &Domain::new(deployment()));
    let signature = key.sign_hash_sync(&digest).expect("well formed").as_bytes();
    let payload = RecallPayload {
        action: RecallPayload::ACTION.to_owned(),
        authorized_signer: key.address(),
        signature: VoucherSignature::from_bytes(&signature).expect("well formed"),
    };
    Credential { challenge: challenge.clone(), source: None, payload }
}

fn asking(method: Method, path: &str, credential: &Credential<RecallPayload>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", HOST);
    request
        .header(AUTHORIZATION, credential.to_header().expect("well formed"))
        .body(Body::empty())
        .expect("well formed")
}

/// A shop where somebody has bought the song.
async fn sold() -> (Shop, Buyer) {
    let shop = Shop::open();
    let buyer = Buyer::of(&shop);
    let challenge = shop.send(request(Method::GET, SONG, None)).await.challenge();
    let bought = shop.send(request(Method::GET, SONG, Some(&buyer.credential(&challenge, PRICE)))).await;
    assert_eq!(bought.status, StatusCode::OK);
    (shop, buyer)
}

#[tokio::test]
async fn a_key_fetches_again_what_it_has_bought() {
    let (shop, buyer) = sold().await;
    let challenge = shop.send(request(Method::GET, SONG, None)).await.challenge();
    let credential = recall(&buyer.key, shop.payee.address(), &challenge, SONG);
    let answer = shop.send(asking(Method::GET, SONG, &credential)).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &song()));
    let receipt = answer.receipt().expect("a receipt");
    receipt.verify(shop.payee.domain(), shop.payee.address()).unwrap();
    assert_eq!((receipt.receipt.item.as_str(), receipt.receipt.cumulative_amount), (SONG, PRICE));
    let mut part = asking(Method::GET, SONG, &credential);
    part.headers_mut().insert("range", "bytes=10-19".parse().unwrap());
    let part = shop.send(part).await;
    assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, &song()[10..20]));
    assert_eq!(shop.send(asking(Method::HEAD, SONG, &credential)).await.status, StatusCode::OK);
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE), "nothing is charged");
}

#[tokio::test]
async fn nobody_else_fetches_it_and_the_key_fetches_nothing_else() {
    let (shop, buyer) = sold().await;
    let payee = shop.payee.address();
    let stranger = Buyer::with(payee, 0x44);
    let challenge = shop.send(request(Method::GET, SONG, None)).await.challenge();
    let other = shop.send(request(Method::GET, OTHER, None)).await.challenge();

    // A key that has bought nothing, and the buyer's key at what it has not bought: both are asked to pay.
    for (path, credential) in
        [(SONG, recall(&stranger.key, payee, &challenge, SONG)), (OTHER, recall(&buyer.key, payee, &other, OTHER))]
    {
        for method in [Method::GET, Method::HEAD] {
            let answer = shop.send(asking(method, path, &credential)).await;
            assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
            answer.challenge();
        }
    }
    let mut forged = recall(&stranger.key, payee, &challenge, SONG);
    forged.payload.authorized_signer = buyer.key.address();
    let refused = |credential: Credential<RecallPayload>| {
        let shop = &shop;
        async move { shop.send(asking(Method::GET, SONG, &credential)).await.problem().problem_type().unwrap() }
    };
    assert_eq!(refused(forged).await, ProblemType::SignerMismatch);
    // The buyer's own signature, for another payee, another challenge and another item.
    assert_eq!(
        refused(recall(&buyer.key, Address::repeat_byte(9), &challenge, SONG)).await,
        ProblemType::SignerMismatch
    );
    let mut swapped = recall(&buyer.key, payee, &other, SONG);
    assert_eq!(refused(swapped.clone()).await, ProblemType::InvalidChallenge);
    swapped.challenge = challenge.clone();
    assert_eq!(refused(swapped).await, ProblemType::SignerMismatch);
    let mut invented = recall(&buyer.key, payee, &challenge, SONG);
    invented.challenge.id = "AAAA".to_owned();
    assert_eq!(refused(invented).await, ProblemType::InvalidChallenge);
    assert_eq!(shop.charges().await.len(), 1);
}

/// A redemption shows the last voucher to everybody: it is no proof of the key.
#[tokio::test]
async fn a_voucher_that_the_chain_shows_fetches_no_other_purchase() {
    let (shop, buyer) = sold().await;
    let challenge = shop.send(request(Method::GET, OTHER, None)).await.challenge();
    let last = Amount::new(2 * PRICE.base_units());
    let bought = shop.send(request(Method::GET, OTHER, Some(&buyer.credential(&challenge, last)))).await;
    assert_eq!(bought.status, StatusCode::OK);
    let challenge = shop.send(request(Method::GET, SONG, None)).await.challenge();
    let answer = shop.send(request(Method::GET, SONG, Some(&buyer.credential(&challenge, last)))).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
}
