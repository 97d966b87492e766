//! Speed: charges made durable, start-up, memory, disk and reads.

use crate::ledger::{Charge, Engine, Ledger, Outcome, Table};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// The most charges in one batch, and the most that wait: as in the payee.
const BATCH_MAX: usize = 1_024;
const QUEUE_MAX: usize = 16_384;

/// What one run came to.
#[derive(Clone, Copy)]
struct Sample {
    per_second: f64,
    cpu_micros: f64,
    batch_p99: Duration,
    charge_p99: Duration,
    bytes_per_charge: f64,
}

struct Job {
    charge: Charge,
    since: Instant,
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    // SAFETY: getrusage fills the struct that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    let part = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    part(usage.ru_utime) + part(usage.ru_stime)
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

/// Bytes that a folder takes on its disk: blocks, not lengths, for a preallocated file has holes.
pub fn disk_bytes(folder: &Path) -> u64 {
    files(folder)
        .iter()
        .map(|file| std::os::unix::fs::MetadataExt::blocks(&file.metadata().expect("a file")) * 512)
        .sum()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The one writer: drains its queue into a batch, makes it durable, answers.
fn write_all(ledger: &dyn Ledger, jobs: &Receiver<Job>, answers: &SyncSender<Vec<Instant>>) -> Vec<Duration> {
    let mut times = Vec::new();
    while let Ok(first) = jobs.recv() {
        let (mut batch, mut since) = (vec![first.charge], vec![first.since]);
        while batch.len() < BATCH_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            batch.push(job.charge);
            since.push(job.since);
        }
        let begun = Instant::now();
        ledger.apply(&batch).expect("the disk works");
        times.push(begun.elapsed());
        if answers.send(since).is_err() {
            break;
        }
    }
    times
}

/// So many writers, each waiting for its charge to be durable before it asks for the next.
fn measure(ledger: &dyn Ledger, folder: &Path, waiting: usize, channels: u64, length: Duration) -> Sample {
    let (queue, jobs) = sync_channel::<Job>(QUEUE_MAX);
    let (answers, answered) = sync_channel(QUEUE_MAX);
    let disk_before = disk_bytes(folder);
    let (cpu, begun) = (cpu_time(), Instant::now());
    let mut next = channels;
    let mut send = |queue: &SyncSender<Job>| {
        let job = Job { charge: Charge::numbered(next, channels), since: Instant::now() };
        next += 1;
        queue.send(job).expect("the writer waits");
    };
    let (batches, charges) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(ledger, &jobs, &answers));
        (0..waiting).for_each(|_| send(&queue));
        let mut charges = Vec::new();
        loop {
            let done: Vec<Instant> = answered.recv().expect("the writer answers");
            charges.extend(done.iter().map(Instant::elapsed));
            if begun.elapsed() >= length {
                break;
            }
            done.iter().for_each(|_| send(&queue));
        }
        drop(queue);
        while answered.recv_timeout(Duration::from_millis(200)).is_ok() {}
        drop(answered);
        (writer.join().expect("the writer ends"), charges)
    });
    let (elapsed, written) = (begun.elapsed(), next - channels);
    Sample {
        per_second: charges.len() as f64 / elapsed.as_secs_f64(),
        cpu_micros: (cpu_time() - cpu).as_secs_f64() * 1e6 / written as f64,
        batch_p99: p99(batches),
        charge_p99: p99(charges),
        bytes_per_charge: (disk_bytes(folder) - disk_before) as f64 / written as f64,
    }
}

pub fn fill(ledger: &dyn Ledger, channels: u64) {
    const AT_ONCE: usize = 16 * BATCH_MAX;
    for first in (0..channels).step_by(AT_ONCE) {
        let last = channels.min(first + AT_ONCE as u64);
        let batch: Vec<_> = (first..last).map(|index| Charge::numbered(index, channels)).collect();
        ledger.apply(&batch).expect("the disk works");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `bench FOLDER ENGINES ROUNDS SECONDS CHANNELS`: the engines in turn, round after round, each on a fresh ledger.
pub fn bench(folder: &Path, engines: &[Engine], rounds: usize, seconds: f64, channels: u64) {
    println!("{channels} channels, {rounds} rounds of {seconds} s in turn, medians (least to most charges a second)");
    println!("| store | waiting | charges/s | least–most | CPU µs | batch p99 ms | charge p99 ms | bytes/charge |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for waiting in [1, 16, 256, 4096] {
        let mut samples = vec![Vec::<Sample>::new(); engines.len()];
        for _ in 0..rounds {
            for (engine, samples) in engines.iter().zip(&mut samples) {
                let place = folder.join("bench");
                let _ = std::fs::remove_dir_all(&place);
                let ledger = engine.open(&place).expect("opens");
                fill(ledger.as_ref(), channels);
                let length = Duration::from_secs_f64(seconds);
                samples.push(measure(ledger.as_ref(), &place, waiting, channels, length));
                drop(ledger);
                std::fs::remove_dir_all(&place).expect("removed");
            }
        }
        for (engine, samples) in engines.iter().zip(&samples) {
            let of = |value: fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<_>>();
            let mut speeds = of(|sample| sample.per_second);
            speeds.sort_by(f64::total_cmp);
            println!(
                "| {} | {waiting} | {:.0} | {:.0}–{:.0} | {:.1} | {:.2} | {:.2} | {:.0} |",
                engine.name(),
                median(speeds.clone()),
                speeds[0],
                speeds[speeds.len() - 1],
                median(of(|sample| sample.cpu_micros)),
                median(of(|sample| sample.batch_p99.as_secs_f64() * 1e3)),
                median(of(|sample| sample.charge_p99.as_secs_f64() * 1e3)),
                median(of(|sample| sample.bytes_per_charge)),
            );
        }
    }
}

/// Resident memory of this process now and at its most, in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number") >> 10
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Drops a folder's pages from the page cache, so that the next open reads the disk.
fn cool(folder: &Path) {
    for path in files(folder) {
        let file = std::fs::File::open(path).expect("a file");
        file.sync_all().expect("synced");
        // SAFETY: a call on an open file.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// `start FOLDER ENGINE CHANNELS`: opens once and says how long it took; a process of its own for its memory.
pub fn start(folder: &Path, engine: Engine, channels: u64) {
    let begun = Instant::now();
    let ledger = engine.open(folder).expect("opens");
    let opened = begun.elapsed();
    let (resident, most) = memory();
    let rate = |count: u64, work: &mut dyn FnMut(u64)| {
        let begun = Instant::now();
        (0..count).for_each(work);
        count as f64 / begun.elapsed().as_secs_f64()
    };
    let of = |index: u64| Charge::numbered(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) % channels, channels);
    let single = rate(50_000, &mut |index| {
        assert!(ledger.get(Table::Counters, &of(index).channel).expect("reads").is_some());
    });
    let highest = rate(50_000, &mut |index| {
        assert!(ledger.highest(&of(index).channel, u128::MAX).expect("reads").is_some());
    });
    let (mut seen, begun) = (0_u64, Instant::now());
    ledger.scan(Table::Charges, &mut |_, _| seen += 1).expect("scans");
    assert!(seen >= channels);
    let scan = seen as f64 / begun.elapsed().as_secs_f64();
    let after = memory().1;
    println!(
        "{:.1} ms | {resident} | {most} | {after} | {single:.0} | {highest:.0} | {scan:.0}",
        opened.as_secs_f64() * 1e3
    );
}

/// `fill FOLDER ENGINE CHANNELS END`: fills a ledger and closes it, or opens a full one, writes once and is killed.
pub fn fill_and_end(folder: &Path, engine: Engine, channels: u64, clean: bool) -> Outcome<()> {
    let ledger = engine.open(folder)?;
    if clean {
        fill(ledger.as_ref(), channels);
        return Ok(());
    }
    ledger.apply(&[Charge::numbered(channels, channels)])?;
    // SAFETY: ends the process at once, as a kill does.
    unsafe { libc::_exit(0) };
}

/// `starts FOLDER ENGINES`: start-up and reads with a thousand, a hundred thousand and a million channels.
pub fn starts(folder: &Path, engines: &[Engine], sizes: &[u64]) {
    let program = std::env::current_exe().expect("a program");
    println!(
        "| store | channels | ended | disk MiB | open, cold | resident MiB | most MiB | after reads MiB | \
         single reads/s | highest ≤ X/s | scanned/s |"
    );
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for channels in sizes {
        for engine in engines {
            let place = folder.join("start");
            let _ = std::fs::remove_dir_all(&place);
            for end in ["closed", "killed"] {
                let run = |verb: &str| {
                    let mut command = Command::new(&program);
                    command.args([verb, place.to_str().expect("UTF-8"), engine.name(), &channels.to_string(), end]);
                    let output = command.output().expect("runs");
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    String::from_utf8(output.stdout).expect("UTF-8")
                };
                run("fill");
                let disk = disk_bytes(&place) >> 20;
                cool(&place);
                print!("| {} | {channels} | {end} | {disk} | {}", engine.name(), run("start").trim_end());
                println!(" |");
            }
        }
    }
}
