//! A connection to PostgreSQL that breaks around a commit, which is when nobody but the server knows what happened.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server never hears of it.
    Lost,
    /// The server carries it out, and its answer is lost.
    AnswerLost,
    /// The client loses its connection, and the server hears of the commit this much later.
    Late(Duration),
}

/// A proxy in front of a server's socket. It hands everything on, but for a commit that a [`Fault`] is meant for.
#[derive(Debug)]
pub struct CommitProxy {
    folder: TempDir,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    next: Mutex<Option<Fault>>,
    done: AtomicUsize,
    /// The connections that are open.
    links: Mutex<JoinSet<()>>,
}

/// A simple query: its kind, its length, and the text with a zero at its end.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What the server says when it has committed.
const COMMITTED: &[u8] = b"COMMIT\0";

impl CommitProxy {
    /// Starts a proxy for a server's socket.
    pub async fn start(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("binds");
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // While the server is away, whoever connects is turned away.
                if let Ok(server) = UnixStream::connect(&server).await {
                    let link = Link::between(client, server, Arc::clone(&shared));
                    let mut links = shared.links.lock().expect("nobody panicked");
                    while links.try_join_next().is_some() {}
                    links.spawn(link);
                }
            }
        });
        Self { folder, faults }
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets this happen to the next commit.
    pub fn arm(&self, fault: Fault) {
        *self.faults.next.lock().expect("nobody panicked") = Some(fault);
    }

    /// Cuts every connection that is open.
    pub fn cut(&self) {
        self.faults.links.lock().expect("nobody panicked").abort_all();
    }

    /// To how many commits something has happened.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.faults.done.load(Ordering::SeqCst)
    }
}

/// A client's connection and the one that was made for it.
struct Link {
    faults: Arc<Faults>,
    /// What is to be done to the server's next commit answer: told to the other direction.
    swallow: Arc<Notify>,
}

impl Link {
    async fn between(client: UnixStream, server: UnixStream, faults: Arc<Faults>) {
        let link = Self { faults, swallow: Arc::default() };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let swallow = Arc::clone(&link.swallow);
        // When one direction ends, both do: dropping the halves closes the connections.
        let mut answers = JoinSet::new();
        answers.spawn(hand_back(from_server, to_client, swallow));
        link.hand_on(from_client, to_server, &mut answers).await;
    }

    async fn hand_on(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: &mut JoinSet<()>) {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..length];
            let commit = bytes.windows(COMMIT.len()).position(|window| window == COMMIT);
            let fault = commit.and_then(|_| self.faults.next.lock().expect("nobody panicked").take());
            let Some(fault) = fault else {
                if to.write_all(bytes).await.is_err() {
                    return;
                }
                continue;
            };
            self.faults.done.fetch_add(1, Ordering::SeqCst);
            let (before, commit) = bytes.split_at(commit.unwrap_or_default());
            if to.write_all(before).await.is_err() {
                return;
            }
            match fault {
                Fault::Lost => {}
                Fault::AnswerLost => {
                    self.swallow.notify_one();
                    let _ = to.write_all(commit).await;
                    // The other direction ends when the server has answered.
                    let _ = answers.join_next().await;
                }
                Fault::Late(delay) => {
                    // Nobody reads the answers any more; the client sees its connection closed.
                    answers.abort_all();
                    drop(from);
                    tokio::time::sleep(delay).await;
                    let _ = to.write_all(commit).await;
                    // The server has it in hand before its connection closes.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            return;
        }
    }
}

/// Hands on what the server says, until it has carried out a commit that is to be swallowed.
async fn hand_back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallow: Arc<Notify>) {
    let mut buffer = vec![0; 1 << 20];
    let mut swallows = false;
    loop {
        tokio::select! {
            biased;
            () = swallow.notified(), if !swallows => swallows = true,
            read = from.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &buffer[..length];
                if swallows && bytes.windows(COMMITTED.len()).any(|window| window == COMMITTED) {
                    return;
                }
                if to.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}
