//! `farthing serve`: sell a folder behind HTTP 402.

mod admin;
mod paid;
mod relay;
mod watching;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::ledger::{DataFolder, DataPlace, LedgerRecord, start_payee};
use admin::Admin;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use clap::Args;
use farthing::core::wire::RelayTerms;
use farthing::core::{Address, Token};
use farthing::payee::{LedgerIdentity, NodeHealth, Redeemer, Relay, Watcher};
use farthing_gateway::admin::AdminSocket;
use farthing_gateway::{AppOptions, Catalog, CatalogError, Realm, app};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The oldest that a chain's newest block may be: ten minutes. The main chain makes one in twelve seconds.
const HEAD_AGE_MAX: Duration = Duration::from_secs(600);

/// Sell what a folder's catalog.toml lists, behind HTTP 402
///
/// The wallet's address is paid, or with --payee an offline key's or a split's. Every voucher is in the ledger,
/// durably, before anything is served; stopping or killing the gateway loses none. It logs requests to standard error
/// (FARTHING_LOG sets the level: warn, info, debug), serves until it gets SIGINT or SIGTERM, and redeems by itself:
/// always before a payer takes away what guarantees the money, else when the gas is a small part of it, as the catalog's
/// redemption terms say. Of several gateways on one ledger one sends at a time.
///
/// It speaks plain HTTP: put a proxy with TLS in front, and name the host it is known by with --realm.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing serve nocturne-records --token 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 --dollar
  farthing serve nocturne-records --listen 127.0.0.1:9000 --realm music.example
  farthing serve nocturne-records --payee ADDRESS   # of a split that names this wallet
  farthing serve nocturne-records --relay --relay-minimum 5 --relay-gas-budget 0.01

A catalog:
  name = \"Nocturne Records\"
  [[item]]
  path = \"/songs/nocturne\"
  file = \"songs/nocturne.wav\"
  title = \"Nocturne in E flat\"
  price = \"$0.50\"")]
pub(crate) struct Serve {
    /// Sell what this folder's catalog.toml lists
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    #[command(flatten)]
    data: DataPlace,

    #[command(flatten)]
    paid: paid::Paid,

    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8402")]
    listen: SocketAddr,

    /// Issue challenges for this host; needed behind a proxy or under a name
    #[arg(long, value_name = "HOST")]
    realm: Option<Realm>,

    /// Look at the chain this often
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    poll_seconds: u64,

    #[command(flatten)]
    watching: watching::Watching,

    #[command(flatten)]
    relaying: relay::Relaying,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    url: String,
    payee: Address,
    /// The wallet's: the payee's own, or delegated.
    receipt_key: Address,
    token: Token,
    ledger: String,
    items: usize,
    /// The nodes that the chain is seen through, as they did at the first look.
    nodes: Vec<NodeHealth>,
    /// From which amounts on it relays; nothing if it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<RelayTerms>,
}

pub(super) async fn run(context: &Context, command: &Serve) -> Result<(), Failure> {
    log_to_stderr()?;
    let watched = command.watching.urls()?;
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let catalog = Catalog::load(&command.folder, &token)?;
    let relay_limits = command.relaying.limits(&token)?;
    let escrow = context.escrow(chain).await?;
    let data = command.data.of(&command.folder)?;
    data.create()?;
    keep_apart(&catalog, &data)?;
    let key = context.key()?;
    let (payee, delegation) = command.paid.settle(context, &escrow, key.address()).await?;
    // The socket's lock comes first: it tells another gateway from a ledger that something else has open.
    let socket = AdminSocket::bind(&data.socket())?;
    let identity = LedgerIdentity { deployment: escrow.deployment(), payee, token: token.address };
    let store = data.open(&identity).await?;
    let record = LedgerRecord {
        identity,
        token: token.clone(),
        exit_delay: escrow.exit_delay().await?,
        credit: Some(catalog.credit()),
        redemption: catalog.redemption(),
        server: None,
    };
    data.save_record(&record)?;
    let nodes = command.watching.nodes(context, &watched, &key, identity.deployment).await?;
    let receipt_key = key.address();
    let payee = start_payee(&record, catalog.credit(), delegation.clone(), store, key, nodes.clone()).await?;
    let listener = TcpListener::bind(command.listen).await.map_err(|error| {
        Failure::new(Code::Unexpected, format!("{}: {error}", command.listen))
            .hint("listen elsewhere with --listen; port 0 takes a free one")
    })?;
    let address = listener.local_addr().map_err(|error| Failure::new(Code::Unexpected, error))?;
    let mut watcher = Watcher::new(payee.clone(), nodes.clone());
    // Every chain but a local one moves by itself: there a node whose newest block is old has stopped following.
    if identity.deployment.chain_id != farthing::local_chain::CHAIN_ID {
        watcher = watcher.with_head_age_max(HEAD_AGE_MAX);
    }
    // Until the chain was seen once, nothing is served on credit.
    watcher.step().await.map_err(|error| Failure::new(Code::Chain, error).hint("check --rpc-url (ETH_RPC_URL)"))?;

    // One for all: its clones take turns, and what is relayed takes turns with them.
    let redemption = catalog.redemption();
    let redeemer = Redeemer::new(payee.clone(), nodes.clone()).with_terms(&redemption);
    let relay = relay::start(&redeemer, relay_limits).await?;
    let ready = Ready {
        url: format!("http://{address}"),
        payee: identity.payee,
        receipt_key,
        token,
        ledger: data.shown(),
        items: catalog.items().len(),
        nodes: nodes.health(),
        relay: relay.as_ref().map(Relay::terms),
    };
    let interval = Duration::from_secs(command.poll_seconds);
    let mut tasks = JoinSet::new();
    tasks.spawn(watcher.run(interval));
    tasks.spawn(paid::watch(delegation));
    tasks.spawn(redeemer.clone().run(redemption, interval));
    let admin = Admin { payee: payee.clone(), redeemer, record };
    tasks.spawn(async move { socket.serve(admin).await });
    let options = AppOptions { realm: command.realm.clone(), relay, ..AppOptions::default() };
    let router = app(payee, catalog, options);
    let stop = stop_signal()?;
    context.output.result(&ready, || ready.text())?;
    farthing_gateway::serve(listener, router.layer(from_fn(log_request)), stop).await;
    // The socket's file is removed when its task is gone.
    tasks.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

impl Ready {
    fn text(&self) -> String {
        let items = if self.items == 1 { "1 item".to_owned() } else { format!("{} items", self.items) };
        let (symbol, ledger) = (&self.token.symbol, &self.ledger);
        let healthy = self.nodes.iter().filter(|node| node.trouble.is_none()).count();
        let nodes = match self.nodes.len() {
            1 => String::new(),
            all => format!(", {healthy} of {all} nodes"),
        };
        format!("serving {items} at {}, paid to {} in {symbol}, ledger {ledger}{nodes}", self.url, self.payee)
    }
}

/// The ledger must not be for sale: not even by a catalog that names a file in it.
fn keep_apart(catalog: &Catalog, data: &DataFolder) -> Result<(), Failure> {
    let folder = data.path().canonicalize().map_err(|error| Failure::file(data.path(), &error))?;
    match catalog.items().iter().find(|item| item.file.starts_with(&folder)) {
        Some(item) => Err(Failure::new(
            Code::Usage,
            format!("{} sells a file of the data folder {}", item.path, folder.display()),
        )
        .hint("name a folder of its own with --data")),
        None => Ok(()),
    }
}

fn log_to_stderr() -> Result<(), Failure> {
    let level = std::env::var("FARTHING_LOG").ok().filter(|level| !level.trim().is_empty());
    let level = level.unwrap_or_else(|| "info".to_owned());
    let targets: Targets = level.parse().map_err(|_| {
        Failure::new(Code::Usage, format!("FARTHING_LOG is {level:?}"))
            .hint("write a level (warn, info, debug), or target=level with commas between")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    // A second subscriber is another command's, in the same process; it logs as well.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
    Ok(())
}

/// One line a request: what and with what result, never who and never a header.
async fn log_request(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let paid = response.headers().contains_key("payment-receipt");
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, status, paid, milliseconds, "request");
    response
}

/// Completes at SIGINT or SIGTERM. The handlers are in place when this returns, before anyone is told that it serves.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(Code::Unexpected, error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; answers that are under way finish");
    })
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::new(Code::Usage, error).hint("farthing serve --help shows a catalog")
    }
}
