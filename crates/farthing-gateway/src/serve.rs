//! Serving a router over TCP, with limits against clients that are slow on purpose.
//!
//! HTTP/1.1 without TLS: a proxy in front does that. axum's own `serve` has no timeouts, so this one drives hyper.

use crate::realm::LocalAddress;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::ServiceExt;

/// What one client may take of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; more wait to be accepted.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may lie idle between requests.
    pub head_timeout: Duration,
    /// How long a client may take nothing of what is sent to it. It bounds pauses, not downloads.
    pub write_timeout: Duration,
    /// The longest head of a request, in bytes; a credential is about a twentieth of it.
    pub head_length: usize,
    /// How long answers that are under way may take to finish once shutdown is asked for.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            head_length: 32_768,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves until `shutdown` completes, then lets answers that are under way finish.
///
/// # Cancel safety
///
/// If dropped, all connections are dropped with it.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_within(Limits::default(), listener, router, shutdown).await;
}

/// Serves as [`serve`] does, within other limits.
///
/// # Cancel safety
///
/// If dropped, all connections are dropped with it.
pub async fn serve_within(limits: Limits, listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(());
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let serving = serve_connection(limits, stream, router.clone(), stopped.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        // Else finished connections would be kept until the end.
        while connections.try_join_next().is_some() {}
    }
    drop((listener, stopped, stop));
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown_timeout, finish).await.is_err() {
        tracing::info!(connections = connections.len(), "connections are cut off by the shutdown");
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// Waits for a place before it accepts, so that connections beyond the limit queue in the system and cost nothing.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, Place)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_connection(limits: Limits, stream: TcpStream, router: Router, mut stopped: watch::Receiver<()>) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers must not wait for one another.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(LocalAddress(local));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(limits.head_length);
    let stream = Impatient { stream, timeout: limits.write_timeout, waiting: None };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        // The sender is only ever dropped.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection that fails once its client has taken nothing for too long: else a client that stops reading would hold
/// its connection and an open file for ever.
struct Impatient {
    stream: TcpStream,
    timeout: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    /// Lets a write wait for the client only so long.
    fn bound<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let timeout = self.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
