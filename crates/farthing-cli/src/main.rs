//! `farthing`: pay per song, per article, per second from a command line, and get paid.
//!
//! One file per command under `commands`. Standard output is data, standard error is talk; `docs/cli.md` documents
//! both, and the exit codes.

mod amounts;
mod channels;
mod cli;
mod commands;
mod context;
mod demo;
mod explain;
mod failure;
mod fee_history;
mod gateway;
mod home;
mod ledger;
mod output;
mod payer_errors;
mod planning;
mod progress;
mod purse;
mod relaying;
mod sheet;
mod terms;
mod wallet;

use clap::Parser;
use clap::error::ErrorKind;
use cli::Cli;
use context::Context;
use failure::{Code, Failure};
use mimalloc::MiMalloc;
use output::Output;
use std::process::ExitCode;

/// A gateway's threads pass on what others have allocated, which the system's allocator does not like.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer_usage(&error),
    };
    let output = Output::new(cli.globals.json);
    let context = Context::new(cli.globals, output);
    match commands::run(&context, cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.code.into()
        }
    }
}

/// Help and version are data; anything else that clap says is an error of usage.
fn answer_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has gone away is no error.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Code::Usage.into()
        }
        _ => {
            // Nothing was parsed, so `--json` is looked for by hand.
            let json = std::env::args_os().any(|argument| argument == "--json");
            Output::new(json).failure(&in_two_lines(&error.to_string()));
            Code::Usage.into()
        }
    }
}

/// What clap says in paragraphs, as every other failure is said: what is wrong, and what to do.
fn in_two_lines(text: &str) -> Failure {
    let mut paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let rest: Vec<String> = paragraphs.collect();
    let begins = |word: &str| rest.iter().find_map(|paragraph| Some(paragraph.strip_prefix(word)?.trim().to_owned()));
    let hint = begins("tip:").or_else(|| begins("Usage:").map(|usage| format!("write {usage}; --help says more")));
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    Failure::new(Code::Usage, message).hint(hint.unwrap_or_else(|| "--help says more".to_owned()))
}
