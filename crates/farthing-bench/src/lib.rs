//! What a payee's machine can take: the measurements of our own that `script/bench.sh` runs.
//!
//! Each prints one JSON object a line, by the contract in `benches/speed/README.md`. A measurement that comes upon a wrong
//! answer, or upon a ledger that holds something else than what was answered, panics.

#![allow(clippy::expect_used, reason = "a measurement that can't go on has failed")]

mod client;
mod gateway;
mod latency;
mod load;
mod market;
mod rates;
mod redeeming;
mod report;
mod scale;
mod shop;
mod taking;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Parser, Subcommand};
use std::path::PathBuf;
use tempfile::TempDir;

/// As in the `farthing` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How this program's payees verify.
const VERIFIER: &str = if cfg!(feature = "libsecp") {
    "farthing"
} else if cfg!(feature = "recover-with-alloy") {
    "alloy"
} else {
    "k256"
};

/// Measures a payee on this machine, one JSON object a line
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Items a second over HTTP, paid and free
    Http(rates::Rates),
    /// How much longer a paid request takes than a free one
    Latency(latency::Latency),
    /// Vouchers a second verified and durable, without HTTP
    Take(taking::Taking),
    /// The same over PostgreSQL, with one gateway and with several
    Postgres(taking::Sharing),
    /// What many channels cost: opening, memory, and the rate among them
    Scale(scale::Scale),
    /// Redeeming many channels on a local chain
    Redeem(redeeming::Redeeming),
    /// The gateway that `http` and `latency` measure; ends with its standard input
    Gateway {
        /// Where its catalog and its ledger are
        #[arg(long)]
        folder: PathBuf,
        #[command(flatten)]
        stock: gateway::Stock,
    },
    /// The process that `scale` opens each ledger in
    Opening(scale::Opening),
}

/// What every measurement can be told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// How long to measure one figure, in seconds; a measurement of a size of its own takes as long as it takes
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Only see whether it works: small sizes
    #[arg(long, env = "BENCH_QUICK", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) quick: bool,
    /// Where ledgers are written; it has to be on the disk that counts, for in memory a sync costs nothing
    #[arg(long, env = "BENCH_FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench"))]
    folder: PathBuf,
}

impl Common {
    /// A folder of its own, which is removed in the end.
    pub(crate) fn folder(&self) -> TempDir {
        std::fs::create_dir_all(&self.folder).expect("makes a folder");
        tempfile::tempdir_in(&self.folder).expect("makes a folder")
    }

    /// How many turns of so many it takes to fill the time at a rate.
    pub(crate) fn turns(&self, rate: f64, of: usize) -> usize {
        ((rate * self.seconds / of as f64).ceil() as usize).max(1)
    }
}

/// Does what the command line says.
pub fn run() {
    let Arguments { command } = Arguments::parse();
    match command {
        // One thread: what the load generator takes of the processors the gateway lacks.
        Command::Http(rates) => on_one_thread(rates.run()),
        Command::Latency(latency) => on_one_thread(latency.run()),
        Command::Take(taking) => on_all_cores(taking.run()),
        Command::Postgres(sharing) => on_all_cores(sharing.run()),
        Command::Scale(scale) => on_all_cores(scale.run()),
        Command::Opening(opening) => on_all_cores(opening.run()),
        Command::Redeem(redeeming) => on_all_cores(redeeming.run()),
        Command::Gateway { folder, stock } => on_all_cores(gateway::run(&folder, stock)),
    }
}

fn on_one_thread(measurement: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measurement);
}

/// As `farthing serve` runs.
fn on_all_cores(measurement: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measurement);
}
