//! What an item costs the payer: `cargo bench --package farthing --bench payer`. Prints JSON lines, as
//! `benches/speed/README.md` says.
//!
//! A payer with a store on disk buys one item after another from a site in this process, by the public API. The site
//! checks nothing and signs a receipt, so what is measured is the payer: `payer.promised` is the time from the call
//! until the voucher has arrived, which is looking up, budget, the promise made durable, signing, and one request on
//! the loopback; `payer.bought` until the receipt is checked and on record as well. `payer.free` is the same request
//! without payment, and `payer.sign` the signing alone.

#![allow(clippy::expect_used, reason = "a measurement that can't go on has failed")]

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use farthing::PrivateKeySigner;
use farthing::core::voucher::Domain;
use farthing::core::wire::challenge::MethodDetails;
use farthing::core::wire::listing::LISTING_PATH;
use farthing::core::wire::{
    Challenge, ChallengeSecret, Credential, ListedItem, Listing, Receipt, SessionRequest, SignedReceipt,
};
use farthing::core::{Address, Amount, B256, ChannelId, Deployment, Token, Voucher, VoucherSignature};
use farthing::payer::{FetchOptions, HttpOptions, Limits, Payer, PayerOptions, PayerStore, Policy};
use farthing::signer::SignerSync;
use serde_json::json;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ITEM: &str = "/song";
const FREE: &str = "/free";
const PRICE: Amount = Amount::new(10_000);

fn length() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    Duration::from_secs_f64(seconds)
}

fn say(measurement: &str, value: f64, unit: &str) {
    println!("{}", json!({ "measurement": measurement, "value": value, "unit": unit, "of": {} }));
}

fn deployment() -> Deployment {
    Deployment { chain_id: 31_337, escrow: farthing::escrow::genuine_address(86_400) }
}

fn token() -> Token {
    Token { address: Address::repeat_byte(0x70), symbol: "dUSD".to_owned(), decimals: 6, dollar: true }
}

/// A site that sells one item to whoever brings a credential.
struct Site {
    payee: PrivateKeySigner,
    domain: Domain,
    details: MethodDetails,
    secret: ChallengeSecret,
    realm: String,
    /// When the last voucher arrived.
    arrived: Mutex<Option<Instant>>,
}

impl Site {
    /// Starts one; gives its origin.
    async fn start() -> (String, Arc<Self>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let realm = listener.local_addr().expect("has an address").to_string();
        let details = MethodDetails {
            chain_id: deployment().chain_id,
            escrow_contract: deployment().escrow,
            exit_delay: 86_400,
            item: ITEM.to_owned(),
            symbol: token().symbol,
            decimals: token().decimals,
            dollar: true,
            reservation: None,
        };
        let site = Arc::new(Self {
            payee: PrivateKeySigner::from_slice(&[0x42; 32]).expect("below the curve's order"),
            domain: Domain::new(deployment()),
            details,
            secret: ChallengeSecret::new(b"a secret of thirty-two bytes or more".to_vec()).expect("long enough"),
            realm: realm.clone(),
            arrived: Mutex::new(None),
        });
        let app = Router::new().fallback(answer).with_state(site.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        (format!("http://{realm}"), site)
    }

    fn listing(&self) -> Listing {
        let item = ListedItem {
            path: ITEM.to_owned(),
            title: "a song".to_owned(),
            price: PRICE,
            media_type: None,
            description: None,
        };
        Listing {
            name: "a site".to_owned(),
            description: None,
            recipient: self.payee.address(),
            currency: token().address,
            method_details: self.details.clone(),
            items: vec![item],
            tip: None,
            relay: None,
            delegation: None,
        }
    }

    fn challenge(&self) -> String {
        let session = SessionRequest {
            amount: PRICE,
            unit_type: "item".to_owned(),
            currency: token().address,
            recipient: self.payee.address(),
            suggested_deposit: None,
            method_details: self.details.clone(),
        };
        let expires = farthing::clock::now().plus_seconds(3_600);
        Challenge::issue(&self.secret, &self.realm, &session, expires, None).expect("issues").to_header()
    }

    fn receipt(&self, credential: &Credential) -> SignedReceipt {
        let (method, intent, status) = Receipt::names();
        let payload = &credential.payload;
        let receipt = Receipt {
            method,
            intent,
            status,
            timestamp: farthing::clock::now(),
            reference: payload.channel_id,
            challenge_id: credential.challenge.id.clone(),
            channel_id: payload.channel_id,
            cumulative_amount: payload.cumulative_amount,
            accepted_cumulative: payload.cumulative_amount,
            spent: payload.cumulative_amount,
            item: ITEM.to_owned(),
            price: PRICE,
        };
        let signature = self.payee.sign_hash_sync(&receipt.digest(&self.domain)).expect("signs");
        let signature = VoucherSignature::from_bytes(&signature.as_bytes()).expect("low s");
        SignedReceipt { receipt, signature, path: None, delegation: None }
    }
}

async fn answer(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    if uri.path() == LISTING_PATH {
        return serde_json::to_string(&site.listing()).expect("writes").into_response();
    }
    if uri.path() == FREE {
        return "free".into_response();
    }
    let Some(credential) = headers.get("authorization") else {
        return (StatusCode::PAYMENT_REQUIRED, [("www-authenticate", site.challenge())]).into_response();
    };
    *site.arrived.lock().expect("nobody panicked") = Some(Instant::now());
    let credential = <Credential>::from_header(credential.to_str().expect("ASCII")).expect("a credential");
    let receipt = site.receipt(&credential).to_header().expect("writes");
    ([("payment-receipt", receipt)], "this is the song").into_response()
}

async fn payer(store: PathBuf) -> Payer {
    let mut policy = Policy::default();
    let plenty = Amount::MAX_ON_CHAIN;
    *policy.know(deployment().chain_id, token()) =
        Limits { item: plenty, site_per_day: plenty, day: plenty, reservation: plenty };
    let signer = PrivateKeySigner::from_slice(&[0x24; 32]).expect("below the curve's order");
    let store = PayerStore::open(store).await.expect("opens");
    let options = PayerOptions { http: HttpOptions::default(), ..PayerOptions::new(signer, store).with_policy(policy) };
    let payer = Payer::new(options).expect("has a client");
    payer.record_deposit(deployment(), token().address).await.expect("records");
    payer
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

async fn buying(folder: PathBuf) {
    let (origin, site) = Site::start().await;
    let payer = payer(folder.join("payer.store")).await;
    let (item, free) = (format!("{origin}{ITEM}"), format!("{origin}{FREE}"));
    let anew = FetchOptions { buy_again: true, ..FetchOptions::default() };
    payer.fetch_with(&item, &anew).await.expect("buys").body.bytes().await.expect("a body");
    let (mut promised, mut bought, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    let end = Instant::now() + length();
    while Instant::now() < end {
        let begun = Instant::now();
        let purchase = payer.fetch_with(&item, &anew).await.expect("buys");
        bought.push(begun.elapsed());
        assert_eq!(purchase.paid_now, PRICE, "each is paid");
        assert!(purchase.receipt.is_some(), "and has its receipt");
        promised.push(site.arrived.lock().expect("nobody panicked").expect("a voucher arrived") - begun);
        purchase.body.bytes().await.expect("a body");
        let begun = Instant::now();
        let gift = payer.fetch(&free).await.expect("fetches");
        nothing.push(begun.elapsed());
        gift.body.bytes().await.expect("a body");
    }
    say("payer.promised", median(promised), "ms");
    say("payer.bought", median(bought), "ms");
    say("payer.free", median(nothing), "ms");
}

/// Hashing and signing a voucher, with the key that `farthing wallet` holds.
fn signing() {
    let signer = PrivateKeySigner::from_slice(&[0x24; 32]).expect("below the curve's order");
    let domain = Domain::new(deployment());
    let (begun, mut signed) = (Instant::now(), 0_u128);
    while begun.elapsed() < length() {
        signed += 1;
        let voucher = Voucher { channel_id: ChannelId(B256::repeat_byte(7)), cumulative_amount: Amount::new(signed) };
        black_box(signer.sign_hash_sync(&voucher.digest(&domain)).expect("signs"));
    }
    say("payer.sign", signed as f64 / begun.elapsed().as_secs_f64(), "/s");
}

fn main() {
    // A folder on a disk: in memory, a sync costs nothing.
    let folder = std::env::var_os("BENCH_FOLDER").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("makes a folder");
    signing();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(buying(folder.path().to_owned()));
}
