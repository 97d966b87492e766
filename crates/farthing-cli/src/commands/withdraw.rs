//! `farthing withdraw`: take money out of the account.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use crate::relaying::{self, Sent};
use clap::Args;
use farthing::chain::Mined;
use farthing::core::{Account, Address, Amount, Token};
use farthing::escrow::Escrow;
use farthing::payer::{Payer, Wish};
use serde::Serialize;

/// Take money out of your account, at once
///
/// What creators have not redeemed yet is still in the account; taking it out leaves them unpaid, and they see that
/// within two blocks. What is reserved for a creator is not in the account: farthing request-close starts the clock on
/// it.
///
/// Without gas, --relay names a site where you have bought: it sends what you sign, and pays for it. Then all means all
/// but what you have promised and nobody has redeemed yet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing withdraw all
  farthing withdraw 2.50 --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
  farthing withdraw all --relay https://music.example")]
pub(crate) struct Withdraw {
    /// Withdraw this much, or all there is
    #[arg(value_name = "AMOUNT", num_args = 0..=2, default_value = "all", allow_negative_numbers = true)]
    amount: Vec<String>,

    /// Send it here instead of to your wallet
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,

    /// Take it out of the account of this signer, instead of your wallet's own
    #[arg(long, value_name = "ADDRESS")]
    signer: Option<Address>,

    /// Sign only, and have this site send it and pay for the gas
    #[arg(long, value_name = "SITE")]
    relay: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawn {
    amount: Amount,
    to: Address,
    balance: Amount,
    transactions: Vec<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relayed: Option<Sent>,
}

pub(super) async fn run(context: &Context, command: &Withdraw) -> Result<(), Failure> {
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let text = command.amount.join(" ");
    let asked = if text == "all" { None } else { Some(amounts::parse_positive(&token, &text)?) };
    let escrow = context.escrow(chain).await?;
    let account = context.account(&token, command.signer)?;
    let to = command.to.unwrap_or(account.payer);
    let held = escrow.account_balance(&account).await?;
    let amount = asked.unwrap_or(held);
    // What was asked for may be on its way by a relayed order of before; the payer knows.
    let may_be_done = command.relay.is_some() && asked.is_some();
    if !may_be_done && (held.is_zero() || held < amount) {
        let message = format!("the account holds {}", token.format(held));
        let message = asked.map_or(message.clone(), |asked| format!("{message}, less than {}", token.format(asked)));
        let hint = "farthing balance shows where your money is; farthing request-close frees what is reserved";
        return Err(Failure::new(Code::Funds, message).hint(hint));
    }
    if let Some(site) = &command.relay {
        let payer = relaying::payer(context).await?;
        let amount = match asked {
            Some(asked) => asked,
            None => rest(&payer, &escrow, &token, &account, held).await?,
        };
        let wish = Wish::Withdraw { account, amount, to };
        let sent = relaying::relay(context, &payer, &escrow, site, wish).await?;
        return show(context, &escrow, &token, &account, (amount, to), (&[], Some(sent))).await;
    }
    let this = format!("farthing withdraw {text}");
    relaying::check_gas(&escrow, account.payer, &token, &this).await?;
    let escrow = context.sending(&escrow).await?;
    let waiting = waiting("waiting for the withdrawal to be mined");
    let mined = escrow.withdraw(&account, amount, to).await;
    let mined = [mined.map_err(|error| relaying::with_way_around(error, &token, &this))?];
    drop(waiting);
    show(context, &escrow, &token, &account, (amount, to), (&mined, None)).await
}

/// All that is not promised: a relay sends nothing that leaves creators unpaid.
async fn rest(
    payer: &Payer,
    escrow: &Escrow,
    token: &Token,
    account: &Account,
    held: Amount,
) -> Result<Amount, Failure> {
    let owed = payer.owed_from(escrow, account).await?;
    let rest = held.saturating_sub(owed);
    if rest.is_zero() {
        let (held, owed) = (token.format(held), token.format(owed));
        let message = format!("the account holds {held}, and {owed} is promised and not redeemed yet");
        return Err(Failure::new(Code::Funds, message).hint("there is nothing that a site would send for you"));
    }
    Ok(rest)
}

/// Shows what was withdrawn, by the wallet's own transaction or by somebody else's.
async fn show(
    context: &Context,
    escrow: &Escrow,
    token: &Token,
    account: &Account,
    (amount, to): (Amount, Address),
    (mined, relayed): (&[Mined], Option<Sent>),
) -> Result<(), Failure> {
    let balance = escrow.account_balance(account).await?;
    let withdrawn = Withdrawn { amount, to, balance, transactions: transactions(mined), relayed };
    context.output.result(&withdrawn, || {
        let text = format!("withdrew {} to {to}; the account holds {}", token.format(amount), token.format(balance));
        with_transactions(text + &withdrawn.relayed.as_ref().map(Sent::text).unwrap_or_default(), mined)
    })
}
