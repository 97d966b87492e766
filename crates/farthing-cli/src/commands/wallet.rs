//! `farthing wallet`: make and show the wallet.

use crate::context::Context;
use crate::failure::Failure;
use clap::Subcommand;
use farthing::core::Address;
use serde::Serialize;
use std::path::Path;

/// Make and show the wallet: one key in an encrypted file, as cast and geth write it
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Draw a key and write it encrypted; never overwrite one
    ///
    /// The password is asked for twice at the terminal, or read from --password-file. There is no way to the key
    /// without it: keep the file and the password, apart from each other.
    #[command(after_help = "\
Examples:
  farthing wallet new
  farthing wallet new --keystore band.json --password-file band.password")]
    New,
    /// Show the wallet's address; needs no password
    Show,
}

#[derive(Serialize)]
struct Shown<'a> {
    address: Address,
    keystore: &'a Path,
}

pub(super) fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    let wallet = context.wallet()?;
    let keystore = wallet.keystore();
    match command {
        Command::New => {
            if context.globals.keystore.is_none() {
                context.home()?.create()?;
            }
            let address = wallet.create()?;
            context.output.result(&Shown { address, keystore }, || {
                format!("address  {address}\nkeystore {}\nNothing opens it without its password.", keystore.display())
            })
        }
        Command::Show => {
            let address = context.address()?;
            let text = || format!("address  {address}\nkeystore {}", keystore.display());
            context.output.result(&Shown { address, keystore }, text)
        }
    }
}
