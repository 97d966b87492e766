//! What strace saw, and the file that a power cut would have left at any moment of it.

use std::collections::HashMap;
use std::path::Path;

/// What a file and its neighbours can be changed by, and what bytes can leave a process by.
pub(super) const CALLS: &str = "pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,sendmmsg,sendfile,splice,\
                                copy_file_range,ftruncate,fallocate,fsync,fdatasync,sync_file_range,msync,\
                                io_uring_enter";

/// One step of a thread, in the order in which strace saw them.
#[derive(Debug)]
pub(super) struct Step {
    thread: u32,
    pub(super) phase: Phase,
}

/// The beginning of a call, or its end.
#[derive(Debug)]
pub(super) enum Phase {
    Begins(Call),
    /// With what it returned; nothing if it failed or strace only pretended to make it.
    Ends(Option<usize>),
}

/// A call as it was made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    /// What its descriptor is: a file's path, a connection's two ends.
    pub(super) what: String,
    /// All that it writes.
    pub(super) bytes: Vec<u8>,
    /// Its last argument, if that is a number.
    last: Option<usize>,
}

/// Reads what strace wrote with `-f -yy -xx`. Panics on what it can't read: a line that is passed over proves nothing.
pub(super) fn parse(text: &str) -> Vec<Step> {
    text.lines().flat_map(steps_of).collect()
}

fn steps_of(line: &str) -> Vec<Step> {
    let (thread, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
    let thread = thread.parse().unwrap_or_else(|_| panic!("{line}"));
    let rest = rest.trim_start();
    let step = |phase| Step { thread, phase };
    if rest.starts_with("---") || rest.starts_with("+++") {
        return Vec::new();
    }
    if rest.starts_with("<... ") {
        return vec![step(Phase::Ends(result_of(rest)))];
    }
    let (name, arguments) = rest.split_once('(').unwrap_or_else(|| panic!("{line}"));
    match arguments.strip_suffix("<unfinished ...>") {
        Some(arguments) => vec![step(Phase::Begins(call(name, arguments)))],
        None => {
            let (arguments, _) = arguments.rsplit_once(") = ").unwrap_or_else(|| panic!("{line}"));
            vec![step(Phase::Begins(call(name, arguments))), step(Phase::Ends(result_of(rest)))]
        }
    }
}

fn result_of(line: &str) -> Option<usize> {
    let (_, result) = line.rsplit_once(" = ").unwrap_or_else(|| panic!("{line}"));
    let pretended = result.contains("INJECTED");
    result.split(' ').next().and_then(|number| number.parse().ok()).filter(|_| !pretended)
}

fn call(name: &str, arguments: &str) -> Call {
    // Quotation marks are around bytes only; a mark of what was left out would follow them.
    let mut bytes = Vec::new();
    let mut quoted = arguments.split('"').skip(1);
    while let (Some(written), Some(after)) = (quoted.next(), quoted.next()) {
        assert!(!after.starts_with("..."), "strace left something out of {name}");
        bytes.extend(unescape(written));
    }
    let (_, described) = arguments.split_once('<').unwrap_or_default();
    let end = described.find(">,").or(described.find(">)")).unwrap_or(described.trim_end().len());
    let what = described[..end].trim_end_matches(['>', ' ']);
    let what =
        if what.starts_with("\\x") { String::from_utf8(unescape(what)).expect("UTF-8") } else { what.to_owned() };
    let last = arguments.trim_end().trim_end_matches(')').rsplit(", ").next().and_then(|last| last.parse().ok());
    Call { name: name.to_owned(), what, bytes, last }
}

fn unescape(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{digits:?} is no byte"))).collect()
}

/// A change of a file that is not yet known to be on the disk.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A file as a power cut would leave it that takes all with it that is not synced.
#[derive(Debug)]
pub(super) struct PowerCut {
    path: String,
    durable: Vec<u8>,
    /// How often `durable` has changed.
    pub(super) version: usize,
    unsynced: Vec<Change>,
    under_way: HashMap<u32, UnderWay>,
    /// How many syncs succeeded.
    pub(super) syncs: usize,
    /// Whether syncs count. Without them a power cut leaves nothing.
    syncs_count: bool,
}

#[derive(Debug)]
enum UnderWay {
    Changing(Change),
    /// With how many changes were made when it began: it promises nothing about later ones.
    Syncing(usize),
    Other,
}

impl PowerCut {
    /// A file that does not exist when the trace begins.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_str().expect("UTF-8").to_owned(),
            durable: Vec::new(),
            version: 0,
            unsynced: Vec::new(),
            under_way: HashMap::new(),
            syncs: 0,
            syncs_count: true,
        }
    }

    /// The same, on a disk that keeps nothing, however often it is told to.
    pub(super) fn without_syncs(self) -> Self {
        Self { syncs_count: false, ..self }
    }

    /// What a power cut would leave now.
    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Follows a step.
    pub(super) fn follow(&mut self, step: &Step) {
        match &step.phase {
            Phase::Begins(call) => {
                let is_ours = call.what == self.path;
                let begun = if is_ours { self.begin(call) } else { UnderWay::Other };
                self.under_way.insert(step.thread, begun);
            }
            Phase::Ends(result) => match (self.under_way.remove(&step.thread), result) {
                (Some(UnderWay::Changing(change)), Some(written)) => self.change(change, *written),
                (Some(UnderWay::Syncing(covered)), Some(_)) => self.sync(covered),
                _ => {}
            },
        }
    }

    fn begin(&self, call: &Call) -> UnderWay {
        let last = || call.last.unwrap_or_else(|| panic!("{} without a number", call.name));
        match call.name.as_str() {
            "pwrite64" => UnderWay::Changing(Change::Write { at: last(), bytes: call.bytes.clone() }),
            "ftruncate" => UnderWay::Changing(Change::Resize(last())),
            "fsync" | "fdatasync" => UnderWay::Syncing(self.unsynced.len()),
            other => panic!("{other} on the ledger: the power cut knows nothing of it"),
        }
    }

    fn change(&mut self, change: Change, written: usize) {
        self.unsynced.push(match change {
            Change::Write { at, mut bytes } => {
                bytes.truncate(written);
                Change::Write { at, bytes }
            }
            resize @ Change::Resize(_) => resize,
        });
    }

    fn sync(&mut self, covered: usize) {
        if !self.syncs_count {
            return;
        }
        self.syncs += 1;
        for change in self.unsynced.drain(..covered) {
            self.version += 1;
            match change {
                Change::Resize(length) => self.durable.resize(length, 0),
                Change::Write { at, bytes } => {
                    let end = at + bytes.len();
                    self.durable.resize(self.durable.len().max(end), 0);
                    self.durable[at..end].copy_from_slice(&bytes);
                }
            }
        }
        // A sync that began before this one and ends later covers no more of what is left.
        for begun in self.under_way.values_mut() {
            if let UnderWay::Syncing(others) = begun {
                *others = others.saturating_sub(covered);
            }
        }
    }
}

/// What is left of a file after these lines, each about `/ledger` and in strace's words.
fn left_of(lines: &[&str]) -> Vec<u8> {
    let mut cut = PowerCut::new(Path::new("/ledger"));
    parse(&(lines.join("\n") + "\n")).iter().for_each(|step| cut.follow(step));
    cut.durable
}

const WRITE: &str = r#"1 pwrite64(3</ledger>, "\x41\x42", 2, 1) = 2"#;

#[test]
fn a_power_cut_leaves_what_was_synced() {
    assert_eq!(left_of(&[WRITE]), b"");
    assert_eq!(left_of(&[WRITE, "1 fdatasync(3</ledger>) = 0"]), b"\0AB");
    let resize = "1 ftruncate(3</ledger>, 2) = 0";
    assert_eq!(left_of(&[WRITE, resize, "1 fsync(3</ledger>) = 0"]), b"\0A");
    let short = r#"1 pwrite64(3</ledger>, "\x41\x42", 2, 1) = 1"#;
    assert_eq!(left_of(&[short, "1 fdatasync(3</ledger>) = 0"]), b"\0A");
    let hidden = r#"1 pwrite64(3<\x2f\x6c\x65\x64\x67\x65\x72>, "\x41", 1, 0) = 1"#;
    assert_eq!(left_of(&[hidden, "1 fdatasync(3</ledger>) = 0"]), b"A");
}

#[test]
fn a_sync_that_failed_was_pretended_or_is_of_another_file_leaves_nothing() {
    for sync in [
        "1 fdatasync(3</ledger>) = -1 EIO (Input/output error)",
        "1 fdatasync(3</ledger>) = 0 (INJECTED)",
        "1 fdatasync(4</mark>) = 0",
        "1 fdatasync(3</ledger> <unfinished ...>",
    ] {
        assert_eq!(left_of(&[WRITE, sync]), b"", "{sync}");
    }
}

#[test]
fn a_sync_covers_what_was_written_when_it_began() {
    let begins = "2 fdatasync(3</ledger> <unfinished ...>";
    let ends = "2 <... fdatasync resumed>) = 0";
    assert_eq!(left_of(&[begins, WRITE, ends]), b"");
    assert_eq!(left_of(&[WRITE, begins, ends]), b"\0AB");
    let write_begins = r#"1 pwrite64(3</ledger>, "\x41\x42", 2, 1 <unfinished ...>"#;
    let write_ends = "1 <... pwrite64 resumed>) = 2";
    assert_eq!(left_of(&[write_begins, begins, write_ends, ends]), b"");
    assert_eq!(left_of(&[write_begins, write_ends, begins, ends]), b"\0AB");
}
