//! The server of the measurements over HTTP: the gateway as `farthing serve` puts it together, over an embedded ledger
//! on disk, in a process of its own. What it lacks is a chain: everybody has enough.
//!
//! Besides what it sells it gives the same files away, under `/free`, through the same layers: what serving costs
//! without payment.

use crate::client::{Connection, Request};
use crate::market::{self, PRICE, identity, token};
use axum::Router;
use farthing::core::wire::Challenge;
use farthing::payee::EmbeddedStore;
use farthing_gateway::{
    AppOptions, Catalog, ChargeLayer, FileRoom, Gate, ItemFile, Offer, app, cors, serve, without_sniffing,
};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tower::{Layer, service_fn};

/// The creator's folder within the gateway's.
const CATALOG: &str = "catalog";

/// How much there is to buy.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Stock {
    /// How many items there are
    #[arg(long, default_value_t = 100)]
    pub(crate) items: usize,
    /// How long each of them is
    #[arg(long, default_value_t = 1_000)]
    pub(crate) item_bytes: usize,
}

impl Stock {
    /// What is sent for an item: no two are alike.
    pub(crate) fn content(&self, item: usize) -> Vec<u8> {
        (0..self.item_bytes).map(|place| (place.wrapping_mul(31).wrapping_add(item * 7) % 251) as u8).collect()
    }

    fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("makes a folder");
        let mut catalog = "name = \"Measured\"\n".to_owned();
        for item in 0..self.items {
            std::fs::write(folder.join(format!("{item}.ogg")), self.content(item)).expect("writes");
            write!(catalog, "\n[[item]]\npath = \"{}\"\nfile = \"{item}.ogg\"\n", path(item)).expect("a text");
            write!(catalog, "title = \"Item {item}\"\nprice = \"${}\"\n", price()).expect("a text");
        }
        std::fs::write(folder.join("catalog.toml"), catalog).expect("writes");
    }
}

/// An item's path.
pub(crate) fn path(item: usize) -> String {
    format!("/songs/{item}")
}

/// Where the same is free.
pub(crate) fn free_path(item: usize) -> String {
    format!("/free{}", path(item))
}

fn price() -> String {
    let base_units = PRICE.base_units();
    format!("{}.{:06}", base_units / 1_000_000, base_units % 1_000_000)
}

/// The ledger in a gateway's folder.
pub(crate) fn ledger(folder: &Path) -> PathBuf {
    folder.join("ledger.redb")
}

/// Serves until standard input ends, that is until whoever started it has ended.
pub(crate) async fn run(folder: &Path, stock: Stock) {
    stock.write(&folder.join(CATALOG));
    let store = EmbeddedStore::open(&ledger(folder), &identity()).expect("opens");
    let payee = market::start_payee(Arc::new(store)).await;
    let catalog = Catalog::load(&folder.join(CATALOG), &token()).expect("a good catalog");
    let free = free_of_charge(&Gate::new(payee.clone(), None), &catalog);
    let router = app(payee, catalog, AppOptions::default()).merge(free);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    println!("{}", listener.local_addr().expect("an address"));
    let parent_is_gone = async { _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await };
    serve(listener, router, parent_is_gone).await;
}

/// The same files through the same layers, of which none asks for anything.
fn free_of_charge(gate: &Gate, catalog: &Catalog) -> Router {
    let (mut router, room) = (Router::new(), FileRoom::default());
    for (number, item) in catalog.items().iter().enumerate() {
        let file = Arc::new(ItemFile::new(item.clone(), room.clone()));
        let file = service_fn(move |request: axum::extract::Request| {
            let file = Arc::clone(&file);
            async move { Ok::<_, Infallible>(file.serve(request).await) }
        });
        let layer = ChargeLayer::new(gate.clone(), |_| None::<Offer>);
        router = router.route_service(&free_path(number), layer.layer(file));
    }
    router.layer(without_sniffing()).layer(cors())
}

/// A gateway that runs in a process of its own, and is killed with this.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
    /// What it asks for each item.
    pub(crate) challenges: Vec<Challenge>,
}

impl Gateway {
    /// Starts one, and asks what everything costs.
    pub(crate) async fn start(folder: &Path, stock: Stock) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("gateway").arg("--folder").arg(folder);
        command.args(["--items", &stock.items.to_string(), "--item-bytes", &stock.item_bytes.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut said).expect("reads");
        let address = said.trim().parse().expect("the gateway says its address");
        let mut gateway = Self { process, address, folder: folder.to_owned(), challenges: Vec::new() };
        let mut connection = Connection::open(address).await.expect("it answers");
        for item in 0..stock.items {
            let asked = connection.ask(&Request::free(address, &path(item)), true).await.expect("it answers");
            let field = asked.header("www-authenticate").expect("it asks to be paid");
            gateway.challenges.push(Challenge::from_header(&field).expect("a challenge").remove(0));
        }
        gateway
    }

    pub(crate) fn process_id(&self) -> String {
        self.process.id().to_string()
    }

    /// Kills it, rather than let it end in order: what the ledger says then was durable.
    pub(crate) fn kill(mut self) -> PathBuf {
        self.end();
        std::mem::take(&mut self.folder)
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}
