//! `farthing close`: give a payer the unused reservation back.

use super::redeem::Shown;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::gateway::{AdminRequest, RedeemReport, redeem_report};
use crate::ledger::LedgerPlace;
use crate::progress::waiting;
use clap::Args;
use farthing::core::{Amount, ChannelId};
use serde::Serialize;
use serde_json::Value;

/// Redeem what a channel owes and give its unused reservation back to the payer, in one transaction
///
/// Only the payee and its operators can, and nobody has to wait. The payer's own way is farthing request-close.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  farthing close 0x5d6c…the-full-id nocturne-records

farthing earnings --json lists the ids of channels.")]
pub(crate) struct Close {
    /// Close this channel
    #[arg(value_name = "CHANNEL", value_parser = parse_channel)]
    channel: ChannelId,

    #[command(flatten)]
    place: LedgerPlace,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Closed {
    channel_id: ChannelId,
    paid: Amount,
    refunded: Amount,
    transactions: Vec<Value>,
}

pub(super) async fn run(context: &Context, command: &Close) -> Result<(), Failure> {
    let channel_id = command.channel;
    let data = command.place.data()?;
    let waiting = waiting("waiting for the close to be mined");
    let report: RedeemReport = match data.ask(&AdminRequest::Close { channel_id }).await? {
        Some(report) => report,
        None => {
            let (record, redeemer) = data.redeemer(context).await?;
            redeem_report(&record.token, &[redeemer.close(channel_id).await?], &[])?
        }
    };
    drop(waiting);
    let shown = Shown::all(&report)?;
    let [done] = shown.as_slice() else {
        return Err(Failure::new(Code::Unexpected, "the gateway closed something else"));
    };
    let closed = Closed { channel_id, paid: done.paid, refunded: done.refunded, transactions: report.transactions };
    let token = &report.token;
    context.output.result(&closed, || {
        let (paid, refunded) = (token.format(done.paid), token.format(done.refunded));
        format!("closed {channel_id}: {paid} redeemed, {refunded} given back{}", done.line())
    })
}

pub(super) fn parse_channel(text: &str) -> Result<ChannelId, String> {
    text.parse().map(ChannelId).map_err(|_| "not a channel's id: 0x and 64 hexadecimal digits".to_owned())
}
