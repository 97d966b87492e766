//! Answers that carry no content: problems as problem+json, and pages for browsers.

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use farthing_core::wire::Problem;
use serde::Serialize;
use std::collections::BTreeMap;

/// The header that a receipt is sent in.
pub(crate) const PAYMENT_RECEIPT: HeaderName = HeaderName::from_static("payment-receipt");

/// Pages load nothing and run nothing, so a title that slipped through escaping still could do no harm.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Seconds after which a client may ask again when the store or the chain was away.
const RETRY_SECONDS: &str = "5";

/// A problem that the payment scheme has no type for: plain HTTP (RFC 9457, section 4.2.1).
pub(crate) fn plain_problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
        figures: BTreeMap::new(),
    }
}

/// A problem as it is sent. Nothing about a payment is ever kept by a cache.
pub(crate) fn problem_response(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, "application/problem+json", problem);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}

pub(crate) fn json_response<T: Serialize>(status: StatusCode, media_type: &'static str, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => response(status, media_type, json),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written as JSON");
            response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new())
        }
    }
}

pub(crate) fn html_response(status: StatusCode, page: String) -> Response {
    let mut response = response(status, "text/html; charset=utf-8", page.into_bytes());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn response(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // The same address answers programs in JSON and browsers in HTML.
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether whoever asks is a browser that wants a page: it names HTML, and likes no JSON better. `*/*` names nothing.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let ranges: Vec<(&str, f32)> = fields.flat_map(|field| field.split(',')).map(media_range).collect();
    let quality = |wanted: &[&str]| {
        let named = ranges.iter().filter(|(range, _)| wanted.iter().any(|name| range.eq_ignore_ascii_case(name)));
        named.map(|(_, quality)| *quality).fold(0.0, f32::max)
    };
    let html = quality(&["text/html", "application/xhtml+xml"]);
    html > 0.0 && html >= quality(&["application/json", "application/problem+json"])
}

/// A media range and its quality, which is 1 unless it says otherwise.
fn media_range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, quality.and_then(|quality| quality.parse().ok()).unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_browser_gets_a_page() {
        let prefers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a value"));
            prefers_html(&headers)
        };
        assert!(prefers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        for accept in ["*/*", "application/json", "text/html;q=0.5, application/json", "audio/*", "text/html;q=0", ""] {
            assert!(!prefers(accept), "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
