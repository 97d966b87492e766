//! The ledger's journal by itself: killed, cut off from power, damaged, and on disks that fail.

mod damage;
mod disks;
mod histories;

use farthing::payee::embedded::{Journal, JournalError, Sizes};
use farthing_testkit::disk::{Content, Disk, Event, Part};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;

const LEDGER: [u8; 16] = *b"the ledger: name";

/// A file is left after a few records, so that a short history has many laps.
const SIZES: Sizes = Sizes { lap: 24 << 10, growth_min: 8 << 10, growth_max: 16 << 10 };

const PAGE: usize = 4_096;

/// What stands in for a batch: no two are the same, and some fill their pages to the last byte, or one more.
fn content(batch: u64) -> Vec<u8> {
    let length = [200, 0, PAGE - 64, 1, PAGE - 63, 9_000, 51_200 / 4][usize::try_from(batch % 7).expect("small")];
    (0..length as u64)
        .map(|at| (at.wrapping_mul(31) ^ batch.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0])
        .collect()
}

/// A journal, and in place of tables the number of the batch up to which they would be.
#[derive(Debug)]
struct Ledger {
    disk: Disk,
    journal: Journal,
    /// What the journal had when it was opened.
    found: Vec<(u64, Vec<u8>)>,
    folded: u64,
    last: u64,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Tables(#[from] io::Error),
}

impl Ledger {
    fn open(disk: &Disk) -> Result<Self, Refused> {
        let (tables, mut folded) = (disk.tables(), [0; 8]);
        if tables.len()? == 0 {
            tables.set_len(8)?;
            tables.sync_data()?;
        }
        tables.read(0, &mut folded)?;
        let folded = u64::from_be_bytes(folded);
        let (journal, found) = Journal::open(disk.journal(), LEDGER, folded, SIZES)?;
        let last = found.last().map_or(folded, |(batch, _)| *batch);
        for (expected, (batch, bytes)) in (folded + 1..).zip(&found) {
            assert_eq!((expected, &content(expected)), (*batch, bytes), "what is found is what was written");
        }
        Ok(Self { disk: disk.clone(), journal, found, folded, last })
    }

    fn append(&mut self) -> Result<(), Refused> {
        self.journal.append(self.last + 1, &content(self.last + 1))?;
        self.last += 1;
        Ok(())
    }

    /// Writes to the tables how far they are, and says so only when that is on the disk.
    fn fold(&mut self, batch: u64) -> Result<(), Refused> {
        let tables = self.disk.tables();
        tables.write(0, &batch.to_be_bytes())?;
        tables.sync_data()?;
        self.journal.folded(batch);
        self.folded = batch;
        Ok(())
    }
}

/// A ledger after so many batches, the last `lagging` of which are not in the tables.
fn ledger(batches: u64, lagging: u64) -> Ledger {
    let mut ledger = Ledger::open(&Disk::default()).unwrap();
    for batch in 1..=batches {
        ledger.append().unwrap();
        if batch > lagging {
            ledger.fold(batch - lagging).unwrap();
        }
    }
    ledger
}

/// Where the records of a file are that may still be needed, and how long they are.
fn records(content: &Content, part: Part, folded: u64) -> BTreeMap<u64, (usize, usize)> {
    let file = &content.files[part.index()];
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    let heads = file.chunks_exact(PAGE).enumerate().filter(|(_, page)| page.starts_with(b"farthJ"));
    let all = heads.map(|(page, head)| {
        let length = 64 + usize::try_from(number(&head[40..48])).expect("short");
        (number(&head[32..40]), (page * PAGE, length))
    });
    all.filter(|(batch, _)| *batch > folded).collect()
}

#[test]
fn an_append_is_one_sync_and_rarely_makes_a_file_longer() {
    let disk = Disk::recording();
    let mut ledger = Ledger::open(&disk).unwrap();
    let (mut grown, mut writes) = (0, 0);
    for batch in 1..=200 {
        let (before, lengths) = (disk.events().len(), disk.content().files.map(|file| file.len()));
        ledger.append().unwrap();
        let events = disk.events().split_off(before);
        let syncs = events.iter().filter(|event| matches!(event, Event::Synced(Part::Journal(_)))).count();
        assert_eq!(syncs, 1, "batch {batch}");
        assert!(matches!(events.last(), Some(Event::Synced(_))), "what was written is synced");
        let grows = disk.content().files.map(|file| file.len()) != lengths;
        let written = events.iter().filter(|event| matches!(event, Event::Written { .. })).count();
        assert!(grows || written == 1, "where there is room a batch is one write");
        grown += u32::from(grows);
        writes += written;
        if batch > 3 {
            ledger.fold(batch - 3).unwrap();
        }
    }
    assert!((2..=12).contains(&grown), "{grown}");
    assert!(writes > 200);
    let lengths = disk.content().files.map(|file| file.len());
    assert!(lengths.iter().all(|length| *length < 100_000), "both files are used again: {lengths:?}");
}

#[test]
fn a_file_is_not_begun_anew_before_all_of_it_is_in_the_tables() {
    let mut lagging = ledger(3, 3);
    for _ in 0..60 {
        lagging.append().unwrap();
    }
    let found = Ledger::open(&lagging.disk).unwrap().found;
    assert_eq!(found.len(), 63);
    let lengths = lagging.disk.content().files.map(|file| file.len());
    assert!(lengths[1] < 100_000 && lengths[2] > 200_000, "one goes on for as long as the tables lag: {lengths:?}");
    // Once they have caught up, the other file is taken, and then this one gives its room back.
    lagging.fold(63).unwrap();
    for batch in 64..=80 {
        lagging.append().unwrap();
        lagging.fold(batch).unwrap();
    }
    let lengths = lagging.disk.content().files.map(|file| file.len());
    assert!(lengths.iter().all(|length| *length < 100_000), "{lengths:?}");
    assert_eq!(Ledger::open(&lagging.disk).unwrap().last, 80);
}

#[test]
fn batches_are_written_in_their_order() {
    let ledger = ledger(5, 2);
    for batch in [0, 4, 5, 7, u64::MAX] {
        let refused = ledger.journal.append(batch, b"content").unwrap_err();
        assert!(matches!(refused, JournalError::OutOfOrder { last: 5, .. }), "{refused}");
    }
    ledger.journal.append(6, &content(6)).unwrap();
    assert_eq!(Ledger::open(&ledger.disk).unwrap().last, 6);
}

#[test]
fn another_ledgers_journal_is_left_alone() {
    let ledger = ledger(3, 2);
    let refused = Journal::open(ledger.disk.journal(), *b"another ledger's", 0, SIZES).unwrap_err();
    assert!(matches!(refused, JournalError::OtherLedger { file: 0 }), "{refused}");
    assert_eq!(Ledger::open(&ledger.disk).unwrap().last, 3);
}
