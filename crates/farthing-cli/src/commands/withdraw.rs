//! `farthing withdraw`: take money out of the account.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use clap::Args;
use farthing::core::{Address, Amount};
use serde::Serialize;

/// Take money out of your account, at once
///
/// What creators have not redeemed yet is still in the account; taking it out leaves them unpaid, and they see that
/// within two blocks. What is reserved for a creator is not in the account: farthing request-close starts the clock on
/// it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing withdraw all
  farthing withdraw 2.50 --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")]
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawn {
    amount: Amount,
    to: Address,
    balance: Amount,
    transactions: Vec<Transaction>,
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
    if held.is_zero() || held < amount {
        let message = format!("the account holds {}", token.format(held));
        let message = asked.map_or(message.clone(), |asked| format!("{message}, less than {}", token.format(asked)));
        let hint = "farthing balance shows where your money is; farthing request-close frees what is reserved";
        return Err(Failure::new(Code::Funds, message).hint(hint));
    }
    let escrow = context.sending(&escrow).await?;
    let waiting = waiting("waiting for the withdrawal to be mined");
    let mined = [escrow.withdraw(&account, amount, to).await?];
    let balance = escrow.account_balance(&account).await?;
    drop(waiting);
    context.output.result(&Withdrawn { amount, to, balance, transactions: transactions(&mined) }, || {
        let text = format!("withdrew {} to {to}; the account holds {}", token.format(amount), token.format(balance));
        with_transactions(text, &mined)
    })
}
