//! `farthing deposit`: fill the account that pays every creator.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use clap::Args;
use farthing::core::{Account, AccountId, Address, Amount};
use farthing::{clock, token};
use serde::Serialize;

/// Put money into your account in the escrow; it pays any creator
///
/// Only your wallet can take it out again, at any time: farthing withdraw. A token is approved for exactly the amount
/// first, so there may be two transactions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing deposit 5 --token 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 --dollar
  farthing deposit '$5'
  farthing deposit 0.01 --token eth")]
pub(crate) struct Deposit {
    /// Deposit this much: 5, 0.5, '$5', '5 USDC', '5000000 base'
    #[arg(value_name = "AMOUNT", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    amount: Vec<String>,

    /// Let this key's vouchers spend it, instead of your wallet's own
    #[arg(long, value_name = "ADDRESS", alias = "to-signer")]
    signer: Option<Address>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposited {
    account: Account,
    account_id: AccountId,
    amount: Amount,
    balance: Amount,
    transactions: Vec<Transaction>,
}

pub(super) async fn run(context: &Context, command: &Deposit) -> Result<(), Failure> {
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let amount = amounts::parse_positive(&token, &command.amount.join(" "))?;
    // Makes sure that there is code: money sent to an empty address is gone.
    let escrow = context.escrow(chain).await?;
    let account = context.account(&token, command.signer)?;
    if account.authorized_signer.is_zero() {
        return Err(Failure::new(Code::Usage, "the zero address signs nothing").hint("name a key's address"));
    }
    let held = token::balance_of(escrow.chain(), token.address, account.payer).await?;
    if held < amount {
        let (held, amount) = (token.format(held), token.format(amount));
        let message = format!("the wallet {} holds {held}, less than the {amount} to deposit", account.payer);
        return Err(Failure::new(Code::Funds, message).hint(format!("send {} to {}", token.symbol, account.payer)));
    }
    let escrow = context.sending(&escrow).await?;
    // Recorded first: an account that turns out to be empty is harmless, a deposit that is forgotten is not.
    let store = context.payer_store().await?;
    store.record_deposit(escrow.deployment(), account, clock::now()).await?;
    let waiting = waiting("waiting for the deposit to be mined");
    let mined = escrow.deposit(&account, amount).await?;
    let balance = escrow.account_balance(&account).await?;
    drop(waiting);
    let account_id = account.id();
    let deposited = Deposited { account, account_id, amount, balance, transactions: transactions(&mined) };
    context.output.result(&deposited, || {
        let text = format!("deposited {}; the account holds {}", token.format(amount), token.format(balance));
        with_transactions(text, &mined)
    })
}
