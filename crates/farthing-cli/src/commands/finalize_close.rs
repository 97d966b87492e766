//! `farthing finalize-close`: take the unused reservation back.

use crate::channels::{Found, find};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use crate::purse::record_final;
use alloy::eips::BlockNumberOrTag;
use clap::Args;
use farthing::core::{Amount, ChannelId};
use serde::Serialize;

/// Take the unused reservation of a channel back, once the exit delay has run
///
/// It goes to your wallet. farthing balance shows from when on.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  farthing finalize-close https://news.example")]
pub(crate) struct FinalizeClose {
    /// Close the channel to this site, or the one of this id
    #[arg(value_name = "SITE_OR_CHANNEL")]
    channel: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finalized {
    channel_id: ChannelId,
    refunded: Amount,
    transactions: Vec<Transaction>,
}

pub(super) async fn run(context: &Context, command: &FinalizeClose) -> Result<(), Failure> {
    let Found { store, paid, id, token, escrow } = find(context, &command.channel).await?;
    let escrow = context.sending(&escrow).await?;
    let waiting = waiting("waiting for the close to be mined");
    let mined = escrow.finalize_close(&paid.channel).await?;
    // The block before: until then the creator may have redeemed from it.
    let before = BlockNumberOrTag::Number(mined.block.saturating_sub(1));
    let refunded = escrow.funds_of(&paid.channel, before).await?.channel.reserved;
    drop(waiting);
    record_final(&escrow, &store, &paid.channel).await?;
    let mined = [mined];
    context.output.result(&Finalized { channel_id: id, refunded, transactions: transactions(&mined) }, || {
        let text = format!("{} is back in your wallet", token.format(refunded));
        with_transactions(text, &mined)
    })
}
