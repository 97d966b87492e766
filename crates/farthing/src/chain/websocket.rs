//! A WebSocket to a node: one connection after another, for as long as it is wanted.
//!
//! While there is none, requests fail at once instead of queueing: what waited for hours in a queue would be answered, or
//! sent to the chain, long after anyone wanted it.

use alloy::network::Ethereum;
use alloy::providers::{Provider, RootProvider};
use alloy::pubsub::{ConnectionHandle, PubSubConnect, PubSubFrontend, Subscription};
use alloy::rpc::client::{RpcClient, RpcClientInner};
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::rpc::types::Header;
use alloy::transports::ws::WsConnect;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;

/// The pauses between attempts to connect, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Two clients ask over one connection, and each counts its requests: with the same numbers one would get what the other
/// asked for. Below the largest integer that every JSON reader keeps.
const SUBSCRIBERS_FIRST_ID: u64 = 1 << 50;

/// A connection to a node that is made again, for ever, whenever it is lost. It ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct WebSocket {
    line: Arc<Line>,
    _keeper: Arc<Keeper>,
    within: Duration,
}

/// The connection.
#[derive(Clone)]
enum Link {
    /// The first one is being made: whoever asks waits for it.
    Awaited,
    /// This many connections there have been, and this is the last.
    Open(u64, PubSubFrontend),
    Lost,
}

/// What clones and the keeper share.
struct Line {
    link: watch::Sender<Link>,
    /// Up to which of the connections somebody has noticed that they do not work any more.
    lost: watch::Sender<u64>,
    heads: watch::Sender<u64>,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("is_open", &self.open().is_some()).finish_non_exhaustive()
    }
}

/// Keeps the connection. Stopped when dropped.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl WebSocket {
    /// Connects, and keeps the connection.
    pub(super) async fn connect(url: &Url, within: Duration) -> TransportResult<Self> {
        let open = dial(url, within).await?;
        Ok(Self::keeping(url, within, Link::Open(1, open)))
    }

    /// Connects as soon as that works.
    pub(super) fn connect_later(url: &Url, within: Duration) -> Self {
        Self::keeping(url, within, Link::Awaited)
    }

    fn keeping(url: &Url, within: Duration, link: Link) -> Self {
        let line = Line { link: watch::Sender::new(link), lost: watch::Sender::new(0), heads: watch::Sender::new(0) };
        let line = Arc::new(line);
        let keeper = tokio::spawn(keep(Arc::clone(&line), url.clone(), within));
        Self { line, _keeper: Arc::new(Keeper(keeper)), within }
    }

    /// Counts up at every new block that the node announces.
    pub(super) fn announcements(&self) -> watch::Receiver<u64> {
        self.line.heads.subscribe()
    }
}

impl Line {
    fn open(&self) -> Option<(u64, PubSubFrontend)> {
        match &*self.link.borrow() {
            Link::Open(number, open) => Some((*number, open.clone())),
            Link::Awaited | Link::Lost => None,
        }
    }

    /// The connection, as soon as it is known whether there is one.
    async fn known(&self) -> Option<(u64, PubSubFrontend)> {
        let mut link = self.link.subscribe();
        let _ = link.wait_for(|link| !matches!(link, Link::Awaited)).await;
        self.open()
    }
}

impl tower::Service<RequestPacket> for WebSocket {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let (line, within) = (Arc::clone(&self.line), self.within);
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let Ok(Some((number, open))) = timeout_at(deadline, line.known()).await else {
                return Err(TransportErrorKind::custom_str("there is no connection; it is being made"));
            };
            let answer = timeout_at(deadline, open.send_packet(request)).await;
            let answer =
                answer.unwrap_or_else(|_| Err(TransportErrorKind::custom_str(&format!("no answer within {within:?}"))));
            // One that is silent may be half open; and what waits in it may be answered to nobody.
            if answer.as_ref().is_err_and(|error| error.as_error_resp().is_none()) {
                line.lost.send_modify(|lost| *lost = number.max(*lost));
            }
            answer
        })
    }
}

/// Connects to what is lost only by itself: the library's own attempts hold requests back for as long as they take.
struct Once(WsConnect);

impl PubSubConnect for Once {
    fn is_local(&self) -> bool {
        false
    }

    async fn connect(&self) -> TransportResult<ConnectionHandle> {
        self.0.connect().await
    }

    async fn try_reconnect(&self) -> TransportResult<ConnectionHandle> {
        Err(TransportErrorKind::non_retryable_str("the connection was lost"))
    }
}

async fn dial(url: &Url, within: Duration) -> TransportResult<PubSubFrontend> {
    let dialled = timeout(within, Once(WsConnect::new(url.as_str())).into_service()).await;
    dialled.unwrap_or_else(|_| Err(TransportErrorKind::custom_str(&format!("no answer within {within:?}"))))
}

/// Makes the connection again whenever it is lost, with pauses that grow and are bounded.
async fn keep(line: Arc<Line>, url: Url, within: Duration) {
    let node = super::shown_url(&url);
    let (mut number, mut pause) = (1, PAUSES.0);
    loop {
        if let Some((open_number, open)) = line.open() {
            let since = Instant::now();
            until_lost(&line, open_number, &open, within).await;
            line.link.send_replace(Link::Lost);
            tracing::debug!(node, "the WebSocket was lost and is being made again");
            // One that breaks as soon as it stands must not be dialled without end.
            if since.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            number = open_number + 1;
            sleep(pause).await;
        }
        match dial(&url, within).await {
            Ok(open) => {
                tracing::debug!(node, "the WebSocket stands");
                line.link.send_replace(Link::Open(number, open));
                // Whoever waits for news has missed some.
                line.heads.send_modify(|count| *count += 1);
            }
            Err(error) => {
                line.link.send_replace(Link::Lost);
                tracing::debug!(node, error = super::without_url(&error), "the WebSocket can't be made");
                sleep(pause).await;
            }
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Passes on the node's announcements until the connection is lost.
async fn until_lost(line: &Line, number: u64, open: &PubSubFrontend, within: Duration) {
    let client = RpcClientInner::new(open.clone(), false).with_id(SUBSCRIBERS_FIRST_ID);
    let provider = RootProvider::<Ethereum>::new(RpcClient::from_inner(client));
    let subscribed = timeout(within, async { provider.subscribe_blocks().await }).await;
    let mut heads: Option<Subscription<Header>> = match subscribed {
        Ok(Ok(heads)) => Some(heads),
        // A node that announces nothing is asked at intervals, like any other.
        Ok(Err(error)) if error.as_error_resp().is_some() => None,
        _ => return,
    };
    let mut lost = line.lost.subscribe();
    loop {
        let announced = async {
            match &mut heads {
                Some(heads) => heads.recv_any().await.map(drop),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = lost.wait_for(|lost| *lost >= number) => return,
            announced = announced => match announced {
                Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => line.heads.send_modify(|count| *count += 1),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}
