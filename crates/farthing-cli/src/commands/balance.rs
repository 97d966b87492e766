//! `farthing balance`: where the money is.

use crate::amounts::coin;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{render, short, short_address, table};
use crate::relaying::{Pending, pending};
use alloy::eips::BlockNumberOrTag::Latest;
use clap::Args;
use farthing::core::{Address, Amount, ChannelId, Timestamp, Token};
use farthing::payer::PaidChannel;
use farthing::token;
use serde::Serialize;

/// Show where your money is: wallet, account, and the channels it was promised on
///
/// Promised is what the vouchers of a channel add up to, redeemed is what the creator took, reserved is what only the
/// creator can have until the exit delay has run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing balance
  farthing balance --token eth --json")]
pub(crate) struct Balance {
    /// Show the account of this signer, instead of your wallet's own
    #[arg(long, value_name = "ADDRESS")]
    signer: Option<Address>,
}

#[derive(Serialize)]
struct Shown {
    address: Address,
    token: Token,
    wallet: InWallet,
    account: InAccount,
    channels: Vec<ShownChannel>,
    /// What was signed for a relay and can still be carried out.
    orders: Vec<Pending>,
}

#[derive(Serialize)]
struct InWallet {
    token: Amount,
    /// What pays for gas.
    native: Amount,
}

#[derive(Serialize)]
struct InAccount {
    balance: Amount,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownChannel {
    channel_id: ChannelId,
    origin: String,
    payee: Address,
    promised: Amount,
    redeemed: Amount,
    reserved: Amount,
    close_at: Option<Timestamp>,
}

pub(super) async fn run(context: &Context, command: &Balance) -> Result<(), Failure> {
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let escrow = context.escrow(chain).await?;
    let account = context.account(&token, command.signer)?;
    let native = escrow.chain().balance(account.payer).await?;
    let held = token::balance_of(escrow.chain(), token.address, account.payer).await?;
    let balance = escrow.account_balance(&account).await?;
    let store = context.payer_store().await?;
    let orders = pending(&store, &escrow, account.payer, &token).await?;
    let mut channels = Vec::new();
    let is_here = |paid: &PaidChannel| paid.deployment == escrow.deployment() && paid.channel.account() == account;
    for paid in store.channels().await?.into_iter().filter(is_here) {
        let funds = escrow.funds_of(&paid.channel, Latest).await?.channel;
        // An earlier life of the store has nothing more to say once nothing is reserved.
        if paid.retired && funds.reserved.is_zero() {
            continue;
        }
        channels.push(ShownChannel {
            channel_id: paid.channel.id(&paid.deployment),
            origin: paid.origin,
            payee: paid.channel.payee,
            promised: paid.promised,
            redeemed: funds.redeemed,
            reserved: funds.reserved,
            close_at: funds.close_at,
        });
    }
    let shown = Shown {
        address: account.payer,
        token,
        wallet: InWallet { token: held, native },
        account: InAccount { balance },
        channels,
        orders,
    };
    context.output.result(&shown, || shown.text())
}

impl Shown {
    fn text(&self) -> String {
        let money = |amount| self.token.format(amount);
        let mut text = format!("address {}\nwallet  {}", self.address, money(self.wallet.token));
        if !self.token.address.is_zero() {
            text += &format!(", {} for gas", coin().format(self.wallet.native));
        }
        text += &format!("\naccount {}\n", money(self.account.balance));
        for order in &self.orders {
            text += &format!("\n{}\n", order.lines(&self.token).join("\n"));
        }
        if self.channels.is_empty() {
            return text;
        }
        let mut channels = table(&["channel", "site", "payee", "promised", "redeemed", "reserved"], &[3, 4, 5]);
        for channel in &self.channels {
            channels.add_row([
                short(channel.channel_id),
                // The scheme says nothing that a reader looks for, and the line is short.
                channel.origin.split("://").last().unwrap_or_default().to_owned(),
                short_address(channel.payee),
                money(channel.promised),
                money(channel.redeemed),
                money(channel.reserved),
            ]);
        }
        text += &format!("\n{}\n", render(&channels));
        for (channel, close_at) in self.channels.iter().filter_map(|channel| Some((channel, channel.close_at?))) {
            let (id, reserved) = (short(channel.channel_id), money(channel.reserved));
            text += &format!("\n{id}: {reserved} can be taken back from {close_at} with farthing finalize-close");
        }
        text
    }
}
