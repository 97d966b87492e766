//! The side that pays.
//!
//! A [`Payer`] holds a key, a [`PayerStore`] and a [`Policy`]. [`Payer::fetch`] asks for a URL; if the site answers with
//! a price, it checks the escrow, the payee and the budget, writes a promise down, signs it, sends it, and keeps the
//! receipt. In this order, always: price known → budget checked → promise durable → signed → sent. So
//!
//! - a site can take one approved item's worth without delivering, and never more than its budget;
//! - two processes, or a process and its successor after a crash, never sign one amount for two items;
//! - whatever broke, asking for the same URL again sends the very same voucher, which a payee charges once.
//!
//! A site's words about what was promised before are ignored: the store knows.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use farthing::PrivateKeySigner;
//! use farthing::core::{Address, Token};
//! use farthing::payer::{Payer, PayerOptions, PayerStore, Policy};
//!
//! let mut policy = Policy::default();
//! let dollar = Token { address: Address::repeat_byte(0x11), symbol: "USDC".into(), decimals: 6, dollar: true };
//! policy.know(8453, dollar);
//!
//! let store = PayerStore::open("payer.store").await?;
//! let payer = Payer::new(PayerOptions::new(PrivateKeySigner::random(), store).with_policy(policy))?;
//! let mut song = payer.fetch("https://nocturne.example/songs/nocturne").await?;
//! while let Some(chunk) = song.body.chunk().await? {
//!     // Play it.
//!     # let _ = chunk;
//! }
//! # Ok(())
//! # }
//! ```

mod budget;
mod error;
mod fetch;
mod http;
mod offer;
mod order_error;
mod policy;
mod recall;
mod receipt;
mod relay;
mod request;
mod store;
mod tip;

pub use budget::{BudgetError, Counted};
pub use error::PayerError;
pub use http::HttpOptions;
pub use order_error::OrderError;
pub use policy::{EXIT_DELAY_ANY, KnownToken, Limits, Policy, Trust};
pub use receipt::ReceiptError;
pub use relay::{Relayed, Wish};
pub use store::{
    FundedAccount, OpenOrder, PaidChannel, PayerStore, Promise, PromiseId, PromiseState, Spending, StoreError,
};

use alloy::signers::local::PrivateKeySigner;
use farthing_core::wire::{Listing, SignedReceipt};
use farthing_core::{Account, Address, Amount, Deployment, Timestamp, Token};
use http::Http;

/// What a [`Payer`] is made of.
#[derive(Clone, Debug)]
pub struct PayerOptions {
    /// The key that signs vouchers: the payer's own, or a session key whose account the payer funded.
    pub signer: PrivateKeySigner,
    /// Whose money it is.
    pub payer: Address,
    /// Where promises are kept.
    pub store: PayerStore,
    /// What the owner allows.
    pub policy: Policy,
    /// How the HTTP client behaves.
    pub http: HttpOptions,
    /// What time it is; the system's clock unless set otherwise.
    pub clock: fn() -> Timestamp,
}

impl PayerOptions {
    /// Options for a payer that signs with its own key, with the default policy (which knows no token yet).
    #[must_use]
    pub fn new(signer: PrivateKeySigner, store: PayerStore) -> Self {
        let payer = signer.address();
        let (policy, http) = (Policy::default(), HttpOptions::default());
        Self { signer, payer, store, policy, http, clock: crate::clock::now }
    }

    /// Sets what the owner allows.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Pays from the accounts of another address, which named this key as their signer.
    #[must_use]
    pub fn with_payer(self, payer: Address) -> Self {
        Self { payer, ..self }
    }
}

/// How one item is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchOptions {
    /// Pay even if it was bought before.
    pub buy_again: bool,
    /// What the owner agreed to pay for this item, if it was asked: it replaces the auto-approve line, and no other
    /// limit.
    pub approve_up_to: Option<Amount>,
    /// The payee that the owner allows this site to change to.
    pub accept_payee: Option<Address>,
    /// The part of the item that is wanted: to go on with a download that broke off.
    pub range: Option<ByteRange>,
    /// Ask for what this key has bought, by proving the key, and pay nothing: for when the record of the purchase is lost,
    /// or on another device.
    pub recall: bool,
}

/// Which bytes of an item are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first one, counted from 0.
    pub first: u64,
    /// The last one; `None` is the end.
    pub last: Option<u64>,
}

/// An item, and what was paid for it.
#[derive(Debug)]
pub struct Purchase {
    /// The answer's HTTP status.
    pub status: u16,
    /// What the item is.
    pub media_type: Option<String>,
    /// What it costs; zero if it is free.
    pub price: Amount,
    /// What was paid by this call: zero if it is free or was bought before.
    pub paid_now: Amount,
    /// What it was paid in; nothing if it is free.
    pub token: Option<Token>,
    /// The payee's proof. What was bought before comes with the proof of then.
    pub receipt: Option<SignedReceipt>,
    /// Why the proof that came with it is none.
    pub receipt_error: Option<ReceiptError>,
    /// The item, as it flows: take it in chunks, so that a large file need not fit into memory.
    pub body: reqwest::Response,
}

/// Pays for what it fetches. Cheap to clone; any number may share a store.
#[derive(Clone, Debug)]
pub struct Payer {
    signer: PrivateKeySigner,
    payer: Address,
    store: PayerStore,
    policy: Policy,
    http: Http,
    clock: fn() -> Timestamp,
}

impl Payer {
    /// Makes a payer.
    ///
    /// # Errors
    ///
    /// If the HTTP client can't be set up.
    pub fn new(options: PayerOptions) -> Result<Self, PayerError> {
        let http = Http::new(&options.http)?;
        let PayerOptions { signer, payer, store, policy, clock, .. } = options;
        Ok(Self { signer, payer, store, policy, http, clock })
    }

    /// Where its promises are kept.
    #[must_use]
    pub const fn store(&self) -> &PayerStore {
        &self.store
    }

    /// What its owner allows.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The account from which it pays in a token.
    #[must_use]
    pub fn account(&self, token: Address) -> Account {
        Account { payer: self.payer, authorized_signer: self.signer.address(), token }
    }

    /// Notes that money was deposited into [`Self::account`].
    ///
    /// # Errors
    ///
    /// If the store can't be written.
    pub async fn record_deposit(&self, deployment: Deployment, token: Address) -> Result<(), StoreError> {
        self.store.record_deposit(deployment, self.account(token), (self.clock)()).await
    }

    /// Promises of which nobody said what came of them. Fetching the URL again sends the same voucher.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn unfinished(&self) -> Result<Vec<Promise>, StoreError> {
        self.store.unfinished().await
    }

    /// What the site of a URL sells; nothing if it does not say.
    ///
    /// # Errors
    ///
    /// If the URL is none that is paid for.
    pub async fn listing(&self, url: &str) -> Result<Option<Listing>, PayerError> {
        let url = request::parse(url, self.policy.plain_http)?;
        Ok(self.http.listing(&url).await)
    }

    /// Fetches a URL, and pays for it if it costs something, is within the limits and was not bought before.
    ///
    /// # Errors
    ///
    /// See [`PayerError`]: each says whether anything was promised.
    ///
    /// # Cancel safety
    ///
    /// A promise that was made before the future is dropped stands; fetching the URL again sends the same voucher.
    pub async fn fetch(&self, url: &str) -> Result<Purchase, PayerError> {
        self.fetch_with(url, &FetchOptions::default()).await
    }
}
