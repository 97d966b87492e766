//! Journals that are not what was written: flipped bits, cut files, records at places that are not theirs.

use super::{LEDGER, Ledger, PAGE, Refused, SIZES, content, ledger, records};
use farthing::payee::embedded::{Journal, JournalError};
use farthing_testkit::disk::{Content, Disk, Part};
use proptest::prelude::*;
use std::collections::BTreeMap;

const JOURNAL: [Part; 2] = [Part::Journal(0), Part::Journal(1)];

/// What became of a damaged journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Harmless,
    /// It says what is missing, and where.
    Refused,
    /// It is whole, and shorter: the count of acknowledged batches beside the ledger tells.
    Shorter(u64),
}

/// Opens a damaged copy. Whatever it returns is what was written, which [`Ledger::open`] compares.
fn look(content: Content, last: u64) -> Finding {
    match Ledger::open(&Disk::holding(content)) {
        Ok(ledger) if ledger.last == last => Finding::Harmless,
        Ok(ledger) => Finding::Shorter(last - ledger.last),
        Err(Refused::Journal(JournalError::Damaged { .. })) => Finding::Refused,
        Err(other) => panic!("{other}"),
    }
}

/// Every bit of every record that is still needed, each in its turn.
#[test]
fn every_flipped_bit_of_what_was_acknowledged_is_found() {
    let ledger = ledger(23, 9);
    let whole = ledger.disk.content();
    let (mut found, mut bits) = (BTreeMap::<Finding, u32>::new(), 0);
    for part in JOURNAL {
        for (batch, (from, length)) in records(&whole, part, ledger.folded) {
            // Of the longest contents every fifth bit: each is hashed as the next one is.
            let step = if length > 1_000 { 5 } else { 1 };
            for bit in (0..length * 8).step_by(step).chain((length - 2) * 8..length * 8) {
                let mut damaged = whole.clone();
                damaged.files[part.index()][from + bit / 8] ^= 1 << (bit % 8);
                let finding = look(damaged, ledger.last);
                let wanted = if batch == ledger.last { Finding::Shorter(1) } else { Finding::Refused };
                assert_eq!(finding, wanted, "bit {bit} of batch {batch}");
                *found.entry(finding).or_default() += 1;
                bits += 1;
            }
        }
    }
    println!("journal, {bits} bits of its records flipped one at a time: {found:?}");
    assert!(found[&Finding::Refused] > 1_000 && found[&Finding::Shorter(1)] > 500);
}

/// The control: outside of what is needed a flipped bit does nothing.
#[test]
fn a_flipped_bit_of_what_is_not_needed_does_no_harm() {
    let ledger = ledger(23, 9);
    let whole = ledger.disk.content();
    let mut harmless = 0;
    for part in JOURNAL {
        let needed = records(&whole, part, ledger.folded);
        for position in (0..whole.files[part.index()].len()).step_by(37) {
            if needed.values().any(|(from, length)| (*from..from + length).contains(&position)) {
                continue;
            }
            let mut damaged = whole.clone();
            damaged.files[part.index()][position] ^= 0x20;
            assert_eq!(look(damaged, ledger.last), Finding::Harmless, "byte {position} of {part:?}");
            harmless += 1;
        }
    }
    assert!(harmless > 100);
}

#[test]
fn a_damaged_record_is_named_with_its_file_and_place() {
    let ledger = ledger(23, 9);
    let whole = ledger.disk.content();
    let part = JOURNAL.into_iter().find(|part| records(&whole, *part, ledger.folded).len() > 2).unwrap();
    let (batch, (from, _)) = records(&whole, part, ledger.folded).into_iter().nth(1).unwrap();
    let mut damaged = whole;
    damaged.files[part.index()][from + 70] ^= 1;
    let refused = Ledger::open(&Disk::holding(damaged)).unwrap_err();
    let file = part.index() - 1;
    let (gone, later) = (format!("batch {batch} is not there"), format!("and batch {} is", batch + 1));
    assert_eq!(refused.to_string(), format!("journal-{file} is damaged at byte {from}: {gone}, {later}"));
}

/// A file that was cut, or is gone, is refused where a later batch is still there; else it is shorter, and says so.
#[test]
fn a_file_that_was_cut_is_refused_or_shorter() {
    let ledger = ledger(23, 9);
    let whole = ledger.disk.content();
    let mut found = BTreeMap::<bool, u32>::new();
    for part in JOURNAL {
        let needed = records(&whole, part, ledger.folded);
        for length in (0..whole.files[part.index()].len()).step_by(PAGE / 4) {
            let mut cut = whole.clone();
            cut.files[part.index()].truncate(length);
            let is_needed = needed.values().any(|(from, size)| from + size > length);
            let finding = look(cut, ledger.last);
            assert_eq!(finding == Finding::Harmless, !is_needed, "{part:?} cut to {length}");
            *found.entry(is_needed).or_default() += 1;
        }
    }
    println!("journal, a file cut, by whether it was needed: {found:?}");
    assert!(found[&true] > 10 && found[&false] > 1, "{found:?}");
}

/// Records of earlier laps, and whole ones at places that are not theirs, are none.
#[test]
fn a_record_is_read_only_where_it_was_written() {
    let ledger = ledger(23, 9);
    let whole = ledger.disk.content();
    let newest = JOURNAL.into_iter().find(|part| records(&whole, *part, ledger.folded).contains_key(&23)).unwrap();
    let (from, length) = records(&whole, newest, ledger.folded)[&23];
    let record = whole.files[newest.index()][from..from + length].to_vec();
    let mut moved = 0;
    for part in JOURNAL {
        let needed = records(&whole, part, ledger.folded);
        for place in (0..whole.files[part.index()].len() - length).step_by(PAGE) {
            if needed.values().any(|(from, size)| *from < place + length && place < from + size) {
                continue;
            }
            let mut damaged = whole.clone();
            damaged.files[newest.index()][from] ^= 1;
            damaged.files[part.index()][place..place + length].copy_from_slice(&record);
            assert_eq!(look(damaged, 23), Finding::Shorter(1), "moved to {place} of {part:?}");
            moved += 1;
        }
    }
    assert!(moved > 3, "{moved}");
    let mut swapped = whole;
    swapped.files.swap(1, 2);
    assert_eq!(look(swapped, 23), Finding::Shorter(9));
}

/// A payer may write into a batch what it likes, also what looks like a record at the beginning of a page.
#[test]
fn what_a_payer_writes_into_a_batch_is_not_read_as_one() {
    // What this ledger itself once wrote as batch 2 at that very place, which nobody outside can know.
    let disk = Disk::default();
    let (journal, _) = Journal::open(disk.journal(), LEDGER, 0, SIZES).unwrap();
    journal.append(1, b"short").unwrap();
    journal.append(2, b"planted").unwrap();
    let planted = disk.content().files[1][PAGE..PAGE * 2].to_vec();
    // As any other ledger would have written it.
    let other = Disk::default();
    let (journal, _) = Journal::open(other.journal(), *b"another ledger's", 0, SIZES).unwrap();
    journal.append(1, b"short").unwrap();
    journal.append(2, b"planted").unwrap();
    let mut foreign = other.content().files[1][PAGE..PAGE * 2].to_vec();
    foreign[8..16].copy_from_slice(&planted[8..16]);
    for (inside, is_read) in [(&foreign, false), (&planted, true)] {
        let disk = Disk::default();
        let (journal, _) = Journal::open(disk.journal(), LEDGER, 0, SIZES).unwrap();
        let batch = [&vec![7; PAGE - 64], inside.as_slice(), &[7; 100]].concat();
        journal.append(1, &batch).unwrap();
        let (_, found) = Journal::open(disk.journal(), LEDGER, 0, SIZES).unwrap();
        assert_eq!(found, [(1, batch)], "inside a batch it is a part of it");
        // Its head is gone, and the tables have it: what looks like a record is the only thing there.
        let mut damaged = disk.content();
        damaged.files[1][0] ^= 1;
        let (_, found) = Journal::open(Disk::holding(damaged).journal(), LEDGER, 1, SIZES).unwrap();
        // The control: with the ledger's name it is one.
        assert_eq!(!found.is_empty(), is_read);
    }
}

/// Two histories of one ledger in one file: an older copy of the tables that was put back beside a newer journal.
#[test]
fn records_of_two_laps_are_not_put_together() {
    let mut ledger = ledger(23, 9);
    let older = ledger.disk.content();
    let part = JOURNAL.into_iter().find(|part| records(&older, *part, ledger.folded).contains_key(&23)).unwrap();
    let (_, kept) = records(&older, part, ledger.folded).pop_last().unwrap();
    // The same batches once more, from a copy without the newest file.
    let mut copy = older.clone();
    copy.files[part.index()].clear();
    let disk = Disk::holding(copy);
    ledger = Ledger::open(&disk).unwrap();
    while ledger.last < 22 {
        ledger.append().unwrap();
    }
    let mut mixed = disk.content();
    let file = &mut mixed.files[part.index()];
    if file.len() < kept.0 + kept.1 {
        file.resize(kept.0 + kept.1, 0);
    }
    file[kept.0..kept.0 + kept.1].copy_from_slice(&older.files[part.index()][kept.0..kept.0 + kept.1]);
    let refused = Ledger::open(&Disk::holding(mixed)).unwrap_err();
    assert!(matches!(refused, Refused::Journal(JournalError::Mixed { batch: 23, .. })), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any history, and then any damage to one sector or the end of one file.
    #[test]
    fn no_damage_makes_a_journal_say_what_was_never_written(
        batches in 1_u64..60,
        lagging in 0_u64..20,
        file in 0_usize..2,
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 0..512),
    ) {
        let ledger = ledger(batches, lagging);
        let mut damaged = ledger.disk.content();
        let bytes = &mut damaged.files[1 + file];
        if !bytes.is_empty() {
            let position = at.index(bytes.len());
            if damage.is_empty() {
                bytes.truncate(position);
            }
            bytes[position..].iter_mut().zip(&damage).for_each(|(byte, damage)| *byte = *damage);
        }
        // What is found is compared with what was written; all else is an error, or shorter.
        let _ = look(damaged, batches);
    }
}

/// Appending behind a damaged tail writes over it: nothing of it is ever read again.
#[test]
fn a_tail_that_was_never_acknowledged_is_written_over() {
    for batches in 1..20 {
        let ledger = ledger(batches, 3);
        let whole = ledger.disk.content();
        let part = JOURNAL.into_iter().find(|part| records(&whole, *part, 0).contains_key(&batches)).unwrap();
        let (from, length) = records(&whole, part, 0)[&batches];
        for torn in (0..length).step_by(509) {
            let mut damaged = whole.clone();
            damaged.files[part.index()][from + torn] ^= 0xff;
            let disk = Disk::holding(damaged);
            let mut ledger = Ledger::open(&disk).unwrap();
            if ledger.folded == batches {
                continue;
            }
            assert_eq!(ledger.last, batches - 1);
            for _ in 0..3 {
                ledger.append().unwrap();
            }
            let again = Ledger::open(&disk).unwrap();
            assert_eq!(again.last, batches + 2);
            assert_eq!(again.found.last().unwrap().1, content(batches + 2));
        }
    }
}
