//! A ledger as one file of JSON lines, to keep or to move to another store: a title, the records, and an end that
//! counts and hashes them, so that a file that was cut or changed on its way is noticed before anything of it is taken.
//!
//! The challenge secret stays behind: whoever has the file can't issue challenges, and a moved ledger draws a new one.
//! So does the lease: who may send is settled anew by those who use the ledger where it is now.

use super::audit::{Audit, Counts, audit};
use super::store::{LedgerIdentity, PayeeStore, Record, RecordKind, RedemptionState, StoreError};
use farthing_core::{B256, Token};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read, Write};

/// What every file begins with.
const FORMAT: &str = "farthing ledger";

/// The version of the format. In the first, what was mined was taken for settled.
const VERSION: u32 = 2;
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=VERSION;

/// The longest line: a redemption of 500 vouchers has about 60,000 bytes.
const LINE_LENGTH_MAX: u64 = 1 << 20;

/// Records that are restored in one transaction.
const BATCH_LENGTH: usize = 1_000;

/// Whose ledger a file holds, and in what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Title {
    /// Whose ledger it is.
    pub identity: LedgerIdentity,
    /// The token that amounts are in.
    pub token: Token,
    /// The escrow's exit delay in seconds.
    pub exit_delay: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstLine {
    format: String,
    version: u32,
    #[serde(flatten)]
    title: Title,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct End {
    end: Counts,
    /// Of all bytes before this line.
    sha256: B256,
}

/// Thrown when a ledger can't be written to a file or read from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The file is something else.
    #[error("this is no exported ledger")]
    NotALedger,
    /// The file was written by a later version of this program.
    #[error("the exported ledger has format version {found}; this program reads version {VERSION}")]
    Version {
        /// The file's.
        found: u32,
    },
    /// The file has no end: it was cut.
    #[error("the exported ledger ends after line {lines} without its last line: a part is missing")]
    Cut {
        /// How many whole lines there are.
        lines: u64,
    },
    /// The file is not what was written.
    #[error("the exported ledger was changed after it was written: its hash is {actual}, not {expected}")]
    Changed {
        /// What it should be.
        expected: B256,
        /// What it is.
        actual: B256,
    },
    /// The file has another number of records than it says.
    #[error("the exported ledger says that it has {expected} records, and has {actual}")]
    Counts {
        /// What it says.
        expected: u64,
        /// What it has.
        actual: u64,
    },
    /// A line that is no record; the first is line 1.
    #[error("line {line} of the exported ledger is no record: {reason}")]
    Record {
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that could not be read back.
    #[error("a record can't be written so that it can be read: {reason}")]
    Unwritable {
        /// What is wrong with it.
        reason: String,
    },
    /// The ledger that is to take the records has some.
    #[error("the ledger is not empty")]
    NotEmpty,
}

/// Writes a ledger, as it is at one moment.
///
/// # Errors
///
/// If the ledger can't be read or the file can't be written. What was written then has no end, and is not taken for
/// whole.
pub async fn export(
    store: &dyn PayeeStore,
    title: &Title,
    file: &mut (dyn Write + Send),
) -> Result<Counts, TransferError> {
    let mut writer = HashingWriter { file, hash: Sha256::new() };
    let first = FirstLine { format: FORMAT.to_owned(), version: VERSION, title: title.clone() };
    writer.line(&first)?;
    let mut counts = Counts::default();
    let mut failed = None;
    let visited = store
        .visit(&RecordKind::ALL, &mut |record| {
            counts.add(record.kind());
            writer.record(&record).map_err(|error| {
                failed = Some(error);
                // Ends the visit; what is returned is the reason.
                StoreError::Closed
            })
        })
        .await;
    if let Some(error) = failed {
        return Err(error);
    }
    visited?;
    let sha256 = B256::from_slice(&writer.hash.clone().finalize());
    writer.line(&End { end: counts, sha256 })?;
    writer.file.flush()?;
    Ok(counts)
}

/// Makes sure that a file is a whole exported ledger, and says whose.
///
/// # Errors
///
/// If it is none, a part is missing, or it was changed.
pub fn check(file: impl Read) -> Result<(Title, Counts), TransferError> {
    let mut lines = Lines::new(file);
    let (title, _) = lines.title()?;
    loop {
        let before = lines.hash.clone();
        let Some(line) = lines.next()? else { return Err(TransferError::Cut { lines: lines.read }) };
        let Ok(End { end, sha256: expected }) = serde_json::from_slice(line) else { continue };
        let records = lines.read.saturating_sub(2);
        let actual = B256::from_slice(&before.finalize());
        if actual != expected {
            return Err(TransferError::Changed { expected, actual });
        }
        if end.total() != records {
            return Err(TransferError::Counts { expected: end.total(), actual: records });
        }
        if lines.next()?.is_some() {
            return Err(TransferError::NotALedger);
        }
        return Ok((title, end));
    }
}

/// Reads a file that was [checked](check) into an empty ledger, and verifies the ledger. If this fails, or the audit
/// finds problems, the ledger is not to be used: it may have a part of the records.
///
/// # Errors
///
/// If the ledger is not empty, can't be written, or is another's; or the file can't be read.
pub async fn import(store: &dyn PayeeStore, file: impl Read + Send) -> Result<Audit, TransferError> {
    let mut is_empty = true;
    let visited = store
        .visit(&RecordKind::ALL, &mut |_| {
            is_empty = false;
            Err(StoreError::Closed)
        })
        .await;
    if !is_empty {
        return Err(TransferError::NotEmpty);
    }
    visited?;
    let mut lines = Lines::new(file);
    let (title, version) = lines.title()?;
    let mut batch = Vec::with_capacity(BATCH_LENGTH);
    loop {
        let line = lines.next()?.ok_or(TransferError::Cut { lines: 0 })?;
        if serde_json::from_slice::<End>(line).is_ok() {
            break;
        }
        let record = serde_json::from_slice(line);
        let record = record.map_err(|error| TransferError::Record { line: lines.read, reason: error.to_string() })?;
        batch.push(if version == 1 { of_version_one(record) } else { record });
        if batch.len() == BATCH_LENGTH {
            store.restore(&batch).await?;
            batch.clear();
        }
    }
    store.restore(&batch).await?;
    Ok(audit(store, &title.identity).await?)
}

/// A record of the first version as it is now.
fn of_version_one(mut record: Record) -> Record {
    if let Record::Redemption { redemption } = &mut record
        && let RedemptionState::Mined { block, gas_used, gas_price } = redemption.state
    {
        redemption.state = RedemptionState::Final { block, gas_used, gas_price };
    }
    record
}

struct HashingWriter<'a> {
    file: &'a mut (dyn Write + Send),
    hash: Sha256,
}

impl HashingWriter<'_> {
    fn record(&mut self, record: &Record) -> Result<(), TransferError> {
        let unwritable = |reason: &dyn std::fmt::Display| TransferError::Unwritable { reason: reason.to_string() };
        let text = serde_json::to_string(record).map_err(|error| unwritable(&error))?;
        // A backup that can't be read is found out when it is needed; this is the last moment to say so.
        let read: Record = serde_json::from_str(&text).map_err(|error| unwritable(&error))?;
        if read != *record {
            return Err(unwritable(&"it reads as another"));
        }
        self.bytes(text.as_bytes())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), TransferError> {
        let text = serde_json::to_vec(value).map_err(io::Error::from)?;
        self.bytes(&text)
    }

    fn bytes(&mut self, line: &[u8]) -> Result<(), TransferError> {
        for bytes in [line, b"\n"] {
            self.hash.update(bytes);
            self.file.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The lines of a file, and the hash of those that were read.
struct Lines<R> {
    reader: BufReader<R>,
    hash: Sha256,
    read: u64,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn new(file: R) -> Self {
        Self { reader: BufReader::new(file), hash: Sha256::new(), read: 0, line: Vec::new() }
    }

    /// The next whole line, without its end. What is no whole line is not there.
    fn next(&mut self) -> Result<Option<&[u8]>, TransferError> {
        self.line.clear();
        self.reader.by_ref().take(LINE_LENGTH_MAX).read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') {
            return if self.line.len() as u64 == LINE_LENGTH_MAX { Err(TransferError::NotALedger) } else { Ok(None) };
        }
        self.hash.update(&self.line);
        self.read += 1;
        self.line.pop();
        Ok(Some(&self.line))
    }

    /// Whose ledger it is, and in which version of the format.
    fn title(&mut self) -> Result<(Title, u32), TransferError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct AnyVersion {
            format: String,
            version: u32,
        }
        let line = self.next()?.ok_or(TransferError::NotALedger)?;
        let any: AnyVersion = serde_json::from_slice(line).map_err(|_| TransferError::NotALedger)?;
        if any.format != FORMAT {
            return Err(TransferError::NotALedger);
        }
        if !VERSIONS.contains(&any.version) {
            return Err(TransferError::Version { found: any.version });
        }
        let first: FirstLine = serde_json::from_slice(line)
            .map_err(|error| TransferError::Record { line: 1, reason: error.to_string() })?;
        Ok((first.title, any.version))
    }
}
