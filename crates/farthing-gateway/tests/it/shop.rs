//! A shop over a real payee and a real store, with a chain that says what it is told; and a buyer who can misbehave.

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use farthing::PrivateKeySigner;
use farthing::clock;
use farthing::escrow::{EscrowError, Funds};
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{EmbeddedStore, LedgerIdentity, Payee, PayeeOptions};
use farthing_core::ledger::Charge;
use farthing_core::voucher::Domain;
use farthing_core::wire::credential::ChannelTerms;
use farthing_core::wire::{Challenge, ChallengeSecret, Credential, Problem, SignedReceipt, VoucherPayload};
use farthing_core::{Address, Amount, B256, Channel, Deployment, Token, Voucher, VoucherSignature};
use farthing_gateway::{AppOptions, Catalog, app};
use farthing_testkit::FailingStore;
use http_body_util::BodyExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

/// The loopback needs no realm to be set.
pub(crate) const HOST: &str = "localhost:8402";

pub(crate) const SONG: &str = "/songs/greensleeves";

/// $0.50 of a dollar with six decimals.
pub(crate) const PRICE: Amount = Amount::new(500_000);

const SECRET: &[u8] = b"a secret that only this test knows";

pub(crate) fn dollar() -> Token {
    Token { address: Address::repeat_byte(0x11), symbol: "dUSD".to_owned(), decimals: 6, dollar: true }
}

pub(crate) fn deployment() -> Deployment {
    Deployment { chain_id: 31_337, escrow: Address::repeat_byte(0x33) }
}

/// A song that is no text and has a length nobody would guess.
pub(crate) fn song() -> Vec<u8> {
    (0..100_003_u32).map(|position| (position.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Every account holds a thousand dollars.
#[derive(Debug)]
struct Rich;

impl FundsSource for Rich {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        let head = Funds { account_balance: Amount::new(1_000_000_000), ..Funds::default() };
        Box::pin(std::future::ready(Ok(Reading { head, ..Reading::default() })))
    }
}

pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) payee: Payee,
    pub(crate) router: Router,
    disk: Arc<FailingStore>,
}

const CATALOG: &str = r#"
name = "Nocturne Records"

[[item]]
path = "/songs/greensleeves"
file = "greensleeves.wav"
title = "Greensleeves <live>"
price = "$0.50"

[[item]]
path = "/songs/minuet"
file = "minuet.wav"
title = "Minuet"
price = "$0.50"

[tip]
path = "/tip"
minimum = "$0.01"
thanks = "Thank you."

[credit]
limit = "$1000"
first = "$1000"
strangers_per_day = "$1000"
"#;

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(CATALOG, AppOptions::default())
    }

    pub(crate) fn open_with(catalog: &str, options: AppOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["greensleeves.wav", "minuet.wav"] {
            std::fs::write(folder.path().join(file), song()).expect("writes");
        }
        std::fs::write(folder.path().join("catalog.toml"), catalog).expect("writes");
        let catalog = Catalog::load(folder.path(), &dollar()).expect("a good catalog");
        let (payee, disk) = payee(folder.path(), &catalog);
        let router = app(payee.clone(), catalog, options);
        Self { folder, payee, router, disk }
    }

    pub(crate) fn open_for_tips(options: AppOptions) -> Self {
        Self::open_with(CATALOG, options)
    }

    pub(crate) fn fill_disk(&self, is_full: bool) {
        self.disk.fill_disk(is_full);
    }

    /// All charges of all channels.
    pub(crate) async fn charges(&self) -> Vec<Charge> {
        self.payee.store().all_charges().await.expect("reads").into_iter().map(|(_, charge)| charge).collect()
    }

    pub(crate) async fn spent(&self) -> Amount {
        let books = self.payee.store().all_books().await.expect("reads");
        Amount::saturating_sum(books.iter().map(|(_, books)| books.spent))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub(crate) async fn challenge(&self, method: Method, path: &str) -> Challenge {
        let answer = self.send(request(method, path, None)).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        answer.challenge()
    }

    /// Buys with a voucher of this total, and expects nothing of the answer.
    pub(crate) async fn buy(&self, buyer: &Buyer, path: &str, cumulative_amount: Amount) -> Answer {
        let challenge = self.challenge(Method::GET, path).await;
        self.send(request(Method::GET, path, Some(&buyer.credential(&challenge, cumulative_amount)))).await
    }
}

fn payee(folder: &Path, catalog: &Catalog) -> (Payee, Arc<FailingStore>) {
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x77)).expect("a key");
    let identity = LedgerIdentity { deployment: deployment(), payee: key.address(), token: dollar().address };
    let store = EmbeddedStore::open(&folder.join("ledger.redb"), &identity).expect("opens");
    let disk = Arc::new(FailingStore::new(Arc::new(store)));
    let options = PayeeOptions {
        identity,
        exit_delay: 86_400,
        token: dollar(),
        credit: catalog.credit(),
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation: None,
    };
    let payee = Payee::start(options, secret(), key, Arc::clone(&disk) as _, Arc::new(Rich)).expect("starts");
    payee.views().note_seen(clock::now());
    (payee, disk)
}

pub(crate) fn secret() -> ChallengeSecret {
    ChallengeSecret::new(SECRET.to_vec()).expect("long enough")
}

/// Whoever pays: a key and one channel to the shop's payee.
pub(crate) struct Buyer {
    pub(crate) key: PrivateKeySigner,
    pub(crate) channel: Channel,
}

impl Buyer {
    pub(crate) fn of(shop: &Shop) -> Self {
        Self::with(shop.payee.address(), 0x55)
    }

    pub(crate) fn with(payee: Address, seed: u8) -> Self {
        let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).expect("a key");
        let (payer, token) = (key.address(), dollar().address);
        let channel = Channel { payer, payee, token, salt: B256::repeat_byte(9), authorized_signer: payer };
        Self { key, channel }
    }

    pub(crate) fn sign(&self, domain: &Domain, cumulative_amount: Amount) -> VoucherSignature {
        use alloy::signers::SignerSync;
        let channel_id = self.channel.id(domain.deployment());
        let digest = Voucher { channel_id, cumulative_amount }.digest(domain);
        let signature = self.key.sign_hash_sync(&digest).expect("signs");
        VoucherSignature::from_bytes(&signature.as_bytes()).expect("canonical")
    }

    pub(crate) fn credential(&self, challenge: &Challenge, cumulative_amount: Amount) -> Credential {
        let domain = Domain::new(deployment());
        let payload = VoucherPayload {
            action: VoucherPayload::ACTION.to_owned(),
            channel_id: self.channel.id(&deployment()),
            cumulative_amount,
            signature: self.sign(&domain, cumulative_amount),
            amount: None,
            terms: Some(ChannelTerms::from(&self.channel)),
        };
        Credential { challenge: challenge.clone(), source: None, payload }
    }
}

pub(crate) fn request(method: Method, path: &str, credential: Option<&Credential>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", HOST);
    if let Some(credential) = credential {
        request = request.header(AUTHORIZATION, credential.to_header().expect("writes"));
    }
    request.body(Body::empty()).expect("builds")
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let Ok(response) = router.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn challenge(&self) -> Challenge {
        let field = self.header(WWW_AUTHENTICATE.as_str()).expect("a challenge");
        Challenge::from_header(field).expect("parses").remove(0)
    }

    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        serde_json::from_slice(&self.body).expect("a problem")
    }

    pub(crate) fn receipt(&self) -> Option<SignedReceipt> {
        self.header("payment-receipt").map(|field| SignedReceipt::from_header(field).expect("a receipt"))
    }
}
