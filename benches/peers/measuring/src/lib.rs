//! What the measurements of this workspace have in common: how long they run, on how many threads, and how they say
//! what came of it. The contract is in `benches/speed/README.md`.

use serde_json::{Value, json};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long is measured: what the script asks for, or two seconds.
pub fn length() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    Duration::from_secs_f64(seconds)
}

/// Where files belong: a folder on a disk.
pub fn folder() -> std::path::PathBuf {
    std::env::var_os("BENCH_FOLDER").map_or_else(|| "target".into(), Into::into)
}

/// How many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// How many items keep a core busy for the time that is measured, if it does so many a second.
pub fn enough(per_second: f64) -> usize {
    ((length().as_secs_f64() * per_second) as usize).max(100)
}

/// Says one figure.
pub fn say(measurement: &str, value: f64, unit: &str, of: &Value) {
    println!("{}", json!({ "measurement": measurement, "value": value, "unit": unit, "of": of }));
}

/// Calls per second of all threads together, each of which goes on until time is over. `make` prepares a thread's
/// calls before the clock starts; a call is told its number.
pub fn rate<Call: FnMut(usize)>(threads: usize, make: impl Fn(usize) -> Call + Sync) -> f64 {
    /// Calls between two looks at the clock.
    const STRIDE: usize = 16;
    let (length, ready) = (length(), Barrier::new(threads));
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|thread| {
                let (make, ready) = (&make, &ready);
                scope.spawn(move || {
                    let mut call = make(thread);
                    ready.wait();
                    let begun = Instant::now();
                    let mut done = 0;
                    while begun.elapsed() < length {
                        (done..done + STRIDE).for_each(&mut call);
                        done += STRIDE;
                    }
                    done as f64 / begun.elapsed().as_secs_f64()
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("a thread that measures")).sum()
    })
}

/// Items per second when every thread works through a list of its own and the slowest ends the measurement.
pub fn all<Item: Send>(lists: Vec<Vec<Item>>, work: impl Fn(Vec<Item>) + Sync) -> f64 {
    let items: usize = lists.iter().map(Vec::len).sum();
    let ready = Barrier::new(lists.len() + 1);
    let elapsed = std::thread::scope(|scope| {
        let started: Vec<_> = lists
            .into_iter()
            .map(|list| {
                let (work, ready) = (&work, &ready);
                scope.spawn(move || {
                    ready.wait();
                    work(list);
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        started.into_iter().for_each(|thread| thread.join().expect("a thread that measures"));
        begun.elapsed()
    });
    items as f64 / elapsed.as_secs_f64()
}

/// Makes each thread's list on a thread of its own.
pub fn lists<Item: Send>(threads: usize, make: impl Fn(usize) -> Vec<Item> + Sync) -> Vec<Vec<Item>> {
    std::thread::scope(|scope| {
        let make = &make;
        let started: Vec<_> = (0..threads).map(|thread| scope.spawn(move || make(thread))).collect();
        started.into_iter().map(|thread| thread.join().expect("a thread that prepares")).collect()
    })
}
