//! One JSON object a line for each measurement, which is what `script/bench.sh` reads.

use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// How many of something a run came to, how long it took, and what it cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) count: usize,
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// Processor time in microseconds for each.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Prints a measurement.
pub(crate) fn measured(measurement: &str, value: f64, unit: &str, of: &Value) {
    println!("{}", json!({ "measurement": measurement, "value": value, "unit": unit, "of": of }));
}

/// What a process has used of the processors, as Linux counts it in hundredths of a second.
pub(crate) fn cpu_time(process: &str) -> Duration {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux, and the process runs");
    let fields = line.rsplit_once(") ").expect("a name in parentheses").1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// This process's.
pub(crate) fn own_cpu_time() -> Duration {
    cpu_time("self")
}

/// What this process holds in memory, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

/// The value that so many of a hundred are at or below.
pub(crate) fn percentile(sorted: &[u32], hundredth: usize) -> f64 {
    f64::from(sorted[(sorted.len() - 1) * hundredth / 100])
}
