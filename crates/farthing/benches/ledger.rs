//! How fast the embedded ledger is on this machine's disk: charges made durable, and opening it.
//!
//! `cargo bench -p farthing --bench ledger [-- FOLDER]`. The folder has to be on the disk that counts: in memory a sync
//! costs nothing. `FARTHING_BENCH_CHANNELS` names how many channels ledgers are opened with, 1000,100000 unless told
//! otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that can't go on may panic")]

use alloy::primitives::U256;
use farthing::PrivateKeySigner;
use farthing::core::ledger::{ChannelBooks, Charge, RequestId};
use farthing::core::{Address, Amount, B256, Channel, ChannelId, Timestamp};
use farthing::payee::store::{Entry, Outcome, Record, RecordKind};
use farthing::payee::{EmbeddedStore, PayeeStore};
use farthing_testkit::histories::{channel, charge, identity, voucher};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many channels sell at once, each with a key of its own.
const CHANNELS: u64 = 1_000;

/// The most charges of one run.
const CHARGES: u64 = 48_000;

const RUN: Duration = Duration::from_secs(3);

/// How many charges wait at once while a large ledger sells, and how many are sold there.
const WAITING: usize = 256;
const SOLD: u64 = 24_000;

fn main() {
    // cargo adds a flag of its own.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        charges(&folder).await;
        openings(&folder).await;
    });
}

/// Batches as the payee's writer makes them when so many charges wait at once. What it takes to bring them to the
/// tables is part of it.
async fn charges(folder: &Path) {
    let entries = entries(CHANNELS, CHARGES, 0);
    println!(
        "| waiting | charges/s | CPU µs a charge | median batch ms | slowest of 100, ms | bytes on disk a charge |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for waiting in [1, 16, 256, 1_024] {
        let place = tempfile::tempdir_in(folder).expect("a folder");
        let store = EmbeddedStore::open(&place.path().join("ledger.redb"), &identity()).expect("opens");
        let (cpu, begun) = (cpu_time(), Instant::now());
        let mut times = sell(&store, &entries, waiting).await;
        let written = (times.len() * waiting).min(entries.len());
        store.close().expect("the disk works");
        let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu);
        times.sort_unstable();
        let percentile = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!(
            "| {waiting} | {:.0} | {:.1} | {:.2} | {:.2} | {} |",
            written as f64 / elapsed.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / written as f64,
            percentile(50),
            percentile(99),
            bytes_on_disk(place.path()) / written as u64,
        );
    }
}

/// Sells batch after batch, and returns how long each took.
async fn sell(store: &EmbeddedStore, entries: &[Entry], waiting: usize) -> Vec<Duration> {
    let (mut times, begun) = (Vec::new(), Instant::now());
    for batch in entries.chunks(waiting).take_while(|_| begun.elapsed() < RUN) {
        let since = Instant::now();
        let outcomes = store.accept_batch(batch).await.expect("the disk works");
        times.push(since.elapsed());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Charged { again: false, .. })));
    }
    times
}

fn key(number: u64) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::from(U256::from(number + 1))).expect("a key")
}

/// Each channel in its turn; their vouchers go on from what was sold before.
fn entries(channels: u64, charges: u64, before: u64) -> Vec<Entry> {
    let sellers: Vec<_> = (0..channels.min(charges)).map(|number| (key(number), channel(&key(number), 0))).collect();
    let entry = |sale: u64| {
        let (signer, channel) = &sellers[usize::try_from(sale % sellers.len() as u64).expect("small")];
        charge(voucher(signer, channel, u128::from(before + sale + 1) * 10), 10, &format!("/songs/{sale}"))
    };
    (0..charges).map(entry).collect()
}

/// What a start costs with so many channels of one charge each, and how fast such a ledger sells.
async fn openings(folder: &Path) {
    let sizes = std::env::var("FARTHING_BENCH_CHANNELS").unwrap_or_else(|_| "1000,100000".to_owned());
    println!(
        "\n| channels | file MiB | opening ms | most memory MiB | reading every charge ms | charges/s | CPU µs a charge \
         | memory MiB |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for channels in sizes.split(',').map(|size| size.parse::<u64>().expect("a number")) {
        let place = tempfile::tempdir_in(folder).expect("a folder");
        let path = place.path().join("ledger.redb");
        fill(&path, channels).await;
        let entries = entries(channels, SOLD, 1);
        let before = memory("VmRSS");
        // From here on the most is counted anew.
        fs::write("/proc/self/clear_refs", "5").expect("Linux");
        let begun = Instant::now();
        let store = EmbeddedStore::open(&path, &identity()).expect("opens");
        let (opened, most) = (begun.elapsed(), memory("VmHWM").saturating_sub(before));
        let size = bytes_on_disk(place.path()) >> 20;
        let begun = Instant::now();
        let mut charges = 0;
        let mut count = |_| {
            charges += 1;
            Ok(())
        };
        store.visit(&[RecordKind::Charge], &mut count).await.expect("reads");
        let read = begun.elapsed();
        assert_eq!(charges, channels);
        let (cpu, begun) = (cpu_time(), Instant::now());
        let sold = (sell(&store, &entries, WAITING).await.len() * WAITING).min(entries.len()) as f64;
        let after = memory("VmRSS").saturating_sub(before);
        store.close().expect("the disk works");
        println!(
            "| {channels} | {size} | {:.1} | {} | {:.1} | {:.0} | {:.1} | {} |",
            opened.as_secs_f64() * 1e3,
            most >> 20,
            read.as_secs_f64() * 1e3,
            sold / begun.elapsed().as_secs_f64(),
            (cpu_time() - cpu).as_secs_f64() * 1e6 / sold,
            after >> 20,
        );
    }
}

async fn fill(path: &Path, channels: u64) {
    let store = EmbeddedStore::open(path, &identity()).expect("opens");
    // A store does not ask whose a signature is when it restores.
    let signed = voucher(&key(0), &channel(&key(0), 0), 10);
    for first in (0..channels).step_by(10_000) {
        let numbers = first..channels.min(first + 10_000);
        let records: Vec<Record> = numbers.flat_map(|number| records(number, &signed)).collect();
        store.restore(&records).await.expect("the disk works");
    }
    store.close().expect("the disk works");
}

fn records(number: u64, signed: &farthing::core::VerifiedVoucher) -> [Record; 2] {
    // Those that will sell have a key.
    let payer =
        if number < SOLD { key(number).address() } else { Address::from_word(B256::from(U256::from(number + 1))) };
    let channel = Channel { payer, authorized_signer: payer, ..channel(&key(0), 0) };
    let channel_id: ChannelId = channel.id(&identity().deployment);
    let price = Amount::new(10);
    let charge = Charge {
        cumulative_amount: price,
        signature: signed.signature(),
        price,
        item: format!("/songs/{number}"),
        request: RequestId::new("GET", &format!("/songs/{number}")),
        unearned_credit: Amount::ZERO,
        at: Timestamp::from_unix_seconds(1_800_057_600),
    };
    let books = ChannelBooks { accepted: price, spent: price, ..ChannelBooks::new(channel) };
    [Record::Channel { channel_id, books }, Record::Charge { channel_id, charge }]
}

/// What this process has used of the processors, as Linux counts it in hundredths of a second.
fn cpu_time() -> Duration {
    let line = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = line.rsplit_once(") ").expect("a name in parentheses").1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// What this process has in memory, or has had at most, in bytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of Linux");
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") << 10
}

/// Blocks that a folder's files take, not their lengths.
fn bytes_on_disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").metadata().expect("a file"));
    files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512).sum()
}
