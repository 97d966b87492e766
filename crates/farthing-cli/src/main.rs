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
mod failure;
mod home;
mod ledger;
mod output;
mod payer_errors;
mod progress;
mod purse;
mod wallet;

use clap::Parser;
use clap::error::ErrorKind;
use cli::Cli;
use context::Context;
use failure::{Code, Failure};
use output::Output;
use std::process::ExitCode;

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
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that has gone away is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // Nothing was parsed, so `--json` is looked for by hand.
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing to do");
        let message = first.strip_prefix("error: ").unwrap_or(first);
        Output::new(true).failure_json(&Failure::new(Code::Usage, message).hint("run farthing --help"));
    }
    let _ = error.print();
    Code::Usage.into()
}
