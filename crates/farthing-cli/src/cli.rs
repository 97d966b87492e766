//! The command line: what every command takes.

use crate::commands::Command;
use clap::{Args, Parser};
use farthing::core::Address;
use farthing::escrow::EXIT_DELAY_DEFAULT;
use std::path::PathBuf;

/// Pay per song, per article, per second on Ethereum, and get paid
///
/// A listener deposits once and pays any creator; every item is one signed voucher and no transaction. A creator serves
/// a folder behind HTTP 402 and redeems only the last voucher. The escrow contract holds the money, and nobody owns it.
#[derive(Debug, Parser)]
#[command(name = "farthing", version, after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What both helps end with: the two ways through.
macro_rules! examples {
    () => {
        "\
Listen:
  farthing wallet new
  farthing deposit 5 --token ADDRESS --dollar
  farthing get https://music.example/songs/nocturne
  farthing withdraw all

Sell:
  farthing escrow deploy
  farthing serve FOLDER --token ADDRESS --dollar
  farthing earnings FOLDER
  farthing redeem FOLDER"
    };
}

const AFTER_HELP: &str = concat!(
    examples!(),
    "\n\nfarthing help COMMAND says more; farthing --help lists how amounts are written, and the exit codes"
);

const AFTER_LONG_HELP: &str = concat!(
    examples!(),
    "

Amounts:
  5, 0.5     whole units of the token
  '$5'       the same, of a token declared with --dollar; quote it, or a shell eats it
  '5 USDC'   the same, with the token's symbol
  '5 base'   base units: millionths of a USDC, wei of an ether

Output:
  Standard output is data, standard error is talk. With --json a command writes one object:
  amounts are decimal strings of base units, times are RFC 3339, hexadecimal is lower case, and
  a failure is {\"error\": {\"code\", \"message\", \"hint\"}}.

Exit codes:
   0  done
   1  unexpected
   2  usage
   3  no wallet, or a wrong password
   4  the chain can't be reached, or is the wrong one
   5  the site or the gateway can't be reached
   6  too little money: run farthing deposit
   7  nothing is sold there
   8  refused by your own budget or policy
   9  refused by the creator
  10  refused by the contract
  11  a store is in use or damaged
  12  a reservation is needed and was not allowed"
);

const OPTIONS: &str = "Options for every command";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Write one JSON object to standard output
    #[arg(long, global = true, help_heading = OPTIONS)]
    pub(crate) json: bool,

    /// Keep wallet, store and settings in this folder [default: $XDG_DATA_HOME/farthing or ~/.local/share/farthing]
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "FOLDER", env = "FARTHING_HOME")]
    pub(crate) home: Option<PathBuf>,

    /// Talk to the chain through this RPC; never shown, since it may hold a key
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "URL", env = "ETH_RPC_URL", hide_env_values = true)]
    #[arg(default_value = "http://127.0.0.1:8545")]
    pub(crate) rpc_url: String,

    /// Use the key in this encrypted file [default: wallet.json in the home folder]
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "FILE", env = "ETH_KEYSTORE")]
    pub(crate) keystore: Option<PathBuf>,

    /// Read the wallet's password from this file; without it, ask at the terminal
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "FILE", env = "ETH_PASSWORD")]
    #[arg(hide_env_values = true)]
    pub(crate) password_file: Option<PathBuf>,

    /// Use this escrow, even if it is not a genuine one [default: the genuine one for the exit delay]
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "ADDRESS", env = "FARTHING_ESCROW")]
    pub(crate) escrow: Option<Address>,

    /// Use the genuine escrow with this exit delay, in seconds
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "SECONDS", env = "FARTHING_EXIT_DELAY")]
    #[arg(default_value_t = EXIT_DELAY_DEFAULT)]
    pub(crate) exit_delay: u64,

    /// Pay or be paid in this ERC-20, or in the chain's own coin (eth) [default: the one token named before on this
    /// chain]
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "ADDRESS", env = "FARTHING_TOKEN")]
    #[arg(value_parser = parse_token)]
    pub(crate) token: Option<Address>,

    /// Declare the token to be worth a dollar, so that '$5' may be written and default budgets apply; remembered
    #[arg(long, global = true, help_heading = OPTIONS, value_name = "BOOL", env = "FARTHING_DOLLAR")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) dollar: Option<bool>,
}

fn parse_token(text: &str) -> Result<Address, String> {
    if text.eq_ignore_ascii_case("eth") {
        return Ok(Address::ZERO);
    }
    text.parse().map_err(|_| "not an address; write one, or eth for the chain's own coin".to_owned())
}
