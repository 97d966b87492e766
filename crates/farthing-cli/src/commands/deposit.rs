//! `farthing deposit`: fill the account that pays every creator.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::progress::waiting;
use crate::relaying::{self, Sent};
use clap::Args;
use farthing::chain::Mined;
use farthing::core::{Account, AccountId, Address, Amount, Token};
use farthing::escrow::Escrow;
use farthing::payer::Wish;
use farthing::{clock, token};
use serde::Serialize;

/// Put money into your account in the escrow; it pays any creator
///
/// Only your wallet can take it out again, at any time: farthing withdraw. The escrow may take exactly the amount: a
/// token that knows permits is asked in the same transaction, any other is approved in one before it.
///
/// Without gas, --relay names a site that sends what you sign, and pays for it: any creator who offers that. It can
/// send it or not, and change nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing deposit 5 --token 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 --dollar
  farthing deposit '$5'
  farthing deposit 0.01 --token eth
  farthing deposit 5 --relay https://music.example")]
pub(crate) struct Deposit {
    /// Deposit this much: 5, 0.5, '$5', '5 USDC', '5000000 base'
    #[arg(value_name = "AMOUNT", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    amount: Vec<String>,

    /// Let this key's vouchers spend it, instead of your wallet's own
    #[arg(long, value_name = "ADDRESS", alias = "to-signer")]
    signer: Option<Address>,

    /// Sign only, and have this site send it and pay for the gas
    #[arg(long, value_name = "SITE")]
    relay: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposited {
    account: Account,
    account_id: AccountId,
    amount: Amount,
    balance: Amount,
    transactions: Vec<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relayed: Option<Sent>,
}

pub(super) async fn run(context: &Context, command: &Deposit) -> Result<(), Failure> {
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let amount = amounts::parse_positive(&token, &command.amount.join(" "))?;
    // Makes sure that there is code: money sent to an empty address is gone.
    let escrow = context.escrow(chain).await?;
    context.check_exit_delay(&escrow).await?;
    let account = context.account(&token, command.signer)?;
    if account.authorized_signer.is_zero() {
        return Err(Failure::new(Code::Usage, "the zero address signs nothing").hint("name a key's address"));
    }
    let held = token::balance_of(escrow.chain(), token.address, account.payer).await?;
    // A relayed order of before may have moved it already; the payer knows.
    if held < amount && command.relay.is_none() {
        let (held, amount) = (token.format(held), token.format(amount));
        let message = format!("the wallet {} holds {held}, less than the {amount} to deposit", account.payer);
        return Err(Failure::new(Code::Funds, message).hint(format!("send {} to {}", token.symbol, account.payer)));
    }
    if let Some(site) = &command.relay {
        let payer = relaying::payer(context).await?;
        let sent = relaying::relay(context, &payer, &escrow, site, Wish::Deposit { account, amount }).await?;
        return show(context, &escrow, &token, account, amount, (&[], Some(sent))).await;
    }
    let this = format!("farthing deposit {}", command.amount.join(" "));
    relaying::check_gas(&escrow, account.payer, &token, &this).await?;
    let escrow = context.sending(&escrow).await?;
    // Recorded first: an account that turns out to be empty is harmless, a deposit that is forgotten is not.
    let store = context.payer_store().await?;
    store.record_deposit(escrow.deployment(), account, clock::now()).await?;
    for order in relaying::pending(&store, &escrow, account.payer, &token).await? {
        if order.is_deposit() {
            let order = order.lines(&token).join(" ");
            context.output.note(format!("note: {order}; this deposit comes on top of it"));
        }
    }
    let waiting = waiting("waiting for the deposit to be mined");
    let mined = escrow.deposit(&account, amount).await;
    let mined = mined.map_err(|error| relaying::with_way_around(error, &token, &this))?;
    drop(waiting);
    show(context, &escrow, &token, account, amount, (&mined, None)).await
}

/// Shows what was deposited, by the wallet's own transactions or by somebody else's.
async fn show(
    context: &Context,
    escrow: &Escrow,
    token: &Token,
    account: Account,
    amount: Amount,
    (mined, relayed): (&[Mined], Option<Sent>),
) -> Result<(), Failure> {
    let balance = escrow.account_balance(&account).await?;
    let account_id = account.id();
    let deposited = Deposited { account, account_id, amount, balance, transactions: transactions(mined), relayed };
    context.output.result(&deposited, || {
        let text = format!("deposited {}; the account holds {}", token.format(amount), token.format(balance));
        with_transactions(text + &deposited.relayed.as_ref().map(Sent::text).unwrap_or_default(), mined)
    })
}
