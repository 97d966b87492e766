//! Many histories, on as many threads as there are cores.

use crate::history::{Found, play};
use crate::mistake::Mistake;
use crate::tally::Tally;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Calls in one history, but for the last of a run. Short, so that what a full account or a drained one makes impossible comes round again.
pub const CALLS_PER_HISTORY: u64 = 500;

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides every history; the same seed gives the same ones, on any number of threads.
    pub seed: u64,
    /// How many calls in all.
    pub calls: u64,
    /// What the model does wrong.
    pub mistake: Option<Mistake>,
    /// How many threads.
    pub threads: NonZeroUsize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// All histories that ended without a divergence.
    pub tally: Tally,
    /// The first divergence, by the history's number; the run stops soon after one.
    pub found: Option<Box<Found>>,
}

impl Plan {
    /// A plan for every core of this machine.
    #[must_use]
    pub fn new(seed: u64, calls: u64) -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { seed, calls, mistake: None, threads }
    }

    /// Plays all histories.
    #[must_use]
    pub fn run(&self) -> Report {
        let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let reports: Vec<Report> = thread::scope(|scope| {
            let work = || self.work(&next, &is_over);
            let threads: Vec<_> = (0..self.threads.get()).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a history does not panic")).collect()
        });
        let mut sum = Report { tally: Tally::default(), found: None };
        for report in reports {
            sum.tally.add(report.tally);
            let first = sum.found.as_ref().map_or(u64::MAX, |found| found.history);
            sum.found = report.found.filter(|found| found.history < first).or(sum.found);
        }
        sum
    }

    fn work(&self, next: &AtomicU64, is_over: &AtomicBool) -> Report {
        let mut report = Report { tally: Tally::default(), found: None };
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let calls = self.calls.saturating_sub(number.saturating_mul(CALLS_PER_HISTORY)).min(CALLS_PER_HISTORY);
            if calls == 0 {
                break;
            }
            match play(self.seed, number, calls, self.mistake) {
                Ok(tally) => report.tally.add(tally),
                Err(found) => {
                    is_over.store(true, Ordering::Relaxed);
                    report.found = Some(found);
                }
            }
        }
        report
    }
}

/// Lets the model make a mistake and says after how many calls it was noticed, if it was within so many.
#[must_use]
pub fn find_mistake(seed: u64, calls: u64, mistake: Mistake) -> Option<(u64, Box<Found>)> {
    // One thread, so that the count is the same every time.
    let plan = Plan { mistake: Some(mistake), threads: NonZeroUsize::MIN, ..Plan::new(seed, calls) };
    let found = plan.run().found?;
    Some((found.history * CALLS_PER_HISTORY + found.call, found))
}
