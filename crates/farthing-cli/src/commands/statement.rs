//! `farthing statement`: the ledger and the chain side by side.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::gateway::AdminRequest;
use crate::ledger::{LedgerPlace, LedgerRecord};
use crate::progress::waiting;
use crate::sheet::Column::{Money, Words};
use crate::sheet::{Cell, Sheet};
use clap::Args;
use farthing::chain::Chain;
use farthing::core::{Address, Token};
use farthing::escrow::Escrow;
use farthing::payee::statement::{Beginning, Difference, Figures, Statement, StatementError, statement};
use serde::{Deserialize, Serialize};

/// Show what was charged and what the chain has paid side by side, and fail if they differ
///
/// Reads the escrow's own events, whoever sent the redemptions. Paid is what they come to in final blocks, pending what
/// is in later ones. What is found to be finally paid is noted in the ledger. Asks the gateway if one runs on it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing statement nocturne-records
  farthing statement nocturne-records --csv > statement.csv
  farthing statement --data /var/lib/farthing --from-block 21000000 --json")]
pub(crate) struct State {
    #[command(flatten)]
    place: LedgerPlace,

    /// Read events from this block on [default: the block that created the escrow]
    #[arg(long, value_name = "BLOCK")]
    from_block: Option<u64>,

    /// Write comma-separated values, amounts in units and in base units
    #[arg(long)]
    csv: bool,
}

/// A statement, by whom and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatementReport {
    pub(crate) payee: Address,
    pub(crate) token: Token,
    #[serde(flatten)]
    pub(crate) statement: Statement,
    pub(crate) differences: Vec<String>,
}

impl StatementReport {
    pub(crate) fn new(record: &LedgerRecord, statement: Statement) -> Self {
        let differences = statement.differences.iter().map(Difference::to_string).collect();
        Self { payee: record.identity.payee, token: record.token.clone(), statement, differences }
    }
}

pub(super) async fn run(context: &Context, command: &State) -> Result<(), Failure> {
    if command.csv && context.globals.json {
        return Err(
            Failure::new(Code::Usage, "--csv and --json are two forms of one table").hint("leave one of them out")
        );
    }
    let (data, from_block) = (command.place.data()?, command.from_block);
    let waiting = waiting("reading the escrow's events");
    let report: StatementReport = match data.ask(&AdminRequest::Statement { from_block }).await? {
        Some(report) => report,
        None => {
            let (record, store) = data.read().await?;
            let deployment = record.identity.deployment;
            let chain = Chain::connect_to(&context.rpc_url()?, None, deployment.chain_id).await?;
            let escrow = Escrow::bind(chain, deployment.escrow).await?;
            let statement = statement(store.as_ref(), &record.identity, &escrow, from_block).await?;
            store.accept_batch(&statement.notes()).await?;
            StatementReport::new(&record, statement)
        }
    };
    drop(waiting);
    if command.csv {
        context.output.bytes(&by_channel(&report.statement).csv(&report.token)?);
    }
    let count = report.differences.len();
    if count == 0 {
        return if command.csv { Ok(()) } else { context.output.result(&report, || text(&report)) };
    }
    let differences = if count == 1 { "1 place".to_owned() } else { format!("{count} places") };
    let failure =
        Failure::new(Code::Store, format!("ledger and chain differ in {differences}: {}", report.differences[0]))
            .hint("run farthing store verify; ask another node (--rpc-url); look for a newer copy of the ledger");
    if command.csv {
        return Err(failure);
    }
    Err(context.output.report(&report, failure, || text(&report)))
}

fn text(report: &StatementReport) -> String {
    let (shown, money) = (&report.statement, |amount| report.token.format(amount));
    let Figures { charged, credited, due, redeemed, paid, pending, .. } = shown.total;
    let from = match shown.beginning {
        Beginning::Escrow => "the escrow's first",
        Beginning::Ledger => "the ledger's first: the node forgot the escrow's",
        Beginning::Named => "named",
    };
    let mut text =
        format!("payee     {}\nblocks    {} ({from}) to {}", report.payee, shown.from_block, shown.head_block);
    text += &format!(", final to {}\n", shown.final_block);
    for (name, amount) in [("charged", charged), ("credited", credited), ("due", due), ("redeemed", redeemed)] {
        text += &format!("{name:<9} {}\n", money(amount));
    }
    text += &format!("paid      {}", money(paid));
    let parts = [(shown.paid_by_others, "sent by others"), (shown.noted, "noted in the ledger just now")];
    for (amount, what) in parts.into_iter().filter(|(amount, _)| !amount.is_zero()) {
        text += &format!(", {} {what}", money(amount));
    }
    text += &format!("\npending   {}\n", money(pending));
    let sheet = by_channel(shown);
    if !sheet.is_empty() {
        // What these two come to is what is due.
        text += &format!("\n{}\n", sheet.without(&["charged", "credited"]).text(&report.token));
    }
    for difference in &report.differences {
        text += &format!("\n{difference}");
    }
    text
}

fn by_channel(statement: &Statement) -> Sheet {
    let header = [
        Words("channel"),
        Money("charged"),
        Money("credited"),
        Money("due"),
        Money("redeemed"),
        Money("paid"),
        Money("pending"),
        Money("difference"),
    ];
    let rows = statement.channels.iter().map(|row| {
        let Figures { charged, credited, due, redeemed, paid, pending, missing, unaccounted } = row.figures;
        let mut cells = vec![Cell::Id(row.channel_id.0)];
        cells.extend([charged, credited, due, redeemed, paid, pending].map(Cell::Money));
        // A channel is either short or over; both are shown as what does not agree.
        cells.push(Cell::Money(missing.saturating_add(unaccounted)));
        cells
    });
    Sheet::new(&header, rows)
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Escrow(error) => error.into(),
            StatementError::Store(error) => error.into(),
            error => Self::new(Code::Usage, error).hint("ask for the statement with the ledger's own escrow"),
        }
    }
}
