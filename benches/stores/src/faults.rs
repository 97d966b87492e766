//! What becomes of a ledger that is killed, cut, flipped, filled, failed or shared.

use crate::bench::files;
use crate::ledger::{Charge, Engine, Finding, Ledger, Outcome, inspect, noise};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Channels and charges per batch in these tests: few enough that counters are overwritten again and again.
pub const CHANNELS: u64 = 64;
pub const BATCH: u64 = 16;

/// A mark beside the store: how many batches were acknowledged. Never synced, so it may lag after a power cut; it can
/// never be ahead of what is durable, because it is written after the commit has returned.
pub struct Mark(std::fs::File);

impl Mark {
    pub fn open(folder: &Path) -> Outcome<Self> {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(folder.join("acknowledged")).map(Self).map_err(|error| error.to_string())
    }

    pub fn write(&self, commits: u64) -> Outcome<()> {
        let mut record = [0; 16];
        record[..8].copy_from_slice(&commits.to_be_bytes());
        record[8..].copy_from_slice(&xxh3_64(&commits.to_be_bytes()).to_be_bytes());
        self.0.write_all_at(&record, 0).map_err(|error| error.to_string())
    }

    /// What it says; nothing if it is new or damaged.
    pub fn read(&self) -> Option<u64> {
        let mut record = [0; 16];
        self.0.read_exact_at(&mut record, 0).ok()?;
        let (count, sum) = record.split_at(8);
        (xxh3_64(count).to_be_bytes() == sum).then(|| u64::from_be_bytes(count.try_into().expect("8 bytes")))
    }
}

/// Opens a ledger as the payee would: refused if it has forgotten what was acknowledged.
pub fn open_checked(engine: Engine, folder: &Path) -> Outcome<(Box<dyn Ledger>, Mark)> {
    let ledger = engine.open(folder)?;
    let mark = Mark::open(folder)?;
    let (commits, acknowledged) = (ledger.commits()?, mark.read().unwrap_or_default());
    if commits < acknowledged {
        return Err(format!("forgets {} of {acknowledged} acknowledged batches", acknowledged - commits));
    }
    Ok((ledger, mark))
}

pub fn batch(number: u64) -> Vec<Charge> {
    (number * BATCH..(number + 1) * BATCH).map(|index| Charge::numbered(index, CHANNELS)).collect()
}

/// `worker FOLDER ENGINE COUNT END`: writes batches and says of each that it is durable.
pub fn worker(folder: &Path, engine: Engine, count: u64, clean: bool) -> Outcome<()> {
    let (mut ledger, mark) = open_checked(engine, folder)?;
    let first = ledger.commits()?;
    let mut output = std::io::stdout();
    for number in first..first.saturating_add(count) {
        if let Err(reason) = ledger.apply(&batch(number)) {
            if std::env::var_os("STORES_REOPEN").is_none() {
                return Err(reason);
            }
            // What a payee must not do after an I/O error: open again in place and carry on.
            drop(ledger);
            ledger = engine.open(folder)?;
            if ledger.commits()? == number {
                ledger.apply(&batch(number))?;
            }
        }
        mark.write(number + 1)?;
        // One write call, so that a kill leaves whole lines.
        output.write_all(format!("{}\n", number + 1).as_bytes()).map_err(|error| error.to_string())?;
    }
    if !clean {
        // SAFETY: ends the process at once, as a kill does.
        unsafe { libc::_exit(0) };
    }
    drop(ledger);
    Ok(())
}

/// `inspect FOLDER ENGINE ACKNOWLEDGED`: opens, compares everything, says what it found.
pub fn inspect_folder(folder: &Path, engine: Engine, acknowledged: u64) {
    let plain = match engine.open(folder) {
        Err(reason) => format!("refused at open\t{reason}"),
        Ok(ledger) => match inspect(ledger.as_ref(), CHANNELS, BATCH, acknowledged) {
            Finding::Intact { commits } => format!("intact\t{commits}"),
            Finding::LostTail { commits } => format!("LOST TAIL\t{commits} of {acknowledged}"),
            Finding::LostInside(what) => format!("LOST INSIDE\t{what}"),
            Finding::Wrong(what) => format!("WRONG VALUE\t{what}"),
            Finding::Invented(what) => format!("INVENTED\t{what}"),
            Finding::ReadError(what) => format!("error at read\t{what}"),
        },
    };
    let mark = match open_checked(engine, folder) {
        Ok(_) => "accepted",
        Err(_) => "refused",
    };
    println!("{plain}\t{mark}");
}

pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(arguments);
    command
}

/// Runs `inspect` in a process of its own, for a damaged file may crash or hang it.
pub fn inspected(folder: &Path, engine: Engine, acknowledged: u64) -> (String, String, String) {
    let arguments = ["inspect", folder.to_str().expect("UTF-8"), engine.name(), &acknowledged.to_string()];
    let mut child = program(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break Some(status);
        }
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().expect("killed");
            child.wait().expect("waits");
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (mut output, mut errors) = (String::new(), String::new());
    child.stdout.take().expect("piped").read_to_string(&mut output).expect("UTF-8");
    let _ = child.stderr.take().expect("piped").read_to_string(&mut errors);
    match status {
        None => ("hangs".to_owned(), String::new(), "hangs".to_owned()),
        Some(status) if status.success() => {
            let mut fields = output.trim_end().split('\t').map(str::to_owned);
            let mut field = || fields.next().unwrap_or_default();
            (field(), field(), field())
        }
        Some(status) => {
            let reason = errors.lines().find(|line| line.contains("panicked")).unwrap_or("").to_owned();
            (
                format!("crashes ({})", if status.code() == Some(101) { "panic" } else { "abort" }),
                reason,
                "crash".into(),
            )
        }
    }
}

/// Kills a child after a while and says what it had acknowledged.
pub fn kill_after(mut child: Child, while_writing: Duration) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut last = String::new();
    // Opening may take a while: time runs from the first acknowledgement.
    lines.read_line(&mut last).expect("a line");
    std::thread::sleep(while_writing);
    child.kill().expect("killed");
    child.wait().expect("waits");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("UTF-8");
    let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
    whole.lines().last().unwrap_or(last.trim_end()).trim().parse().unwrap_or(0)
}

pub fn random(seed: u64, below: u64) -> u64 {
    u64::from_le_bytes(noise::<8>(seed, 77)) % below.max(1)
}

/// `kill FOLDER ENGINE ROUNDS`: kill −9 while writing, again and again on the same ledger, a fresh one now and then.
pub fn kill(folder: &Path, engine: Engine, rounds: u64) {
    let mut findings = BTreeMap::<String, u64>::new();
    let (mut acknowledged, mut total) = (0, 0);
    for round in 0..rounds {
        if round % 10 == 0 {
            let _ = std::fs::remove_dir_all(folder);
            acknowledged = 0;
        }
        let arguments = ["worker", folder.to_str().expect("UTF-8"), engine.name(), "1000000", "killed"];
        let child = program(&arguments).stdout(Stdio::piped()).spawn().expect("starts");
        let before = acknowledged;
        acknowledged = kill_after(child, Duration::from_micros(random(round, 40_000))).max(acknowledged);
        total += acknowledged - before;
        let (finding, detail, mark) = inspected(folder, engine, acknowledged);
        if finding == "intact" {
            acknowledged = detail.parse().expect("a number");
        }
        *findings.entry(format!("{finding}, mark {mark}")).or_default() += 1;
    }
    println!("| {} | kill −9 | {rounds} | {total} batches acknowledged: {findings:?} |", engine.name());
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    // cp keeps holes, which a copy by reading would fill.
    let arguments = ["-r", "--sparse=always", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")];
    assert!(Command::new("cp").args(arguments).status().expect("cp").success());
}

/// Places in a folder's files that hold data: zeros that were never written are of no interest.
fn written_places(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    const STEP: usize = 64;
    let mut places = Vec::new();
    for path in files(folder) {
        if path.ends_with("acknowledged") || path.ends_with("lock") {
            continue;
        }
        let content = std::fs::read(&path).expect("a file");
        let used = content.chunks(STEP).enumerate().filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0));
        places.extend(used.flat_map(|(at, chunk)| {
            let path = path.clone();
            (0..chunk.len() as u64).map(move |offset| (path.clone(), (at * STEP) as u64 + offset))
        }));
    }
    places
}

/// Makes a ledger of so many batches, closed or killed.
fn make(folder: &Path, engine: Engine, batches: u64, end: &str) {
    let _ = std::fs::remove_dir_all(folder);
    let arguments = ["worker", folder.to_str().expect("UTF-8"), engine.name(), &batches.to_string(), end];
    assert!(program(&arguments).stdout(Stdio::null()).status().expect("runs").success());
}

/// `flip FOLDER ENGINE COUNT BATCHES END`: one bit flipped at random places of a ledger.
pub fn flip(folder: &Path, engine: Engine, count: u64, batches: u64, end: &str) {
    let whole = folder.join("whole");
    make(&whole, engine, batches, end);
    let places = written_places(&whole);
    let bits = (0..count).map(|number| {
        let (path, offset) = places[random(number, places.len() as u64) as usize].clone();
        (path, offset, random(number + 1_000_000, 8) as u8)
    });
    flip_each(folder, engine, batches, &format!("one bit flipped at random, {end}"), &bits.collect::<Vec<_>>());
}

/// `aim FOLDER ENGINE BATCHES END`: every bit of what says where the newest commit is: of redb the header of the file,
/// of fjall the beginning of a batch in the middle of the journal.
pub fn aim(folder: &Path, engine: Engine, batches: u64, end: &str) {
    let whole = folder.join("whole");
    make(&whole, engine, batches, end);
    let (path, bytes) = match files(&whole).into_iter().find(|path| path.extension().is_some_and(|is| is == "jnl")) {
        None => (whole.join("ledger.redb"), 0..320),
        Some(journal) => {
            let content = std::fs::read(&journal).expect("a file");
            let ends: Vec<_> = content.windows(4).enumerate().filter(|(_, four)| *four == b"FJL\x03").collect();
            let start = ends[ends.len() / 2].0 as u64 + 4;
            (journal, start..start + 13)
        }
    };
    let bits: Vec<_> = bytes.flat_map(|byte| (0..8).map(move |bit| (byte, bit))).collect();
    let bits: Vec<_> = bits.into_iter().map(|(byte, bit)| (path.clone(), byte, bit)).collect();
    flip_each(folder, engine, batches, &format!("every bit of a header flipped, {end}"), &bits);
}

fn flip_each(folder: &Path, engine: Engine, batches: u64, what: &str, bits: &[(std::path::PathBuf, u64, u8)]) {
    let (whole, damaged) = (folder.join("whole"), folder.join("damaged"));
    let mut findings = BTreeMap::<String, (u64, String)>::new();
    for (path, offset, bit) in bits {
        copy(&whole, &damaged);
        let file_name = path.strip_prefix(&whole).expect("inside");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(damaged.join(file_name)).expect("opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, *offset).expect("reads");
        byte[0] ^= 1 << bit;
        file.write_all_at(&byte, *offset).expect("writes");
        drop(file);
        note(&mut findings, &damaged, engine, batches, &format!("{}@{offset}", file_name.display()));
    }
    report(engine, &format!("{what}, {batches} batches"), bits.len() as u64, &findings);
}

fn note(
    findings: &mut BTreeMap<String, (u64, String)>,
    damaged: &Path,
    engine: Engine,
    acknowledged: u64,
    place: &str,
) {
    let (finding, detail, mark) = inspected(damaged, engine, acknowledged);
    let entry = findings.entry(format!("{finding}, mark {mark}")).or_default();
    entry.0 += 1;
    if entry.0 <= 3 {
        entry.1 = format!("{} · {place}: {}", entry.1, detail.chars().take(110).collect::<String>());
    }
}

fn report(engine: Engine, what: &str, count: u64, findings: &BTreeMap<String, (u64, String)>) {
    println!("## {} – {what}, {count} places", engine.name());
    for (finding, (times, examples)) in findings {
        println!("  {times:>5}  {finding}   {examples}");
    }
}

/// `cut FOLDER ENGINE BATCHES END`: every file cut at several places, and each file removed.
pub fn cut(folder: &Path, engine: Engine, batches: u64, end: &str) {
    let (whole, damaged) = (folder.join("whole"), folder.join("damaged"));
    make(&whole, engine, batches, end);
    let mut findings = BTreeMap::new();
    let mut count = 0;
    for path in files(&whole) {
        if path.ends_with("acknowledged") || path.ends_with("lock") {
            continue;
        }
        let content = std::fs::read(&path).expect("a file");
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        let name = path.strip_prefix(&whole).expect("inside").to_owned();
        let lengths = [used - used.min(1), used * 9 / 10, used / 2, used / 10, used.min(100), 0];
        for length in lengths.into_iter().map(Some).chain([None]) {
            copy(&whole, &damaged);
            match length {
                Some(length) => {
                    let file = std::fs::OpenOptions::new().write(true).open(damaged.join(&name)).expect("opens");
                    file.set_len(length).expect("cut");
                }
                None => std::fs::remove_file(damaged.join(&name)).expect("removed"),
            }
            count += 1;
            let place = format!("{} to {length:?} of {used}", name.display());
            note(&mut findings, &damaged, engine, batches, &place);
        }
    }
    report(engine, &format!("files cut or removed, {end}, {batches} batches"), count, &findings);
}

/// `script FOLDER ENGINE`: batches until one fails, then what still works; for a full disk and for `strace`.
pub fn script(folder: &Path, engine: Engine, filler: Option<&Path>) {
    let (ledger, _) = match open_checked(engine, folder) {
        Ok(opened) => opened,
        Err(reason) => return println!("  open fails: {reason}"),
    };
    let first = ledger.commits().expect("reads");
    let mut acknowledged = first;
    let failure = loop {
        if acknowledged - first >= 2_000 {
            break "none in 2000 batches".to_owned();
        }
        match ledger.apply(&batch(acknowledged)) {
            Ok(()) => acknowledged += 1,
            Err(reason) => break reason,
        }
    };
    println!("  {acknowledged} batches, then: {failure}");
    println!("  read: {:?}", ledger.commits());
    println!("  the same again: {:?}", ledger.apply(&batch(acknowledged)));
    if let Some(filler) = filler {
        std::fs::remove_file(filler).expect("removed");
        println!("  with space made: {:?}", ledger.apply(&batch(acknowledged)));
    }
    drop(ledger);
    match engine.open(folder) {
        Err(reason) => println!("  reopened in the same process: {reason}"),
        Ok(ledger) => {
            let finding = inspect(ledger.as_ref(), CHANNELS, BATCH, acknowledged);
            println!("  reopened in the same process: {finding:?}");
            let next = ledger.commits().unwrap_or_default();
            println!("  writes again: {:?}", ledger.apply(&batch(next)));
        }
    }
}

/// `hold FOLDER ENGINE`: opens and waits.
pub fn hold(folder: &Path, engine: Engine) {
    let _ledger = engine.open(folder).expect("opens");
    println!("held");
    std::thread::sleep(Duration::from_secs(60));
}

/// `lock FOLDER ENGINE`: a second opening while another process, or this one, has the ledger open.
pub fn lock(folder: &Path, engine: Engine) {
    let _ = std::fs::remove_dir_all(folder);
    let arguments = ["hold", folder.to_str().expect("UTF-8"), engine.name()];
    let mut holder = program(&arguments).stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let begun = Instant::now();
    println!("## {} – lock", engine.name());
    println!("  held by another process: {:?} after {:?}", engine.open(folder).err(), begun.elapsed());
    holder.kill().expect("killed");
    holder.wait().expect("waits");
    let ledger = engine.open(folder);
    println!("  after kill −9 of the holder: {:?}", ledger.as_ref().err());
    println!("  held by this process: {:?}", engine.open(folder).err());
}
