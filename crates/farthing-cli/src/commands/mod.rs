//! One file per command.

mod balance;
mod budget;
mod close;
mod deposit;
mod earnings;
mod escrow;
mod fee_history;
mod finalize_close;
mod get;
mod history;
mod operator;
mod redeem;
mod refund;
mod renew;
mod request_close;
mod reserve;
mod serve;
mod split;
mod statement;
mod store;
mod tip;
mod wallet;
mod withdraw;

use crate::context::Context;
use crate::failure::Failure;
use clap::Subcommand;

/// What can be done, in the order in which a listener and then a creator need it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Wallet(wallet::Command),
    Deposit(deposit::Deposit),
    Get(Box<get::Get>),
    Tip(tip::Tip),
    Balance(balance::Balance),
    History(history::History),
    Budget(budget::SetBudget),
    Withdraw(withdraw::Withdraw),
    Reserve(reserve::Reserve),
    RequestClose(request_close::RequestClose),
    FinalizeClose(finalize_close::FinalizeClose),
    Renew(renew::Renew),
    #[command(subcommand)]
    Escrow(escrow::Command),
    Serve(serve::Serve),
    Earnings(earnings::Earned),
    Redeem(redeem::Redeem),
    FeeHistory(fee_history::History),
    Statement(statement::State),
    Close(close::Close),
    Refund(refund::GiveBack),
    #[command(subcommand)]
    Store(store::Command),
    #[command(subcommand)]
    Split(split::Command),
    #[command(subcommand)]
    Operator(operator::Command),
    Demo(crate::demo::Demo),
}

/// Does it.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Wallet(command) => wallet::run(context, &command),
        Command::Deposit(command) => deposit::run(context, &command).await,
        Command::Get(command) => get::run(context, &command).await,
        Command::Tip(command) => tip::run(context, &command).await,
        Command::Balance(command) => balance::run(context, &command).await,
        Command::History(command) => history::run(context, &command).await,
        Command::Budget(command) => budget::run(context, &command).await,
        Command::Withdraw(command) => withdraw::run(context, &command).await,
        Command::Reserve(command) => reserve::run(context, &command).await,
        Command::RequestClose(command) => request_close::run(context, &command).await,
        Command::FinalizeClose(command) => finalize_close::run(context, &command).await,
        Command::Renew(command) => renew::run(context, &command).await,
        Command::Escrow(command) => escrow::run(context, &command).await,
        Command::Serve(command) => serve::run(context, &command).await,
        Command::Earnings(command) => earnings::run(context, &command).await,
        Command::Redeem(command) => redeem::run(context, &command).await,
        Command::FeeHistory(command) => fee_history::run(context, &command).await,
        Command::Close(command) => close::run(context, &command).await,
        Command::Refund(command) => refund::run(context, &command).await,
        Command::Store(command) => store::run(context, &command).await,
        Command::Statement(command) => statement::run(context, &command).await,
        Command::Split(command) => split::run(context, &command).await,
        Command::Operator(command) => operator::run(context, &command).await,
        Command::Demo(command) => crate::demo::run(context.output, &command).await,
    }
}
