//! What a site asks for, and whether that may be paid at all.

use super::error::PayerError;
use super::policy::{KnownToken, Policy};
use super::request::ItemRequest;
use super::store::{CachedOffer, Promise};
use farthing_core::text::harmless;
use farthing_core::wire::{Challenge, Delegation, Listing, SessionRequest, WireError};
use farthing_core::{Amount, Timestamp};
use url::Url;

/// What the price of an item is for.
const UNIT_ITEM: &str = "item";

/// A challenge is not started on if it is about to expire: the request takes a moment too.
const EXPIRY_MARGIN: u64 = 5;

/// The longest challenge that is answered, in bytes: the answer repeats it in base64 and must still be a header that
/// the scheme takes.
const CHALLENGE_MAX: usize = 4_096;

/// Ports that a URL or a realm leaves out, with and without TLS.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// How much of another site's realm is repeated, in characters.
const REALM_MAX: usize = 260;

/// A challenge, read, with the price that would be agreed to.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) challenge: Challenge,
    pub(super) session: SessionRequest,
    /// What is agreed to: the challenge's amount, the listed price, or what a tip gives.
    pub(super) price: Amount,
    /// What is bought, as the payee calls it.
    pub(super) item: String,
    /// Whether the site has just sent it, so that it is worth remembering.
    pub(super) fresh: bool,
    /// What the site's listing said about who signs its receipts.
    pub(super) delegation: Option<Delegation>,
}

impl Offer {
    /// Reads a challenge, of whatever kind, of the site that was asked.
    pub(super) fn new(challenge: Challenge, request: &ItemRequest) -> Result<Self, PayerError> {
        let length = challenge.to_header().len();
        if length > CHALLENGE_MAX {
            return Err(WireError::TooLong { length }.into());
        }
        if !is_realm_of(&challenge.realm, &request.url) {
            let realm = harmless(&challenge.realm).chars().take(REALM_MAX).collect();
            return Err(PayerError::WrongRealm { url: request.url.to_string(), realm });
        }
        let session = challenge.session_request()?;
        let price = request.tip.unwrap_or(session.amount);
        let item = session.method_details.item.clone();
        if price < session.amount {
            return Err(PayerError::TipTooSmall { amount: price.to_string(), minimum: session.amount.to_string() });
        }
        if session.unit_type != UNIT_ITEM || price.is_zero() {
            // A voucher for nothing would be the last one over again.
            return Err(PayerError::NotAPrice { amount: price, unit_type: session.unit_type });
        }
        Ok(Self { challenge, session, price, item, fresh: true, delegation: None })
    }

    /// The offer for an item that follows from an earlier challenge of its origin and the origin's listing.
    pub(super) fn from_cache(cached: &CachedOffer, request: &ItemRequest, now: Timestamp) -> Option<Self> {
        let challenge = cached_challenge(cached, now)?;
        let listing = cached_listing(cached)?;
        let delegation = listing.delegation.clone();
        let session = challenge.session_request().ok()?;
        let consistent = listing.recipient == session.recipient
            && listing.currency == session.currency
            && listing.method_details.chain_id == session.method_details.chain_id
            && listing.method_details.escrow_contract == session.method_details.escrow_contract;
        if !consistent || session.unit_type != UNIT_ITEM || request.url.query().is_some() {
            return None;
        }
        let mut listed = listing.items.into_iter().chain(listing.tip);
        let listed = listed.find(|item| item.path == request.url.path())?;
        let price = request.tip.unwrap_or(listed.price);
        let payable = !listed.price.is_zero() && price >= listed.price;
        payable.then_some(Self { challenge, session, price, item: listed.path, fresh: false, delegation })
    }

    /// An earlier challenge of the origin, to send an earlier voucher with. It names another item, which is no matter:
    /// a challenge covers its origin, and the voucher is for the price that was agreed to then.
    pub(super) fn for_earlier(cached: &CachedOffer, promise: &Promise, now: Timestamp) -> Option<Self> {
        let challenge = cached_challenge(cached, now)?;
        let session = challenge.session_request().ok()?;
        let (price, item) = (promise.price, promise.item.clone());
        let delegation = cached_listing(cached).and_then(|listing| listing.delegation);
        let offer = Self { challenge, session, price, item, fresh: false, delegation };
        offer.is_of(promise).then_some(offer)
    }

    /// Whether anything may be signed for the escrow that is named, and still is asked for.
    pub(super) fn check_trust(&self, policy: &Policy, now: Timestamp) -> Result<(), PayerError> {
        if let Some(expires) = self.challenge.expires_at()?.filter(|expires| *expires <= now) {
            return Err(PayerError::Expired { expires, now });
        }
        let deployment = self.session.deployment();
        let exit_delay = self.session.method_details.exit_delay;
        if !policy.trusts(&deployment, exit_delay) {
            return Err(PayerError::UntrustedEscrow { deployment, exit_delay });
        }
        Ok(())
    }

    /// Checks everything that needs no store, in this order: expiry, escrow, exit delay, token. Returns what the owner
    /// knows of the token.
    pub(super) fn check<'a>(&self, policy: &'a Policy, now: Timestamp) -> Result<&'a KnownToken, PayerError> {
        self.check_trust(policy, now)?;
        let deployment = self.session.deployment();
        let exit_delay = self.session.method_details.exit_delay;
        if exit_delay > policy.exit_delay_max {
            return Err(PayerError::ExitDelayTooLong { deployment, exit_delay, maximum: policy.exit_delay_max });
        }
        let (chain_id, token) = (deployment.chain_id, self.session.currency);
        policy.known(chain_id, token).ok_or(PayerError::UnknownToken { token, chain_id })
    }

    /// Whether it asks to be paid the way a promise was made: same escrow, payee and token.
    pub(super) fn is_of(&self, promise: &Promise) -> bool {
        self.session.deployment() == promise.deployment
            && self.session.recipient == promise.channel.payee
            && self.session.currency == promise.channel.token
    }

    /// Whether it asks for exactly what a promise gives.
    pub(super) fn is_met_by(&self, promise: &Promise) -> bool {
        self.is_of(promise) && self.price == promise.price
    }
}

/// Whether a challenge's realm is the host and port of a URL. Default ports are the same as none, as in a gateway's realm,
/// which does not know whether there is TLS in front of it.
fn is_realm_of(realm: &str, url: &Url) -> bool {
    // Read as the URL was, so that one host has one name: lower case, punycode, the short form of an address.
    let is_authority = !realm.contains(['/', '\\', '?', '#', '@']);
    let read = Url::parse(&format!("{}://{realm}/", url.scheme())).ok().filter(|_| is_authority);
    let port = |url: &Url| url.port().filter(|port| !DEFAULT_PORTS.contains(port));
    read.is_some_and(|read| read.host() == url.host() && port(&read) == port(url))
}

fn cached_listing(cached: &CachedOffer) -> Option<Listing> {
    serde_json::from_str(cached.listing.as_deref()?).ok()
}

fn cached_challenge(cached: &CachedOffer, now: Timestamp) -> Option<Challenge> {
    let challenge: Challenge = serde_json::from_str(&cached.challenge).ok()?;
    let expires = challenge.expires_at().ok()??;
    (expires > now.plus_seconds(EXPIRY_MARGIN)).then_some(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_the_host_and_port_of_the_url() {
        for (realm, url) in [
            ("music.example", "https://music.example/a"),
            ("Music.Example", "https://music.example/a"),
            ("music.example:443", "https://music.example/a"),
            ("music.example", "https://music.example:443/a"),
            ("music.example:80", "http://music.example/a"),
            ("music.example:8402", "https://MUSIC.example:8402/a"),
            ("localhost:8402", "http://localhost:8402/a"),
            ("[::1]:8402", "http://[::1]:8402/a"),
            ("[0:0::1]", "http://[::1]/a"),
            ("127.0.0.1:8402", "http://127.0.0.1:8402/a"),
            ("b\u{fc}cher.example", "https://xn--bcher-kva.example/"),
        ] {
            assert!(is_realm_of(realm, &Url::parse(url).expect("a URL")), "{realm} {url}");
        }
        for (realm, url) in [
            ("dear.example", "https://music.example/a"),
            ("music.example:8403", "https://music.example:8402/a"),
            ("music.example", "https://music.example:8402/a"),
            ("music.example:8402", "https://music.example/a"),
            ("music.example.evil.example", "https://music.example/a"),
            ("evil.music.example", "https://music.example/a"),
            ("dear.example@music.example", "https://music.example/a"),
            ("music.example/dear", "https://music.example/dear"),
            ("music.example?", "https://music.example/a"),
            ("/music.example", "https://music.example/a"),
            ("https://music.example", "https://music.example/a"),
            ("localhost:8402", "http://127.0.0.1:8402/a"),
            ("", "https://music.example/a"),
        ] {
            assert!(!is_realm_of(realm, &Url::parse(url).expect("a URL")), "{realm} {url}");
        }
    }
}
