//! Files that are not what was written: flipped bits and cut ends. A damaged ledger is refused, or says what it said.

use farthing::payee::store::Record;
use farthing::payee::{PayeeStore, StoreError};
use farthing_testkit::disk::{Content, Disk, Part};
use farthing_testkit::sales::{self, Sales};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::backends::InMemoryBackend;
use redb::{ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

const BATCHES: usize = 120;

/// In a short ledger every bit of the header can be tried.
const FEW_BATCHES: usize = 20;

/// The header of a file says where the newest commit is.
const HEADER: usize = 320;

/// A ledger's files and its mark, after its process has closed it or was killed.
struct Left {
    content: Content,
    records: Vec<Record>,
}

fn left(closed: bool, batches: usize) -> Left {
    let (disk, sales) = (Disk::default(), Sales::default());
    let store = disk.open().expect("opens");
    for number in 0..batches {
        at_once(store.accept_batch(&sales.batch(number))).expect("writes");
    }
    // Before anything is read: what shows a whole ledger has it brought to the tables first.
    let mut content = disk.content();
    let records = at_once(sales::records(&store)).expect("reads");
    if closed {
        drop(store);
        content.files = disk.content().files;
    }
    Left { content, records }
}

/// What a damaged ledger did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// It said what it said before.
    Harmless,
    /// It was not opened.
    Refused,
    /// It was opened, and could not be read.
    Unreadable,
    /// It said something else.
    Wrong,
    Panicked,
}

impl Left {
    /// Opens a damaged copy as a payee does.
    fn open(&self, content: &Content) -> Finding {
        let disk = Disk::holding(content.clone());
        let opened = catch_unwind(AssertUnwindSafe(|| match disk.open() {
            Ok(store) => match at_once(sales::records(&store)) {
                Ok(found) if found == self.records => Finding::Harmless,
                Ok(_) => Finding::Wrong,
                Err(_) => Finding::Unreadable,
            },
            Err(StoreError::Failed { .. } | StoreError::Forgotten { .. }) => Finding::Refused,
            // A version or an owner that nobody ever wrote.
            Err(_) => Finding::Wrong,
        }));
        opened.unwrap_or(Finding::Panicked)
    }

    /// The control: opens a damaged copy as redb does unless told otherwise, and reads every charge.
    fn open_unverified(&self, ledger: &[u8], whole: &[Row]) -> Finding {
        let opened = catch_unwind(AssertUnwindSafe(|| match charges(ledger) {
            Ok(found) if found == whole => Finding::Harmless,
            Ok(_) => Finding::Wrong,
            Err(redb::Error::TableDoesNotExist(_)) => Finding::Wrong,
            Err(_) => Finding::Refused,
        }));
        opened.unwrap_or(Finding::Panicked)
    }

    /// Bits of what was ever written: an untouched page is of no interest.
    fn bits(&self, part: Part, count: usize, seed: u64) -> Vec<(usize, u8)> {
        let file = &self.content.files[part.index()];
        let mut random = StdRng::seed_from_u64(seed);
        let mut bits = Vec::new();
        while bits.len() < count {
            let position = random.random_range(0..file.len());
            let around = &file[position / 64 * 64..(position / 64 * 64 + 64).min(file.len())];
            if around.iter().any(|byte| *byte != 0) {
                bits.push((position, random.random_range(0..8)));
            }
        }
        bits
    }
}

type Row = (Vec<u8>, Vec<u8>);

fn charges(ledger: &[u8]) -> Result<Vec<Row>, redb::Error> {
    let backend = InMemoryBackend::new();
    backend.set_len(ledger.len() as u64)?;
    StorageBackend::write(&backend, 0, ledger)?;
    let database = redb::Builder::new().create_with_backend(backend)?;
    let (reader, mut rows) = (database.begin_read()?, Vec::new());
    for table in ["books", "charge chunks"] {
        let table = reader.open_table(TableDefinition::<&[u8], &[u8]>::new(table))?;
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
    }
    Ok(rows)
}

/// Waits for what the embedded store does at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs without the messages of panics that are counted; other tests keep theirs.
fn quietly<T>(body: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                say(panic);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = body();
    IS_QUIET.set(false);
    result
}

fn flip_each(
    left: &Left,
    part: Part,
    bits: &[(usize, u8)],
    look: impl Fn(&Content) -> Finding,
) -> BTreeMap<Finding, u32> {
    let mut found = BTreeMap::new();
    let mut content = left.content.clone();
    for (position, bit) in bits {
        content.files[part.index()][*position] ^= 1 << bit;
        *found.entry(look(&content)).or_default() += 1;
        content.files[part.index()][*position] ^= 1 << bit;
    }
    found
}

/// `FARTHING_FLIPS` says how many bits are flipped at random, one at a time.
fn flips() -> usize {
    std::env::var("FARTHING_FLIPS").map_or(300, |flips| flips.parse().expect("a number"))
}

#[test]
fn a_flipped_bit_is_refused_or_does_no_harm() {
    for (closed, end) in [(true, "closed"), (false, "killed")] {
        let left = left(closed, BATCHES);
        let bits = left.bits(Part::Tables, flips(), 20_261_122);
        let found = quietly(|| flip_each(&left, Part::Tables, &bits, |content| left.open(content)));
        println!("one bit flipped at random, {end}, {} times: {found:?}", bits.len());
        assert!(found.keys().all(|finding| matches!(finding, Finding::Harmless | Finding::Refused)), "{found:?}");
        assert!(found[&Finding::Refused] as usize > bits.len() / 5, "{found:?}");
    }
}

/// The control: a store that trusts a closed file answers from the same damaged ones.
#[test]
fn a_flipped_bit_is_believed_by_a_store_that_does_not_verify() {
    let left = left(true, BATCHES);
    let bits = left.bits(Part::Tables, flips(), 20_261_122);
    let whole = charges(&left.content.files[0]).expect("reads");
    let look = |content: &Content| left.open_unverified(&content.files[0], &whole);
    let found = quietly(|| flip_each(&left, Part::Tables, &bits, look));
    println!("one bit flipped at random, closed, control, redb without verifying, charges only: {found:?}");
    assert!(found.get(&Finding::Wrong).is_some_and(|wrong| *wrong as usize > bits.len() / 20), "{found:?}");
}

/// The header of a file is what a commit writes last, and what tells where all the rest is.
#[test]
fn a_flipped_bit_of_the_header_is_refused_or_does_no_harm() {
    for (closed, end) in [(true, "closed"), (false, "killed")] {
        let left = left(closed, FEW_BATCHES);
        let bits: Vec<(usize, u8)> = (0..HEADER).flat_map(|position| (0..8).map(move |bit| (position, bit))).collect();
        let found = quietly(|| flip_each(&left, Part::Tables, &bits, |content| left.open(content)));
        println!("every bit of the header flipped, {end}: {found:?}");
        assert!(found.keys().all(|finding| matches!(finding, Finding::Harmless | Finding::Refused)), "{found:?}");
        assert!(found[&Finding::Refused] > 100, "{found:?}");
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    for (closed, end) in [(true, "closed"), (false, "killed")] {
        let left = left(closed, BATCHES);
        assert_eq!(left.open(&left.content), Finding::Harmless);
        let whole = left.content.files[0].len();
        let lengths = (0..whole).step_by(2_048).chain([1, 9, 100, whole - 1]);
        let (mut count, mut harmless) = (0, 0);
        for length in lengths {
            let mut cut = left.content.clone();
            cut.files[0].truncate(length);
            let found = quietly(|| left.open(&cut));
            // The last pages of a file that was being written may hold nothing yet: then nothing is missing.
            let unused = usize::from(!closed && found == Finding::Harmless);
            assert!(unused == 1 || found == Finding::Refused, "cut to {length} bytes of {whole}, {end}: {found:?}");
            (count, harmless) = (count + 1, harmless + unused);
        }
        println!("file cut, {end}, at {count} places: {harmless} harmless, all others refused");
        assert!(harmless < count / 4, "{harmless} of {count}");
    }
}

/// So many that the newest of them are not in the tables.
const LEFT_IN_JOURNAL: usize = BATCHES - 1;

const JOURNAL: [Part; 2] = [Part::Journal(0), Part::Journal(1)];

/// What is in the journal alone is refused when a bit of it is flipped: the newest batch by the mark, all others by what
/// comes after them. What the tables have is not looked at any more.
#[test]
fn a_flipped_bit_of_the_journal_is_refused_or_does_no_harm() {
    for (closed, end) in [(true, "closed"), (false, "killed")] {
        let left = left(closed, LEFT_IN_JOURNAL);
        let mut all = BTreeMap::new();
        for part in JOURNAL {
            let bits = left.bits(part, flips().div_ceil(2), 20_261_123);
            let found = quietly(|| flip_each(&left, part, &bits, |content| left.open(content)));
            found.into_iter().for_each(|(finding, count)| *all.entry(finding).or_insert(0) += count);
        }
        println!("one bit flipped at random, journal, {end}, {} times: {all:?}", 2 * flips().div_ceil(2));
        assert!(all.keys().all(|finding| matches!(finding, Finding::Harmless | Finding::Refused)), "{all:?}");
        assert_eq!(all.contains_key(&Finding::Refused), !closed, "whoever closes a ledger has all of it in the tables");
    }
}

#[test]
fn a_journal_that_was_cut_is_refused_or_does_no_harm() {
    let left = left(false, LEFT_IN_JOURNAL);
    let (mut count, mut refused) = (0, 0);
    for part in JOURNAL {
        for length in (0..left.content.files[part.index()].len()).step_by(512) {
            let mut cut = left.content.clone();
            cut.files[part.index()].truncate(length);
            let found = quietly(|| left.open(&cut));
            assert!(matches!(found, Finding::Harmless | Finding::Refused), "{part:?} cut to {length}: {found:?}");
            count += 1;
            refused += u32::from(found == Finding::Refused);
        }
    }
    println!("file cut, journal, killed, at {count} places: {refused} refused, the others needed no more");
    assert!(refused > 10);
}

/// The control: without the mark, what was cut off at the end was never there.
#[test]
fn a_journal_that_was_cut_is_believed_without_the_mark() {
    let left = left(false, LEFT_IN_JOURNAL);
    let mut emptied = Content { mark: Vec::new(), ..left.content.clone() };
    JOURNAL.iter().for_each(|part| emptied.files[part.index()].clear());
    assert_eq!(left.open(&emptied), Finding::Wrong);
}

/// The control: without the mark, an emptied file is a new ledger.
#[test]
fn an_emptied_file_without_its_mark_is_a_new_ledger() {
    let left = left(true, FEW_BATCHES);
    let mut emptied = Content { mark: Vec::new(), ..left.content.clone() };
    emptied.files = Default::default();
    assert_eq!(left.open(&emptied), Finding::Wrong);
}
