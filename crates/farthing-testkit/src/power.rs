//! What a power cut may leave of a ledger: every moment of a disk's journal, with some of what was not synced by then.
//!
//! A disk writes a sector wholly or not at all, keeps whatever was synced, and of the rest any part, in any order. So
//! each state is what was certain, and a choice among the sectors and lengths written since.

use crate::disk::Event;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

const SECTOR: usize = 512;

/// What a power cut has left.
#[derive(Debug)]
pub struct Cut {
    /// The ledger's file.
    pub ledger: Vec<u8>,
    /// The mark.
    pub mark: Vec<u8>,
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

/// The states that a power cut may leave, each once.
#[derive(Debug)]
pub struct Cuts<'j> {
    journal: &'j [Event],
    syncs: Syncs,
    /// How many states are made of each moment, at most.
    most: usize,
    at: usize,
    certain: Vec<u8>,
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
    /// The states that a cut may leave of a disk that was empty before its journal.
    #[must_use]
    pub fn new(journal: &'j [Event], syncs: Syncs, most: usize, seed: u64) -> Self {
        Self {
            journal,
            syncs,
            most,
            at: 0,
            certain: Vec::new(),
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
        let Some(event) = self.journal.get(self.at) else { return false };
        self.at += 1;
        match event {
            Event::Written { .. } | Event::Resized(_) => self.pending.push(event),
            Event::Synced if self.syncs == Syncs::Honest => self.settle(),
            Event::Synced => {}
            Event::Marked(mark) => self.marks.push(mark),
            Event::Begun(batches) => self.begun = *batches,
            Event::Acknowledged(batches) => self.acknowledged = Some(*batches),
        }
        self.keeps = self.choose();
        true
    }

    fn settle(&mut self) {
        let (ledger, touched) = self.apply(Keep::All);
        self.certain_hash = self.hash_of(&ledger, &touched);
        self.certain = ledger;
        self.pending.clear();
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

    /// The file with a part of what is pending, and the sectors that it touches.
    fn apply(&mut self, keep: Keep) -> (Vec<u8>, BTreeSet<usize>) {
        let (mut ledger, mut touched) = (self.certain.clone(), BTreeSet::new());
        // How long the file is is kept apart from its sectors: it may be lost though they are not.
        let mut length = ledger.len();
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
                Event::Resized(resized) if whole || self.random.random_ratio(sectors, 100) => {
                    if *resized < length {
                        touched.extend(resized / SECTOR..length.div_ceil(SECTOR));
                        ledger.truncate(*resized);
                    }
                    length = *resized;
                }
                Event::Written { position, bytes } => {
                    for (from, part) in sectors_of(*position, bytes) {
                        if whole || self.random.random_ratio(sectors, 100) {
                            overwrite(&mut ledger, from, part);
                            touched.insert(from / SECTOR);
                        }
                    }
                }
                _ => {}
            }
        }
        ledger.resize(length, 0);
        (ledger, touched)
    }

    /// A hash of a file's content, worked out from what differs from the certain one.
    fn hash_of(&self, ledger: &[u8], touched: &BTreeSet<usize>) -> u64 {
        touched.iter().fold(self.certain_hash, |hash, sector| {
            hash ^ sector_hash(&self.certain, *sector) ^ sector_hash(ledger, *sector)
        })
    }
}

impl Iterator for Cuts<'_> {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        loop {
            let Some(keep) = self.keeps.pop() else { if self.step() { continue } else { return None } };
            let (ledger, touched) = self.apply(keep);
            // The mark is never synced: any of those written may be there, and the newest asks for most.
            let newest = self.marks.len() - 1;
            let older = self.random.random_ratio(1, 8);
            let mark = self.marks[if older { self.random.random_range(0..=newest) } else { newest }].to_vec();
            let mut state = DefaultHasher::new();
            (self.hash_of(&ledger, &touched), ledger.len(), &mark, self.acknowledged, self.begun).hash(&mut state);
            if self.seen.insert(state.finish()) {
                let (acknowledged, begun) = (self.acknowledged, self.begun);
                return Some(Cut { ledger, mark, acknowledged, begun, moment: (self.at, keep) });
            }
        }
    }
}

/// The parts of a write that fall into one sector each.
fn sectors_of(position: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - position % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate().map(move |(number, part)| (position + first + number * SECTOR, part));
    std::iter::once((position, head)).chain(rest)
}

fn overwrite(ledger: &mut Vec<u8>, from: usize, part: &[u8]) {
    let end = from + part.len();
    if ledger.len() < end {
        ledger.resize(end, 0);
    }
    ledger[from..end].copy_from_slice(part);
}

fn sector_hash(ledger: &[u8], sector: usize) -> u64 {
    let from = (sector * SECTOR).min(ledger.len());
    let content = &ledger[from..(from + SECTOR).min(ledger.len())];
    if content.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut hash = DefaultHasher::new();
    (sector, content).hash(&mut hash);
    hash.finish()
}
