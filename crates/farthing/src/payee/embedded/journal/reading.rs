//! What is in a journal's files: every sound record, wherever it lies, and whether together they are a history.

use super::record::{HEAD, Head, Key, Looks, PAGE, Place, is_sound, look, pages_of};
use super::{JournalError, JournalFile};

/// A sound record of a batch that is not in the tables.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) head: Head,
    pub(super) content: Vec<u8>,
    /// Where what is before it in the file ends.
    after: u64,
}

/// All sound records of a file whose batches come after `folded`. Every page is looked at, not only those at which a
/// record is expected, so that what follows a damaged one is found.
///
/// # Errors
///
/// If the disk fails, or the file is another ledger's.
pub(super) fn records_of(
    file: &dyn JournalFile,
    index: usize,
    key: &Key,
    folded: u64,
) -> Result<Vec<Found>, JournalError> {
    let failed = |error| JournalError::Disk { file: index, error };
    let length = file.length().map_err(failed)?;
    let (mut position, mut after) = (0, 0);
    let (mut found, mut is_ours, mut is_foreign) = (Vec::new(), false, false);
    let mut bytes = [0; HEAD];
    while position + HEAD as u64 <= length {
        let place = Place { file: index, position };
        file.read(position, &mut bytes).map_err(failed)?;
        position += PAGE;
        let head = match look(&bytes, key) {
            Looks::Other => continue,
            Looks::Foreign => {
                is_foreign = true;
                continue;
            }
            Looks::Ours(head) => head,
        };
        is_ours = true;
        // A length that the file does not have is no record's: nothing is made room for that is not there.
        let begins = place.position + HEAD as u64;
        let Some(size) = usize::try_from(head.length).ok().filter(|_| head.length <= length - begins) else { continue };
        let end = place.position.saturating_add(pages_of(size));
        if head.batch <= folded {
            after = end;
            continue;
        }
        let mut content = vec![0; size];
        file.read(begins, &mut content).map_err(failed)?;
        if is_sound(&bytes, key, place, &content) {
            found.push(Found { place, head, content, after });
            (position, after) = (end, end);
        }
    }
    // Written over, it would be lost to whoever has put it here by mistake.
    if is_foreign && !is_ours { Err(JournalError::OtherLedger { file: index }) } else { Ok(found) }
}

/// Puts what both files have in order.
///
/// # Errors
///
/// If a batch is missing before another. Then it was acknowledged, for the next is written only after it is durable.
pub(super) fn in_order(mut found: Vec<Found>, folded: u64) -> Result<Vec<Found>, JournalError> {
    found.sort_by_key(|record| (record.head.batch, record.place));
    let (mut last, mut laps) = (folded, [None; 2]);
    for Found { place: Place { file, position }, head, after, .. } in &found {
        let (file, position, batch) = (*file, *position, head.batch);
        // In doubt about two, neither is believed: a lap begins when nothing in its file is needed any more.
        if batch == last || laps[file].is_some_and(|lap| lap != head.lap) {
            return Err(JournalError::Mixed { file, position, batch });
        }
        if batch - last != 1 {
            return Err(JournalError::Damaged { file, position: *after, batch: last + 1, later: batch });
        }
        laps[file] = Some(head.lap);
        last = batch;
    }
    Ok(found)
}
