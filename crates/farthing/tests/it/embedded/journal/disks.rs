//! A journal whose power is cut, whose calls fail, and whose disk forgets what it could not sync.

use super::{LEDGER, Ledger, SIZES, content};
use farthing::payee::embedded::{Journal, JournalError, JournalFile};
use farthing_testkit::disk::{Disk, Event, Failing};
use farthing_testkit::power::{Cuts, Syncs};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

const BATCHES: u64 = 100;

const SEED: u64 = 20_261_123;

/// How the test's tables go about their part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    /// They say what they have when it is on the disk.
    Honest,
    /// They say so first: the mistake that the journal has no defence against.
    Early,
}

/// A journal's life in three processes. The tables lag, catch up in part, and lag again, so that there are laps, and
/// files that go on because the other one is not free.
fn history(tables: Tables) -> Vec<Event> {
    let disk = Disk::recording();
    let mut ledger = Ledger::open(&disk).unwrap();
    disk.note(Event::Acknowledged(0));
    for batch in 1..=BATCHES {
        if batch % 14 == 0 {
            ledger = Ledger::open(&disk).unwrap();
        }
        let number = usize::try_from(batch).unwrap();
        disk.note(Event::Begun(number));
        if batch % 3 == 0 {
            let goal = ledger.last.saturating_sub(batch % 5);
            if tables == Tables::Early {
                ledger.journal.folded(goal);
            }
            // The tables are written by another thread: anywhere between two batches.
            ledger.append().unwrap();
            disk.note(Event::Acknowledged(number));
            ledger.fold(goal.max(ledger.folded)).unwrap();
        } else {
            ledger.append().unwrap();
            disk.note(Event::Acknowledged(number));
        }
    }
    disk.events()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Sound,
    Refused,
    Lost,
}

fn cuts(events: &[Event], syncs: Syncs, most: usize, is_hasty: bool) -> BTreeMap<Finding, u32> {
    let mut found = BTreeMap::new();
    for cut in Cuts::new(events, syncs, most, SEED) {
        let acknowledged = if is_hasty { Some(cut.begun) } else { cut.acknowledged };
        let disk = Disk::holding(cut.content);
        let finding = match Ledger::open(&disk) {
            Err(_) => Finding::Refused,
            Ok(ledger) if ledger.last < acknowledged.unwrap_or(0) as u64 => Finding::Lost,
            Ok(mut ledger) => {
                assert!(ledger.last <= cut.begun as u64, "{:?}", cut.moment);
                // Whatever was left behind its end, it goes on as if nothing had happened.
                let last = ledger.last;
                for _ in 0..3 {
                    ledger.append().unwrap();
                }
                assert_eq!(Ledger::open(&disk).unwrap().last, last + 3, "{:?}", cut.moment);
                Finding::Sound
            }
        };
        *found.entry(finding).or_default() += 1;
    }
    found
}

/// `FARTHING_CUTS` says how many states each moment is tried in, at most.
fn most() -> usize {
    std::env::var("FARTHING_CUTS").map_or(8, |most| most.parse().expect("a number"))
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let events = history(Tables::Honest);
    let found = cuts(&events, Syncs::Honest, most(), false);
    println!("power cuts of the journal alone, {} events: {found:?}", events.len());
    assert_eq!(found.keys().collect::<Vec<_>>(), [&Finding::Sound], "{found:?}");
    assert!(found[&Finding::Sound] > 400, "{found:?}");
}

/// The controls: nothing is ever synced, batches are acknowledged before they are written, and a file is begun anew
/// before its batches are in the tables.
#[test]
fn a_power_cut_takes_what_was_acknowledged_too_early() {
    let unsynced = cuts(&history(Tables::Honest), Syncs::Nothing, 3, false);
    let hasty = cuts(&history(Tables::Honest), Syncs::Honest, 3, true);
    let early = cuts(&history(Tables::Early), Syncs::Honest, 8, false);
    println!("power cuts of the journal alone, controls: {unsynced:?}, {hasty:?}, {early:?}");
    for (found, least) in [(unsynced, 50), (hasty, 50), (early, 1)] {
        let bad = [Finding::Lost, Finding::Refused].iter().filter_map(|finding| found.get(finding)).sum::<u32>();
        assert!(bad >= least, "{found:?}");
    }
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost() {
    let (mut runs, mut errors, mut was_there) = (0, 0, 0);
    for nth in 1.. {
        let mut is_over = true;
        for failing in [Failing::Nth(nth), Failing::From(nth)] {
            let disk = Disk::default();
            disk.fail(failing);
            let (mut acknowledged, mut failed) = (0, false);
            let ledger = Ledger::open(&disk).and_then(|mut ledger| {
                while ledger.last < 24 {
                    ledger.append()?;
                    acknowledged = ledger.last;
                    if ledger.last % 4 == 0 {
                        ledger.fold(ledger.last - 2)?;
                    }
                }
                Ok(())
            });
            failed |= ledger.is_err();
            let (_, hits) = disk.heal();
            is_over &= hits == 0;
            let ledger = Ledger::open(&disk).unwrap();
            assert!((acknowledged..=acknowledged + 1).contains(&ledger.last), "{failing:?}");
            assert_eq!(failed, hits > 0, "{failing:?}: every call that fails is an error");
            runs += u32::from(hits > 0);
            errors += u32::from(failed);
            was_there += u32::from(failed && ledger.last > acknowledged);
        }
        if is_over {
            break;
        }
    }
    println!(
        "failing calls of the journal alone: {runs} runs, an error in {errors}, the batch in doubt there in {was_there}"
    );
    assert!(runs > 100 && was_there > 0);
}

#[test]
fn after_a_failed_write_or_sync_it_answers_nothing_but_errors() {
    // One call writes, the next syncs: each of them alone.
    for nth in [1, 2] {
        let mut ledger = super::ledger(3, 3);
        ledger.disk.fail(Failing::Nth(nth));
        let refused = ledger.append().unwrap_err();
        assert!(matches!(refused, super::Refused::Journal(JournalError::Disk { .. })), "{refused}");
        assert_eq!(ledger.disk.heal().1, 1);
        for _ in 0..2 {
            let refused = ledger.append().unwrap_err();
            assert!(matches!(refused, super::Refused::Journal(JournalError::Failed)), "{refused}");
        }
        let mut again = Ledger::open(&ledger.disk).unwrap();
        again.append().unwrap();
    }
}

#[test]
fn a_full_disk_refuses_batches_and_loses_none() {
    for most in (0..140_000).step_by(1_024) {
        let disk = Disk::default();
        disk.fail(Failing::Beyond(most));
        let mut last = 0;
        let refused = Ledger::open(&disk).and_then(|mut ledger| {
            while ledger.last < 40 {
                ledger.append()?;
                last = ledger.last;
            }
            Ok(())
        });
        refused.unwrap_err();
        disk.heal();
        let mut ledger = Ledger::open(&disk).unwrap();
        assert!((last..=last + 1).contains(&ledger.last), "{most} bytes");
        ledger.append().unwrap();
    }
}

/// A file in a system's memory, and what of it is on its disk. When a sync fails, the system takes what it has in memory
/// for clean: reads show it, and later syncs do not write it.
#[derive(Clone, Debug, Default)]
struct Cached(Arc<Mutex<Pages>>);

#[derive(Clone, Debug, Default)]
struct Pages {
    memory: Vec<u8>,
    disk: Vec<u8>,
    dirty: Vec<std::ops::Range<usize>>,
    fails: bool,
}

impl Cached {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left when the power goes.
    fn after_a_cut(&self) -> Self {
        let disk = self.pages().disk.clone();
        Self(Arc::new(Mutex::new(Pages { memory: disk.clone(), disk, ..Pages::default() })))
    }
}

impl JournalFile for Cached {
    fn length(&self) -> io::Result<u64> {
        Ok(self.pages().memory.len() as u64)
    }

    fn read(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(position).unwrap();
        bytes.copy_from_slice(&self.pages().memory[from..from + bytes.len()]);
        Ok(())
    }

    fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut pages, from) = (self.pages(), usize::try_from(position).unwrap());
        let to = from + bytes.len();
        if pages.memory.len() < to {
            pages.memory.resize(to, 0);
        }
        pages.memory[from..to].copy_from_slice(bytes);
        pages.dirty.push(from..to);
        Ok(())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.pages().memory.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut pages = self.pages();
        let dirty = std::mem::take(&mut pages.dirty);
        if std::mem::take(&mut pages.fails) {
            return Err(io::ErrorKind::Other.into());
        }
        let length = pages.memory.len();
        pages.disk.resize(length, 0);
        for range in dirty {
            let written = pages.memory[range.clone()].to_vec();
            pages.disk[range].copy_from_slice(&written);
        }
        Ok(())
    }
}

/// What a journal shows when it is opened is on the disk, also where the system has lost the error of its sync.
#[test]
fn a_batch_that_is_found_is_durable_though_its_sync_had_failed() {
    let files = [Cached::default(), Cached::default()];
    let open = |files: &[Cached; 2]| {
        let boxed = files.clone().map(|file| Box::new(file) as Box<dyn JournalFile>);
        Journal::open(boxed, LEDGER, 0, SIZES).unwrap()
    };
    let (journal, _) = open(&files);
    journal.append(1, &content(1)).unwrap();
    journal.append(2, &content(2)).unwrap();
    files[0].pages().fails = true;
    journal.append(3, &content(3)).unwrap_err();
    // The control: the power goes now, and it is not there.
    let lost = files.clone().map(|file| file.after_a_cut());
    assert_eq!(open(&lost).1.len(), 2);
    // The process is started again, and finds it in memory; then the power goes.
    let (journal, found) = open(&files);
    assert_eq!(found.len(), 3);
    let kept = files.clone().map(|file| file.after_a_cut());
    assert_eq!(open(&kept).1, found);
    journal.append(4, &content(4)).unwrap();
    let kept = files.map(|file| file.after_a_cut());
    assert_eq!(open(&kept).1.len(), 4);
}
