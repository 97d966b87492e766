//! `farthing redeem`: turn vouchers into money.

mod simulate;

use crate::context::Context;
use crate::explain;
use crate::failure::{Code, Failure};
use crate::gateway::{AdminRequest, RedeemReport, redeem_report};
use crate::ledger::LedgerPlace;
use crate::planning::plan_in;
use crate::progress::waiting;
use crate::terms::TermsToTry;
use clap::Args;
use farthing::core::{Amount, B256};
use farthing::payee::redeemer::Redemptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

pub(crate) use simulate::simulate;

/// Redeem the last voucher of every channel, all in one transaction
///
/// A running gateway does it with its own wallet; else the ledger is opened here. Nothing due is no failure. Everything
/// is redeemed, whatever gas costs: --dry-run says what that is, and what the gateway would do by itself by the terms
/// of its catalog; --simulate says what that would have come to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing redeem nocturne-records
  farthing redeem nocturne-records --dry-run
  farthing redeem nocturne-records --dry-run --gas-share 0.5% --coin-price 3000
  farthing redeem nocturne-records --simulate 30 --fee-history fees.csv
  farthing redeem --data /var/lib/farthing --json")]
pub(crate) struct Redeem {
    #[command(flatten)]
    place: LedgerPlace,

    /// Say what the gateway would redeem by itself now, why, what waits and for what; send nothing
    #[arg(long, group = "trying")]
    dry_run: bool,

    /// Say what would have been redeemed in the last DAYS days, when, and what gas would have cost; send nothing
    #[arg(long, group = "trying", value_name = "DAYS", requires = "fee_history", conflicts_with = "dry_run")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3650))]
    simulate: Option<u64>,

    /// Take what gas cost then from this file, as farthing fee-history writes it
    #[arg(long, value_name = "FILE", requires = "simulate")]
    fee_history: Option<PathBuf>,

    #[command(flatten)]
    terms: TermsToTry,
}

#[derive(Serialize)]
struct Redeemed {
    transactions: Vec<Value>,
    vouchers: u64,
    paid: Amount,
}

/// What is added up and shown of a transaction.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    pub(super) transaction: B256,
    vouchers: u64,
    pub(super) paid: Amount,
    pub(super) refunded: Amount,
    gas_used: u64,
    block: u64,
}

impl Shown {
    pub(super) fn all(report: &RedeemReport) -> Result<Vec<Self>, Failure> {
        let shown = report.transactions.iter().cloned().map(serde_json::from_value).collect::<Result<_, _>>();
        shown.map_err(|error| Failure::new(Code::Unexpected, error))
    }

    pub(super) fn line(&self) -> String {
        format!("\ntransaction {} in block {}, {} gas", self.transaction, self.block, self.gas_used)
    }
}

pub(super) async fn run(context: &Context, command: &Redeem) -> Result<(), Failure> {
    let data = command.place.data()?;
    if command.dry_run {
        let report = plan_in(context, &data, &command.terms).await?;
        return context.output.result(&report, || explain::text(&report));
    }
    if let (Some(days), Some(file)) = (command.simulate, &command.fee_history) {
        return simulate::run(context, &data, &command.terms, days, file).await;
    }
    let waiting = waiting("waiting for the redemption to be mined");
    let report: RedeemReport = match data.ask(&AdminRequest::Redeem).await? {
        Some(report) => report,
        None => {
            let (record, redeemer) = data.redeemer(context).await?;
            let Redemptions { done, skipped } = redeemer.redeem().await?;
            redeem_report(&record.token, &done, &skipped)?
        }
    };
    drop(waiting);
    for skipped in &report.skipped {
        context.output.note(format!("skipped {skipped}"));
    }
    let shown = Shown::all(&report)?;
    let paid = Amount::saturating_sum(shown.iter().map(|shown| shown.paid));
    let vouchers = shown.iter().map(|shown| shown.vouchers).sum();
    let token = &report.token;
    let redeemed = Redeemed { transactions: report.transactions.clone(), vouchers, paid };
    context.output.result(&redeemed, || {
        if shown.is_empty() {
            // What the ledger calls outstanding may be redeemed already and not final, or lack a voucher or money behind it.
            return "nothing to redeem now; what farthing earnings shows as outstanding is not final yet, or lacks cover"
                .to_owned();
        }
        let count = if vouchers == 1 { "1 voucher".to_owned() } else { format!("{vouchers} vouchers") };
        let lines: String = shown.iter().map(Shown::line).collect();
        format!("redeemed {count} for {}{lines}", token.format(paid))
    })
}
