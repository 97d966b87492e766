//! `farthing fee-history`: what gas has cost, as a file.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::fee_history::write;
use crate::planning::now;
use crate::progress::waiting;
use clap::Args;
use farthing::chain::fee_history::SAMPLES_MAX;
use farthing::core::Timestamp;
use farthing::core::replay::Moment;
use farthing::core::timestamp::parse_duration;
use serde::Serialize;

/// Write what gas has cost on a chain, as farthing redeem --simulate reads it
///
/// Comma-separated values with the columns time and gas_price (wei, the tip included), and on a rollup data_fee and
/// data_fee_per_row, which are those of now: a node does not tell older ones. A column coin_price may be added by hand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing fee-history --days 30 > fees.csv
  farthing redeem nocturne-records --simulate 30 --fee-history fees.csv")]
pub(crate) struct History {
    /// Begin this many days ago
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,

    /// Take a sample this often (30m, 6h); each costs the node two requests, and there are at most 2000
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    every: u64,
}

#[derive(Serialize)]
struct Fees {
    moments: Vec<Moment>,
}

pub(super) async fn run(context: &Context, command: &History) -> Result<(), Failure> {
    let seconds = command.days.saturating_mul(86_400);
    let samples = seconds.checked_div(command.every).unwrap_or(u64::MAX);
    if samples > SAMPLES_MAX || samples == 0 {
        let message = format!("{samples} samples in {} days; there can be 1 to {SAMPLES_MAX}", command.days);
        return Err(Failure::new(Code::Usage, message).hint("take them more seldom with --every, or of fewer days"));
    }
    let start = Timestamp::from_unix_seconds(now().unix_seconds().saturating_sub(seconds));
    let chain = context.chain().await?;
    let waiting = waiting("asking what gas has cost");
    let moments = chain.fee_history(start, samples).await;
    drop(waiting);
    let moments = moments?;
    // One step late is what sampling is.
    match moments.first() {
        Some(first) if first.at.seconds_since(start) > command.every.saturating_mul(2) => context.output.note(format!(
            "note: the chain, or what this node keeps of it, goes back to {} only: {} samples",
            first.at,
            moments.len()
        )),
        Some(_) => {}
        None => {
            return Err(Failure::new(Code::Chain, "the node says nothing about what gas has cost")
                .hint("use another RPC with --rpc-url, one that keeps more of the past"));
        }
    }
    if context.globals.json {
        return context.output.result(&Fees { moments }, String::new);
    }
    context.output.bytes(&write(&moments)?);
    Ok(())
}
