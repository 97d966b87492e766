//! The crate `tap_core` (6.0.2) taking receipts, on all cores.
//!
//! `tap.accept` is `Manager::verify_and_store_receipt` with the checks that the crate comes with (is the allocation
//! known, is the signer). In its favour it stores in the crate's own memory, so that nothing is made durable, and
//! receipts are parsed before the clock starts. Before they are worth money they are checked once more, when the payer
//! is asked to aggregate them; that is not in the figure.
//!
//! `tap.recover_signer` is its check of the signature alone.

use measuring::{all, cores, enough, lists, rate, say};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::sync::{Arc, RwLock};
use tap_core::manager::Manager;
use tap_core::manager::context::memory::{InMemoryContext, checks::get_full_list_of_checks};
use tap_core::receipt::Context;
use tap_core::receipt::checks::{CheckList, StatefulTimestampCheck};
use tap_core::{TapVersion, tap_eip712_domain};
use tap_graph::{Receipt, SignedReceipt};
use thegraph_core::alloy::dyn_abi::Eip712Domain;
use thegraph_core::alloy::primitives::Address;
use thegraph_core::alloy::signers::local::PrivateKeySigner;

/// Payers of each thread.
const SIGNERS: usize = 500;

/// More than a core does in a second, so that a list lasts.
const PER_SECOND: f64 = 7_000.0;

const ALLOCATION: Address = Address::repeat_byte(0x55);

fn domain() -> Eip712Domain {
    tap_eip712_domain(1, Address::repeat_byte(0x11), TapVersion::V1)
}

fn signer(number: usize) -> PrivateKeySigner {
    let mut secret = [0x11; 32];
    secret[24..].copy_from_slice(&(number as u64).to_be_bytes());
    PrivateKeySigner::from_slice(&secret).expect("below the curve's order")
}

fn signed(thread: usize) -> Vec<SignedReceipt> {
    let signers: Vec<_> = (0..SIGNERS).map(|number| signer(thread * SIGNERS + number)).collect();
    (0..enough(PER_SECOND))
        .map(|number| {
            let receipt = Receipt::new(ALLOCATION, 1 + number as u128).expect("a clock");
            SignedReceipt::new(&domain(), receipt, &signers[number % SIGNERS]).expect("signs")
        })
        .collect()
}

fn manager() -> Manager<InMemoryContext, SignedReceipt> {
    let signers: HashSet<_> = (0..cores() * SIGNERS).map(|number| signer(number).address()).collect();
    let allocations = Arc::new(RwLock::new(HashSet::from([ALLOCATION])));
    let checks = get_full_list_of_checks(domain(), signers, allocations, Arc::default());
    let escrows = Arc::new(RwLock::new(HashMap::new()));
    let timestamps = Arc::new(StatefulTimestampCheck::new(0));
    let context = InMemoryContext::new(Arc::default(), Arc::default(), escrows, timestamps);
    Manager::new(domain(), context, CheckList::new(checks))
}

fn recover(receipts: &[Vec<SignedReceipt>]) {
    let domain = domain();
    let per_second = rate(receipts.len(), |thread| {
        let (list, domain) = (&receipts[thread], &domain);
        move |number: usize| {
            let receipt = black_box(&list[number % list.len()]);
            black_box(receipt.recover_signer(domain)).expect("a good receipt");
        }
    });
    say("tap.recover_signer", per_second, "/s", &json!({}));
}

fn accept(receipts: Vec<Vec<SignedReceipt>>) {
    let manager = manager();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let stranger = SignedReceipt { signature: receipts[0][1].signature, ..receipts[0][0].clone() };
    let refused = runtime().block_on(manager.verify_and_store_receipt(&Context::new(), stranger));
    assert!(refused.is_err(), "a receipt that no payer signed is taken");
    let per_second = all(receipts, |list: Vec<SignedReceipt>| {
        runtime().block_on(async {
            let context = Context::new();
            for receipt in list {
                manager.verify_and_store_receipt(&context, receipt).await.expect("a good receipt");
            }
        });
    });
    say("tap.accept", per_second, "/s", &json!({}));
}

fn main() {
    let receipts = lists(cores(), signed);
    recover(&receipts);
    accept(receipts);
}
