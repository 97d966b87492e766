//! Shops on real sockets: honest by default, and as hostile as a test wants.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use farthing::PrivateKeySigner;
use farthing::core::exposure::{AccountPosition, ChannelView, CreditTerms, Sight};
use farthing::core::ledger::{self, Acceptance, ChannelBooks, Charge, ChargeRequest, RequestId};
use farthing::core::voucher::Domain;
use farthing::core::wire::challenge::MethodDetails;
use farthing::core::wire::listing::LISTING_PATH;
use farthing::core::wire::receipt_batch::{Blinding, batch_digest};
use farthing::core::wire::{
    Challenge, ChallengeSecret, Credential, Delegation, ListedItem, Listing, Problem, ProblemType, Receipt,
    ReceiptTree, SessionRequest, SignedReceipt,
};
use farthing::core::{Address, Amount, B256, Channel, ChannelId, Deployment, Token, VoucherSignature};
use farthing::signer::SignerSync;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const CENT: u128 = 10_000;

pub(super) fn cents(count: u128) -> Amount {
    Amount::new(count * CENT)
}

pub(super) fn token() -> Token {
    Token { address: Address::repeat_byte(0x70), symbol: "dUSD".to_owned(), decimals: 6, dollar: true }
}

pub(super) fn deployment() -> Deployment {
    Deployment { chain_id: 31_337, escrow: farthing::escrow::genuine_address(86_400) }
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) credential: Option<Credential>,
}

impl Seen {
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Send {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// The connection stays open and silent.
    Never,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self::Send { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Send { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    pub(super) fn with_body(mut self, content: impl Into<Vec<u8>>) -> Self {
        if let Self::Send { body, .. } = &mut self {
            *body = content.into();
        }
        self
    }
}

/// What a shop sold: the voucher's channel and cumulative amount, the path, the price.
pub(super) type Sale = (ChannelId, Amount, String, Amount);

/// A shop that plays by the rules: the core's ledger decides.
pub(super) struct Shop {
    pub(super) payee: PrivateKeySigner,
    /// Signs receipts instead of the payee.
    pub(super) receipt_key: Option<PrivateKeySigner>,
    /// What its listing says about that. The terms of a split make the split the payee.
    pub(super) delegation: Option<Delegation>,
    pub(super) secret: ChallengeSecret,
    pub(super) challenge_seconds: u64,
    /// The host and port of its challenges: its own, once it runs.
    pub(super) realm: String,
    pub(super) details: MethodDetails,
    pub(super) currency: Address,
    pub(super) suggested_deposit: Option<Amount>,
    /// Prices by path; every other path costs what stands under `*`.
    pub(super) prices: BTreeMap<String, Amount>,
    pub(super) tip: Option<Amount>,
    /// The chain, as the shop sees it.
    pub(super) view: ChannelView,
    pub(super) sales: Vec<Sale>,
    books: BTreeMap<ChannelId, (ChannelBooks, BTreeMap<Amount, Charge>)>,
}

impl Shop {
    pub(super) fn new() -> Self {
        let (token, deployment) = (token(), deployment());
        let details = MethodDetails {
            chain_id: deployment.chain_id,
            escrow_contract: deployment.escrow,
            exit_delay: 86_400,
            item: String::new(),
            symbol: token.symbol,
            decimals: token.decimals,
            dollar: true,
            reservation: None,
        };
        Self {
            payee: PrivateKeySigner::random(),
            receipt_key: None,
            delegation: None,
            secret: ChallengeSecret::new(b"a secret of thirty-two bytes or more".to_vec()).expect("long enough"),
            challenge_seconds: 300,
            realm: String::new(),
            details,
            currency: token.address,
            suggested_deposit: None,
            prices: BTreeMap::from([("*".to_owned(), cents(50))]),
            tip: None,
            view: ChannelView::default(),
            sales: Vec::new(),
            books: BTreeMap::new(),
        }
    }

    pub(super) fn selling(mut self, path: &str, price: Amount) -> Self {
        self.prices.insert(path.to_owned(), price);
        self
    }

    /// Who is paid.
    pub(super) fn recipient(&self) -> Address {
        match &self.delegation {
            Some(Delegation::Split(terms)) => farthing::split::split_address(terms),
            _ => self.payee.address(),
        }
    }

    pub(super) fn price(&self, path: &str) -> Amount {
        self.prices.get(path).or_else(|| self.prices.get("*")).copied().unwrap_or_default()
    }

    pub(super) fn session(&self, path: &str, price: Amount) -> SessionRequest {
        SessionRequest {
            amount: price,
            unit_type: "item".to_owned(),
            currency: self.currency,
            recipient: self.recipient(),
            suggested_deposit: self.suggested_deposit,
            method_details: MethodDetails { item: path.to_owned(), ..self.details.clone() },
        }
    }

    pub(super) fn challenge(&self, session: &SessionRequest) -> String {
        let expires = farthing::clock::now().plus_seconds(self.challenge_seconds);
        Challenge::issue(&self.secret, &self.realm, session, expires, None).expect("issues").to_header()
    }

    /// A 402 that asks for a price.
    pub(super) fn asks(&self, path: &str, price: Amount, problem: &Problem) -> Reply {
        Reply::status(problem.status)
            .with("www-authenticate", self.challenge(&self.session(path, price)))
            .with_body(serde_json::to_vec(problem).expect("writes"))
    }

    fn refuses(&self, seen: &Seen, problem: &Problem) -> Reply {
        self.asks(seen.path(), self.price(seen.path()), problem)
    }

    pub(super) fn channel(&self, credential: &Credential) -> Option<Channel> {
        Some(credential.payload.terms?.channel(self.recipient(), self.currency))
    }

    pub(super) fn domain(&self) -> Domain {
        Domain::new(Deployment { chain_id: self.details.chain_id, escrow: self.details.escrow_contract })
    }

    /// The honest answer.
    pub(super) fn answer(&mut self, seen: &Seen) -> Reply {
        if seen.path() == LISTING_PATH {
            return Reply::status(200).with_body(serde_json::to_vec(&self.listing()).expect("writes"));
        }
        let price = self.price(seen.path());
        if price.is_zero() {
            return Reply::status(200).with_body("free");
        }
        let Some(credential) = &seen.credential else {
            return self.refuses(seen, &Problem::new(ProblemType::PaymentRequired, "pay first"));
        };
        match self.charge(seen, credential) {
            Ok(receipt) => Reply::status(200)
                .with("content-type", "text/plain")
                .with("payment-receipt", receipt.to_header().expect("writes"))
                .with_body(format!("this is {}", seen.path())),
            Err(problem) => self.refuses(seen, &problem),
        }
    }

    fn charge(&mut self, seen: &Seen, credential: &Credential) -> Result<SignedReceipt, Problem> {
        let problem = |kind: ProblemType| Problem::new(kind, format!("{kind:?}"));
        if !credential.challenge.is_issued_by(&self.secret) {
            return Err(problem(ProblemType::InvalidChallenge));
        }
        let expires = credential.challenge.expires_at().ok().flatten();
        if expires.is_none_or(|expires| expires <= farthing::clock::now()) {
            return Err(problem(ProblemType::PaymentExpired));
        }
        let channel = self.channel(credential).ok_or_else(|| problem(ProblemType::ChannelNotFound))?;
        let signed = credential.payload.signed_voucher();
        let voucher = signed.verify(&self.domain(), &channel).map_err(|error| Problem::from(&error))?;
        let id = channel.id(&deployment());
        let (books, charges) =
            self.books.get(&id).cloned().unwrap_or_else(|| (ChannelBooks::new(channel), BTreeMap::new()));
        let cumulative_amount = voucher.voucher().cumulative_amount;
        let existing = charges.get(&cumulative_amount);
        let agreed = credential.payload.amount.unwrap_or_default();
        let tip = self.tip.filter(|_| seen.path() == "/tip");
        let price = tip.map_or_else(|| self.price(seen.path()), |least| least.max(agreed));
        // An item that was paid for stays paid for, whatever it costs today.
        if existing.is_none() && agreed < price {
            return Err(problem(ProblemType::PaymentInsufficient));
        }
        let request = ChargeRequest {
            price,
            item: seen.path().to_owned(),
            request: RequestId::new(&seen.method, seen.path()),
            reservation_required: self.details.reservation.is_some(),
            at: farthing::clock::now(),
        };
        let acceptance = ledger::accept(&voucher, &request, &books, existing, &self.position());
        match acceptance.map_err(|refusal| Problem::of_refusal(&refusal, &token()))? {
            Acceptance::Charged { books, charge, .. } => {
                self.sales.push((id, cumulative_amount, charge.item.clone(), charge.price));
                let entry = self.books.entry(id).or_insert_with(|| (books, BTreeMap::new()));
                entry.0 = books;
                entry.1.insert(cumulative_amount, charge.clone());
                Ok(self.receipt(credential, &books, &charge))
            }
            Acceptance::Again { charge } => Ok(self.receipt(credential, &books, &charge)),
        }
    }

    fn position(&self) -> AccountPosition {
        let plenty = Amount::MAX_ON_CHAIN;
        AccountPosition {
            balance: plenty,
            channel: self.view,
            other_exposure: Amount::ZERO,
            redeemed: Amount::ZERO,
            strangers_today: Amount::ZERO,
            sight: Sight::Clear,
            credit: CreditTerms { limit: plenty, first: Some(plenty), strangers_per_day: plenty },
        }
    }

    fn receipt(&self, credential: &Credential, books: &ChannelBooks, charge: &Charge) -> SignedReceipt {
        let (method, intent, status) = Receipt::names();
        let channel_id = credential.payload.channel_id;
        self.sign_receipt(Receipt {
            method,
            intent,
            status,
            timestamp: charge.at,
            reference: channel_id,
            challenge_id: credential.challenge.id.clone(),
            channel_id,
            cumulative_amount: charge.cumulative_amount,
            accepted_cumulative: books.accepted,
            spent: books.spent,
            item: charge.item.clone(),
            price: charge.price,
        })
    }

    pub(super) fn sign_receipt(&self, receipt: Receipt) -> SignedReceipt {
        let key = self.receipt_key.as_ref().unwrap_or(&self.payee);
        let signature = key.sign_hash_sync(&receipt.digest(&self.domain())).expect("signs");
        let signature = VoucherSignature::from_bytes(&signature.as_bytes()).expect("low s");
        SignedReceipt { receipt, signature, path: None, delegation: None }
    }

    /// Signs a receipt together with a stranger's.
    pub(super) fn sign_with_others(&self, receipt: Receipt) -> SignedReceipt {
        let blinding = Blinding::repeat_byte(7);
        let leaf = receipt.proven().leaf(blinding);
        let tree = ReceiptTree::new(vec![B256::repeat_byte(1), B256::repeat_byte(2), leaf]).expect("three");
        let key = self.receipt_key.as_ref().unwrap_or(&self.payee);
        let signature = key.sign_hash_sync(&batch_digest(tree.root(), &self.domain())).expect("signs");
        let signature = VoucherSignature::from_bytes(&signature.as_bytes()).expect("low s");
        SignedReceipt { receipt, signature, path: tree.path(2, blinding), delegation: None }
    }

    fn listing(&self) -> Listing {
        let item = |path: &str, price: Amount| ListedItem {
            path: path.to_owned(),
            title: path.to_owned(),
            price,
            media_type: None,
            description: None,
        };
        let listed = self.prices.iter().filter(|(path, _)| *path != "*");
        Listing {
            name: "a shop".to_owned(),
            description: None,
            recipient: self.recipient(),
            currency: self.currency,
            method_details: self.details.clone(),
            items: listed.map(|(path, price)| item(path, *price)).collect(),
            tip: self.tip.map(|least| item("/tip", least)),
            relay: None,
            delegation: self.delegation.clone(),
        }
    }
}

/// Answers instead of the shop, if it likes.
type Twist = Box<dyn FnMut(&mut Shop, &Seen) -> Option<Reply> + Send>;

pub(super) struct Inner {
    pub(super) shop: Shop,
    pub(super) seen: Vec<Seen>,
    twist: Option<Twist>,
}

/// A running shop.
pub(super) struct Peer {
    pub(super) origin: String,
    inner: Arc<Mutex<Inner>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Peer {
    pub(super) async fn honest(mut shop: Shop) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        shop.realm = listener.local_addr().expect("has an address").to_string();
        let origin = format!("http://{}", shop.realm);
        let inner = Arc::new(Mutex::new(Inner { shop, seen: Vec::new(), twist: None }));
        let app = Router::new().fallback(serve).with_state(inner.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { origin, inner, server }
    }

    pub(super) async fn twisted(
        shop: Shop,
        twist: impl FnMut(&mut Shop, &Seen) -> Option<Reply> + Send + 'static,
    ) -> Self {
        let peer = Self::honest(shop).await;
        peer.twist(twist);
        peer
    }

    pub(super) fn twist(&self, twist: impl FnMut(&mut Shop, &Seen) -> Option<Reply> + Send + 'static) {
        self.lock().twist = Some(Box::new(twist));
    }

    pub(super) fn untwist(&self) {
        self.lock().twist = None;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panicked in here")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Requests other than for the listing.
    pub(super) fn requests(&self) -> Vec<Seen> {
        self.lock().seen.iter().filter(|seen| seen.path() != LISTING_PATH).cloned().collect()
    }

    /// Every good voucher that came, with the path that it came for: what a thief could redeem.
    pub(super) fn vouchers(&self) -> Vec<(ChannelId, Amount, String)> {
        let inner = self.lock();
        let mut vouchers = Vec::new();
        for seen in &inner.seen {
            let Some(credential) = &seen.credential else { continue };
            let Some(channel) = inner.shop.channel(credential) else { continue };
            let signed = credential.payload.signed_voucher();
            if signed.verify(&inner.shop.domain(), &channel).is_ok() {
                vouchers.push((signed.voucher.channel_id, signed.voucher.cumulative_amount, seen.path().to_owned()));
            }
        }
        vouchers
    }

    /// The sum over channels of the highest good voucher.
    pub(super) fn redeemable(&self) -> Amount {
        let mut highest: BTreeMap<ChannelId, Amount> = BTreeMap::new();
        for (channel, amount, _) in self.vouchers() {
            let entry = highest.entry(channel).or_default();
            *entry = amount.max(*entry);
        }
        Amount::saturating_sum(highest.into_values())
    }

    pub(super) fn sales(&self) -> Vec<Sale> {
        self.lock().shop.sales.clone()
    }

    /// Waits until a request with a voucher has come.
    pub(super) async fn wait_for_voucher(&self) {
        for _ in 0..2_000 {
            if !self.vouchers().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("no voucher came");
    }
}

/// A server that begins every answer as it is told, and never ends it: a byte comes now and then.
pub(super) async fn dripping(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let realm = listener.local_addr().expect("has an address").to_string();
    let origin = format!("http://{realm}");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_err() {
                    break;
                }
                request.push(char::from(byte[0]));
            }
            let head = answer(&realm, &request.to_lowercase());
            tokio::spawn(async move {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            });
        }
    });
    origin
}

async fn serve(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let credential = authorization.and_then(|field| Credential::from_header(field).ok());
    let body = String::from_utf8_lossy(&body).into_owned();
    let seen = Seen { method: method.to_string(), uri, headers, body, credential };
    let reply = {
        let mut inner = inner.lock().expect("no test panicked in here");
        inner.seen.push(seen.clone());
        let Inner { shop, twist, .. } = &mut *inner;
        twist.as_mut().and_then(|twist| twist(shop, &seen)).unwrap_or_else(|| shop.answer(&seen))
    };
    match reply {
        Reply::Never => std::future::pending().await,
        Reply::Send { status, headers, body } => {
            let mut response = body.into_response();
            *response.status_mut() = status.try_into().expect("a status");
            response.headers_mut().remove("content-type");
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().expect("a header"));
            }
            response
        }
    }
}
