//! What a voucher's signature costs on one core: to sign, to check by recovery, to check against a known key, to hash.
//!
//! `cargo bench -p farthing-core --bench signatures [--features libsecp,lanes]`. Which implementation is at work stands in
//! every figure. Figures go to stdout, one JSON object a line, and a table for people to stderr. `BENCH_SECONDS` says for how
//! long all of it is measured, two seconds unless told otherwise. The least of many short runs counts: what else the
//! machine does makes a run longer, never shorter.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a measurement that can't go on may panic")]
#![allow(clippy::disallowed_methods, reason = "a measurement looks at the clock, and is told how long it may")]

use alloy_primitives::{Address, B256, Signature};
use farthing_core::signer::{BACKEND, SignerKey};
use farthing_core::voucher::{Domain, KnownChannel};
use farthing_core::{Amount, Channel, Deployment, SignedVoucher, Voucher, VoucherSignature};
use k256::ecdsa::SigningKey;
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Distinct vouchers, so that none is measured in the cache alone.
const VOUCHERS: u8 = 64;

/// Calls between two looks at the clock: so few that most runs end before the machine turns to something else.
const RUN: usize = 8;

struct Case {
    signing: SigningKey,
    known: KnownChannel,
    key: SignerKey,
    signed: SignedVoucher,
    digest: B256,
}

fn domain() -> Domain {
    Domain::new(Deployment { chain_id: 31337, escrow: Address::repeat_byte(0x33) })
}

fn sign(key: &SigningKey, digest: B256) -> VoucherSignature {
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice());
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + recovery.to_byte();
    VoucherSignature::from_bytes(&bytes).unwrap()
}

fn case(number: u8) -> Case {
    let signing = SigningKey::from_slice(&[number + 1; 32]).unwrap();
    let point = signing.verifying_key().to_sec1_point(false);
    let authorized_signer = Address::from_raw_public_key(&point.as_bytes()[1..]);
    let [payer, payee] = [1, 2].map(Address::repeat_byte);
    let channel = Channel { payer, payee, token: Address::ZERO, salt: B256::ZERO, authorized_signer };
    let voucher = Voucher {
        channel_id: channel.id(domain().deployment()),
        cumulative_amount: Amount::new(500_000 + u128::from(number)),
    };
    let digest = voucher.digest(&domain());
    let signed = voucher.with_signature(sign(&signing, digest));
    let known = signed.meet(&domain(), &channel).unwrap().1;
    let key = SignerKey::recover(&signed.signature, digest).unwrap();
    Case { signing, known, key, signed, digest }
}

/// Microseconds a call, at the least.
fn least(cases: &[Case], seconds: f64, mut call: impl FnMut(&Case)) -> f64 {
    let (begun, mut least) = (Instant::now(), Duration::MAX);
    while begun.elapsed().as_secs_f64() < seconds {
        for few in cases.chunks_exact(RUN) {
            let run = Instant::now();
            few.iter().for_each(&mut call);
            least = least.min(run.elapsed());
        }
    }
    least.as_secs_f64() * 1e6 / RUN as f64
}

/// The same a voucher, of eight that are verified together: in lanes, with the feature `lanes` and a processor that has
/// them.
fn least_together(cases: &[Case], seconds: f64, domain: &Domain) -> f64 {
    let (begun, mut least) = (Instant::now(), Duration::MAX);
    let vouchers: Vec<_> = cases.iter().map(|case| (case.signed, &case.known)).collect();
    while begun.elapsed().as_secs_f64() < seconds {
        for eight in vouchers.chunks_exact(RUN) {
            let run = Instant::now();
            assert!(SignedVoucher::verify_known_together(eight, domain).iter().all(Result::is_ok));
            least = least.min(run.elapsed());
        }
    }
    least.as_secs_f64() * 1e6 / RUN as f64
}

fn alloys(signature: &VoucherSignature) -> Signature {
    Signature::from_raw_array(&signature.to_bytes()).unwrap()
}

fn main() {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let cases: Vec<Case> = (0..VOUCHERS).map(case).collect();
    let domain = domain();
    let share = seconds / 7.0;
    let figures = [
        (
            "hash",
            least(&cases, share, |case| {
                black_box(black_box(case.signed.voucher).digest(&domain));
            }),
        ),
        (
            "sign with k256",
            least(&cases, share, |case| {
                black_box(sign(&case.signing, case.digest));
            }),
        ),
        (
            "recover",
            least(&cases, share, |case| {
                assert_eq!(SignerKey::recover(&case.signed.signature, case.digest).as_ref(), Ok(&case.key));
            }),
        ),
        ("known key", least(&cases, share, |case| assert!(case.key.has_signed(&case.signed.signature, case.digest)))),
        (
            "known channel, with hash",
            least(&cases, share, |case| assert!(case.signed.verify_known(&domain, &case.known).is_ok())),
        ),
        ("known channels, eight together, with hash", least_together(&cases, share, &domain)),
        (
            "recover_address of alloy",
            least(&cases, share, |case| {
                let found = alloys(&case.signed.signature).recover_address_from_prehash(&case.digest);
                assert_eq!(found.unwrap(), case.key.address());
            }),
        ),
    ];
    eprintln!("| step, by {BACKEND} | µs | of a known key |\n| --- | ---: | ---: |");
    let unit = figures[3].1;
    for (step, microseconds) in figures {
        eprintln!("| {step} | {microseconds:.2} | {:.3} |", microseconds / unit);
        let of = json!({ "step": step, "by": BACKEND });
        println!("{}", json!({ "measurement": "signatures", "value": microseconds, "unit": "µs", "of": of }));
    }
}
