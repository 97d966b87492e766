//! How many charges a second the stores of a payee's ledger make durable, side by side in one run:
//! `cargo bench --package farthing --features postgres --bench stores`.
//!
//! Signatures are verified before the clock starts, for they cost the same whatever the store. The server runs on this
//! machine, beside the gateways, with `fsync` on.

#![allow(clippy::expect_used, reason = "a measurement that can't go on has failed")]

use farthing::core::{Amount, Timestamp, VerifiedVoucher};
use farthing::payee::store::{Entry, Outcome, PayeeStore};
use farthing::payee::{EmbeddedStore, PostgresOptions, PostgresStore};
use farthing_testkit::histories::{channel, charge, identity, signer, voucher};
use farthing_testkit::postgres::PostgresServer;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCHES: [usize; 4] = [1, 16, 256, 1_024];
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);

/// How many accounts buy, and how often each at most, in one round.
const ACCOUNTS: u8 = 200;
const PURCHASES: u128 = 300;

/// What an account has paid before: nobody is a stranger, as nearly nobody is.
const PAID: u128 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    Embedded,
    /// That many gateways, each with accounts of its own.
    Apart(usize),
    /// That many gateways, all with all accounts.
    Together(usize),
}

impl Setup {
    const ALL: [Self; 4] = [Self::Embedded, Self::Apart(1), Self::Apart(3), Self::Together(3)];

    fn name(self) -> String {
        match self {
            Self::Embedded => "embedded, one gateway".to_owned(),
            Self::Apart(1) => "PostgreSQL, one gateway".to_owned(),
            Self::Apart(gateways) => format!("PostgreSQL, {gateways} gateways, each its own accounts"),
            Self::Together(gateways) => format!("PostgreSQL, {gateways} gateways, the same accounts"),
        }
    }
}

/// What one round came to.
struct Round {
    charges: usize,
    took: Duration,
    batches: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    let vouchers = vouchers();
    let server = PostgresServer::start();
    println!("| store | batch | charges a second | a batch, median | a batch, 99 of 100 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut number = 0;
    for size in BATCHES {
        let mut rounds: Vec<(Setup, Round)> = Vec::new();
        for _ in 0..ROUNDS {
            for setup in Setup::ALL {
                number += 1;
                rounds.push((setup, round(setup, size, &vouchers, &server, number).await));
            }
        }
        for setup in Setup::ALL {
            let of_setup = rounds.iter().filter(|(of, _)| *of == setup).map(|(_, round)| round);
            print(setup, size, &of_setup.collect::<Vec<_>>());
        }
    }
}

/// The best round of each: what else runs on the machine only makes it slower.
fn print(setup: Setup, size: usize, rounds: &[&Round]) {
    let rate = |round: &Round| round.charges as f64 / round.took.as_secs_f64();
    let best = rounds.iter().max_by(|one, other| rate(one).total_cmp(&rate(other))).expect("rounds");
    let mut batches = best.batches.clone();
    batches.sort_unstable();
    let at = |hundredth: usize| batches[(batches.len() - 1) * hundredth / 100].as_secs_f64() * 1_000.0;
    println!("| {} | {size} | {:.0} | {:.1} ms | {:.1} ms |", setup.name(), rate(best), at(50), at(99));
}

/// Each account's vouchers, in their order.
fn vouchers() -> Vec<Vec<VerifiedVoucher>> {
    let of = |account: u8| {
        let signer = signer(account);
        let channel = channel(&signer, 0);
        (1..=PURCHASES).map(move |item| voucher(&signer, &channel, item * 10)).collect()
    };
    std::thread::scope(|scope| {
        let halves = [0..ACCOUNTS / 2, ACCOUNTS / 2..ACCOUNTS];
        let halves = halves.map(|accounts| scope.spawn(|| accounts.map(of).collect::<Vec<_>>()));
        halves.into_iter().flat_map(|half| half.join().expect("signs")).collect()
    })
}

async fn round(
    setup: Setup,
    size: usize,
    vouchers: &[Vec<VerifiedVoucher>],
    server: &PostgresServer,
    number: usize,
) -> Round {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("round_{number}");
    let mut stores: Vec<Arc<dyn PayeeStore>> = Vec::new();
    match setup {
        Setup::Embedded => {
            let store = EmbeddedStore::open(&folder.path().join("ledger.redb"), &identity()).expect("opens");
            stores.push(Arc::new(store));
        }
        Setup::Apart(gateways) | Setup::Together(gateways) => {
            server.create_database(&name).await;
            for _ in 0..gateways {
                let options = PostgresOptions::new(server.url(&name).parse().expect("a URL"));
                stores.push(Arc::new(PostgresStore::open(options, &identity()).await.expect("opens")));
            }
        }
    }
    let before: Vec<Entry> = (0..ACCOUNTS).flat_map(history).collect();
    stores[0].accept_batch(&before).await.expect("writes");
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (gateway, store) in stores.iter().enumerate() {
        let store = Arc::clone(store);
        let purchases = purchases(vouchers, setup, gateway, stores.len());
        tasks.spawn(async move { sell(store.as_ref(), &purchases, size, begun).await });
    }
    let sold: Vec<(usize, Vec<Duration>)> = tasks.join_all().await;
    let took = begun.elapsed();
    let charges = sold.iter().map(|(charges, _)| charges).sum();
    Round { charges, took, batches: sold.into_iter().flat_map(|(_, batches)| batches).collect() }
}

/// An account has bought and paid, in a channel that it does not use any more.
fn history(account: u8) -> [Entry; 2] {
    let signer = signer(account);
    let channel = channel(&signer, 1);
    let channel_id = channel.id(&identity().deployment);
    let at = Timestamp::from_unix_seconds(0);
    let bought = charge(voucher(&signer, &channel, PAID), PAID, "/before");
    [bought, Entry::Redeemed { channel_id, redeemed: Amount::new(PAID), block: 1, at }]
}

/// What comes to one gateway: one item after the other, of all of its accounts.
fn purchases(vouchers: &[Vec<VerifiedVoucher>], setup: Setup, gateway: usize, gateways: usize) -> Vec<VerifiedVoucher> {
    let mut all = Vec::new();
    for item in 0..vouchers[0].len() {
        for (account, of_account) in vouchers.iter().enumerate() {
            // Apart, an account is one gateway's; together, each of its items may come to any.
            let whose = if matches!(setup, Setup::Together(_)) { account + item } else { account };
            if whose % gateways == gateway {
                all.push(of_account[item]);
            }
        }
    }
    all
}

/// Sells until the round is over; says how many charges it came to, and how long each batch took.
async fn sell(
    store: &dyn PayeeStore,
    purchases: &[VerifiedVoucher],
    size: usize,
    begun: Instant,
) -> (usize, Vec<Duration>) {
    let (mut charges, mut batches) = (0, Vec::new());
    for vouchers in purchases.chunks(size) {
        if begun.elapsed() > ROUND {
            break;
        }
        let batch: Vec<Entry> = vouchers.iter().map(|voucher| charge(*voucher, 1, "/song")).collect();
        let sent = Instant::now();
        let outcomes = store.accept_batch(&batch).await.expect("writes");
        batches.push(sent.elapsed());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Charged { again: false, .. })));
        charges += outcomes.len();
    }
    (charges, batches)
}
