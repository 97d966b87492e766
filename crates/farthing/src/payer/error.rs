//! Everything that can keep a payer from buying.

use super::budget::BudgetError;
use super::store::StoreError;
use farthing_core::voucher::SignatureError;
use farthing_core::wire::{Problem, WireError};
use farthing_core::{Address, Amount, Channel, Deployment, Token};

/// Thrown when nothing was bought, or nobody knows yet whether it was.
///
/// Unless it says otherwise, nothing was promised for this request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayerError {
    /// Not a URL that is paid for.
    #[error("{url:?} can't be paid for: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The request failed before anything was promised.
    #[error("the request failed: {0}")]
    Http(#[source] reqwest::Error),
    /// The HTTP client can't be set up.
    #[error("no HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// The site answers neither with the item nor with its price.
    #[error("{url} answers with status {status}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Status {
        /// What was requested.
        url: String,
        /// The answer's status.
        status: u16,
        /// What it says about it.
        detail: String,
    },
    /// The site sends to another site, which would have to be paid under its own name.
    #[error("{url} redirects to {to}, which is another site")]
    Redirected {
        /// What was requested.
        url: String,
        /// Where it sends to.
        to: String,
    },
    /// The site redirects in circles.
    #[error("{url} redirects too often")]
    TooManyRedirects {
        /// What was requested.
        url: String,
    },
    /// The site asks for payment in no way that is understood.
    #[error("{url} asks for payment, but not by method farthing")]
    MethodUnsupported {
        /// What was requested.
        url: String,
    },
    /// The challenge can't be read.
    #[error("the challenge can't be read: {0}")]
    Malformed(#[from] WireError),
    /// The challenge is another site's: whoever passed it on would get that site's item for this voucher.
    #[error("{url} asks with the challenge of another site, {realm:?}")]
    WrongRealm {
        /// What was requested.
        url: String,
        /// The host and port that the challenge is for.
        realm: String,
    },
    /// The challenge asks for something that is no price of an item.
    #[error("the challenge asks for {amount} per {unit_type:?}, which is no price of an item")]
    NotAPrice {
        /// How much it asks.
        amount: Amount,
        /// For what.
        unit_type: String,
    },
    /// The challenge has expired, by this clock.
    #[error("the challenge expired at {expires}; it is {now}")]
    Expired {
        /// When it did.
        expires: farthing_core::Timestamp,
        /// What time it is here.
        now: farthing_core::Timestamp,
    },
    /// The escrow is neither the genuine one nor allowed by hand.
    #[error("{deployment} is not a genuine escrow with an exit delay of {exit_delay} s, nor allowed by name")]
    UntrustedEscrow {
        /// The escrow.
        deployment: Deployment,
        /// The exit delay that the challenge claims, in seconds.
        exit_delay: u64,
    },
    /// Money in this escrow could be stuck for longer than the owner allows.
    #[error("{deployment} has an exit delay of {exit_delay} s, more than the {maximum} s allowed")]
    ExitDelayTooLong {
        /// The escrow.
        deployment: Deployment,
        /// Its exit delay, in seconds.
        exit_delay: u64,
        /// What is allowed, in seconds.
        maximum: u64,
    },
    /// The owner did not declare this token.
    #[error("token {token} on chain {chain_id} is not declared; declare it and its limits to pay with it")]
    UnknownToken {
        /// The token; zero is the native coin.
        token: Address,
        /// Its chain.
        chain_id: u64,
    },
    /// There is nothing to pay from.
    #[error(
        "no deposit of {} is recorded for {payer} with signer {signer} in {deployment}; deposit there first",
        token.symbol
    )]
    NoDeposit {
        /// The escrow to deposit into.
        deployment: Deployment,
        /// Whose account.
        payer: Address,
        /// The account's signer.
        signer: Address,
        /// What to deposit.
        token: Box<Token>,
    },
    /// The site names another payee than the first time.
    #[error("{origin} was paid to {pinned} and now asks to pay {offered}; allow the new payee by name to go on")]
    PayeeChanged {
        /// The site.
        origin: String,
        /// Whom it named first.
        pinned: Address,
        /// Whom it names now.
        offered: Address,
    },
    /// What was bought from this site was paid through another escrow, payee or token than it names now, so that it
    /// can't be fetched again for the old voucher.
    #[error("{url} was paid on channel {channel}, which is not what the site asks for now; buy it again to go on")]
    ChannelChanged {
        /// What was requested.
        url: String,
        /// The channel that paid.
        channel: farthing_core::ChannelId,
    },
    /// It is not within the owner's limits.
    #[error(transparent)]
    Budget(#[from] Box<BudgetError>),
    /// The channel would owe more than the escrow can count.
    #[error("the channel would owe {cumulative_amount}, more than the escrow can count")]
    TooLarge {
        /// What it would owe.
        cumulative_amount: Amount,
    },
    /// The payee serves only what a reservation covers. Reserve `amount` on the chain, wait until that is final, record
    /// it with [`super::PayerStore::record_reservation`], and ask again. The amount is within the owner's limit.
    #[error("the payee asks for {} to be reserved in channel {}", token.format(*amount), channel.id(deployment))]
    ReservationNeeded {
        /// The escrow.
        deployment: Deployment,
        /// The channel to reserve in.
        channel: Box<Channel>,
        /// What to reserve in.
        token: Box<Token>,
        /// How much to reserve now.
        amount: Amount,
        /// What is then guaranteed to the payee, redeemed and reserved together: what to record.
        required: Amount,
    },
    /// The reservation is recorded, but the payee does not see it as final yet. Wait, then ask again.
    #[error(
        "the payee does not see the reservation in channel {} as final yet; {} is recorded",
        channel.id(deployment), token.format(*guaranteed)
    )]
    ReservationNotFinal {
        /// The escrow.
        deployment: Deployment,
        /// The channel.
        channel: Box<Channel>,
        /// What is reserved.
        token: Box<Token>,
        /// What was recorded as guaranteed.
        guaranteed: Amount,
    },
    /// The payee refused. It holds this item's voucher, and the next purchase from it signs that amount again before
    /// any higher one.
    #[error("{url} refuses the payment: {} ({status})", if problem.detail.is_empty() { &problem.title } else { &problem.detail })]
    Refused {
        /// What was requested.
        url: String,
        /// The answer's status.
        status: u16,
        /// Why, in the payee's words.
        problem: Box<Problem>,
    },
    /// Asked for what this key has bought, the site says that it has not bought it. Nothing was paid.
    #[error("{signer} has not bought {url}, says the site")]
    NotBought {
        /// What was asked for.
        url: String,
        /// The key.
        signer: Address,
    },
    /// The voucher was sent and the connection broke. The promise stands; asking for the same URL again sends the very
    /// same voucher.
    #[error("{url} was paid for, and the answer did not come; asking again does not pay again ({source})")]
    OutcomeUnknown {
        /// What was requested.
        url: String,
        /// What broke.
        source: reqwest::Error,
    },
    /// The voucher was sent, and the answer is neither the item nor a refusal. The promise stands; asking for the same
    /// URL again sends the very same voucher.
    #[error("{url} was sent a voucher and answers with status {status}; asking again sends the same voucher")]
    Unanswered {
        /// What was requested.
        url: String,
        /// The answer's status.
        status: u16,
    },
    /// The site takes no tips, or not there.
    #[error("{url} takes no tips")]
    NoTips {
        /// What was asked.
        url: String,
    },
    /// The tip is below the least that the site takes.
    #[error("a tip of {amount} is below the least that is taken, {minimum}")]
    TipTooSmall {
        /// The tip: as people write amounts of the token, or in base units of one that the owner does not know.
        amount: String,
        /// The least, in the same way.
        minimum: String,
    },
    /// The key did not sign.
    #[error("the key did not sign: {0}")]
    Signer(String),
    /// The key signed something that is not a good voucher of the channel.
    #[error("the voucher would not be good: {0}")]
    Signature(#[from] SignatureError),
    /// The store failed. If it failed after the item was paid for, the promise is in the store, and asking again sends
    /// the very same voucher.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BudgetError> for PayerError {
    fn from(error: BudgetError) -> Self {
        Self::Budget(Box::new(error))
    }
}
