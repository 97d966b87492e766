//! Trying schedules, and expecting to find what a twin does wrong.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many schedules each exploration tries, unless the environment says otherwise: some seconds for all of them.
const SCHEDULES: usize = 2_000;

/// In how many a mistake has to be found, at the least.
const FIND_WITHIN: usize = 50_000;

/// At how many points a schedule of the second kind prefers another thread than before.
const CHANGES: usize = 3;

fn schedules() -> usize {
    let wanted = std::env::var("FARTHING_SCHEDULES").ok();
    wanted.map_or(SCHEDULES, |wanted| wanted.parse().expect("FARTHING_SCHEDULES is a number"))
}

/// Runs a scenario under many schedules: half of them random at every step, half with few changes between threads. A
/// failure prints the schedule that it failed under.
pub(crate) fn explore(name: &str, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let tried = run(schedules(), FailurePersistence::Print, scenario);
    println!("{name}: {tried} schedules, 0 failures");
}

/// The control: in how many schedules a scenario with a mistake in it is found to fail, which says one of these things.
/// Panics if it never is.
pub(crate) fn find(name: &str, says: &[&str], scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let counted = move || {
        count.fetch_add(1, Ordering::Relaxed);
        scenario();
    };
    // The rarest is found in hundreds. A short run is no reason to miss it.
    let tried = schedules().max(FIND_WITHIN);
    let ended = catch_unwind(AssertUnwindSafe(|| run(tried, FailurePersistence::None, counted)));
    let failure = ended.err().unwrap_or_else(|| panic!("{name}: not found in {tried} schedules"));
    let text = failure.downcast_ref::<String>().map(String::as_str).or(failure.downcast_ref::<&str>().copied());
    let text = text.unwrap_or_default();
    assert!(says.iter().any(|says| text.contains(says)), "{name}: found for another reason: {text}");
    println!("{name}: found in schedule {}", begun.load(Ordering::Relaxed));
}

fn run(
    schedules: usize,
    persistence: FailurePersistence,
    scenario: impl Fn() + Send + Sync + Clone + 'static,
) -> usize {
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.failure_persistence = persistence;
    let random = Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(scenario.clone());
    random + Runner::new(PctScheduler::new(CHANGES, schedules - schedules / 2), config).run(scenario)
}
