//! The long run: `cargo run --release -p farthing-differential -- --calls 10000000`.

use clap::{Parser, ValueEnum};
use farthing_differential::history::play;
use farthing_differential::run::CALLS_PER_HISTORY;
use farthing_differential::{Found, Mistake, Plan, find_mistake};
use std::process::ExitCode;
use std::time::Instant;

/// Play random histories against the escrow's bytecode and its reference model, and compare them after every call
///
/// Prints what was called and what came of it. Exits with 1 if they differ anywhere, if some function, error or event
/// was hardly seen, or if a mistake was not noticed; with 2 if it was called wrongly.
#[derive(Debug, Parser)]
#[command(name = "farthing-differential", version)]
struct Arguments {
    /// How many calls to the escrow
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Decides every history; drawn at random and printed if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Play this one history of the seed only, as a divergence names it
    #[arg(long, requires = "seed", conflicts_with_all = ["calls", "mistakes"])]
    history: Option<u64>,
    /// Let the model make this mistake, and expect it to be noticed
    #[arg(long, conflicts_with = "mistakes")]
    mistake: Option<Mistake>,
    /// Let the model make each mistake it knows, one after the other, and expect all of them to be noticed
    #[arg(long)]
    mistakes: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let is_good = if let Some(history) = arguments.history {
        is_equal_in(seed, history, arguments.mistake)
    } else if let Some(mistake) = arguments.mistake {
        let found = notice(seed, arguments.calls, mistake);
        found.inspect(|found| println!("{found}")).is_some()
    } else if arguments.mistakes {
        let all = Mistake::value_variants().iter();
        let unnoticed = all.filter(|mistake| notice(seed, arguments.calls, **mistake).is_none()).count();
        unnoticed == 0
    } else {
        is_equal(seed, arguments.calls)
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_equal(seed: u64, calls: u64) -> bool {
    let plan = Plan::new(seed, calls);
    let start = Instant::now();
    let report = plan.run();
    let seconds = start.elapsed().as_secs_f64();
    print!("{}", report.tally);
    println!("{seconds:.0} s on {} threads", plan.threads);
    if let Some(found) = report.found {
        println!("1 divergence, and no further histories begun: {found}");
        return false;
    }
    println!("0 divergences");
    let gaps = report.tally.gaps();
    for gap in &gaps {
        println!("hardly seen: {gap}");
    }
    gaps.is_empty()
}

fn is_equal_in(seed: u64, number: u64, mistake: Option<Mistake>) -> bool {
    match play(seed, number, CALLS_PER_HISTORY, mistake) {
        Ok(tally) => {
            print!("{tally}");
            println!("0 divergences");
        }
        Err(found) => {
            println!("1 divergence: {found}");
            return false;
        }
    }
    true
}

fn notice(seed: u64, calls: u64, mistake: Mistake) -> Option<Box<Found>> {
    let Some((after, found)) = find_mistake(seed, calls, mistake) else {
        println!("{mistake}: not noticed in {calls} calls");
        return None;
    };
    println!("{mistake}: noticed after {after} calls");
    Some(found)
}
