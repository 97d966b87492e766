//! `farthing store`: verify a ledger, keep a copy of it, move it.

mod files;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::gateway::AdminRequest;
use crate::ledger::{DataFolder, LedgerPlace, LedgerRecord};
use crate::progress::waiting;
use clap::{Args, Subcommand};
use farthing::core::{Address, Token};
use farthing::payee::PayeeStore;
use farthing::payee::audit::{Audit, AuditProblem, Counts, audit};
use farthing::payee::transfer::TransferError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(super) use files::export_to;

/// Verify a creator's ledger, keep a copy of it, move it
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Verify),
    Export(Export),
    Import(Import),
}

/// Check every signature and every sum of a ledger, and name all that is wrong
///
/// The chain is not asked: farthing statement compares with it. Asks the gateway if one runs on the ledger.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  farthing store verify nocturne-records")]
pub(crate) struct Verify {
    #[command(flatten)]
    place: LedgerPlace,
}

/// Write a ledger to one file of JSON lines, also while a gateway runs on it
///
/// The file is for its owner only and whole when it has its name; nothing is overwritten. It has every voucher, so it
/// is worth what is not redeemed yet. The secret that challenges are made with is not in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing store export ledger-2026-11-22.jsonl nocturne-records
  farthing store export - nocturne-records | gzip > ledger.jsonl.gz")]
pub(crate) struct Export {
    /// Write to this file, or - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    place: LedgerPlace,
}

/// Begin a ledger with what an exported file holds
///
/// The file is checked first: one that was cut or changed is refused. The ledger is verified before it has its name, so
/// a failed import leaves none. Two gateways that go on from the same file would take the same voucher twice: stop the
/// one that it comes from before it is exported.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing store import ledger-2026-11-22.jsonl nocturne-records
  ssh old farthing store export - records | farthing store import - nocturne-records")]
pub(crate) struct Import {
    /// Read this file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    place: LedgerPlace,
}

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VerifyReport {
    pub(crate) payee: Address,
    pub(crate) token: Token,
    pub(crate) records: Counts,
    pub(crate) problems: Vec<String>,
}

#[derive(Serialize)]
struct Moved {
    file: String,
    payee: Address,
    token: Token,
    records: Counts,
}

pub(super) async fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Verify(command) => verify(context, command).await,
        Command::Export(command) => export(context, command).await,
        Command::Import(command) => import(context, command).await,
    }
}

async fn verify(context: &Context, command: &Verify) -> Result<(), Failure> {
    let data = command.place.data()?;
    let waiting = waiting("verifying every signature");
    let report: VerifyReport = match data.ask(&AdminRequest::Verify).await? {
        Some(report) => report,
        None => {
            let (record, store) = data.read().await?;
            verify_report(store.as_ref(), &record).await?
        }
    };
    drop(waiting);
    if report.problems.is_empty() {
        return context.output.result(&report, || format!("nothing is wrong: {}", described(&report.records)));
    }
    let count = report.problems.len();
    let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
    let failure = Failure::new(Code::Store, format!("the ledger has {problems}")).hint(
        "keep the file as it is, and restore the newest copy that farthing store verify finds nothing wrong with",
    );
    Err(context.output.report(&report, failure, || report.problems.join("\n")))
}

/// Verifies a ledger.
pub(super) async fn verify_report(store: &dyn PayeeStore, record: &LedgerRecord) -> Result<VerifyReport, Failure> {
    let Audit { counts, problems } = audit(store, &record.identity).await?;
    let problems = problems.iter().map(AuditProblem::to_string).collect();
    Ok(VerifyReport { payee: record.identity.payee, token: record.token.clone(), records: counts, problems })
}

fn described(counts: &Counts) -> String {
    let of = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    format!(
        "{}, {}, {}, {}, {}",
        of(counts.channels, "channel"),
        of(counts.charges, "charge"),
        of(counts.credits, "credit"),
        of(counts.final_redemptions, "final redemption"),
        of(counts.redemptions, "transaction"),
    )
}

async fn export(context: &Context, command: &Export) -> Result<(), Failure> {
    let data = command.place.data()?;
    let waiting = waiting("writing the ledger");
    if command.file == Path::new("-") {
        let result = files::export_to_stdout(&data).await;
        drop(waiting);
        let (record, counts) = result?;
        // Standard output is the ledger's.
        context.output.note(format!("exported the ledger of {}: {}", record.identity.payee, described(&counts)));
        return Ok(());
    }
    let file = std::path::absolute(&command.file).map_err(|error| Failure::file(&command.file, &error))?;
    let (record, counts) = files::export(&data, &file).await?;
    drop(waiting);
    let moved =
        Moved { file: file.display().to_string(), payee: record.identity.payee, token: record.token, records: counts };
    context.output.result(&moved, || format!("exported to {}: {}", moved.file, described(&counts)))
}

async fn import(context: &Context, command: &Import) -> Result<(), Failure> {
    let data = command.place.data()?;
    let waiting = waiting("reading and verifying the ledger");
    let (record, counts) = files::import(&data, &command.file).await?;
    drop(waiting);
    let moved = Moved { file: data.shown(), payee: record.identity.payee, token: record.token, records: counts };
    context
        .output
        .result(&moved, || format!("imported to {}, and nothing is wrong: {}", moved.file, described(&counts)))
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let failure = |code| Self::new(code, &error);
        match error {
            TransferError::Store(error) => error.into(),
            TransferError::File(_) => {
                failure(Code::Unexpected).hint("check that you may read and write there, and that the disk is not full")
            }
            TransferError::Version { .. } => failure(Code::Store).hint("use the version of farthing that wrote it"),
            TransferError::NotEmpty => failure(Code::Store).hint("import into a new data folder: --data FOLDER"),
            _ => failure(Code::Store).hint("export the ledger again, or take another copy; nothing was imported"),
        }
    }
}

impl DataFolder {
    /// Makes sure that no ledger is here, and none was.
    fn check_vacant(&self) -> Result<(), Failure> {
        let ledger = self.file();
        if ledger.exists() {
            let message = format!("there is a ledger already: {}", ledger.display());
            return Err(Failure::new(Code::Store, message)
                .hint("import into another data folder with --data, or move that ledger away first"));
        }
        let beside = ["mark", "journal-0", "journal-1"].map(|extension| ledger.with_extension(extension));
        let left: Vec<String> =
            beside.iter().filter(|file| file.exists()).map(|file| file.display().to_string()).collect();
        if !left.is_empty() {
            let message = format!("there was a ledger here, and this is all that is left of it: {}", left.join(", "));
            return Err(Failure::new(Code::Store, message)
                .hint("what it took after the export is not in the file; to go on without that, delete what is left"));
        }
        Ok(())
    }
}
