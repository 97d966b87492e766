//! Over real sockets: whole downloads, slow clients, shutdown.

use crate::shop::{Buyer, PRICE, SONG, Shop, song};
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use farthing_core::wire::{Challenge, SignedReceipt};
use farthing_gateway::{Limits, serve_within};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(300);

/// Far beyond every limit of these tests.
const LONG: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits { head_timeout: SHORT, write_timeout: SHORT, shutdown_timeout: SHORT, ..Limits::default() }
}

async fn start(limits: Limits, router: Router) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    (address, stop, tokio::spawn(serve_within(limits, listener, router, shutdown)))
}

#[tokio::test]
async fn buys_over_a_socket() {
    let shop = Shop::open();
    let (address, stop, server) = start(limits(), shop.router.clone()).await;
    let url = format!("http://{address}{SONG}");
    let client = reqwest::Client::new();
    let asked = client.get(&url).send().await.expect("answers");
    assert_eq!(asked.status(), StatusCode::PAYMENT_REQUIRED);
    let field = asked.headers()["www-authenticate"].to_str().expect("ASCII");
    let challenge = Challenge::from_header(field).expect("parses").remove(0);
    assert_eq!(challenge.realm, address.to_string());

    let credential = Buyer::of(&shop).credential(&challenge, PRICE).to_header().expect("writes");
    let bought = client.get(&url).header("authorization", &credential).send().await.expect("answers");
    assert_eq!(bought.status(), StatusCode::OK);
    let receipt = bought.headers()["payment-receipt"].to_str().expect("ASCII").to_owned();
    SignedReceipt::from_header(&receipt).expect("a receipt");
    assert!(bought.bytes().await.expect("a body") == song());

    let head = client.head(&url).header("authorization", &credential).send().await.expect("answers");
    assert_eq!((head.status(), &head.headers()["content-length"]), (StatusCode::OK, &"100003".parse().expect("ok")));
    assert_eq!(shop.spent().await, PRICE);

    // Another port of this machine is another origin, which may be another shop of the same creator.
    let elsewhere = client.get(&url).header("host", "127.0.0.1:9").send().await.expect("answers");
    assert_eq!(elsewhere.status(), StatusCode::MISDIRECTED_REQUEST);
    stop.send(()).expect("runs");
    tokio::time::timeout(LONG, server).await.expect("stops").expect("in order");
}

/// A client that begins a head and never ends it, and one that asks nothing more, must not hold a connection.
#[tokio::test]
async fn hangs_up_on_a_slow_head_and_on_an_idle_connection() {
    let (address, _stop, server) = start(limits(), Shop::open().router).await;
    for begun in ["GET /healthz HTTP/1.1\r\nHost:", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(begun.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still connected after {begun:?}");
    }
    server.abort();
}

#[tokio::test]
async fn hangs_up_on_a_client_that_takes_nothing() {
    // Told when the server gives the endless body up.
    let (gone, was_gone) = oneshot::channel::<()>();
    let gone = std::sync::Arc::new(std::sync::Mutex::new(Some(gone)));
    let endless = move || {
        let held = gone.lock().expect("unpoisoned").take();
        async move { Body::new(Endless { _held: held }) }
    };
    let (address, _stop, server) = start(limits(), Router::new().route("/", get(endless))).await;
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("writes");
    let dropped = tokio::time::timeout(LONG, was_gone).await.expect("gives up");
    assert!(dropped.is_err(), "the sender was dropped with its body");
    server.abort();
}

/// Zeros for ever.
struct Endless {
    _held: Option<oneshot::Sender<()>>,
}

impl axum::body::HttpBody for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(axum::body::Bytes::from_static(&[0; 65_536])))))
    }
}

#[tokio::test]
async fn a_shutdown_lets_answers_finish_but_not_for_ever() {
    let (started, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = {
        let (started, released) = (Arc::clone(&started), Arc::clone(&released));
        move || async move {
            started.add_permits(1);
            let _released = released.acquire().await;
            "done"
        }
    };
    let stuck = {
        let started = Arc::clone(&started);
        move || async move {
            started.add_permits(1);
            std::future::pending::<&str>().await
        }
    };
    let router = Router::new().route("/slow", get(slow)).route("/stuck", get(stuck));
    let (address, stop, server) = start(Limits { shutdown_timeout: SHORT * 5, ..limits() }, router).await;
    let ask = |path: &'static str| tokio::spawn(reqwest::get(format!("http://{address}{path}")));
    let (finishes, hangs) = (ask("/slow"), ask("/stuck"));
    let _both = started.acquire_many(2).await.expect("open");
    stop.send(()).expect("runs");
    released.add_permits(1);
    let answer = finishes.await.expect("joins").expect("answers");
    assert_eq!(answer.text().await.expect("a body"), "done");
    tokio::time::timeout(LONG, server).await.expect("stops").expect("in order");
    assert!(hangs.await.expect("joins").is_err());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_idle_connections() {
    let patient = Limits { head_timeout: LONG * 10, shutdown_timeout: LONG * 10, ..Limits::default() };
    let (address, stop, server) = start(patient, Shop::open().router).await;
    let client = reqwest::Client::new();
    let answer = client.get(format!("http://{address}/healthz")).send().await.expect("answers");
    assert_eq!(answer.text().await.expect("a body"), "ok\n");
    // The client keeps its connection for the next request.
    stop.send(()).expect("runs");
    tokio::time::timeout(LONG, server).await.expect("stops").expect("in order");
    drop(client);
}
