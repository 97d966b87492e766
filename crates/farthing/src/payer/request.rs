//! What is asked for: a URL, a method, and perhaps a tip.

use super::error::PayerError;
use farthing_core::Amount;
use reqwest::Method;
use url::{Host, Url};

/// One request that may have to be paid for.
#[derive(Clone, Debug)]
pub(super) struct ItemRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Scheme, host and port: a site.
    pub(super) origin: String,
    /// JSON to send.
    pub(super) body: Option<String>,
    /// What the payer chose to give; otherwise the site names the price.
    pub(super) tip: Option<Amount>,
}

impl ItemRequest {
    /// A request for an item.
    pub(super) fn get(url: &str, plain_http: bool) -> Result<Self, PayerError> {
        let url = parse(url, plain_http)?;
        Ok(Self { method: Method::GET, origin: origin(&url), url, body: None, tip: None })
    }

    /// A request that gives a tip.
    pub(super) fn tip(url: Url, amount: Amount, message: &str) -> Self {
        let body = serde_json::json!({ "message": message }).to_string();
        Self { method: Method::POST, origin: origin(&url), url, body: Some(body), tip: Some(amount) }
    }

    /// What tells this request from others in the journal. A tip of another amount or with other words is another one.
    pub(super) fn key(&self) -> String {
        match (&self.tip, &self.body) {
            (Some(amount), Some(body)) => format!("{} {} {amount} {body}", self.method, self.url),
            _ => format!("{} {}", self.method, self.url),
        }
    }

    /// Whether an item that was bought is sent again for its old voucher. Every tip is a gift of its own.
    pub(super) const fn is_bought_once(&self) -> bool {
        self.tip.is_none()
    }
}

pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Reads a URL and refuses those that would carry secrets, or vouchers where anyone can read them.
pub(super) fn parse(text: &str, plain_http: bool) -> Result<Url, PayerError> {
    // Whatever stands before an @ may be a password, and errors end up in logs.
    let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("…@{rest}"));
    let refused = |reason| PayerError::Url { url: shown.clone(), reason };
    let mut url = Url::parse(text).map_err(|_| refused("it is no URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if plain_http || is_this_machine(&url) => {}
        "http" => return Err(refused("plain HTTP would show the payee to change to anyone on the way; use https")),
        _ => return Err(refused("only https and http are paid for")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        // They would go into the Authorization header, which the voucher needs.
        return Err(refused("it has a user name or password in it"));
    }
    // It is never sent, so it must not make two items of one.
    url.set_fragment(None);
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_unless_allowed() {
        for url in ["http://localhost:1/a", "http://127.0.0.1/", "http://[::1]:80/", "https://site.example/a"] {
            assert!(ItemRequest::get(url, false).is_ok(), "{url}");
        }
        assert!(ItemRequest::get("http://site.example/a", false).is_err());
        assert!(ItemRequest::get("http://site.example/a", true).is_ok());
        for url in ["ftp://site.example/a", "https://user:word@site.example/", "site.example", "file:///etc/passwd", ""]
        {
            assert!(ItemRequest::get(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn a_fragment_makes_no_other_item_and_a_query_does() {
        let key = |url| ItemRequest::get(url, false).expect("a URL").key();
        assert_eq!(key("https://site.example/a#x"), key("https://site.example:443/a"));
        assert_ne!(key("https://site.example/a?x"), key("https://site.example/a"));
    }
}
