//! The long run: `cargo run --release -p farthing-differential -- --calls 10000000`.

use clap::{Parser, ValueEnum};
use farthing_differential::{Mistake, Plan, find_mistake};
use std::process::ExitCode;
use std::time::Instant;

/// Play random histories against the escrow's bytecode and its reference model, and compare them after every call
///
/// Prints what was called and what came of it. Exits with 1 if they differ anywhere, if some function, error or event was
/// hardly seen, or if a mistake was not noticed; with 2 if it was called wrongly.
#[derive(Debug, Parser)]
#[command(name = "farthing-differential", version)]
struct Arguments {
    /// How many calls to the escrow
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Decides every history; drawn at random and printed if left out
    #[arg(long)]
    seed: Option<u64>,
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
    let is_good = match arguments.mistake {
        Some(mistake) => is_noticed(seed, arguments.calls, mistake),
        None if arguments.mistakes => {
            let noticed: Vec<_> =
                Mistake::value_variants().iter().map(|mistake| is_noticed(seed, arguments.calls, *mistake)).collect();
            noticed.iter().all(|is_noticed| *is_noticed)
        }
        None => is_equal(seed, arguments.calls),
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

fn is_noticed(seed: u64, calls: u64, mistake: Mistake) -> bool {
    match find_mistake(seed, calls, mistake) {
        Some((after, _)) => println!("{mistake}: noticed after {after} calls"),
        None => {
            println!("{mistake}: not noticed in {calls} calls");
            return false;
        }
    }
    true
}
