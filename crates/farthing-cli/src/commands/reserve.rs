//! `farthing reserve`: guarantee a creator money from the account.

use crate::amounts;
use crate::channels::{Found, find};
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use crate::purse::{check_balance, record_final};
use alloy::eips::BlockNumberOrTag::Latest;
use clap::Args;
use farthing::core::{Amount, ChannelId};
use serde::Serialize;

/// Reserve money of your account for one creator
///
/// It moves no token: what is reserved can only go to this creator, or back to you after the exit delay (farthing
/// request-close). It counts once the chain calls it final. farthing get --reserve does it when a creator asks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing reserve https://news.example 1
  farthing reserve 0x5d6c…the-full-id '$1'")]
pub(crate) struct Reserve {
    /// Reserve for this site, or in the channel of this id
    #[arg(value_name = "SITE_OR_CHANNEL")]
    channel: String,

    /// Reserve this much: 5, 0.5, '$5', '5 USDC'
    #[arg(value_name = "AMOUNT", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    amount: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reserved {
    channel_id: ChannelId,
    amount: Amount,
    reserved: Amount,
    transactions: Vec<Transaction>,
}

pub(super) async fn run(context: &Context, command: &Reserve) -> Result<(), Failure> {
    let Found { store, paid, id, token, escrow } = find(context, &command.channel).await?;
    let amount = amounts::parse_positive(&token, &command.amount.join(" "))?;
    context.check_exit_delay(&escrow).await?;
    check_balance(&escrow, &paid.channel, &token, amount).await?;
    if escrow.chain().balance(paid.channel.payer).await?.is_zero() {
        let message = format!("the wallet {} has no ETH to pay for gas", paid.channel.payer);
        return Err(Failure::new(Code::Funds, message).hint(format!(
            "send it some, or let a site that relays reserve money of your wallet: farthing get {}… --reserve {}",
            paid.origin,
            command.amount.join(" ")
        )));
    }
    let escrow = context.sending(&escrow).await?;
    let waiting = waiting("waiting for the reservation to be mined");
    let mined = [escrow.reserve(&paid.channel, amount).await?];
    let reserved = escrow.funds_of(&paid.channel, Latest).await?.channel.reserved;
    drop(waiting);
    // On a chain that is final at once; elsewhere `get` looks again when the creator asks.
    record_final(&escrow, &store, &paid.channel).await?;
    let result = Reserved { channel_id: id, amount, reserved, transactions: transactions(&mined) };
    context.output.result(&result, || {
        let (amount, reserved) = (token.format(amount), token.format(reserved));
        let text = format!("reserved {amount} for {}; it has {reserved}, once the chain calls it final", paid.origin);
        with_transactions(text, &mined)
    })
}
