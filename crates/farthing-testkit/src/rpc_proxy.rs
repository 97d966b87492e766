//! A JSON-RPC proxy between a program and its node, which fails, delays, mixes up and lies as it is told.
//!
//! It speaks HTTP/1.1 on sockets of its own, because most of what goes wrong between a program and its node goes wrong
//! below HTTP. A WebSocket is handed on as it is and can be silenced or cut.

mod fault;
mod http;
mod stale;

pub use fault::{Fault, Lie, Rule};

use http::{Connection, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

/// How often a method was called, and how often something happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that arrived.
    pub asked: usize,
    /// Those that a fault was meant for.
    pub faulted: usize,
}

/// A proxy in front of a node. It hands everything on, but for the requests that a [`Rule`] is meant for.
#[derive(Debug)]
pub struct RpcProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    node: Url,
    client: reqwest::Client,
    rules: Mutex<Vec<Rule>>,
    calls: Mutex<BTreeMap<String, Calls>>,
    /// The connections that are open.
    connections: Mutex<JoinSet<()>>,
    /// Those of them that were upgraded to WebSockets.
    sockets: Mutex<JoinSet<()>>,
    sockets_open: AtomicUsize,
    withheld: AtomicUsize,
    silence: watch::Sender<bool>,
}

impl RpcProxy {
    /// Starts a proxy in front of a node, on a free port of the loopback interface.
    pub async fn start(node: &Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            node: node.clone(),
            client: reqwest::Client::new(),
            rules: Mutex::default(),
            calls: Mutex::default(),
            connections: Mutex::default(),
            sockets: Mutex::default(),
            sockets_open: AtomicUsize::default(),
            withheld: AtomicUsize::default(),
            silence: watch::Sender::new(false),
        });
        let accepting = Mutex::new(Some(tokio::spawn(accept(listener, Arc::clone(&shared)))));
        Self { address, shared, accepting }
    }

    /// Its own RPC URL.
    #[must_use]
    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().expect("an address is a URL")
    }

    /// The same for a WebSocket.
    #[must_use]
    pub fn websocket_url(&self) -> Url {
        format!("ws://{}", self.address).parse().expect("an address is a URL")
    }

    /// Lets something happen from now on. Of several rules for a request the newest counts.
    pub fn inject(&self, rule: Rule) {
        self.shared.rules.lock().expect("nobody panicked").push(rule);
    }

    /// Lets nothing happen any more.
    pub fn heal(&self) {
        self.shared.rules.lock().expect("nobody panicked").clear();
    }

    /// How often each method was called since the proxy started.
    #[must_use]
    pub fn methods(&self) -> BTreeMap<String, Calls> {
        self.shared.calls.lock().expect("nobody panicked").clone()
    }

    /// How often a method was called since the proxy started.
    #[must_use]
    pub fn calls(&self, method: &str) -> Calls {
        self.shared.calls.lock().expect("nobody panicked").get(method).copied().unwrap_or_default()
    }

    /// How many answers were held back so far, for good or for a while: what the node was to do by then, it has done.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.shared.withheld.load(Ordering::SeqCst)
    }

    /// How many WebSockets are open.
    #[must_use]
    pub fn open_websockets(&self) -> usize {
        self.shared.sockets_open.load(Ordering::SeqCst)
    }

    /// Cuts every WebSocket that is open.
    pub async fn cut_websockets(&self) {
        let mut sockets = std::mem::take(&mut *self.shared.sockets.lock().expect("nobody panicked"));
        sockets.shutdown().await;
    }

    /// With `true`, WebSockets stay open, and nothing that the node says comes through until `false`.
    pub fn silence_websockets(&self, silent: bool) {
        self.shared.silence.send_replace(silent);
    }

    /// Refuses connections and cuts those that are open, as if the node were gone.
    pub async fn go_down(&self) {
        let accepting = self.accepting.lock().expect("nobody panicked").take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // Its listener is closed when the task is gone.
            let _ = accepting.await;
        }
        let mut connections = std::mem::take(&mut *self.shared.connections.lock().expect("nobody panicked"));
        connections.shutdown().await;
        self.cut_websockets().await;
    }

    /// Takes connections again, at the same address.
    pub async fn come_back(&self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is still free");
        let accepting = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
        *self.accepting.lock().expect("nobody panicked") = Some(accepting);
    }
}

impl Drop for RpcProxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().expect("nobody panicked").take() {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let connection = serve(Connection::new(client), Arc::clone(&shared));
        let mut connections = shared.connections.lock().expect("nobody panicked");
        while connections.try_join_next().is_some() {}
        connections.spawn(connection);
    }
}

/// Answers a client's requests one after another, until it leaves or its connection is cut.
async fn serve(mut connection: Connection, shared: Arc<Shared>) {
    while let Some(request) = connection.request().await {
        if request.is_upgrade() {
            let Ok(node) = TcpStream::connect(shared.node_address()).await else { return };
            let link = tunnel(connection, node, request, Arc::clone(&shared));
            shared.sockets.lock().expect("nobody panicked").spawn(link);
            return;
        }
        let Ok(body) = serde_json::from_slice(&request.body) else { return };
        let answered = match body {
            Value::Array(batch) => shared.answer_all(batch).await,
            call => shared.answer(call).await,
        };
        match answered {
            Answer::Body(status, body) => {
                if connection.respond(status, &body).await.is_err() {
                    return;
                }
            }
            Answer::CutOff(body) => {
                connection.respond_in_part(&body).await;
                return;
            }
            Answer::None => return,
            Answer::Never => std::future::pending().await,
        }
    }
}

/// What a client gets.
enum Answer {
    Body(&'static str, Vec<u8>),
    /// The connection ends in the middle of this.
    CutOff(Vec<u8>),
    /// The connection ends without an answer.
    None,
    /// Nothing, and the connection stays.
    Never,
}

const OK: &str = "200 OK";

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Shared {
    fn node_address(&self) -> String {
        let host = self.node.host_str().expect("a node's URL has a host");
        format!("{host}:{}", self.node.port_or_known_default().expect("a node's URL has a port"))
    }

    /// A batch shares one HTTP answer, so what breaks one call's breaks all.
    async fn answer_all(&self, batch: Vec<Value>) -> Answer {
        let mut answers = Vec::with_capacity(batch.len());
        for call in batch {
            match self.answer(call).await {
                Answer::Body(OK, body) => match serde_json::from_slice::<Value>(&body) {
                    Ok(answer) => answers.push(answer),
                    Err(_) => return Answer::Body(OK, body),
                },
                broken => return broken,
            }
        }
        Answer::Body(OK, body(&Value::Array(answers)))
    }

    async fn answer(&self, call: Value) -> Answer {
        let method = call["method"].as_str().unwrap_or_default().to_owned();
        let fault = self.fault_for(&method, &call);
        let Some(fault) = fault else { return Answer::Body(OK, body(&self.ask(&call).await)) };
        match fault {
            Fault::Unheard => Answer::None,
            Fault::AnswerLost => {
                self.ask(&call).await;
                Answer::None
            }
            Fault::CutOff => Answer::CutOff(body(&self.ask(&call).await)),
            Fault::Silent => {
                self.withheld.fetch_add(1, Ordering::SeqCst);
                Answer::Never
            }
            Fault::Late(delay) => {
                let answer = self.ask(&call).await;
                self.withheld.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(delay).await;
                Answer::Body(OK, body(&answer))
            }
            Fault::TooManyRequests => Answer::Body("429 Too Many Requests", b"slow down".to_vec()),
            Fault::ServerError => Answer::Body("500 Internal Server Error", b"out of order".to_vec()),
            Fault::NotJson => Answer::Body(OK, b"<html><body>maintenance</body></html>".to_vec()),
            Fault::Truncated => {
                let mut whole = body(&self.ask(&call).await);
                whole.truncate(whole.len() / 2);
                Answer::Body(OK, whole)
            }
            other => Answer::Body(OK, body(&self.answer_wrongly(other, &call).await)),
        }
    }

    /// Answers that are well formed and wrong.
    async fn answer_wrongly(&self, fault: Fault, call: &Value) -> Value {
        match fault {
            Fault::Error(message) => {
                json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32_000, "message": message } })
            }
            Fault::Null => result(call, &Value::Null),
            Fault::WrongId => {
                let mut answer = self.ask(call).await;
                answer["id"] = json!(u32::MAX);
                answer
            }
            Fault::OtherAnswer => {
                let other = json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": [] });
                self.ask(call).await;
                result(call, &self.ask(&other).await["result"])
            }
            Fault::Twice => {
                let first = self.ask(call).await;
                self.ask(call).await;
                first
            }
            Fault::Stale(blocks) => stale::answer(self, call, blocks).await,
            Fault::Lie(lie) => {
                let mut answer = self.ask(call).await;
                let truth = answer["result"].take();
                // An error stays one: a liar that makes answers up for what it can't do is `Fault::MadeUp`.
                if answer.get("error").is_none() {
                    answer["result"] = lie.tell(call, truth);
                }
                answer
            }
            Fault::MadeUp(lie) => result(call, &lie.tell(call, Value::Null)),
            other => unreachable!("{other:?} is no answer"),
        }
    }

    fn fault_for(&self, method: &str, call: &Value) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("nobody panicked");
        let fault = rules.iter_mut().rev().find_map(|rule| rule.meets(method, call));
        let mut calls = self.calls.lock().expect("nobody panicked");
        let calls = calls.entry(method.to_owned()).or_default();
        calls.asked += 1;
        calls.faulted += usize::from(fault.is_some());
        fault
    }

    /// Asks the node. A node that is gone is answered for with an error.
    async fn ask(&self, call: &Value) -> Value {
        let asked = self.client.post(self.node.clone()).header("content-type", "application/json").body(body(call));
        let gone = |error: reqwest::Error| {
            let message = format!("the node behind the proxy: {error}");
            json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32_000, "message": message } })
        };
        match asked.send().await {
            Ok(answer) => match answer.bytes().await {
                Ok(bytes) => serde_json::from_slice(&bytes).expect("a node answers in JSON"),
                Err(error) => gone(error),
            },
            Err(error) => gone(error),
        }
    }
}

fn result(call: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })
}

/// Counts a WebSocket as open until it is dropped.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.sockets_open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.sockets_open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Hands a WebSocket on, both ways, until one side leaves.
async fn tunnel(connection: Connection, node: TcpStream, request: Request, shared: Arc<Shared>) {
    let open = Open::new(shared);
    let (client, read_ahead) = connection.into_parts();
    let ((from_client, to_client), (from_node, mut to_node)) = (client.into_split(), node.into_split());
    if to_node.write_all(&request.head).await.is_err() || to_node.write_all(&read_ahead).await.is_err() {
        return;
    }
    tokio::select! {
        () = hand_on(from_client, to_node, None) => {}
        () = hand_on(from_node, to_client, Some(open.0.silence.subscribe())) => {}
    }
}

async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silence: Option<watch::Receiver<bool>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if let Some(silence) = &mut silence {
            let _ = silence.wait_for(|silent| !silent).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
