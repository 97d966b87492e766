//! How fast the embedded ledger is on this machine's disk: charges made durable, and opening it.
//!
//! `cargo bench -p farthing --bench ledger [-- FOLDER]`. The folder has to be on the disk that counts: in memory a sync
//! costs nothing. `FARTHING_BENCH_CHANNELS` names how many channels ledgers are opened with, 1000,100000 unless told
//! otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that can't go on may panic")]

use farthing::core::ledger::{ChannelBooks, Charge, RequestId};
use farthing::core::{Address, Amount, B256, Channel, ChannelId, Timestamp};
use farthing::payee::store::{Entry, Outcome, Record};
use farthing::payee::{EmbeddedStore, PayeeStore};
use farthing_testkit::histories::{channel, charge, identity, signer, voucher};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many payers sell to; a voucher needs a key, and each entry one voucher.
const CHANNELS: u8 = 200;

/// The most charges of one run.
const CHARGES: u128 = 24_000;

const RUN: Duration = Duration::from_secs(3);

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

/// Batches as the payee's writer makes them when so many charges wait at once.
async fn charges(folder: &Path) {
    let entries = entries();
    println!(
        "| waiting | charges/s | CPU µs a charge | median batch ms | slowest of 100, ms | bytes on disk a charge |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for waiting in [1, 16, 256, 1_024] {
        let place = tempfile::tempdir_in(folder).expect("a folder");
        let store = EmbeddedStore::open(&place.path().join("ledger.redb"), &identity()).expect("opens");
        let (mut written, mut times) = (0, Vec::new());
        let (cpu, begun) = (cpu_time(), Instant::now());
        for batch in entries.chunks(waiting).take_while(|_| begun.elapsed() < RUN) {
            let since = Instant::now();
            let outcomes = store.accept_batch(batch).await.expect("the disk works");
            times.push(since.elapsed());
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Charged { again: false, .. })));
            written += outcomes.len();
        }
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

fn entries() -> Vec<Entry> {
    let sellers: Vec<_> = (0..CHANNELS).map(|index| (signer(index), channel(&signer(index), 0))).collect();
    let entry = |sale: u128| {
        let (signer, channel) = &sellers[usize::try_from(sale % u128::from(CHANNELS)).expect("small")];
        charge(voucher(signer, channel, (sale + 1) * 10), 10, &format!("/songs/{sale}"))
    };
    (0..CHARGES).map(entry).collect()
}

/// Opening reads the whole file: what a start costs with so many channels of one charge each.
async fn openings(folder: &Path) {
    let sizes = std::env::var("FARTHING_BENCH_CHANNELS").unwrap_or_else(|_| "1000,100000".to_owned());
    println!("\n| channels | file MiB | opening ms | reading every charge ms |");
    println!("| ---: | ---: | ---: | ---: |");
    for channels in sizes.split(',').map(|size| size.parse::<u64>().expect("a number")) {
        let place = tempfile::tempdir_in(folder).expect("a folder");
        let path = place.path().join("ledger.redb");
        fill(&path, channels).await;
        let begun = Instant::now();
        let store = EmbeddedStore::open(&path, &identity()).expect("opens");
        let opened = begun.elapsed();
        let begun = Instant::now();
        let store: &dyn PayeeStore = &store;
        assert_eq!(store.all_charges().await.expect("reads").len() as u64, channels);
        println!(
            "| {channels} | {} | {:.1} | {:.1} |",
            bytes_on_disk(place.path()) >> 20,
            opened.as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3,
        );
    }
}

async fn fill(path: &Path, channels: u64) {
    let store = EmbeddedStore::open(path, &identity()).expect("opens");
    // A store does not ask whose a signature is when it restores.
    let signed = voucher(&signer(0), &channel(&signer(0), 0), 10);
    let all: Vec<u64> = (0..channels).collect();
    for numbers in all.chunks(10_000) {
        let records: Vec<Record> = numbers.iter().flat_map(|number| records(*number, &signed)).collect();
        store.restore(&records).await.expect("the disk works");
    }
}

fn records(number: u64, signed: &farthing::core::VerifiedVoucher) -> [Record; 2] {
    let payer = Address::from_word(B256::from(alloy::primitives::U256::from(number + 1)));
    let channel = Channel { payer, authorized_signer: payer, ..channel(&signer(0), 0) };
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

/// Blocks that a folder's files take, not their lengths.
fn bytes_on_disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").metadata().expect("a file"));
    files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512).sum()
}
