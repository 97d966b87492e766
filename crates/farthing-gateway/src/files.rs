//! The bytes of an item, exactly as they are on disk, whole or in part.

use crate::catalog::Item;
use crate::respond::{plain_problem, problem_response};
use axum::extract::Request;
use axum::http::header::{ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// Answers a request with an item, whole or in part, and asks for nothing: what a shop sends once it is paid, for
/// handlers that give it away or charge for it otherwise. Not a byte of it is read before the answer is sent.
pub async fn serve(item: &Item, request: Request) -> Response {
    // Opening a folder succeeds and reading it fails, and opening a pipe never ends: both would be found out only
    // after the charge.
    let is_file = tokio::fs::metadata(&item.file).await.is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return missing(item);
    }
    let if_range = request.headers().get(IF_RANGE).cloned();
    let whole = if_range.as_ref().map(|_| whole_of(&request));
    let part = open(item, request).await;
    match (if_range, whole) {
        (Some(validator), Some(whole)) if is_part(&part) && !is_same_file(&part, &validator) => open(item, whole).await,
        _ => part,
    }
}

async fn open(item: &Item, request: Request) -> Response {
    let file = ServeFile::new_with_mime(&item.file, &item.media_type);
    let Ok(response) = file.oneshot(request).await;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => missing(item),
        _ => response.into_response(),
    }
}

/// The same request without a range.
fn whole_of(request: &Request) -> Request {
    let mut whole = Request::new(axum::body::Body::empty());
    *whole.method_mut() = request.method().clone();
    *whole.uri_mut() = request.uri().clone();
    *whole.headers_mut() = request.headers().clone();
    whole.headers_mut().remove(RANGE);
    whole
}

/// Whether the answer is about a part of the file, be it that part or that there is none such.
fn is_part(response: &Response) -> bool {
    matches!(response.status(), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE)
}

/// Whether `If-Range` still names this file; if not, a player would join two halves of two songs.
fn is_same_file(response: &Response, validator: &HeaderValue) -> bool {
    let headers = response.headers();
    let is_weak = validator.as_bytes().starts_with(b"W/");
    !is_weak && (headers.get(ETAG) == Some(validator) || headers.get(LAST_MODIFIED) == Some(validator))
}

/// It was there when the gateway started. Nobody is charged for it now, and it is the creator who must know.
fn missing(item: &Item) -> Response {
    tracing::error!(path = %item.path, file = %item.file.display(), "an item's file can't be read; nobody is charged");
    let detail = format!("{} can't be read at the moment; nothing was charged", item.path);
    problem_response(&plain_problem(StatusCode::INTERNAL_SERVER_ERROR, detail))
}
