//! The files of `farthing store export` and `import`: whole or not there, and for their owner only.

use super::VerifyReport;
use crate::failure::{Code, Failure};
use crate::gateway::AdminRequest;
use crate::ledger::{DataFolder, LedgerRecord};
use farthing::payee::audit::{AuditProblem, Counts};
use farthing::payee::transfer::{self, Title};
use farthing::payee::{EmbeddedStore, PayeeStore, PostgresOptions, PostgresStore, RedemptionOptions};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use tempfile::{NamedTempFile, TempDir};

/// Writes a ledger to a file that is not there yet.
pub(in crate::commands) async fn export_to(
    store: &dyn PayeeStore,
    record: &LedgerRecord,
    file: &Path,
) -> Result<Counts, Failure> {
    let failed = |error: io::Error| Failure::file(file, &error);
    let folder = file.parent().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
    let exists = || {
        Failure::new(Code::Unexpected, format!("{} is there already", file.display()))
            .hint("nothing is overwritten: name another file")
    };
    if file.exists() {
        return Err(exists());
    }
    // Made with mode 0600.
    let mut writer = BufWriter::new(NamedTempFile::new_in(folder).map_err(failed)?);
    let counts = transfer::export(store, &Title::from(record), &mut writer).await?;
    let written = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    written.as_file().sync_all().map_err(failed)?;
    written.persist_noclobber(file).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error.error),
    })?;
    sync(folder)?;
    Ok(counts)
}

/// The same of the ledger in a data folder, by the gateway if one runs on it.
pub(super) async fn export(data: &DataFolder, file: &Path) -> Result<(LedgerRecord, Counts), Failure> {
    let request = AdminRequest::Export { file: file.to_owned() };
    match data.ask(&request).await? {
        Some(counts) => Ok((data.record()?, counts)),
        None => {
            let (record, store) = data.read().await?;
            let counts = export_to(store.as_ref(), &record, file).await?;
            Ok((record, counts))
        }
    }
}

/// The same, to standard output: by way of a file if a gateway runs, for a gateway writes files only.
pub(super) async fn export_to_stdout(data: &DataFolder) -> Result<(LedgerRecord, Counts), Failure> {
    let failed = |error: io::Error| Failure::file(Path::new("standard output"), &error);
    let record = data.record()?;
    let folder = tempfile::Builder::new().prefix("export-").tempdir_in(data.path());
    let folder = folder.map_err(|error| Failure::file(data.path(), &error))?;
    let file = std::path::absolute(folder.path().join("ledger.jsonl")).map_err(failed)?;
    let (_, counts) = export(data, &file).await?;
    let mut written = File::open(&file).map_err(failed)?;
    io::copy(&mut written, &mut io::stdout().lock()).map_err(failed)?;
    Ok((record, counts))
}

/// Begins a ledger with what a file holds. It is made beside its place and gets its name when it was verified.
pub(super) async fn import(data: &DataFolder, file: &Path) -> Result<(LedgerRecord, Counts), Failure> {
    data.create()?;
    if data.server().is_none() {
        data.check_vacant()?;
    }
    let beside = tempfile::Builder::new().prefix("import-").tempdir_in(data.path());
    let beside = beside.map_err(|error| Failure::file(data.path(), &error))?;
    let mut exported = open_or_spool(file, &beside)?;
    let failed = |error: io::Error| Failure::file(file, &error);
    let (title, counts) = transfer::check(&exported)?;
    exported.rewind().map_err(failed)?;
    let Title { identity, token, exit_delay } = title;
    let record = LedgerRecord {
        identity,
        token,
        exit_delay,
        credit: None,
        redemption: RedemptionOptions::default(),
        server: None,
    };
    match data.server() {
        Some(url) => {
            let options = PostgresOptions::new(url.clone());
            let store = PostgresStore::open_to_import(options, &record.identity).await?;
            take(&store, &exported, &record, counts).await?;
            store.finish_import().await?;
        }
        None => {
            let made = beside.path().join("ledger");
            let store = EmbeddedStore::open(&made, &record.identity)?;
            take(&store, &exported, &record, counts).await?;
            // All of it is in this one file then, without the journal that stays behind.
            store.close()?;
            // A link, for it never takes another ledger's name away.
            let place = data.file();
            std::fs::hard_link(&made, &place).map_err(|error| Failure::file(&place, &error))?;
            sync(data.path())?;
        }
    }
    // Last: a folder without it has no ledger to read, and farthing serve writes it when it opens the ledger.
    data.save_record(&record)?;
    Ok((record, counts))
}

/// Restores what a file holds, and verifies it.
async fn take(store: &dyn PayeeStore, exported: &File, record: &LedgerRecord, counts: Counts) -> Result<(), Failure> {
    let audited = transfer::import(store, exported).await?;
    match audited.problems.first() {
        Some(problem) => Err(refused(record, counts, &audited.problems, problem)),
        None => Ok(()),
    }
}

fn refused(record: &LedgerRecord, records: Counts, problems: &[AuditProblem], first: &AuditProblem) -> Failure {
    let more = problems.len() - 1;
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let report = VerifyReport {
        payee: record.identity.payee,
        token: record.token.clone(),
        records,
        problems: problems.iter().map(AuditProblem::to_string).collect(),
    };
    Failure::new(Code::Store, format!("the exported ledger is wrong: {first}{more}"))
        .hint("nothing was imported; take a copy that farthing store verify found nothing wrong with")
        .with_report(&report)
}

/// Standard input is read to its end first: the end says whether the rest is whole.
fn open_or_spool(file: &Path, folder: &TempDir) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::file(file, &error);
    if file != Path::new("-") {
        return File::open(file).map_err(failed);
    }
    let mut spooled = tempfile::tempfile_in(folder.path()).map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut spooled).map_err(failed)?;
    spooled.flush().and_then(|()| spooled.rewind()).map_err(failed)?;
    Ok(spooled)
}

/// A new name is on the disk only when its folder is.
fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Failure::file(folder, &error))
}

impl From<&LedgerRecord> for Title {
    fn from(record: &LedgerRecord) -> Self {
        Self { identity: record.identity, token: record.token.clone(), exit_delay: record.exit_delay }
    }
}
