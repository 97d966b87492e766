//! `farthing earnings`: the ledger added up.

use crate::context::Context;
use crate::explain;
use crate::failure::{Code, Failure};
use crate::gateway::{AdminRequest, EarningsReport, earnings_report};
use crate::ledger::{DataFolder, LedgerPlace};
use crate::planning::{PlanReport, plan_in};
use crate::sheet::Column::{Counts, Money, Words};
use crate::sheet::{Cell, Sheet};
use crate::terms::TermsToTry;
use clap::{Args, ValueEnum};
use farthing::core::Timestamp;
use farthing::payee::earnings::{
    ChannelEarnings, ChargeEarnings, DayEarnings, Earnings, EarningsBy, Grouping, ItemEarnings, PayerEarnings, Period,
};
use serde::Serialize;

/// Show what was sold, what it came to and what is still to be redeemed
///
/// Asks the gateway if one runs on the ledger, else reads the ledger; the chain is asked for --explain only. Redeemed is what the
/// chain has finally paid, so a redemption of a moment ago is not in it yet; credited is what was given back with
/// farthing refund. Outstanding is always as of now.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing earnings nocturne-records
  farthing earnings nocturne-records --explain
  farthing earnings nocturne-records --by day --since 2026-11-01 --until 2026-11-30
  farthing earnings nocturne-records --by charge --csv > sales.csv
  farthing earnings --data /var/lib/farthing --json")]
pub(crate) struct Earned {
    #[command(flatten)]
    place: LedgerPlace,

    /// Add up by this, instead of in all; by charge lists every sale with what farthing refund needs
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,

    /// Leave out what was before this UTC day
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    since: Option<Timestamp>,

    /// Leave out what was after this UTC day
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    until: Option<Timestamp>,

    /// Write comma-separated values, amounts in units and in base units
    #[arg(long, requires = "by")]
    csv: bool,

    /// Say as well when what is outstanding is redeemed, what that costs now, and what it waits for; asks the chain
    #[arg(long, conflicts_with_all = ["by", "csv"])]
    explain: bool,
}

/// The earnings, and what becomes of what is outstanding.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    earnings: &'a EarningsReport,
    /// The plan, if one could be made.
    redemption: Option<&'a PlanReport>,
    /// Why none could be made.
    problem: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Item,
    Day,
    Channel,
    Payer,
    Charge,
}

impl From<By> for Grouping {
    fn from(by: By) -> Self {
        match by {
            By::Item => Self::Item,
            By::Day => Self::Day,
            By::Channel => Self::Channel,
            By::Payer => Self::Payer,
            By::Charge => Self::Charge,
        }
    }
}

/// The first second of a day.
fn parse_day(text: &str) -> Result<Timestamp, String> {
    format!("{text}T00:00:00Z").parse().map_err(|_| "not a day; write it as 2026-01-31".to_owned())
}

pub(super) async fn run(context: &Context, command: &Earned) -> Result<(), Failure> {
    if command.csv && context.globals.json {
        return Err(
            Failure::new(Code::Usage, "--csv and --json are two forms of one table").hint("leave one of them out")
        );
    }
    let until = command.until.map(|day| day.plus_seconds(86_400));
    let period = Period { since: command.since, until };
    if command.since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::new(Code::Usage, "--since is after --until").hint("name the earlier day with --since"));
    }
    let data = command.place.data()?;
    let by = command.by.map(Grouping::from);
    let report: EarningsReport = match data.ask(&AdminRequest::Earnings { by, period }).await? {
        Some(report) => report,
        None => {
            let (record, store) = data.read().await?;
            earnings_report(store.as_ref(), &record, by, period).await?
        }
    };
    let unexpected = |error: serde_json::Error| Failure::new(Code::Unexpected, error);
    if by.is_none() {
        let shown: Earnings = serde_json::from_value(report.earnings.clone()).map_err(unexpected)?;
        if command.explain {
            return explained(context, &data, &shown, &report).await;
        }
        return context.output.result(&report, || text(&shown, &report));
    }
    let shown = sheet(&serde_json::from_value(report.earnings.clone()).map_err(unexpected)?);
    if command.csv {
        context.output.bytes(&shown.csv(&report.token)?);
        return Ok(());
    }
    context.output.result(&report, || {
        if shown.is_empty() { "nothing was sold then".to_owned() } else { shown.text(&report.token) }
    })
}

/// What was earned does not depend on a chain that answers, so it is shown in any case.
async fn explained(
    context: &Context,
    data: &DataFolder,
    shown: &Earnings,
    report: &EarningsReport,
) -> Result<(), Failure> {
    let plan = plan_in(context, data, &TermsToTry::default()).await;
    let problem = plan.as_ref().err().map(|failure| failure.message.clone());
    let explained = Explained { earnings: report, redemption: plan.as_ref().ok(), problem: problem.as_deref() };
    context.output.result(&explained, || {
        let plan = match &plan {
            Ok(plan) => explain::text(plan),
            Err(failure) => explain::wrapped(&format!("no plan can be made: {}", failure.message), ""),
        };
        format!("{}\n{plan}", text(shown, report))
    })
}

fn text(shown: &Earnings, report: &EarningsReport) -> String {
    let money = |amount| report.token.format(amount);
    let mut text = format!(
        "payee       {}\nsold        {}\nearned      {}\ncredited    {}\nredeemed    {}\noutstanding {}\n",
        report.payee,
        shown.items_sold,
        money(shown.earned),
        money(shown.credited),
        money(shown.redeemed),
        money(shown.outstanding)
    );
    for sheet in [by_item(&shown.items), by_channel(&shown.channels)] {
        if !sheet.is_empty() {
            text += &format!("\n{}\n", sheet.text(&report.token));
        }
    }
    text
}

fn sheet(earnings: &EarningsBy) -> Sheet {
    match earnings {
        EarningsBy::Item(rows) => by_item(rows),
        EarningsBy::Day(rows) => by_day(rows),
        EarningsBy::Channel(rows) => by_channel(rows),
        EarningsBy::Payer(rows) => by_payer(rows),
        EarningsBy::Charge(rows) => by_charge(rows),
    }
}

fn by_item(rows: &[ItemEarnings]) -> Sheet {
    let cells = |row: &ItemEarnings| {
        let item = Cell::Text(row.item.clone());
        vec![item, Cell::Count(row.sold), Cell::Money(row.earned), Cell::Money(row.credited)]
    };
    Sheet::new(&[Words("item"), Counts("sold"), Money("earned"), Money("credited")], rows.iter().map(cells))
}

fn by_day(rows: &[DayEarnings]) -> Sheet {
    let cells = |row: &DayEarnings| {
        let [earned, credited, redeemed] = [row.earned, row.credited, row.redeemed].map(Cell::Money);
        vec![Cell::Text(row.day.clone()), Cell::Count(row.sold), earned, credited, redeemed]
    };
    Sheet::new(
        &[Words("day"), Counts("sold"), Money("earned"), Money("credited"), Money("redeemed")],
        rows.iter().map(cells),
    )
}

fn by_channel(rows: &[ChannelEarnings]) -> Sheet {
    let cells = |row: &ChannelEarnings| {
        let [spent, credited, redeemed] = [row.spent, row.credited, row.redeemed].map(Cell::Money);
        let (id, payer) = (Cell::Id(row.channel_id.0), Cell::Address(row.payer));
        vec![id, payer, Cell::Count(row.sold), spent, credited, redeemed, Cell::Money(row.outstanding)]
    };
    let header = [
        Words("channel"),
        Words("payer"),
        Counts("sold"),
        Money("spent"),
        Money("credited"),
        Money("redeemed"),
        Money("outstanding"),
    ];
    Sheet::new(&header, rows.iter().map(cells))
}

fn by_payer(rows: &[PayerEarnings]) -> Sheet {
    let cells = |row: &PayerEarnings| {
        let [earned, credited, redeemed] = [row.earned, row.credited, row.redeemed].map(Cell::Money);
        let (payer, channels) = (Cell::Address(row.payer), Cell::Count(row.channels));
        vec![payer, channels, Cell::Count(row.sold), earned, credited, redeemed, Cell::Money(row.outstanding)]
    };
    let header = [
        Words("payer"),
        Counts("channels"),
        Counts("sold"),
        Money("earned"),
        Money("credited"),
        Money("redeemed"),
        Money("outstanding"),
    ];
    Sheet::new(&header, rows.iter().map(cells))
}

fn by_charge(rows: &[ChargeEarnings]) -> Sheet {
    let cells = |row: &ChargeEarnings| {
        let when = Cell::Text(row.at.to_string());
        let [voucher, price, credited] = [row.cumulative_amount, row.price, row.credited].map(Cell::Money);
        vec![when, Cell::Id(row.channel_id.0), voucher, Cell::Text(row.item.clone()), price, credited]
    };
    Sheet::new(
        &[Words("when"), Words("channel"), Money("voucher"), Words("item"), Money("price"), Money("credited")],
        rows.iter().map(cells),
    )
}
