//! Talking to a running gateway: a Unix socket in the data folder, for its owner only.
//!
//! Redeeming and closing move money, so they are never reachable on the port that the world sees: whoever may open the
//! socket is the one whose keys lie beside it. One request a connection: a line of JSON, answered by a line of JSON.

use serde_json::{Value, json};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "admin.sock";

/// The longest request, in bytes.
const REQUEST_LENGTH_MAX: usize = 64 << 10;

/// The longest answer, in bytes: a ledger of a hundred thousand channels fits.
const ANSWER_LENGTH_MAX: usize = 64 << 20;

/// Requests that are worked on at one time.
const REQUESTS_MAX: usize = 16;

/// How long a request may take to arrive. Its answer may take as long as a transaction does.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// For its owner only.
const MODE: u32 = 0o600;

/// Answers requests.
pub trait AdminHandler: Send + Sync + 'static {
    /// Answers one request. Whoever sent it may do everything.
    fn handle(&self, request: Value) -> impl Future<Output = Value> + Send;
}

/// Thrown when the socket can't be had, or a request gets no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another gateway runs on this data folder.
    #[error("another gateway is running on {}", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket has its name.
    #[error("{} is in the way: it is not a socket; move it", .0.display())]
    NotASocket(PathBuf),
    /// No gateway runs on this data folder.
    #[error("no gateway is running on {}; start one with farthing serve", .0.display())]
    NotRunning(PathBuf),
    /// The request or the answer is too long.
    #[error("{length} bytes are more than the {length_max} that may be sent")]
    TooLong {
        /// How long it is, as far as it was read.
        length: usize,
        /// How long it may be.
        length_max: usize,
    },
    /// The gateway hung up.
    #[error("the gateway ended the connection without an answer")]
    NoAnswer,
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The socket failed.
    #[error("{}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that is bound; its file is removed when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Held as long as the socket is. The system releases it when the process dies, however it dies.
    _lock: File,
}

impl AdminSocket {
    /// Binds the socket. One that a killed gateway left behind is replaced.
    ///
    /// # Errors
    ///
    /// [`AdminError::InUse`] if a gateway that is alive has it.
    pub fn bind(path: &Path) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Socket { path: path.to_owned(), source };
        let lock = lock(path)?;
        remove_stale(path)?;
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        // Until it listens nobody can connect, so there is no moment in which it is open to others.
        std::fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
        let listener = socket.listen(128).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Answers requests until dropped.
    ///
    /// # Cancel safety
    ///
    /// If dropped, requests that are worked on are dropped with it.
    pub async fn serve(&self, handler: impl AdminHandler) {
        let handler = Arc::new(handler);
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        let mut requests = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let handler = Arc::clone(&handler);
                    requests.spawn(async move {
                        if let Err(error) = answer(stream, handler.as_ref()).await {
                            tracing::debug!(%error, "an admin request was not answered");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an admin connection can't be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while requests.try_join_next().is_some() {}
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Nothing is lost if it stays: the next start replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends one request to the gateway behind a socket.
///
/// # Errors
///
/// [`AdminError::NotRunning`] if there is none.
pub async fn call(path: &Path, request: &Value) -> Result<Value, AdminError> {
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminError::NotRunning(path.to_owned()),
        _ => failed(source),
    })?;
    let mut line = serde_json::to_vec(request)?;
    if line.len() >= REQUEST_LENGTH_MAX {
        return Err(AdminError::TooLong { length: line.len(), length_max: REQUEST_LENGTH_MAX });
    }
    line.push(b'\n');
    stream.write_all(&line).await.map_err(failed)?;
    let answer = read_line(&mut stream, ANSWER_LENGTH_MAX, path).await?;
    Ok(serde_json::from_slice(&answer)?)
}

async fn answer(mut stream: UnixStream, handler: &impl AdminHandler) -> Result<(), AdminError> {
    let path = Path::new(SOCKET_FILE);
    let request = tokio::time::timeout(REQUEST_TIMEOUT, read_line(&mut stream, REQUEST_LENGTH_MAX, path)).await;
    let request = request.map_err(|_| AdminError::NoAnswer)?.and_then(|line| Ok(serde_json::from_slice(&line)?));
    let answer = match request {
        Ok(request) => handler.handle(request).await,
        Err(AdminError::NoAnswer) => return Ok(()),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let mut line = serde_json::to_vec(&answer)?;
    if line.len() >= ANSWER_LENGTH_MAX {
        let error = AdminError::TooLong { length: line.len(), length_max: ANSWER_LENGTH_MAX };
        line = serde_json::to_vec(&json!({ "error": error.to_string() }))?;
    }
    line.push(b'\n');
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    stream.write_all(&line).await.map_err(failed)?;
    stream.shutdown().await.map_err(failed)
}

/// One line without its end, and never more than it may have.
async fn read_line(stream: &mut UnixStream, length_max: usize, path: &Path) -> Result<Vec<u8>, AdminError> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(length_max as u64));
    let read = reader.read_until(b'\n', &mut line).await;
    read.map_err(|source| AdminError::Socket { path: path.to_owned(), source })?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() + 1 >= length_max => Err(AdminError::TooLong { length: line.len() + 1, length_max }),
        _ => Err(AdminError::NoAnswer),
    }
}

/// The right to the socket's name: a lock that the system takes back from the dead, so that no file is ever stale.
fn lock(socket: &Path) -> Result<File, AdminError> {
    let path = socket.with_extension("lock");
    let failed = |source| AdminError::Socket { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AdminError::InUse(socket.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whoever holds the lock is alone, so a socket that is there belongs to nobody. Anything else is not ours to delete.
fn remove_stale(path: &Path) -> Result<(), AdminError> {
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path).map_err(failed),
        Ok(_) => Err(AdminError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
