//! The side that is paid: verify a voucher, make it durable, serve; later redeem only the last one.
//!
//! [`Payee::accept`] is the path of every voucher: challenge and terms, then the signature, then the ledger, then the
//! store; [`Payee::take`] is what of it is left without HTTP. No call to the chain lies on it, except at the first
//! contact with a channel.

mod alarm;
pub mod audit;
mod bounded;
pub mod coin_price;
mod contacts;
pub mod earnings;
pub mod embedded;
pub mod nodes;
pub mod past;
mod payments;
pub mod planning;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod posting;
mod receipts;
pub mod redeemer;
pub mod refund;
pub mod relay;
pub mod statement;
pub mod store;
mod sync;
mod taking;
pub mod transfer;
mod verifying;
pub mod views;
pub mod watcher;
mod writer;

pub use coin_price::{CoinPriceSource, CoinPrices, RedemptionOptions};
pub use embedded::EmbeddedStore;
pub use farthing_core::quote::Quote;
pub use nodes::{NodeHealth, Nodes, NodesError, Trouble};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore, PostgresUrl, PostgresUrlError};
pub use redeemer::Redeemer;
pub use relay::{Relay, RelayLimits};
pub use store::{LedgerIdentity, PayeeStore, StoreError};
pub use taking::{PresentedVoucher, Taken};
pub use views::{ChainViews, FundsSource};
pub use watcher::Watcher;

use crate::clock;
use crate::escrow::EscrowError;
use alloy::signers::local::PrivateKeySigner;
use bounded::Bounded;
use contacts::Contacts;
use farthing_core::exposure::CreditTerms;
use farthing_core::ledger::{ChannelBooks, Charge, ChargeRequest, Purchase, RequestId};
use farthing_core::quote::TooLittle;
use farthing_core::voucher::Domain;
use farthing_core::wire::challenge::{MethodDetails, SessionRequest};
use farthing_core::wire::credential::VoucherPayload;
use farthing_core::wire::{
    Challenge, ChallengeSecret, Credential, Delegation, INTENT, METHOD, Problem, ProblemType, RecallPayload, Receipt,
    SignedReceipt, WireError,
};
use farthing_core::{Address, Amount, ChannelId, Timestamp, Token};
use receipts::{ReceiptSigner, Seal, SealError};
use std::sync::Arc;
use taking::{Checking, KNOWN_MAX, KnownChannels, Task};
use tokio::sync::Notify;
use verifying::{Verifying, Workers};
use writer::{Room, Writer};

/// How many requests inside challenges are kept as they were read: one an item and price.
const ASKED_MAX: usize = 1_024;

/// An item sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Proof for the payer.
    pub receipt: SignedReceipt,
    /// Whether the same request was charged before, and not again now.
    pub again: bool,
}

/// How a payee sells.
#[derive(Clone, Debug)]
pub struct PayeeOptions {
    /// Whose ledger it is.
    pub identity: LedgerIdentity,
    /// The escrow's exit delay in seconds.
    pub exit_delay: u64,
    /// The token that prices are in.
    pub token: Token,
    /// How much accounts may owe before redemption.
    pub credit: CreditTerms,
    /// How long a challenge is good, in seconds.
    pub challenge_seconds: u64,
    /// After how many seconds without a look at the chain credit stops.
    pub stale_after_seconds: u64,
    /// Why receipts are the payee's, if another key than its own signs them.
    pub delegation: Option<Delegation>,
}

impl PayeeOptions {
    /// A challenge is good for an hour unless told otherwise.
    pub const CHALLENGE_SECONDS: u64 = 3_600;

    /// Credit stops after two minutes without the chain unless told otherwise.
    pub const STALE_AFTER_SECONDS: u64 = 120;
}

/// Thrown when a payee can't start or can't ask to be paid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayeeError {
    /// A challenge that can't be written.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread for the ledger.
    #[error("no thread can be started for the ledger: {0}")]
    Thread(#[from] std::io::Error),
    /// Not called from a tokio runtime, which the store may need.
    #[error("a payee is started within a tokio runtime")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
}

/// Thrown when a voucher was not accepted. Nothing may be served then, and but for [`AcceptError::Store`] and
/// [`AcceptError::Receipt`] nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The credential is refused; the problem says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The ledger could not be read or written. Nobody knows whether the charge is there: a sync may fail after its
    /// bytes have reached the disk. The same credential, when it comes again, finds out, and is charged once at most.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain did not answer at the first contact with a channel.
    #[error(transparent)]
    Chain(#[from] EscrowError),
    /// A worker failed at the voucher before it was charged.
    #[error("the voucher could not be checked")]
    Interrupted,
    /// The receipt could not be signed. The charge is made, and the same credential is answered without another.
    #[error("the receipt can't be signed: {0}")]
    Receipt(String),
}

impl AcceptError {
    fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// What the client is told. A store's or chain's own words stay in the log: they are not the client's business.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.as_ref().clone(),
            Self::Store(StoreError::Busy { .. }) => {
                Problem::new(ProblemType::Unavailable, "too many payments at once; nothing was charged, try again")
            }
            Self::Store(_) | Self::Receipt(_) => {
                let detail = "the payment could not be taken; send the same voucher again, it is charged once at most";
                Problem::new(ProblemType::Unavailable, detail)
            }
            Self::Interrupted => Problem::new(
                ProblemType::Unavailable,
                "the voucher could not be checked; nothing was charged, try again",
            ),
            Self::Chain(_) => Problem::new(ProblemType::Unavailable, "the chain does not answer; nothing was charged"),
        }
    }
}

impl From<SealError> for AcceptError {
    fn from(error: SealError) -> Self {
        Self::Receipt(error.to_string())
    }
}

impl From<Problem> for AcceptError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// A payee with its ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payee(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PayeeOptions,
    domain: Domain,
    secret: ChallengeSecret,
    receipts: Arc<ReceiptSigner>,
    store: Arc<dyn PayeeStore>,
    writer: Writer,
    verifying: Verifying<Box<Task>>,
    known: Arc<KnownChannels>,
    /// Requests inside challenges that this payee issued, by their text.
    asked: Bounded<Box<str>, Arc<SessionRequest>>,
    views: Arc<ChainViews>,
    source: Arc<dyn FundsSource>,
    contacts: Contacts,
    /// The watcher has read something anew: whoever waits for that need not wait for the next look.
    news: Notify,
}

impl Payee {
    /// Starts a payee over a store. `receipt_key` signs receipts: the payee's own key, or one that it delegated (see
    /// [`crate::delegation::check`]).
    ///
    /// # Errors
    ///
    /// If no thread can be started for the ledger, or there is no tokio runtime.
    pub fn start(
        options: PayeeOptions,
        secret: ChallengeSecret,
        receipt_key: PrivateKeySigner,
        store: Arc<dyn PayeeStore>,
        source: Arc<dyn FundsSource>,
    ) -> Result<Self, PayeeError> {
        let deployment = options.identity.deployment;
        let domain = Domain::new(deployment);
        let receipts = Arc::new(ReceiptSigner::new(receipt_key, domain));
        let writer = Writer::start(Arc::clone(&store), Arc::clone(&receipts) as Arc<_>, Room::PAYEE)?;
        let views = Arc::new(ChainViews::new(deployment));
        let known = Arc::new(KnownChannels::new(KNOWN_MAX));
        let check = Checking { domain, views: Arc::clone(&views), known: Arc::clone(&known) };
        let verifying = Verifying::start(Workers::of_this_machine(), &writer, check)?;
        Ok(Self(Arc::new(Inner {
            options,
            domain,
            secret,
            receipts,
            store,
            writer,
            verifying,
            known,
            asked: Bounded::new(ASKED_MAX),
            views,
            source,
            contacts: Contacts::new(),
            news: Notify::new(),
        })))
    }

    /// Who is paid.
    #[must_use]
    pub fn address(&self) -> Address {
        self.0.options.identity.payee
    }

    /// The token that prices are in.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.0.options.token
    }

    /// What it knows of the chain; the watcher keeps it current.
    #[must_use]
    pub fn views(&self) -> &Arc<ChainViews> {
        &self.0.views
    }

    /// How much it lets listeners owe.
    #[must_use]
    pub fn credit(&self) -> CreditTerms {
        self.0.options.credit
    }

    /// The ledger, to read.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn PayeeStore> {
        &self.0.store
    }

    /// The domain that vouchers and receipts are signed in.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.0.domain
    }

    /// Chain, escrow and token as challenges name them, without an item.
    #[must_use]
    pub fn method_details(&self) -> MethodDetails {
        let options = &self.0.options;
        MethodDetails {
            chain_id: options.identity.deployment.chain_id,
            escrow_contract: options.identity.deployment.escrow,
            exit_delay: options.exit_delay,
            item: String::new(),
            symbol: options.token.symbol.clone(),
            decimals: options.token.decimals,
            dollar: options.token.dollar,
            reservation: None,
        }
    }

    /// Why receipts are the payee's, if another key than its own signs them.
    #[must_use]
    pub fn delegation(&self) -> Option<&Delegation> {
        self.0.options.delegation.as_ref()
    }

    /// Asks to be paid for an item.
    ///
    /// # Errors
    ///
    /// If the challenge can't be written.
    pub fn challenge(&self, realm: &str, quote: &Quote, description: Option<String>) -> Result<Challenge, PayeeError> {
        let identity = &self.0.options.identity;
        let request = SessionRequest {
            amount: quote.price,
            unit_type: "item".to_owned(),
            currency: identity.token,
            recipient: identity.payee,
            suggested_deposit: quote.reservation_required,
            method_details: MethodDetails {
                item: quote.item.clone(),
                reservation: quote.reservation_required,
                ..self.method_details()
            },
        };
        let expires = clock::now().plus_seconds(self.0.options.challenge_seconds);
        Ok(Challenge::issue(&self.0.secret, realm, &request, expires, description)?)
    }

    /// Takes a credential for a request and charges the item. When it returns, the charge is durable, and the content
    /// may be served.
    ///
    /// Charged is the quote's price; or the amount of the challenge, if that was for the same item, is lower and has
    /// not expired; or, where the payer names the amount, what it agreed to. A retry of the same request with the same
    /// voucher is answered again and not charged again.
    ///
    /// # Errors
    ///
    /// If the credential is refused, or the charge can't be stored; see [`AcceptError`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, the item may be charged all the same; the same credential is then served when it comes again.
    pub async fn accept(
        &self,
        realm: &str,
        credential: &Credential,
        request: RequestId,
        quote: &Quote,
    ) -> Result<Sale, AcceptError> {
        let now = clock::now();
        let presented = PresentedVoucher::from(&credential.payload);
        let price = match self.check(realm, credential, quote, now)? {
            Ok(price) => price,
            // It may have been paid before the price rose.
            Err(problem) => {
                let earlier = Box::pin(self.charged_before(credential, presented, request)).await?;
                return earlier.ok_or_else(|| problem.into());
            }
        };
        let request = ChargeRequest {
            price,
            item: quote.item.clone(),
            request,
            reservation_required: quote.reservation_required.is_some(),
            at: now,
        };
        let (Taken { books, charge, again }, seal) = self.take_sealed(presented, request).await?;
        let channel_id = credential.payload.channel_id;
        Ok(Sale { receipt: receipt(&credential.challenge.id, channel_id, &books, charge, seal), again })
    }

    /// The sale that a credential's voucher has already paid for this very request, if there is one. Charges nothing.
    ///
    /// # Errors
    ///
    /// If the credential is refused or the ledger can't be read.
    pub async fn sale(
        &self,
        realm: &str,
        credential: &Credential,
        request: RequestId,
        quote: &Quote,
    ) -> Result<Option<Sale>, AcceptError> {
        // What was agreed to does not matter where nothing is charged.
        let _ = self.check(realm, credential, quote, clock::now())?;
        self.charged_before(credential, PresentedVoucher::from(&credential.payload), request).await
    }

    /// The sale of this very request to the key that a credential proves, if there is one. Charges nothing. A purchase
    /// belongs to the key that signed, whatever channel and whoever's account paid for it.
    ///
    /// # Errors
    ///
    /// If the credential is refused or the ledger can't be read.
    pub async fn recall(
        &self,
        realm: &str,
        credential: &Credential<RecallPayload>,
        request: RequestId,
        quote: &Quote,
    ) -> Result<Option<Sale>, AcceptError> {
        let (challenge, payload) = (&credential.challenge, &credential.payload);
        let asked = self.check_challenge(realm, challenge, clock::now())?;
        if challenge.method != METHOD || challenge.intent != INTENT || asked.method_details.item != quote.item {
            return Err(AcceptError::new(ProblemType::InvalidChallenge, "the challenge is for another item"));
        }
        let proven = payload.verify(self.address(), &challenge.id, &quote.item, &self.0.domain);
        proven.map_err(|error| Problem::from(&error))?;
        let purchase = Purchase { signer: payload.authorized_signer, request };
        let Some((channel_id, charge)) = self.0.store.purchase(purchase).await? else { return Ok(None) };
        let Some(books) = self.0.store.books(channel_id).await? else { return Ok(None) };
        self.sold_before(&challenge.id, &books, charge).map(Some)
    }

    /// The charge that a voucher has already paid for this very request, if there is one.
    async fn charged_before(
        &self,
        credential: &Credential,
        presented: PresentedVoucher,
        request: RequestId,
    ) -> Result<Option<Sale>, AcceptError> {
        let voucher = self.verified(presented).await?;
        let voucher = voucher.voucher();
        let charge = self.0.store.charge(voucher.channel_id, voucher.cumulative_amount).await?;
        let books = self.0.store.books(voucher.channel_id).await?;
        match charge.zip(books).filter(|(charge, _)| charge.request == request) {
            Some((charge, books)) => self.sold_before(&credential.challenge.id, &books, charge).map(Some),
            None => Ok(None),
        }
    }

    /// Everything that is cheap to check comes first: the challenge and what was agreed to. Returns what is charged; or
    /// why what was agreed to is too little for a new charge.
    fn check(
        &self,
        realm: &str,
        credential: &Credential,
        quote: &Quote,
        now: Timestamp,
    ) -> Result<Result<Amount, Problem>, AcceptError> {
        let (challenge, payload) = (&credential.challenge, &credential.payload);
        if challenge.method != METHOD || challenge.intent != INTENT || payload.action != VoucherPayload::ACTION {
            let detail = format!("this server takes {METHOD}/{INTENT} with action voucher");
            return Err(AcceptError::new(ProblemType::MethodUnsupported, detail));
        }
        let asked = self.check_challenge(realm, challenge, now)?;
        Ok(quote.charged(&asked, payload.amount).map_err(|error| self.too_little(quote, error)))
    }

    fn too_little(&self, quote: &Quote, TooLittle { price, agreed }: TooLittle) -> Problem {
        let format = |amount| self.token().format(amount);
        let or_more = if quote.or_more { " or more" } else { "" };
        let detail = format!("the price is {}{or_more}, and {} was agreed to", format(price), format(agreed));
        Problem::new(ProblemType::PaymentInsufficient, detail).with("price", &price).with("amount", &agreed)
    }

    /// The challenge must be one that this payee issued, for this realm, and not long ago.
    fn check_challenge(
        &self,
        realm: &str,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Result<Arc<SessionRequest>, AcceptError> {
        let malformed = |error: WireError| AcceptError::new(ProblemType::MalformedCredential, error.to_string());
        if challenge.realm != realm || !challenge.is_issued_by(&self.0.secret) {
            return Err(AcceptError::new(ProblemType::InvalidChallenge, "the challenge is not of this server"));
        }
        if challenge.expires_at().map_err(malformed)?.is_some_and(|expires| expires < now) {
            return Err(AcceptError::new(ProblemType::PaymentExpired, "the challenge has expired; take a fresh one"));
        }
        let asked = self.asked(challenge).map_err(malformed)?;
        let identity = &self.0.options.identity;
        // Issued by us, but perhaps before the creator moved to another escrow or token.
        let same = asked.deployment() == identity.deployment
            && asked.currency == identity.token
            && asked.recipient == identity.payee;
        if !same {
            let detail = "escrow, token or payee have changed since; take a fresh challenge";
            return Err(AcceptError::new(ProblemType::InvalidChallenge, detail));
        }
        Ok(asked)
    }

    /// The request inside a challenge of ours. An item's is the same text in every challenge, so it is read once.
    fn asked(&self, challenge: &Challenge) -> Result<Arc<SessionRequest>, WireError> {
        if let Some(asked) = self.0.asked.get(challenge.request.as_str()) {
            return Ok(asked);
        }
        let asked = Arc::new(challenge.session_request()?);
        self.0.asked.insert(challenge.request.as_str().into(), Arc::clone(&asked));
        Ok(asked)
    }

    /// The sale of a charge that is in the ledger, with a receipt of its own.
    fn sold_before(&self, challenge_id: &str, books: &ChannelBooks, charge: Charge) -> Result<Sale, AcceptError> {
        let channel_id = books.channel.id(&self.0.options.identity.deployment);
        let seal = self.0.receipts.seal_one(channel_id, &charge)?;
        Ok(Sale { receipt: receipt(challenge_id, channel_id, books, charge, seal), again: true })
    }

    pub(crate) fn options(&self) -> &PayeeOptions {
        &self.0.options
    }

    pub(crate) fn news(&self) -> &Notify {
        &self.0.news
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }
}

fn receipt(
    challenge_id: &str,
    channel_id: ChannelId,
    books: &ChannelBooks,
    charge: Charge,
    seal: Seal,
) -> SignedReceipt {
    let (method, intent, status) = Receipt::names();
    let receipt = Receipt {
        method,
        intent,
        status,
        timestamp: charge.at,
        reference: channel_id,
        challenge_id: challenge_id.to_owned(),
        channel_id,
        cumulative_amount: charge.cumulative_amount,
        accepted_cumulative: books.accepted,
        spent: books.spent,
        item: charge.item,
        price: charge.price,
    };
    // The listing has the proof of a delegation: a large split's would not fit a header.
    SignedReceipt { receipt, signature: seal.signature, path: seal.path, delegation: None }
}
