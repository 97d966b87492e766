//! The escrow's bytecode does what its reference model says, and a model that is wrong anywhere is found out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use clap::ValueEnum;
use farthing_differential::{Mistake, Plan, find_mistake};

/// Calls that the model of every build is held to.
const CALLS: u64 = 1_000_000;

/// How many of them have histories of their own in every run.
const FRESH_CALLS: u64 = 100_000;

/// How long a mistake may stay unnoticed.
const CALLS_TO_NOTICE: u64 = 10_000;

#[test]
fn the_bytecode_does_what_the_model_says() {
    let fresh_seed = rand::random();
    for (seed, calls) in [(1, CALLS - FRESH_CALLS), (fresh_seed, FRESH_CALLS)] {
        println!("seed {seed}, {calls} calls");
        let report = Plan::new(seed, calls).run();
        if let Some(found) = report.found {
            panic!("seed {seed}: {found}");
        }
        assert!(report.tally.calls() >= calls, "some histories were not played");
        println!("{}", report.tally);
        assert_eq!(report.tally.gaps(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn every_mistake_of_the_model_is_noticed() {
    for mistake in Mistake::value_variants() {
        let (after, _) =
            find_mistake(1, CALLS_TO_NOTICE, *mistake).unwrap_or_else(|| panic!("{mistake} is not noticed"));
        println!("{mistake}: noticed after {after} calls");
    }
}

#[test]
fn the_same_seed_tells_the_same_histories() {
    let plan = Plan::new(7, 5_000);
    let alone = Plan { threads: std::num::NonZeroUsize::MIN, ..plan };
    assert_eq!(plan.run().tally, alone.run().tally);
    assert_ne!(plan.run().tally, Plan { seed: 8, ..plan }.run().tally);
}
