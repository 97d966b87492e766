//! HTTP, with a bound on everything that the other side decides.

use super::error::PayerError;
use super::request::ItemRequest;
use farthing_core::wire::listing::LISTING_PATH;
use farthing_core::wire::{Challenge, Listing, Problem, WireError};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Client, Response, redirect};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// The most challenges of one response that are looked at.
const CHALLENGES_MAX: usize = 8;

/// The longest problem that is read, in bytes.
const PROBLEM_MAX: usize = 16_384;

/// The longest listing that is read, in bytes.
const LISTING_MAX: usize = 1 << 20;

/// How much of a text by the other side is kept, in characters.
const TEXT_MAX: usize = 400;

const ACCEPT_PAYMENT: HeaderName = HeaderName::from_static("accept-payment");
const RECEIPT: HeaderName = HeaderName::from_static("payment-receipt");

/// How the HTTP client behaves. Redirects, cookies and proxies from the environment are always off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the other side may be silent, before and within an answer. An item may take as long as it flows.
    pub read_timeout: Duration,
    /// How long a listing may take altogether.
    pub listing_timeout: Duration,
    /// How long the body of a refusal may take altogether; after that it is one without a reason.
    pub problem_timeout: Duration,
    /// What the client calls itself.
    pub user_agent: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            listing_timeout: Duration::from_secs(3),
            problem_timeout: Duration::from_secs(10),
            user_agent: concat!("farthing/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    listing_timeout: Duration,
    problem_timeout: Duration,
}

impl Http {
    pub(super) fn new(options: &HttpOptions) -> Result<Self, PayerError> {
        let client = Client::builder()
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            // A redirect would be followed with the voucher in hand, to wherever the site likes.
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(options.user_agent.clone())
            .build()
            .map_err(PayerError::Client)?;
        let HttpOptions { listing_timeout, problem_timeout, .. } = *options;
        Ok(Self { client, listing_timeout, problem_timeout })
    }

    /// Sends a request; the voucher, if any, in its header and nowhere else.
    pub(super) async fn send(
        &self,
        request: &ItemRequest,
        credential: Option<&str>,
        range: Option<&str>,
    ) -> Result<Response, reqwest::Error> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone());
        builder = builder.header(ACCEPT, "*/*").header(ACCEPT_PAYMENT, "farthing/session");
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Some(range) = range {
            builder = builder.header(RANGE, range);
        }
        if let Some(mut value) = credential.and_then(|credential| HeaderValue::from_str(credential).ok()) {
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        builder.send().await
    }

    /// Posts JSON to a site, with nothing else in it.
    pub(super) async fn post(&self, url: Url, body: String) -> Result<Response, reqwest::Error> {
        let builder = self.client.post(url).header(ACCEPT, "application/json");
        builder.header(CONTENT_TYPE, "application/json").body(body).send().await
    }

    /// A short answer in JSON; nothing if it is none.
    pub(super) async fn short_json<T: DeserializeOwned>(&self, response: Response) -> Option<T> {
        let bytes = timeout(self.problem_timeout, read_at_most(response, PROBLEM_MAX)).await.ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The listing of an origin, if it has one.
    pub(super) async fn listing(&self, origin: &Url) -> Option<Listing> {
        self.reach_listing(origin).await.ok().flatten()
    }

    /// The same, and tells a site that can't be reached from one that has no listing.
    pub(super) async fn reach_listing(&self, origin: &Url) -> Result<Option<Listing>, reqwest::Error> {
        let Ok(url) = origin.join(LISTING_PATH) else { return Ok(None) };
        let request = self.client.get(url).header(ACCEPT, "application/json").timeout(self.listing_timeout);
        let response = request.send().await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let bytes = read_at_most(response, LISTING_MAX).await;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Why a request was refused. An answer that gives no reason, or not in time, is one too.
    pub(super) async fn problem(&self, response: Response) -> Problem {
        let status = response.status();
        // The read timeout alone would let a byte every now and then hold the client for days.
        let bytes = timeout(self.problem_timeout, read_at_most(response, PROBLEM_MAX)).await.ok().flatten();
        let parsed = bytes.and_then(|bytes| serde_json::from_slice::<Problem>(&bytes).ok());
        let mut problem = parsed.unwrap_or_else(|| Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Refused").to_owned(),
            status: status.as_u16(),
            detail: String::new(),
            figures: BTreeMap::new(),
        });
        problem.kind = printable(&problem.kind);
        problem.title = printable(&problem.title);
        problem.detail = printable(&problem.detail);
        problem
    }
}

/// The whole body, unless it is longer than `most` or breaks off.
async fn read_at_most(mut response: Response, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len().saturating_add(chunk.len()) > most {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

/// Our method's challenges, of all `WWW-Authenticate` fields. One that can't be read does not spoil the others.
pub(super) fn challenges(headers: &HeaderMap) -> Result<Vec<Challenge>, WireError> {
    let mut found = Vec::new();
    let mut unreadable = None;
    for field in headers.get_all(WWW_AUTHENTICATE).iter().take(CHALLENGES_MAX) {
        let parsed = field.to_str().map_err(|_| WireError::Syntax("not ASCII")).and_then(Challenge::from_header);
        match parsed {
            Ok(challenges) => found.extend(challenges),
            Err(error) => unreadable = Some(error),
        }
    }
    found.truncate(CHALLENGES_MAX);
    match unreadable {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(CONTENT_TYPE)?.to_str().ok()?.to_owned())
}

pub(super) fn receipt(headers: &HeaderMap) -> Option<&str> {
    headers.get(RECEIPT)?.to_str().ok()
}

/// Where a redirect leads.
pub(super) fn location(request: &ItemRequest, headers: &HeaderMap) -> Option<Url> {
    request.url.join(headers.get(LOCATION)?.to_str().ok()?).ok()
}

/// What a site says is shown to people: without control characters it can't rewrite their terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_site_says_is_short_and_can_not_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a[2Jbc");
        assert_eq!(printable(&"x".repeat(5_000)).len(), TEXT_MAX);
    }

    #[test]
    fn an_unreadable_challenge_does_not_spoil_the_others() {
        let ours = r#"Payment id="1", realm="r", method="farthing", intent="session", request="e30""#;
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Payment id=\"broken"));
        assert!(challenges(&headers).is_err());
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(ours));
        assert_eq!(challenges(&headers).expect("one is readable").len(), 1);
        for _ in 0..50 {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(ours));
        }
        assert!(challenges(&headers).expect("readable").len() <= CHALLENGES_MAX);
    }
}
