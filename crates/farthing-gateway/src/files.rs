//! The bytes of an item, exactly as they are on disk, whole or in part.
//!
//! Opening and reading a file takes several turns on other threads, which for a small one is more than all the rest of
//! an answer. So small files are kept in memory, and looked at on disk each time all the same.

use crate::catalog::Item;
use crate::respond::{plain_problem, problem_response};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::fs::Metadata;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// The largest file that is kept in memory, in bytes.
const KEPT_LENGTH_MAX: usize = 65_536;

/// What all that is kept may come to, in bytes.
const KEPT_TOTAL: usize = 67_108_864;

/// How long a file has to lie unchanged before it is kept: a file system's clock is coarse, and within one tick of it a
/// file can change without looking changed.
const SETTLED: Duration = Duration::from_secs(2);

/// Whoever asks with one of these may get something else than the whole file.
const CONDITIONS: [HeaderName; 6] = [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// The memory that the small files of a shop share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileRoom {
    /// What is left of it, in bytes.
    left: Arc<AtomicUsize>,
    settled: Duration,
}

impl Default for FileRoom {
    fn default() -> Self {
        Self::new(KEPT_TOTAL, SETTLED)
    }
}

/// Memory for so many bytes, given back when it is dropped.
#[derive(Debug)]
struct Taken {
    room: FileRoom,
    length: usize,
}

impl FileRoom {
    fn new(bytes: usize, settled: Duration) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)), settled }
    }

    fn take(&self, length: usize) -> Option<Taken> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(length));
        taken.ok().map(|_| Taken { room: self.clone(), length })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.length, Ordering::Relaxed);
    }
}

/// What tells a file from another that takes its place, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    length: u64,
    modified: SystemTime,
    #[cfg(unix)]
    inode: (u64, u64),
    /// Seconds and nanoseconds: unlike the time of modification nobody sets it back.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        let modified = metadata.modified().ok().filter(|_| metadata.is_file())?;
        Some(Self {
            length: metadata.len(),
            modified,
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino()),
            #[cfg(unix)]
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether the file has lain unchanged for so long.
    fn is_settled(&self, settled: Duration) -> bool {
        #[cfg(unix)]
        let changed = self.changed();
        #[cfg(not(unix))]
        let changed = Some(self.modified);
        let age = changed.map(|changed| SystemTime::now().duration_since(changed.max(self.modified)));
        age.is_some_and(|age| age.is_ok_and(|age| age >= settled))
    }

    #[cfg(unix)]
    fn changed(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = (u64::try_from(self.changed.0).ok()?, u32::try_from(self.changed.1).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
    }
}

/// A small file, as it was answered whole.
#[derive(Clone, Debug)]
struct Kept {
    version: Version,
    headers: HeaderMap,
    content: Bytes,
    _room: Arc<Taken>,
}

/// An item's file: what a shop sends once it is paid, for handlers that give it away or charge for it otherwise. It asks
/// for nothing itself.
#[derive(Debug)]
pub struct ItemFile {
    item: Item,
    room: FileRoom,
    kept: RwLock<Option<Kept>>,
}

impl ItemFile {
    /// The file of an item. If it is small it is kept in memory, as long as there is room.
    #[must_use]
    pub const fn new(item: Item, room: FileRoom) -> Self {
        Self { item, room, kept: RwLock::new(None) }
    }

    /// Answers a request with the file, whole or in part. Of what is not small, not a byte is read before the answer is
    /// sent.
    pub async fn serve(&self, request: Request) -> Response {
        let is_whole = CONDITIONS.iter().all(|name| !request.headers().contains_key(name));
        if is_whole && let Some(kept) = self.kept() {
            return kept;
        }
        // Opening a folder succeeds and reading it fails, and opening a pipe never ends: both would be found out only
        // after the charge.
        let metadata = tokio::fs::metadata(&self.item.file).await;
        let Some(version) = metadata.ok().and_then(|metadata| Version::of(&metadata)) else {
            return missing(&self.item);
        };
        if is_whole && request.method() == Method::GET {
            let answer = open(&self.item, request).await;
            return self.keep(version, answer).await;
        }
        let if_range = request.headers().get(IF_RANGE).cloned();
        let whole = if_range.as_ref().map(|_| whole_of(&request));
        let part = open(&self.item, request).await;
        match (if_range, whole) {
            (Some(validator), Some(whole)) if is_part(&part) && !is_same_file(&part, &validator) => {
                open(&self.item, whole).await
            }
            _ => part,
        }
    }

    /// The answer from memory, if the file is still the one that is kept.
    fn kept(&self) -> Option<Response> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        // Here and not on another thread: the system has the answer at hand, because it has been asked before.
        let metadata = std::fs::metadata(&self.item.file);
        if metadata.ok().and_then(|metadata| Version::of(&metadata)) == Some(kept.version) {
            return Some(answer(kept.headers, kept.content));
        }
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = None;
        None
    }

    /// Reads a small file, and keeps it if nobody has changed it meanwhile.
    async fn keep(&self, version: Version, response: Response) -> Response {
        let Some(length) = usize::try_from(version.length).ok().filter(|length| *length <= KEPT_LENGTH_MAX) else {
            return response;
        };
        if response.status() != StatusCode::OK {
            return response;
        }
        let (head, body) = response.into_parts();
        let Ok(content) = to_bytes(body, KEPT_LENGTH_MAX).await else { return missing(&self.item) };
        if content.len() != length {
            return missing(&self.item);
        }
        let after = tokio::fs::metadata(&self.item.file).await.ok().and_then(|metadata| Version::of(&metadata));
        if after == Some(version)
            && version.is_settled(self.room.settled)
            && let Some(room) = self.room.take(length)
        {
            let (headers, content) = (head.headers.clone(), content.clone());
            let kept = Kept { version, headers, content, _room: Arc::new(room) };
            *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        answer(head.headers, content)
    }
}

fn answer(headers: HeaderMap, content: Bytes) -> Response {
    let mut response = Response::new(Body::from(content));
    *response.headers_mut() = headers;
    response
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
    let mut whole = Request::new(Body::empty());
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::CONTENT_LENGTH;
    use farthing_core::Amount;
    use http_body_util::BodyExt;
    use std::path::Path;
    use tempfile::TempDir;

    const TEXT: &[u8] = b"an article";

    /// A moment long ago; each number is another.
    fn past(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number)
    }

    fn write(path: &Path, content: &[u8], modified: SystemTime) {
        std::fs::write(path, content).expect("writes");
        std::fs::File::options().write(true).open(path).expect("opens").set_modified(modified).expect("sets");
    }

    /// A file of this content in a folder, which counts as settled at once.
    fn file_of(content: &[u8], room: FileRoom) -> (TempDir, ItemFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("article.txt");
        write(&path, content, past(0));
        let item = Item {
            path: "/article".to_owned(),
            file: path,
            title: "Article".to_owned(),
            price: Amount::new(1),
            description: None,
            media_type: mime_guess::mime::TEXT_PLAIN,
            reservation: None,
        };
        (folder, ItemFile::new(item, room))
    }

    fn room() -> FileRoom {
        FileRoom::new(KEPT_TOTAL, Duration::ZERO)
    }

    impl ItemFile {
        fn is_kept(&self) -> bool {
            self.kept.read().expect("unpoisoned").is_some()
        }

        async fn get(&self, method: Method, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
            let mut request = Request::builder().method(method).uri("/article");
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let (head, body) = self.serve(request.body(Body::empty()).expect("builds")).await.into_parts();
            (head.status, head.headers, body.collect().await.expect("a body").to_bytes())
        }

        async fn whole(&self) -> (StatusCode, HeaderMap, Bytes) {
            self.get(Method::GET, &[]).await
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_answered_as_from_disk() {
        let (_folder, file) = file_of(TEXT, room());
        let from_disk = file.whole().await;
        assert!(file.is_kept());
        // What is in memory and nowhere else shows where an answer came from.
        let mark = Bytes::from_static(b"from memory");
        file.kept.write().expect("unpoisoned").as_mut().expect("kept").content = mark.clone();
        let from_memory = file.whole().await;
        assert_eq!((from_memory.0, &from_memory.1), (from_disk.0, &from_disk.1));
        assert_eq!((from_disk.2.as_ref(), from_memory.2), (TEXT, mark));
        let head = file.get(Method::HEAD, &[]).await.1;
        assert_eq!((&head, &head[CONTENT_LENGTH]), (&from_disk.1, &HeaderValue::from(TEXT.len())));
    }

    #[tokio::test]
    async fn parts_and_conditions_are_judged_on_disk() {
        let (_folder, file) = file_of(TEXT, room());
        let before = file.get(Method::HEAD, &[]).await.1;
        assert!(!file.is_kept(), "nothing is read for a HEAD");
        let etag = before[ETAG].to_str().expect("ASCII").to_owned();
        let asked: [(&[(HeaderName, &str)], u16); 5] = [
            (&[(RANGE, "bytes=3-6")], 206),
            (&[(RANGE, "bytes=100-")], 416),
            (&[(IF_NONE_MATCH, &etag)], 304),
            (&[(RANGE, "bytes=3-6"), (IF_RANGE, &etag)], 206),
            (&[(RANGE, "bytes=3-6"), (IF_RANGE, "\"another\"")], 200),
        ];
        let mut answers = Vec::new();
        for (headers, status) in asked {
            let answer = file.get(Method::GET, headers).await;
            assert_eq!(answer.0.as_u16(), status, "{headers:?}");
            answers.push(answer);
        }
        file.whole().await;
        assert!(file.is_kept());
        for ((headers, _), answer) in asked.iter().zip(answers) {
            assert_eq!(file.get(Method::GET, headers).await, answer, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn every_change_of_a_file_shows_at_once() {
        let (folder, file) = file_of(TEXT, room());
        assert_eq!(file.whole().await.2, TEXT);
        assert!(file.is_kept());
        write(&file.item.file, b"AN ARTICLE", past(1));
        assert_eq!(file.whole().await.2, b"AN ARTICLE"[..], "of the same length");
        write(&file.item.file, b"an article, and more", past(1));
        assert_eq!(file.whole().await.2, b"an article, and more"[..], "of the same time");
        if cfg!(unix) {
            let other = folder.path().join("other");
            write(&other, b"AN ARTICLE, and more", past(1));
            std::fs::rename(&other, &file.item.file).expect("renames");
            assert_eq!(file.whole().await.2, b"AN ARTICLE, and more"[..], "of the same length and time");
        }
        assert!(file.is_kept());
        std::fs::remove_file(&file.item.file).expect("removes");
        assert_eq!(file.whole().await.0, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!file.is_kept());
    }

    #[tokio::test]
    async fn only_what_is_small_settled_and_has_room_is_kept() {
        let (_folder, file) = file_of(TEXT, FileRoom::new(KEPT_TOTAL, Duration::from_secs(3_600)));
        assert_eq!((file.whole().await.2.as_ref(), file.is_kept()), (TEXT, false), "changed a moment ago");

        for (length, is_kept) in [(0, true), (KEPT_LENGTH_MAX, true), (KEPT_LENGTH_MAX + 1, false)] {
            let (_folder, file) = file_of(&vec![7; length], room());
            assert_eq!((file.whole().await.2.len(), file.is_kept()), (length, is_kept));
        }

        let small = FileRoom::new(15, Duration::ZERO);
        let (_folder, first) = file_of(TEXT, small.clone());
        let (_other_folder, second) = file_of(TEXT, small);
        assert_eq!((first.whole().await.2.as_ref(), first.is_kept()), (TEXT, true));
        assert_eq!((second.whole().await.2.as_ref(), second.is_kept()), (TEXT, false), "no room");
        drop(first);
        assert_eq!((second.whole().await.2.as_ref(), second.is_kept()), (TEXT, true), "there is room again");
    }
}
