//! Funding and withdrawing without gas: the payer signs, a site sends.
//!
//! Whoever sends it can send it or not, and that is all: the signature names account or channel, amount, receiver and
//! time. So what has to be kept safe here is that nobody signs twice for one thing. An order is durable before it
//! leaves; until the chain shows it as used, or its time is over, the very same order is sent again, and no other one
//! of its kind is signed.

use super::error::PayerError;
use super::order_error::OrderError;
use super::request::{origin, parse};
use super::store::OpenOrder;
use super::{Payer, http::Http};
use crate::escrow::Escrow;
use crate::token::{self, SigningError};
use alloy::eips::BlockNumberOrTag;
use alloy::signers::SignerSync;
use farthing_core::funding::Withdrawal;
use farthing_core::voucher::Domain;
use farthing_core::wire::{Listing, RelayAnswer, RelayOrder, RelayRequest, RelayTerms, SignedAuthorization};
use farthing_core::{Account, Address, Amount, B256, Channel, Deployment, Timestamp, Token, VoucherSignature};
use rand::RngCore;
use reqwest::StatusCode;
use std::time::Duration;
use url::Url;

/// How long an order is good, in seconds: long enough to be sent again after a lost answer, short enough that a site
/// which sits on it gives it up soon.
const GOOD_FOR: u64 = 1_200;

/// How long the chain is looked at after an answer was lost. What is mined later is found when it is asked for again.
const LOST_ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is to be done by somebody else's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Tokens of the wallet into an account of the wallet.
    Deposit {
        /// The account.
        account: Account,
        /// How much.
        amount: Amount,
    },
    /// Tokens of the wallet into a channel's reservation.
    Open {
        /// The channel.
        channel: Channel,
        /// How much.
        amount: Amount,
    },
    /// Money out of an account of the wallet.
    Withdraw {
        /// The account.
        account: Account,
        /// How much.
        amount: Amount,
        /// Who gets it.
        to: Address,
    },
}

/// What was carried out, as the chain shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// What was signed.
    pub request: RelayRequest,
    /// The transaction that the site says it sent; nothing if the answer was lost and the chain shows it all the same.
    pub transaction: Option<B256>,
    /// Whether it was signed by an earlier call, whose answer was lost.
    pub was_open: bool,
}

/// Where an order stands on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Used,
    Expired,
}

/// A site that relays.
struct Site {
    origin: String,
    endpoint: Url,
    terms: RelayTerms,
}

impl OpenOrder {
    /// Why nothing else is signed now.
    fn in_the_way(self, token: Token) -> OrderError {
        let (amount, until) = (self.request.order.amount(), self.request.order.expires());
        OrderError::Open { site: self.site, amount, until, token: Box::new(token) }
    }
}

impl Wish {
    /// Whose money moves.
    const fn payer(&self) -> Address {
        match self {
            Self::Deposit { account, .. } | Self::Withdraw { account, .. } => account.payer,
            Self::Open { channel, .. } => channel.payer,
        }
    }

    const fn token(&self) -> Address {
        match self {
            Self::Deposit { account, .. } | Self::Withdraw { account, .. } => account.token,
            Self::Open { channel, .. } => channel.token,
        }
    }

    const fn amount(&self) -> Amount {
        match self {
            Self::Deposit { amount, .. } | Self::Open { amount, .. } | Self::Withdraw { amount, .. } => *amount,
        }
    }

    /// Whether an order that was signed before does just this.
    fn is_met_by(&self, order: &RelayOrder) -> bool {
        match (self, order) {
            (Self::Deposit { account, amount }, RelayOrder::Deposit { account: a, amount: n, .. }) => {
                (account, amount) == (a, n)
            }
            (Self::Open { channel, amount }, RelayOrder::Open { channel: c, amount: n, .. }) => {
                (channel, amount) == (c, n)
            }
            (Self::Withdraw { account, amount, to }, RelayOrder::Withdrawal { withdrawal, .. }) => {
                (account, amount, to) == (&withdrawal.account, &withdrawal.amount, &withdrawal.to)
            }
            _ => false,
        }
    }

    /// Whether an order is about the same account or channel, in the same way.
    fn is_of_the_kind(&self, order: &RelayOrder) -> bool {
        match (self, order) {
            (Self::Deposit { account, .. }, RelayOrder::Deposit { account: other, .. }) => account == other,
            (Self::Open { channel, .. }, RelayOrder::Open { channel: other, .. }) => channel == other,
            (Self::Withdraw { account, .. }, RelayOrder::Withdrawal { withdrawal, .. }) => {
                *account == withdrawal.account
            }
            _ => false,
        }
    }
}

impl Payer {
    /// Has a site send what this payer signs, and waits until the chain shows it.
    ///
    /// Before anything is signed, the escrow must be one that the policy trusts, its exit delay (as the chain says it)
    /// within the policy's, the token known, and the site one that relays for them. `escrow` needs no key.
    ///
    /// # Errors
    ///
    /// See [`OrderError`].
    ///
    /// # Cancel safety
    ///
    /// An order that was signed stays on record, and the next call goes on with it.
    pub async fn relay(&self, escrow: &Escrow, site: &str, wish: Wish) -> Result<Relayed, OrderError> {
        let token = self.check_policy(escrow, &wish).await?;
        let site = self.relaying_site(escrow, site, &wish).await?;
        if let Some(earlier) = self.earlier_order(escrow, &wish).await? {
            if !wish.is_met_by(&earlier.request.order) {
                return Err(earlier.in_the_way(token));
            }
            return self.send_order(escrow, &site, earlier.request, true).await;
        }
        self.check_amount(escrow, &site, &wish, &token).await?;
        let order = self.sign_order(escrow, &wish).await?;
        if let RelayOrder::Deposit { account, .. } = &order {
            // Recorded first: an account that turns out to be empty is harmless, a deposit that is forgotten is not.
            self.store.record_deposit(escrow.deployment(), *account, (self.clock)()).await?;
        }
        let request = RelayRequest { deployment: escrow.deployment(), order };
        let order = OpenOrder { request, site: site.origin.clone(), at: (self.clock)() };
        // Of two processes that sign at once, both send the order of the first.
        let open = self.store.begin_order(order).await?;
        if !wish.is_met_by(&open.request.order) {
            return Err(open.in_the_way(token));
        }
        self.send_order(escrow, &site, open.request, open.request != request).await
    }

    /// What this payer has promised from an account and nobody has redeemed or reserved: what a withdrawal of all the
    /// rest leaves there.
    ///
    /// # Errors
    ///
    /// If the store or the chain can't be read.
    pub async fn owed_from(&self, escrow: &Escrow, account: &Account) -> Result<Amount, OrderError> {
        let mut owed = Amount::ZERO;
        for paid in self.store.channels().await? {
            if paid.deployment == escrow.deployment() && paid.channel.account() == *account {
                let funds = escrow.funds_of(&paid.channel, BlockNumberOrTag::Latest).await?.channel;
                let covered = funds.redeemed.saturating_add(funds.reserved);
                owed = owed.saturating_add(paid.promised.saturating_sub(covered));
            }
        }
        Ok(owed)
    }

    /// What a site relays, if it does.
    ///
    /// # Errors
    ///
    /// If the site can't be reached, or its URL is none that is dealt with.
    pub async fn relay_terms(&self, site: &str) -> Result<Option<RelayTerms>, PayerError> {
        let url = parse(site, self.policy.plain_http)?;
        let listing = self.http.reach_listing(&url).await.map_err(PayerError::Http)?;
        Ok(listing.and_then(|listing| listing.relay))
    }

    async fn check_policy(&self, escrow: &Escrow, wish: &Wish) -> Result<Token, OrderError> {
        let (payer, signer) = (wish.payer(), self.signer.address());
        if payer != signer {
            return Err(OrderError::NotPayer { payer, signer });
        }
        let deployment = escrow.deployment();
        let exit_delay = escrow.exit_delay().await?;
        if !self.policy.trusts(&deployment, exit_delay) {
            return Err(PayerError::UntrustedEscrow { deployment, exit_delay }.into());
        }
        // A withdrawal frees money; only what goes in can be stuck.
        let maximum = self.policy.exit_delay_max;
        if exit_delay > maximum && !matches!(wish, Wish::Withdraw { .. }) {
            return Err(PayerError::ExitDelayTooLong { deployment, exit_delay, maximum }.into());
        }
        let (token, chain_id) = (wish.token(), deployment.chain_id);
        let known = self.policy.known(chain_id, token).ok_or(PayerError::UnknownToken { token, chain_id })?;
        Ok(known.token.clone())
    }

    async fn relaying_site(&self, escrow: &Escrow, site: &str, wish: &Wish) -> Result<Site, OrderError> {
        let url = parse(site, self.policy.plain_http)?;
        let origin = origin(&url);
        let listing = self.http.reach_listing(&url).await.map_err(PayerError::Http)?;
        let no_relay = || OrderError::NoRelay { site: origin.clone() };
        let listing = listing.ok_or_else(no_relay)?;
        let terms = listing.relay.clone().ok_or_else(no_relay)?;
        if let Some(what) = other_than(&listing, &escrow.deployment(), wish) {
            return Err(OrderError::NotTheirs { site: origin, what });
        }
        let endpoint = url.join(&terms.path).map_err(|_| no_relay())?;
        // `//elsewhere.example/relay` is a path to some, and another site to a URL.
        if super::request::origin(&endpoint) != origin {
            return Err(no_relay());
        }
        Ok(Site { origin, endpoint, terms })
    }

    /// An order of this kind that may still be carried out, or was and nobody has noticed. One whose time is over is
    /// taken out.
    async fn earlier_order(&self, escrow: &Escrow, wish: &Wish) -> Result<Option<OpenOrder>, OrderError> {
        let deployment = escrow.deployment();
        for open in self.store.open_orders().await? {
            if open.request.deployment != deployment || !wish.is_of_the_kind(&open.request.order) {
                continue;
            }
            let is_met = wish.is_met_by(&open.request.order);
            match self.standing(escrow, &open.request).await? {
                // Another withdrawal takes this one's nonce, so that only one of them can be carried out.
                Standing::Open if !is_met && matches!(wish, Wish::Withdraw { .. }) => {}
                Standing::Open => return Ok(Some(open)),
                // What was asked for then is done. Something else that is asked for now is a new order.
                Standing::Used if is_met => return Ok(Some(open)),
                Standing::Used | Standing::Expired => self.store.finish_order(open.request).await?,
            }
        }
        Ok(None)
    }

    async fn standing(&self, escrow: &Escrow, request: &RelayRequest) -> Result<Standing, OrderError> {
        let (chain, order) = (escrow.chain(), &request.order);
        // The time first: what is over by then can't be used after it was looked for.
        let is_over = chain.time().await? >= order.expires();
        let is_used = match (order, order.authorization(&request.deployment)) {
            (_, Some(signed)) => {
                let used = token::authorization_used(chain, order.token(), signed.from, signed.nonce).await?;
                used.ok_or(SigningError::Unsupported { token: order.token() })?
            }
            (RelayOrder::Withdrawal { withdrawal, .. }, None) => {
                escrow.account_nonce(&withdrawal.account).await? > withdrawal.nonce
            }
            (_, None) => false,
        };
        Ok(match (is_used, is_over) {
            (true, _) => Standing::Used,
            (false, true) => Standing::Expired,
            (false, false) => Standing::Open,
        })
    }

    async fn check_amount(&self, escrow: &Escrow, site: &Site, wish: &Wish, token: &Token) -> Result<(), OrderError> {
        let amount = wish.amount();
        let (holder, held, minimum) = match wish {
            Wish::Deposit { .. } | Wish::Open { .. } => {
                let held = token::balance_of(escrow.chain(), token.address, wish.payer()).await?;
                (format!("the wallet {}", wish.payer()), held, site.terms.minimum_deposit)
            }
            Wish::Withdraw { account, .. } => {
                let held = escrow.account_balance(account).await?;
                let rest = held.saturating_sub(self.owed_from(escrow, account).await?);
                // All that is left is relayed however little it is.
                let minimum = if amount == rest { Amount::ZERO } else { site.terms.minimum_withdrawal };
                ("the account".to_owned(), held, minimum)
            }
        };
        let token = || Box::new(token.clone());
        if held < amount {
            return Err(OrderError::TooLittle { holder, held, amount, token: token() });
        }
        if amount < minimum {
            return Err(OrderError::Minimum { site: site.origin.clone(), amount, minimum, token: token() });
        }
        Ok(())
    }

    async fn sign_order(&self, escrow: &Escrow, wish: &Wish) -> Result<RelayOrder, OrderError> {
        let until = escrow.chain().time().await?.plus_seconds(GOOD_FOR);
        let (deployment, amount) = (escrow.deployment(), wish.amount());
        let order = match *wish {
            Wish::Deposit { account, .. } => {
                RelayOrder::Deposit { account, amount, authorization: unsigned_authorization(until)? }
            }
            Wish::Open { channel, .. } => {
                RelayOrder::Open { channel, amount, authorization: unsigned_authorization(until)? }
            }
            Wish::Withdraw { account, to, .. } => {
                let nonce = escrow.account_nonce(&account).await?;
                let withdrawal = Withdrawal { account, amount, to, nonce, deadline: until };
                let signature = self.sign_digest(withdrawal.digest(&Domain::new(deployment)))?;
                return Ok(RelayOrder::Withdrawal { withdrawal, signature });
            }
        };
        let domain = token::domain_of(escrow.chain(), wish.token()).await?;
        let known = token::authorization_used(escrow.chain(), wish.token(), wish.payer(), B256::ZERO).await?;
        known.ok_or(SigningError::Unsupported { token: wish.token() })?;
        let signed = order.authorization(&deployment).map(|authorization| authorization.digest(&domain));
        let signature = self.sign_digest(signed.unwrap_or_default())?;
        Ok(with_signature(order, signature))
    }

    fn sign_digest(&self, digest: B256) -> Result<VoucherSignature, OrderError> {
        let signature = self.signer.sign_hash_sync(&digest);
        let signature = signature.map_err(|error| PayerError::Signer(error.to_string()))?;
        Ok(VoucherSignature::from_bytes(&signature.as_bytes()).map_err(PayerError::from)?)
    }

    /// Sends an order that is durable, and waits for the chain; the site's word is not enough.
    async fn send_order(
        &self,
        escrow: &Escrow,
        site: &Site,
        request: RelayRequest,
        was_open: bool,
    ) -> Result<Relayed, OrderError> {
        let from = escrow.chain().head().await?.number;
        let done = |transaction| self.done(escrow, from, Relayed { request, transaction, was_open });
        if was_open && self.standing(escrow, &request).await? == Standing::Used {
            return done(None).await;
        }
        let answer = post(&self.http, site, &request).await;
        let patience = match answer {
            Ok(_) => escrow.chain().mined_within(),
            Err(OrderError::OutcomeUnknown { .. }) => LOST_ANSWER_WITHIN,
            Err(_) => Duration::ZERO,
        };
        match (self.wait_for_use(escrow, &request, patience).await?, answer) {
            // Even without an answer: it was lost, or another site has the order.
            (Standing::Used, answer) => done(answer.ok().map(|answer| answer.transaction)).await,
            (_, Err(error)) => Err(error),
            (Standing::Open, Ok(RelayAnswer { transaction })) => {
                let (site, seconds) = (site.origin.clone(), patience.as_secs());
                Err(OrderError::NotSeen { site, transaction, seconds })
            }
            (Standing::Expired, Ok(_)) => {
                self.store.finish_order(request).await?;
                Err(OrderError::Expired { until: request.order.expires() })
            }
        }
    }

    /// Looks at the chain, at least once, until it shows the order as used or over, or `patience` is at an end.
    async fn wait_for_use(
        &self,
        escrow: &Escrow,
        request: &RelayRequest,
        patience: Duration,
    ) -> Result<Standing, OrderError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = Duration::from_millis(50);
        loop {
            let standing = self.standing(escrow, request).await?;
            if standing != Standing::Open || tokio::time::Instant::now() >= deadline {
                return Ok(standing);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Takes a used order off the record, and makes sure that it was this one and not another with the same nonce.
    async fn done(&self, escrow: &Escrow, from: u64, relayed: Relayed) -> Result<Relayed, OrderError> {
        self.store.finish_order(relayed.request).await?;
        if let RelayOrder::Withdrawal { withdrawal, .. } = &relayed.request.order {
            let seen = escrow.relayed_withdrawal(&withdrawal.account, withdrawal.nonce, from).await?;
            if let Some((amount, to)) = seen.filter(|seen| *seen != (withdrawal.amount, withdrawal.to)) {
                return Err(OrderError::Superseded { amount: amount.to_string(), to });
            }
        }
        Ok(relayed)
    }
}

/// Posts an order. Anything but the relay's own answer is an error; none of them says that it was not sent.
async fn post(http: &Http, site: &Site, request: &RelayRequest) -> Result<RelayAnswer, OrderError> {
    let unknown = || OrderError::OutcomeUnknown { site: site.origin.clone() };
    let body = serde_json::to_string(request).map_err(|_| unknown())?;
    let response = http.post(site.endpoint.clone(), body).await.map_err(|_| unknown())?;
    let status = response.status();
    if status == StatusCode::ACCEPTED || status == StatusCode::OK {
        return http.short_json(response).await.ok_or_else(unknown);
    }
    if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE {
        let problem = Box::new(http.problem(response).await);
        let (site, status, until) = (site.origin.clone(), status.as_u16(), request.order.expires());
        return Err(OrderError::Refused { site, status, problem, until });
    }
    Err(unknown())
}

/// What a site relays for that is not what is wished for.
fn other_than(listing: &Listing, deployment: &Deployment, wish: &Wish) -> Option<&'static str> {
    let details = &listing.method_details;
    let theirs = Deployment { chain_id: details.chain_id, escrow: details.escrow_contract };
    if theirs != *deployment {
        return Some("the escrow");
    }
    if listing.currency != wish.token() {
        return Some("the token");
    }
    matches!(wish, Wish::Open { channel, .. } if channel.payee != listing.recipient).then_some("the payee")
}

/// An authorization that nobody has signed yet. Its salt is drawn here and nowhere else, so that no two are alike.
fn unsigned_authorization(valid_before: Timestamp) -> Result<SignedAuthorization, OrderError> {
    let mut salt = B256::ZERO;
    rand::rng().fill_bytes(salt.as_mut_slice());
    let mut placeholder = [0; 65];
    placeholder[64] = 27;
    let signature = VoucherSignature::from_bytes(&placeholder).map_err(PayerError::from)?;
    Ok(SignedAuthorization { valid_after: Timestamp::from_unix_seconds(0), valid_before, salt, signature })
}

fn with_signature(mut order: RelayOrder, by_payer: VoucherSignature) -> RelayOrder {
    match &mut order {
        RelayOrder::Deposit { authorization, .. } | RelayOrder::Open { authorization, .. } => {
            authorization.signature = by_payer;
        }
        RelayOrder::Withdrawal { signature, .. } => *signature = by_payer,
    }
    order
}
