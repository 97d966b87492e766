//! One statement for each voucher, or one for a batch of them: `cargo bench --package farthing --features postgres
//! --bench statements`. Prints JSON lines, as `benches/speed/README.md` says.
//!
//! The table is as small as one can be that keeps the latest voucher of each channel, and nothing is decided: no ledger
//! can be faster. `fsync` is on.

#![allow(clippy::expect_used, reason = "a measurement that can't go on has failed")]

use farthing_testkit::postgres::{PostgresServer, connect};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};

/// Channels, each of which pays in its turn.
const CHANNELS: usize = 10_000;

/// Callers that wait for their answer at any time: connections, or the size of a batch.
const CALLERS: [usize; 2] = [16, 256];

/// How many connections there can be: the server's default is a hundred.
const CONNECTIONS_MAX: usize = 64;

const SCHEMA: &str =
    "CREATE TABLE latest (channel bytea PRIMARY KEY, amount bigint NOT NULL, signature bytea NOT NULL)";

const ONE: &str = "INSERT INTO latest VALUES ($1, $2, $3) \
     ON CONFLICT (channel) DO UPDATE SET amount = EXCLUDED.amount, signature = EXCLUDED.signature";

const MANY: &str = "INSERT INTO latest SELECT * FROM UNNEST($1::bytea[], $2::bigint[], $3::bytea[]) \
     ON CONFLICT (channel) DO UPDATE SET amount = EXCLUDED.amount, signature = EXCLUDED.signature";

fn length() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    Duration::from_secs_f64(seconds)
}

fn channel(number: usize) -> Vec<u8> {
    let mut id = vec![0x5a; 32];
    // Spread, as hashes are.
    id[..8].copy_from_slice(&((number % CHANNELS) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id
}

fn amount(number: usize) -> i64 {
    i64::try_from(number / CHANNELS + 1).expect("small")
}

fn signature(number: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; 65];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    bytes
}

/// Each connection writes one voucher after another, of channels that are its own.
async fn one_by_one(url: &str, connections: usize) -> usize {
    let end = Instant::now() + length();
    let all = (0..connections).map(|connection| async move {
        let client = connect(url).await;
        let statement = client.prepare(ONE).await.expect("prepares");
        let mut done = 0;
        while Instant::now() < end {
            let number = connection + done * connections;
            let values = (channel(number), amount(number), signature(number));
            client.execute(&statement, &[&values.0, &values.1, &values.2]).await.expect("writes");
            done += 1;
        }
        done
    });
    join_all(all).await.into_iter().sum()
}

/// One connection writes a batch after another; no channel is in one twice.
async fn in_batches(url: &str, size: usize) -> usize {
    let client = connect(url).await;
    let statement = client.prepare(MANY).await.expect("prepares");
    let end = Instant::now() + length();
    let mut done = 0;
    while Instant::now() < end {
        let numbers = done..done + size;
        let channels: Vec<_> = numbers.clone().map(channel).collect();
        let amounts: Vec<_> = numbers.clone().map(amount).collect();
        let signatures: Vec<_> = numbers.map(signature).collect();
        client.execute(&statement, &[&channels, &amounts, &signatures]).await.expect("writes");
        done += size;
    }
    done
}

fn say(way: &str, callers: usize, done: usize, took: Duration) {
    let (value, of) = (done as f64 / took.as_secs_f64(), json!({ "way": way, "callers": callers }));
    println!("{}", json!({ "measurement": "not-helping.statements", "value": value, "unit": "/s", "of": of }));
}

async fn measure() {
    let server = PostgresServer::start();
    for callers in CALLERS {
        for way in ["each", "batch"] {
            let name = format!("{way}_{callers}");
            server.create_database(&name).await;
            let url = server.url(&name);
            connect(&url).await.batch_execute(SCHEMA).await.expect("makes a table");
            let begun = Instant::now();
            let done = match way {
                "each" => one_by_one(&url, callers.min(CONNECTIONS_MAX)).await,
                _ => in_batches(&url, callers).await,
            };
            say(way, callers, done, begun.elapsed());
        }
    }
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(measure());
}
