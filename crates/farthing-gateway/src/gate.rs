//! What stands between a request and what it costs: ask, read the credential, charge, prove.
//!
//! [`ChargeLayer`](crate::ChargeLayer) does all of it in front of a handler that only reads. A handler that has
//! effects, or whose price depends on the body, takes the steps itself, as the gateway's own tips do.

use crate::page::{self, PaymentPage};
use crate::realm::{Realm, RealmError};
use crate::respond::{PAYMENT_RECEIPT, html_response, plain_problem, prefers_html, problem_response};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, VARY, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use farthing::payee::{AcceptError, Payee, Quote, Sale};
use farthing_core::ledger::RequestId;
use farthing_core::wire::{AnyCredential, Challenge, Problem, ProblemType, SCHEME};

/// A quote, and what people are told it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What is sold and what it costs.
    pub quote: Quote,
    /// Its name; the challenge carries it as its description.
    pub title: Option<String>,
}

impl From<Quote> for Offer {
    fn from(quote: Quote) -> Self {
        Self { quote, title: None }
    }
}

/// A credential that was presented, and where. Nothing in it is verified yet.
#[derive(Clone, Debug)]
pub struct Presented {
    by: Asker,
    credential: AnyCredential,
}

/// What an answer depends on of a request that may be refused, so that the request itself can be handed on.
#[derive(Clone, Debug)]
struct Asker {
    /// The realm it asked at.
    realm: String,
    /// The item's address, if a browser asked: it is refused with a page.
    page: Option<String>,
}

impl Asker {
    fn new(request: &Parts, realm: &Realm, offer: &Offer) -> Self {
        let is_browser = request.method == Method::GET && prefers_html(&request.headers);
        let page = is_browser.then(|| page::address(request, Some(realm), &offer.quote.item));
        Self { realm: realm.to_string(), page }
    }
}

impl Presented {
    /// What the client sent.
    #[must_use]
    pub const fn credential(&self) -> &AnyCredential {
        &self.credential
    }
}

/// The answer to a request that is not served.
#[derive(Debug)]
pub struct Refused(Box<Response>);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl Refused {
    pub(crate) fn new(response: Response) -> Self {
        Self(Box::new(response))
    }
}

/// Charges requests for one payee. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    payee: Payee,
    realm: Option<Realm>,
}

impl Gate {
    /// A gate at a realm, or, without one, at whatever address it can prove to be its own; see [`Realm::of_request`].
    #[must_use]
    pub const fn new(payee: Payee, realm: Option<Realm>) -> Self {
        Self { payee, realm }
    }

    /// Who is paid.
    #[must_use]
    pub const fn payee(&self) -> &Payee {
        &self.payee
    }

    /// The realm of a request.
    ///
    /// # Errors
    ///
    /// If the gate can't know that it is meant.
    pub fn realm(&self, request: &Parts) -> Result<Realm, RealmError> {
        Realm::of_request(self.realm.as_ref(), request)
    }

    /// Reads the credential of a request. It counts in `Authorization` only: an address ends up in logs and histories,
    /// so a credential in a query string is not looked at.
    ///
    /// # Errors
    ///
    /// The 402 to answer, with a challenge, if there is no credential or it can't be read.
    pub fn present(&self, request: &Parts, offer: &Offer) -> Result<Presented, Refused> {
        let realm = self.realm(request).map_err(|error| Refused::new(misdirected(&error)))?;
        let by = Asker::new(request, &realm, offer);
        match credential(&request.headers) {
            Ok(Some(credential)) => Ok(Presented { by, credential }),
            Ok(None) => {
                let price = self.payee.token().format(offer.quote.price);
                let problem = Problem::new(ProblemType::PaymentRequired, format!("{} costs {price}", offer.quote.item));
                Err(self.refuse(&by, offer, &problem.with("price", &offer.quote.price)))
            }
            Err(problem) => Err(self.refuse(&by, offer, &problem)),
        }
    }

    /// Charges an offer to the voucher that was presented; to a key that proves that it has bought it, nothing. When it
    /// returns, the charge is durable and the content may be sent; prepare it first, so that nobody is charged for what
    /// can't be served.
    ///
    /// `id` tells a retry from another purchase: the same id with the same voucher is answered again and not charged
    /// again ([`Sale::again`]). It must differ for whatever is answered differently.
    ///
    /// # Errors
    ///
    /// The answer, if the voucher is refused or the charge could not be stored; see
    /// [`AcceptError`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, the charge may have been made; the client's retry finds it.
    pub async fn charge(&self, offer: &Offer, presented: &Presented, id: RequestId) -> Result<Sale, Refused> {
        match &presented.credential {
            AnyCredential::Voucher(credential) => {
                let sale = self.payee.accept(&presented.by.realm, credential, id, &offer.quote).await;
                sale.map_err(|error| self.refuse_sale(&presented.by, offer, &error))
            }
            AnyCredential::Recall(_) => {
                let sale = Box::pin(self.recall(offer, presented, id)).await?;
                sale.ok_or_else(|| self.ask(offer, presented, "this key has not bought it"))
            }
        }
    }

    /// The sale that the presented voucher has already paid for, or that the proven key has bought, if any. Charges
    /// nothing.
    ///
    /// # Errors
    ///
    /// The answer, if the credential is refused or the ledger can't be read.
    pub async fn recall(&self, offer: &Offer, presented: &Presented, id: RequestId) -> Result<Option<Sale>, Refused> {
        let realm = &presented.by.realm;
        let sale = match &presented.credential {
            AnyCredential::Voucher(credential) => self.payee.sale(realm, credential, id, &offer.quote).await,
            AnyCredential::Recall(credential) => self.payee.recall(realm, credential, id, &offer.quote).await,
        };
        sale.map_err(|error| self.refuse_sale(&presented.by, offer, &error))
    }

    /// The 402 that asks for payment although a credential was presented: it has not paid for this yet.
    pub(crate) fn ask(&self, offer: &Offer, presented: &Presented, detail: &str) -> Refused {
        let problem = Problem::new(ProblemType::PaymentRequired, detail).with("price", &offer.quote.price);
        self.refuse(&presented.by, offer, &problem)
    }

    fn refuse_sale(&self, asker: &Asker, offer: &Offer, error: &AcceptError) -> Refused {
        let problem = error.problem();
        if problem.status >= 500 {
            tracing::error!(%error, item = %offer.quote.item, "a payment could not be taken; nothing was served");
        } else {
            tracing::debug!(%error, item = %offer.quote.item, "a payment was refused");
        }
        self.refuse(asker, offer, &problem)
    }

    /// A refusal as it is sent: with a fresh challenge if it is a 402, and as a page if a browser asked.
    fn refuse(&self, asker: &Asker, offer: &Offer, problem: &Problem) -> Refused {
        if problem.status != StatusCode::PAYMENT_REQUIRED.as_u16() {
            return Refused::new(problem_response(problem));
        }
        let header = self.challenge(&asker.realm, offer).and_then(|challenge| challenge.to_header().parse().ok());
        let Some(header) = header else { return Refused::new(unable_to_ask()) };
        let mut response = match &asker.page {
            Some(address) => {
                let page = PaymentPage {
                    title: offer.title.as_deref().unwrap_or(&offer.quote.item),
                    price: self.payee.token().format(offer.quote.price),
                    address,
                    problem,
                };
                html_response(StatusCode::PAYMENT_REQUIRED, page.to_html())
            }
            None => problem_response(problem),
        };
        let headers = response.headers_mut();
        headers.insert(WWW_AUTHENTICATE, header);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.append(VARY, HeaderValue::from_static("authorization"));
        Refused::new(response)
    }

    fn challenge(&self, realm: &str, offer: &Offer) -> Option<Challenge> {
        let challenge = self.payee.challenge(realm, &offer.quote, offer.title.clone());
        challenge.inspect_err(|error| tracing::error!(%error, "a challenge can't be issued")).ok()
    }
}

/// Puts a sale's receipt on what was bought, and keeps shared caches from selling it on.
#[must_use]
pub fn with_receipt(mut response: Response, sale: &Sale) -> Response {
    let receipt = sale.receipt.to_header().ok().and_then(|receipt| HeaderValue::try_from(receipt).ok());
    let headers = response.headers_mut();
    match receipt {
        Some(receipt) => {
            headers.insert(PAYMENT_RECEIPT, receipt);
        }
        // It is paid for, so it is served; the receipt can be had by asking again.
        None => tracing::error!(item = %sale.receipt.receipt.item, "a receipt can't be written"),
    }
    // A handler that forbids storing altogether is stricter, and stays so.
    let stricter = headers.get(CACHE_CONTROL).is_some_and(|field| field.as_bytes().starts_with(b"no-store"));
    if !stricter {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    headers.append(VARY, HeaderValue::from_static("authorization"));
    response
}

/// The one credential of a request, if there is one.
fn credential(headers: &HeaderMap) -> Result<Option<AnyCredential>, Problem> {
    let malformed = |detail: String| Problem::new(ProblemType::MalformedCredential, detail);
    let fields: Vec<&HeaderValue> = headers.get_all(AUTHORIZATION).iter().collect();
    if !fields.iter().any(|field| is_payment(field)) {
        return Ok(None);
    }
    // With two credentials there are two opinions on which one counts: a proxy's and ours.
    let [field] = fields[..] else {
        return Err(malformed(format!("{} Authorization fields; one is taken", fields.len())));
    };
    let text = field.to_str().map_err(|_| malformed("Authorization is not visible ASCII".to_owned()))?;
    AnyCredential::from_header(text).map(Some).map_err(|error| malformed(error.to_string()))
}

/// Whether a field is of our scheme: another scheme's may be there for a proxy and is not ours to judge.
fn is_payment(field: &HeaderValue) -> bool {
    let bytes = field.as_bytes();
    let scheme = bytes.split(|byte| *byte == b' ' || *byte == b'\t').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes())
}

/// The request was meant for another host, for all we know (RFC 9110, section 15.5.20).
fn misdirected(error: &RealmError) -> Response {
    let status = match error {
        RealmError::NotOurs(_) => StatusCode::MISDIRECTED_REQUEST,
        _ => StatusCode::BAD_REQUEST,
    };
    problem_response(&plain_problem(status, error.to_string()))
}

fn unable_to_ask() -> Response {
    problem_response(&plain_problem(StatusCode::INTERNAL_SERVER_ERROR, "no challenge can be issued"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().expect("a value"))).collect()
    }

    #[test]
    fn no_credential_is_not_a_malformed_one() {
        assert_eq!(credential(&headers(&[])), Ok(None));
        assert_eq!(credential(&headers(&["Basic YTpi"])), Ok(None));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_malformed() {
        for values in [
            &["Payment"][..],
            &["Payment !"],
            &["payment e30"],
            &["Payment e30", "Payment e30"],
            &["Basic YTpi", "Payment e30"],
            &["Payment e30, Payment e30"],
        ] {
            let problem = credential(&headers(values)).expect_err("malformed");
            assert_eq!(problem.problem_type(), Some(ProblemType::MalformedCredential), "{values:?}");
        }
    }
}
