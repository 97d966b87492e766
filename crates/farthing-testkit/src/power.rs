//! What a power cut may leave of a ledger: every moment of a disk's life, with some of what was not synced by then.
//!
//! A disk writes a sector wholly or not at all, keeps whatever was synced, and of the rest any part, in any order. So
//! each state is what was certain, and a choice among the sectors and lengths written since.

use crate::disk::{Content, Event, Part};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

const SECTOR: usize = 512;

/// What a power cut has left.
#[derive(Debug)]
pub struct Cut {
    /// What is on the disk.
    pub content: Content,
    /// How many batches were acknowledged before the cut; nothing while the ledger was still being begun.
    pub acknowledged: Option<usize>,
    /// How many batches were begun before the cut.
    pub begun: usize,
    /// At which event, and what was kept of the unsynced.
    pub moment: (usize, Keep),
}

/// Which of the writes since the last sync have reached the disk.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// None of them.
    None,
    /// All of them.
    All,
    /// All but one.
    AllBut(usize),
    /// Only one.
    Only(usize),
    /// Each whole write with this probability, in percent.
    Writes(u32),
    /// Each sector with this probability, in percent.
    Sectors(u32),
}

/// What the disk does when it is asked to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// It syncs.
    Honest,
    /// Nothing, as without the call, or on a disk that lies.
    Nothing,
}

type Files = [Vec<u8>; Part::ALL.len()];

/// The sectors that differ from the certain ones: file, and number in it.
type Touched = BTreeSet<(usize, usize)>;

/// The states that a power cut may leave, each once.
#[derive(Debug)]
pub struct Cuts<'j> {
    events: &'j [Event],
    syncs: Syncs,
    /// How many states are made of each moment, at most.
    most: usize,
    at: usize,
    certain: Files,
    certain_hash: u64,
    pending: Vec<&'j Event>,
    marks: Vec<&'j [u8]>,
    acknowledged: Option<usize>,
    begun: usize,
    keeps: Vec<Keep>,
    seen: HashSet<u64>,
    random: StdRng,
}

impl<'j> Cuts<'j> {
    /// The states that a cut may leave of a disk that was empty before these events.
    #[must_use]
    pub fn new(events: &'j [Event], syncs: Syncs, most: usize, seed: u64) -> Self {
        Self {
            events,
            syncs,
            most,
            at: 0,
            certain: Files::default(),
            certain_hash: 0,
            pending: Vec::new(),
            marks: vec![&[]],
            acknowledged: None,
            begun: 0,
            keeps: Vec::new(),
            seen: HashSet::new(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Goes on to the next moment. False if there is none.
    fn step(&mut self) -> bool {
        let Some(event) = self.events.get(self.at) else { return false };
        self.at += 1;
        match event {
            Event::Written { .. } | Event::Resized { .. } => self.pending.push(event),
            Event::Synced(part) if self.syncs == Syncs::Honest => self.settle(*part),
            Event::Synced(_) => {}
            Event::Marked(mark) => self.marks.push(mark),
            Event::Begun(batches) => self.begun = *batches,
            Event::Acknowledged(batches) => self.acknowledged = Some(*batches),
        }
        self.keeps = self.choose();
        true
    }

    /// A sync of one file says nothing about the others.
    fn settle(&mut self, part: Part) {
        let others = self.pending.extract_if(.., |event| part_of(event) != Some(part)).collect();
        let (files, touched) = self.apply(Keep::All);
        self.certain_hash = self.hash_of(&files, &touched);
        self.certain = files;
        self.pending = others;
    }

    fn choose(&mut self) -> Vec<Keep> {
        let count = self.pending.len();
        if count == 0 {
            return vec![Keep::None];
        }
        let (last, any) = (count - 1, self.random.random_range(0..count));
        let mut keeps = vec![
            Keep::None,
            Keep::All,
            Keep::Sectors(50),
            Keep::AllBut(last),
            Keep::Only(last),
            Keep::Writes(50),
            Keep::AllBut(any),
            Keep::Only(any),
        ];
        keeps.extend((0..self.most.saturating_sub(keeps.len())).map(|more| match more % 4 {
            0 => Keep::Sectors(90),
            1 => Keep::Sectors(10),
            2 => Keep::Writes(80),
            _ => Keep::Sectors(50),
        }));
        keeps.truncate(self.most);
        keeps
    }

    /// The files with a part of what is pending, and the sectors that it touches.
    fn apply(&mut self, keep: Keep) -> (Files, Touched) {
        let (mut files, mut touched) = (self.certain.clone(), Touched::new());
        // How long a file is is kept apart from its sectors: it may be lost though they are not.
        let mut lengths: [usize; Part::ALL.len()] = std::array::from_fn(|file| files[file].len());
        for (number, event) in self.pending.iter().enumerate() {
            let (whole, sectors) = match keep {
                Keep::None => (false, 0),
                Keep::All => (true, 0),
                Keep::AllBut(one) => (number != one, 0),
                Keep::Only(one) => (number == one, 0),
                Keep::Writes(percent) => (self.random.random_ratio(percent, 100), 0),
                Keep::Sectors(percent) => (false, percent),
            };
            match event {
                Event::Resized { part, length } if whole || self.random.random_ratio(sectors, 100) => {
                    let file = part.index();
                    if *length < lengths[file] {
                        let cut = length / SECTOR..lengths[file].div_ceil(SECTOR);
                        touched.extend(cut.map(|sector| (file, sector)));
                        files[file].truncate(*length);
                    }
                    lengths[file] = *length;
                }
                Event::Written { part, position, bytes } => {
                    let file = part.index();
                    for (from, bytes) in sectors_of(*position, bytes) {
                        if whole || self.random.random_ratio(sectors, 100) {
                            overwrite(&mut files[file], from, bytes);
                            touched.insert((file, from / SECTOR));
                            // redb says how long its file is; the journal's grow with what is written to them.
                            if *part != Part::Tables {
                                lengths[file] = lengths[file].max(from + bytes.len());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        for (file, length) in files.iter_mut().zip(lengths) {
            file.resize(length, 0);
        }
        (files, touched)
    }

    /// A hash of the files' content, worked out from what differs from the certain one.
    fn hash_of(&self, files: &Files, touched: &Touched) -> u64 {
        touched.iter().fold(self.certain_hash, |hash, (file, sector)| {
            let of = |files: &Files| sector_hash(*file, &files[*file], *sector);
            hash ^ of(&self.certain) ^ of(files)
        })
    }
}

impl Iterator for Cuts<'_> {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        loop {
            let Some(keep) = self.keeps.pop() else { if self.step() { continue } else { return None } };
            let (files, touched) = self.apply(keep);
            // The mark is never synced: any of those written may be there, and the newest asks for most.
            let newest = self.marks.len() - 1;
            let older = self.random.random_ratio(1, 8);
            let mark = self.marks[if older { self.random.random_range(0..=newest) } else { newest }].to_vec();
            let mut state = DefaultHasher::new();
            let lengths: Vec<usize> = files.iter().map(Vec::len).collect();
            (self.hash_of(&files, &touched), lengths, &mark, self.acknowledged, self.begun).hash(&mut state);
            if self.seen.insert(state.finish()) {
                let (acknowledged, begun) = (self.acknowledged, self.begun);
                let content = Content { files, mark };
                return Some(Cut { content, acknowledged, begun, moment: (self.at, keep) });
            }
        }
    }
}

/// The file that an event changes.
fn part_of(event: &Event) -> Option<Part> {
    match event {
        Event::Written { part, .. } | Event::Resized { part, .. } => Some(*part),
        _ => None,
    }
}

/// The parts of a write that fall into one sector each.
fn sectors_of(position: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - position % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate().map(move |(number, part)| (position + first + number * SECTOR, part));
    std::iter::once((position, head)).chain(rest)
}

fn overwrite(file: &mut Vec<u8>, from: usize, bytes: &[u8]) {
    let end = from + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[from..end].copy_from_slice(bytes);
}

fn sector_hash(number: usize, file: &[u8], sector: usize) -> u64 {
    let from = (sector * SECTOR).min(file.len());
    let content = &file[from..(from + SECTOR).min(file.len())];
    if content.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut hash = DefaultHasher::new();
    (number, sector, content).hash(&mut hash);
    hash.finish()
}
