//! How many vouchers a second a payee takes, verified and durable, and what each costs of the processors: without HTTP,
//! over the embedded ledger.
//!
//! `cargo bench -p farthing --bench accept [--features libsecp]`. Figures go to stdout, one JSON object a line, and a
//! table for people to stderr. `BENCH_FOLDER` is where the ledger is kept: it has to be on the disk that counts.
//! `BENCH_SECONDS` says about how long each number of callers is measured, two seconds unless told otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that can't go on may panic")]

use farthing::PrivateKeySigner;
use farthing::core::exposure::CreditTerms;
use farthing::core::ledger::{ChargeRequest, RequestId};
use farthing::core::signer::BACKEND;
use farthing::core::voucher::Domain;
use farthing::core::wire::ChallengeSecret;
use farthing::core::wire::credential::ChannelTerms;
use farthing::core::{Amount, B256, Channel, Timestamp, Token, Voucher, VoucherSignature};
use farthing::escrow::{EscrowError, Funds};
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{EmbeddedStore, Payee, PayeeOptions, PresentedVoucher};
use farthing::signer::SignerSync;
use farthing_testkit::histories::{generous, identity};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// About how many vouchers a second there have to be: signed before the clock starts.
const PER_SECOND: f64 = 20_000.0;

const PRICE: u128 = 10;

/// Everybody has money enough.
#[derive(Debug)]
struct Rich;

impl FundsSource for Rich {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        let head = Funds { account_balance: Amount::new(1 << 100), ..Funds::default() };
        Box::pin(async move { Ok(Reading { head, ..Reading::default() }) })
    }
}

fn main() {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let folder = std::env::var_os("BENCH_FOLDER").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    eprintln!("| callers, by {BACKEND} | vouchers/s | CPU µs a voucher |\n| ---: | ---: | ---: |");
    for callers in [1, 16, 256, 1_024] {
        let each = ((seconds * PER_SECOND) as usize / callers).max(2);
        let each = if callers == 1 { each / 20 } else { each };
        let vouchers = sign(callers, each);
        let place = tempfile::tempdir_in(&folder).expect("a folder");
        let store = EmbeddedStore::open(&place.path().join("ledger.redb"), &identity()).expect("opens");
        let (rate, cpu) = runtime.block_on(async { measure(&start(store), vouchers).await });
        eprintln!("| {callers} | {rate:.0} | {cpu:.1} |");
        for (measurement, value, unit) in [("accept.take", rate, "/s"), ("accept.take.cpu", cpu, "µs")] {
            let of = serde_json::json!({ "callers": callers, "by": BACKEND });
            println!("{}", serde_json::json!({ "measurement": measurement, "value": value, "unit": unit, "of": of }));
        }
    }
}

fn start(store: EmbeddedStore) -> Payee {
    let credit: CreditTerms = generous();
    let options = PayeeOptions {
        identity: identity(),
        exit_delay: 86_400,
        token: Token { address: identity().token, symbol: "dUSD".to_owned(), decimals: 6, dollar: true },
        credit,
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation: None,
    };
    let secret = ChallengeSecret::new(vec![7; 32]).expect("long enough");
    let payee = Payee::start(options, secret, PrivateKeySigner::random(), Arc::new(store), Arc::new(Rich));
    let payee = payee.expect("starts");
    payee.views().note_seen(now());
    payee
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_unix_seconds(since.as_secs())
}

/// A channel for each caller, and its vouchers in order; signed by as many threads as there are cores.
fn sign(callers: usize, each: usize) -> Vec<Vec<PresentedVoucher>> {
    let domain = Domain::new(identity().deployment);
    let one = |number: usize| {
        let signer =
            PrivateKeySigner::from_bytes(&B256::from(alloy::primitives::U256::from(number + 1))).expect("a key");
        let (payer, salt) = (signer.address(), B256::ZERO);
        let channel =
            Channel { payer, payee: identity().payee, token: identity().token, salt, authorized_signer: payer };
        let channel_id = channel.id(&identity().deployment);
        let terms = Some(ChannelTerms::from(&channel));
        let voucher = |count: usize| {
            let cumulative_amount = Amount::new(PRICE * (count as u128 + 1));
            let voucher = Voucher { channel_id, cumulative_amount };
            let signature = signer.sign_hash_sync(&voucher.digest(&domain)).expect("signs").as_bytes();
            let signature = VoucherSignature::from_bytes(&signature).expect("low s");
            // As payers do: the terms come with the first one.
            PresentedVoucher { signed: voucher.with_signature(signature), terms: terms.filter(|_| count == 0) }
        };
        (0..each).map(voucher).collect()
    };
    let numbers: Vec<usize> = (0..callers).collect();
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        let parts = numbers.chunks(callers.div_ceil(cores));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|number| one(*number)).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("signs")).collect()
    })
}

/// Vouchers a second, and microseconds of the processors for each; after everybody's first two, which meet the account
/// and make the key known.
async fn measure(payee: &Payee, mut vouchers: Vec<Vec<PresentedVoucher>>) -> (f64, f64) {
    const MEETING: usize = 2;
    let first = vouchers.iter_mut().map(|own| own.drain(..MEETING.min(own.len())).collect()).collect();
    take_all(payee, first).await;
    let count: usize = vouchers.iter().map(Vec::len).sum();
    let (cpu, begun) = (cpu_time(), Instant::now());
    take_all(payee, vouchers).await;
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu);
    (count as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64)
}

/// Every caller takes its own vouchers, one after the other.
async fn take_all(payee: &Payee, vouchers: Vec<Vec<PresentedVoucher>>) {
    let callers: Vec<_> = vouchers
        .into_iter()
        .map(|own| {
            let payee = payee.clone();
            tokio::spawn(async move {
                for presented in own {
                    let request = ChargeRequest {
                        price: Amount::new(PRICE),
                        item: "/song".to_owned(),
                        request: RequestId::new("GET", "/song"),
                        reservation_required: false,
                        at: now(),
                    };
                    let taken = payee.take(presented, request).await.expect("a good voucher is taken");
                    assert!(!taken.again);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
}

/// What this process has used of the processors, as Linux counts it in hundredths of a second.
fn cpu_time() -> Duration {
    let line = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = line.rsplit_once(") ").expect("a name in parentheses").1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
