//! `farthing request-close`: start the clock on a reservation.

use crate::channels::{Found, find};
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use crate::purse::record_final;
use alloy::eips::BlockNumberOrTag::Latest;
use clap::Args;
use farthing::core::{ChannelId, Timestamp};
use serde::Serialize;

/// Ask for a reservation back: start the exit delay of a channel
///
/// Meanwhile the creator redeems what it is owed, and nothing new is served against the reservation. When the delay has
/// run, farthing finalize-close gives back what is left.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  farthing request-close https://news.example")]
pub(crate) struct RequestClose {
    /// Close the channel to this site, or the one of this id
    #[arg(value_name = "SITE_OR_CHANNEL")]
    channel: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    channel_id: ChannelId,
    close_at: Timestamp,
    transactions: Vec<Transaction>,
}

pub(super) async fn run(context: &Context, command: &RequestClose) -> Result<(), Failure> {
    let Found { store, paid, id, escrow, .. } = find(context, &command.channel).await?;
    let escrow = context.sending(&escrow).await?;
    let waiting = waiting("waiting for the request to be mined");
    let mined = [escrow.request_close(&paid.channel).await?];
    let close_at = escrow.funds_of(&paid.channel, Latest).await?.channel.close_at;
    drop(waiting);
    // From now on the reservation guarantees nothing.
    record_final(&escrow, &store, &paid.channel).await?;
    let close_at = close_at.ok_or_else(|| {
        Failure::new(Code::Unexpected, "the close was requested, and is over already")
            .hint("farthing balance shows more")
    })?;
    let requested = Requested { channel_id: id, close_at, transactions: transactions(&mined) };
    context.output.result(&requested, || {
        let text = format!("the clock runs; from {close_at} on run farthing finalize-close {}", command.channel);
        with_transactions(text, &mined)
    })
}
