//! Every refusal has its problem type, carries nothing of what is sold, and changes nothing (losses 12, 15 and 23).

use crate::shop::{Answer, Buyer, HOST, PRICE, SONG, Shop, deployment, request, secret};
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Request, StatusCode};
use farthing_core::voucher::Domain;
use farthing_core::wire::{Challenge, Credential, Problem, ProblemType};
use farthing_core::{Address, Amount, B256, ChannelId, Deployment, Timestamp, VoucherSignature};
use farthing_gateway::AppOptions;

/// Presents a credential to a shop where nothing was ever sold, and expects that it stays so.
async fn refuse(shop: &Shop, credential: &Credential, kind: ProblemType) -> Problem {
    let answer = shop.send(request(Method::GET, SONG, Some(credential))).await;
    assert_refused(&answer, kind);
    assert!(shop.charges().await.is_empty(), "{kind:?} was charged");
    assert!(shop.payee.store().all_books().await.expect("reads").is_empty(), "{kind:?} was written down");
    answer.problem()
}

fn assert_refused(answer: &Answer, kind: ProblemType) {
    let problem = answer.problem();
    assert_eq!(problem.problem_type(), Some(kind), "{problem:?}");
    assert_eq!(answer.status.as_u16(), kind.status());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.receipt().is_none());
    let is_asked_again = answer.header("www-authenticate").is_some();
    assert_eq!(is_asked_again, kind.status() == 402, "a fresh challenge with every 402, and with nothing else");
}

async fn honest(shop: &Shop) -> (Buyer, Credential) {
    let buyer = Buyer::of(shop);
    let challenge = shop.challenge(Method::GET, SONG).await;
    let credential = buyer.credential(&challenge, PRICE);
    (buyer, credential)
}

#[tokio::test]
async fn refuses_a_stale_challenge() {
    let shop = Shop::open();
    let (_, mut credential) = honest(&shop).await;
    let asked = credential.challenge.session_request().expect("a request");
    let long_ago = Timestamp::from_unix_seconds(1_000_000_000);
    let stale = Challenge::issue(&secret(), HOST, &asked, long_ago, None).expect("issues");
    credential.challenge = stale;
    refuse(&shop, &credential, ProblemType::PaymentExpired).await;
}

#[tokio::test]
async fn refuses_a_challenge_that_it_did_not_issue() {
    let shop = Shop::open();
    let (_, honest) = honest(&shop).await;
    let with = |change: &dyn Fn(&mut Challenge)| {
        let mut credential = honest.clone();
        change(&mut credential.challenge);
        credential
    };
    let cheaper = {
        let mut asked = honest.challenge.session_request().expect("a request");
        asked.amount = Amount::new(1);
        let later = Timestamp::MAX;
        let own = farthing_core::wire::ChallengeSecret::new(vec![7; 32]).expect("long enough");
        Challenge::issue(&own, HOST, &asked, later, None).expect("issues")
    };
    for credential in [
        with(&|challenge| challenge.id = "AAAA".to_owned()),
        with(&|challenge| challenge.expires = None),
        with(&|challenge| challenge.realm = "localhost:8403".to_owned()),
        with(&|challenge| *challenge = cheaper.clone()),
    ] {
        refuse(&shop, &credential, ProblemType::InvalidChallenge).await;
    }
}

#[tokio::test]
async fn refuses_another_method_or_action() {
    let shop = Shop::open();
    let (_, honest) = honest(&shop).await;
    let mut other = honest.clone();
    other.challenge.method = "evm".to_owned();
    refuse(&shop, &other, ProblemType::MethodUnsupported).await;
    let mut close = honest;
    close.payload.action = "close".to_owned();
    refuse(&shop, &close, ProblemType::MethodUnsupported).await;
}

#[tokio::test]
async fn refuses_a_forged_signature() {
    let shop = Shop::open();
    let (_, mut credential) = honest(&shop).await;
    let thief = Buyer::with(shop.payee.address(), 0x66);
    credential.payload.signature = thief.sign(&Domain::new(deployment()), PRICE);
    refuse(&shop, &credential, ProblemType::SignerMismatch).await;
    let mut nobody = [0xff_u8; 65];
    (nobody[32], nobody[64]) = (0, 27);
    credential.payload.signature = VoucherSignature::from_bytes(&nobody).expect("well formed");
    refuse(&shop, &credential, ProblemType::InvalidSignature).await;
}

#[tokio::test]
async fn checks_the_signature_before_any_short_cut() {
    let shop = Shop::open();
    let (buyer, bought) = honest(&shop).await;
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&bought))).await.status, StatusCode::OK);
    let thief = Buyer::with(shop.payee.address(), 0x66);
    for amount in [0, 1, PRICE.base_units() - 1, PRICE.base_units()].map(Amount::new) {
        let mut forged = buyer.credential(&bought.challenge, amount);
        forged.payload.signature = thief.sign(&Domain::new(deployment()), amount);
        let answer = shop.send(request(Method::GET, SONG, Some(&forged))).await;
        assert_refused(&answer, ProblemType::SignerMismatch);
    }
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test]
async fn refuses_a_voucher_of_another_channel() {
    let shop = Shop::open();
    let (_, honest) = honest(&shop).await;
    let mut misnamed = honest.clone();
    misnamed.payload.channel_id = ChannelId(B256::repeat_byte(4));
    refuse(&shop, &misnamed, ProblemType::VerificationFailed).await;
    let mut unknown = honest.clone();
    unknown.payload.terms = None;
    refuse(&shop, &unknown, ProblemType::ChannelNotFound).await;
    let elsewhere = Buyer::with(Address::repeat_byte(0x99), 0x55);
    let other_payee = elsewhere.credential(&honest.challenge, PRICE);
    refuse(&shop, &other_payee, ProblemType::VerificationFailed).await;
}

#[tokio::test]
async fn refuses_a_voucher_of_another_chain_or_escrow() {
    let shop = Shop::open();
    let (buyer, honest) = honest(&shop).await;
    let here = deployment();
    for there in [Deployment { chain_id: 1, ..here }, Deployment { escrow: Address::repeat_byte(0x44), ..here }] {
        let mut credential = honest.clone();
        credential.payload.signature = buyer.sign(&Domain::new(there), PRICE);
        refuse(&shop, &credential, ProblemType::SignerMismatch).await;
        credential.payload.channel_id = buyer.channel.id(&there);
        refuse(&shop, &credential, ProblemType::VerificationFailed).await;
    }
}

#[tokio::test]
async fn refuses_too_little() {
    let shop = Shop::open();
    let (buyer, honest) = honest(&shop).await;
    let mut disagreeing = honest.clone();
    disagreeing.payload.amount = Some(Amount::new(499_999));
    let problem = refuse(&shop, &disagreeing, ProblemType::PaymentInsufficient).await;
    assert_eq!(problem.figures["price"], "500000");
    let short = buyer.credential(&honest.challenge, Amount::new(499_999));
    refuse(&shop, &short, ProblemType::DeltaTooSmall).await;
    let nothing = buyer.credential(&honest.challenge, Amount::ZERO);
    refuse(&shop, &nothing, ProblemType::DeltaTooSmall).await;
    let beyond = buyer.credential(&honest.challenge, Amount::new(u128::MAX));
    refuse(&shop, &beyond, ProblemType::AmountExceedsDeposit).await;
}

#[tokio::test]
async fn refuses_what_can_not_be_read() {
    let shop = Shop::open();
    let (_, honest) = honest(&shop).await;
    let good = honest.to_header().expect("writes");
    let long = format!("Payment {}", "A".repeat(20_000));
    for fields in [
        vec!["Payment"],
        vec!["Payment e30"],
        vec!["Payment {}"],
        vec![&good[..good.len() - 5]],
        vec![long.as_str()],
        vec![good.as_str(), good.as_str()],
        vec!["Basic YTpi", good.as_str()],
    ] {
        let mut asked = Request::get(SONG).header("host", HOST);
        for field in &fields {
            asked = asked.header(AUTHORIZATION, *field);
        }
        let answer = shop.send(asked.body(Body::empty()).expect("builds")).await;
        assert_refused(&answer, ProblemType::MalformedCredential);
    }
    assert!(shop.charges().await.is_empty());
}

/// Loss 23: an address ends up in logs, histories and referrers.
#[tokio::test]
async fn ignores_a_credential_in_the_query() {
    let shop = Shop::open();
    let (_, honest) = honest(&shop).await;
    let header = honest.to_header().expect("writes");
    let blob = header.strip_prefix("Payment ").expect("the scheme");
    for query in [format!("authorization=Payment%20{blob}"), format!("payment={blob}"), blob.to_owned()] {
        let answer = shop.send(request(Method::GET, &format!("{SONG}?{query}"), None)).await;
        assert_refused(&answer, ProblemType::PaymentRequired);
    }
    assert!(shop.charges().await.is_empty());
}

/// Loss 15: answered OK when the insert failed.
#[tokio::test]
async fn not_stored_is_not_served() {
    let shop = Shop::open();
    let (_, credential) = honest(&shop).await;
    shop.fill_disk(true);
    let answer = shop.send(request(Method::GET, SONG, Some(&credential))).await;
    assert_refused(&answer, ProblemType::Unavailable);
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.problem().detail.contains("no space"), "the disk is not the client's business");
    // Nobody knows: a batch may be there although its sync failed.
    assert!(!answer.problem().detail.contains("nothing was charged"), "{}", answer.problem().detail);
    assert!(shop.charges().await.is_empty());
    shop.fill_disk(false);
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&credential))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_voucher_that_has_paid_pays_for_nothing_else() {
    let shop = Shop::open();
    let (_, credential) = honest(&shop).await;
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&credential))).await.status, StatusCode::OK);
    let answer = shop.send(request(Method::GET, "/songs/minuet", Some(&credential))).await;
    assert_refused(&answer, ProblemType::DeltaTooSmall);
    assert_eq!(shop.spent().await, PRICE);
}

/// Loss 29: anybody can put money in under a victim's name, and name an own key as its signer.
#[tokio::test]
async fn money_put_in_under_a_victims_name_buys_nothing_that_the_victim_bought() {
    let shop = Shop::open();
    let (victim, bought) = honest(&shop).await;
    assert_eq!(shop.send(request(Method::GET, SONG, Some(&bought))).await.status, StatusCode::OK);
    let mut thief = Buyer::with(shop.payee.address(), 0x66);
    thief.channel.payer = victim.channel.payer;
    let fetch_again = thief.credential(&bought.challenge, Amount::ZERO);
    let answer = shop.send(request(Method::GET, SONG, Some(&fetch_again))).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "it is not the buyer's key");
    let mut victims_channel = thief.credential(&bought.challenge, PRICE);
    (victims_channel.payload.channel_id, victims_channel.payload.terms) =
        (bought.payload.channel_id, bought.payload.terms);
    let answer = shop.send(request(Method::GET, SONG, Some(&victims_channel))).await;
    assert_refused(&answer, ProblemType::SignerMismatch);
    assert_eq!((shop.charges().await.len(), shop.spent().await), (1, PRICE));
}

#[tokio::test]
async fn a_client_can_not_choose_the_realm() {
    let shop = Shop::open();
    for host in ["dear.example", "localhost.evil.example", "10.0.0.1:8402"] {
        let mut asked = request(Method::GET, SONG, None);
        asked.headers_mut().insert("host", host.parse().expect("a value"));
        let answer = shop.send(asked).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(answer.header("www-authenticate").is_none());
    }
    let mut hostless = request(Method::GET, SONG, None);
    hostless.headers_mut().remove("host");
    assert_eq!(shop.send(hostless).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_challenge_of_one_origin_does_not_pass_at_another() {
    let realm = |name: &str| AppOptions { realm: Some(name.parse().expect("a realm")), ..AppOptions::default() };
    let (cheap, dear) = (Shop::open_for_tips(realm("cheap.example")), Shop::open_for_tips(realm("dear.example")));
    let buyer = Buyer::of(&cheap);
    // The two share a secret, and the attacker says at the cheap one that it wants the dear one.
    let mut asked = request(Method::GET, SONG, None);
    asked.headers_mut().insert("host", "dear.example".parse().expect("a value"));
    let challenge = cheap.send(asked).await.challenge();
    assert_eq!(challenge.realm, "cheap.example");
    let credential = buyer.credential(&challenge, PRICE);
    let answer = dear.send(request(Method::GET, SONG, Some(&credential))).await;
    assert_refused(&answer, ProblemType::InvalidChallenge);
    assert_eq!(cheap.send(request(Method::GET, SONG, Some(&credential))).await.status, StatusCode::OK);
}
