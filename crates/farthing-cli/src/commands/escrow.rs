//! `farthing escrow`: deploy the escrow, show it, check one.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, duration, transactions, with_transactions};
use crate::progress::waiting;
use clap::{Args, Subcommand};
use farthing::chain::Chain;
use farthing::core::Address;
use farthing::escrow::{self, Escrow, EscrowError, genuine_address, is_genuine};
use serde::Serialize;

/// Deploy the escrow, show the one in use, check any
///
/// The genuine escrow has no owner and the same address on every chain: that address is computed from its code and its
/// exit delay (CREATE2), so nobody has to be asked which one is genuine.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put the genuine escrow on the chain, unless it is there
    ///
    /// Anyone may, once for each chain and exit delay; whoever does has no power over it.
    #[command(after_help = "\
Examples:
  farthing escrow deploy
  farthing escrow deploy --exit-delay 3600")]
    Deploy,
    /// Show the escrow that commands use
    Show,
    /// Check that an address is a genuine escrow with code on this chain, and say what that means for you
    #[command(after_help = "\
Example:
  farthing escrow verify ADDRESS

Fails with 8 if it is not genuine, or its exit delay is longer than you accept (farthing budget), and with 4 if
nothing is there.")]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Check this address
    #[arg(value_name = "ADDRESS")]
    address: Address,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    escrow: Address,
    chain_id: u64,
    exit_delay: u64,
    already_there: bool,
    transactions: Vec<Transaction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    escrow: Address,
    chain_id: u64,
    /// What the contract says, if there is one.
    exit_delay: Option<u64>,
    genuine: bool,
    has_code: bool,
}

pub(super) async fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Deploy => deploy(context).await,
        Command::Show => {
            let address = context.escrow_address();
            let shown = look_at(context.chain().await?, address).await?;
            context.output.result(&shown, || shown.text())
        }
        Command::Verify(Verify { address }) => verify(context, *address).await,
    }
}

async fn deploy(context: &Context) -> Result<(), Failure> {
    let exit_delay = context.globals.exit_delay;
    let genuine = genuine_address(exit_delay);
    if context.globals.escrow.is_some_and(|named| named != genuine) {
        return Err(Failure::new(Code::Usage, "the address of a new escrow follows from its exit delay")
            .hint("leave out --escrow (FARTHING_ESCROW)"));
    }
    let chain = context.chain().await?;
    // Whoever finds it there needs no wallet.
    let there = escrow::EXIT_DELAY_BOUNDS.contains(&exit_delay) && chain.has_code(genuine).await?;
    let chain = if there || !escrow::EXIT_DELAY_BOUNDS.contains(&exit_delay) {
        chain
    } else {
        Chain::connect_to(&context.rpc_url()?, Some(context.key()?), chain.chain_id()).await?
    };
    let waiting = waiting("waiting for the escrow to be deployed");
    let done = escrow::deploy(&chain, exit_delay).await?;
    drop(waiting);
    let mined: Vec<_> = done.mined.into_iter().collect();
    let deployed = Deployed {
        escrow: done.deployment.escrow,
        chain_id: done.deployment.chain_id,
        exit_delay,
        already_there: done.mined.is_none(),
        transactions: transactions(&mined),
    };
    context.output.result(&deployed, || {
        let what = if deployed.already_there { "already there" } else { "deployed" };
        let delay = duration(exit_delay);
        let text = format!("{what}: {} with an exit delay of {delay}", done.deployment);
        with_transactions(text, &mined)
    })
}

/// Explains an escrow to a listener, and fails if it is none to pay through.
async fn verify(context: &Context, address: Address) -> Result<(), Failure> {
    let shown = look_at(context.chain().await?, address).await?;
    let exit_delay = match shown.exit_delay {
        Some(exit_delay) if shown.genuine => exit_delay,
        _ if !shown.has_code => return Err(nothing_there(&shown, context.globals.exit_delay)),
        Some(exit_delay) => {
            let genuine = genuine_address(exit_delay);
            let message = format!("{address} is not a genuine escrow; one with its exit delay is at {genuine}");
            return Err(not_genuine(message));
        }
        None => return Err(not_genuine(format!("{address} is not a genuine escrow; it has no exit delay"))),
    };
    let maximum = context.home()?.settings()?.exit_delay_max;
    if exit_delay > maximum {
        let (delay, longest) = (duration(exit_delay), duration(maximum));
        let message =
            format!("{address} is a genuine escrow, but its exit delay of {delay} is more than your {longest}");
        let hint = format!("allow it with farthing budget --exit-delay-max {exit_delay}s, or use another escrow");
        return Err(Failure::new(Code::Policy, message).hint(hint));
    }
    context.output.result(&shown, || {
        let (delay, longest) = (duration(exit_delay), duration(maximum));
        format!(
            "{}\nNobody owns it and nobody can change it: its address follows from its code.\n\
             What you deposit comes back at once, whenever you like. What you reserve\n\
             comes back {delay} after you ask for it, or as soon as the creator closes.\n\
             You accept exit delays of up to {longest}.",
            shown.text()
        )
    })
}

fn not_genuine(message: String) -> Failure {
    Failure::new(Code::Policy, message)
        .hint("send nothing there unless you know its code; farthing escrow show has the genuine one")
}

/// An address may be the right one and empty all the same: what is sent there before the escrow is, nobody gets back.
fn nothing_there(shown: &Shown, exit_delay: u64) -> Failure {
    let (address, chain_id) = (shown.escrow, shown.chain_id);
    if is_genuine(address, exit_delay) {
        let delay = duration(exit_delay);
        let message = format!(
            "the genuine escrow with an exit delay of {delay} belongs at {address}, but nothing is there on chain \
             {chain_id}"
        );
        return Failure::new(Code::Chain, message)
            .hint("send nothing there yet: it would be lost; check --rpc-url, or run farthing escrow deploy");
    }
    Failure::new(Code::Chain, format!("there is no contract at {address} on chain {chain_id}"))
        .hint("send nothing there; check --rpc-url")
}

async fn look_at(chain: Chain, escrow: Address) -> Result<Shown, Failure> {
    let chain_id = chain.chain_id();
    let (has_code, exit_delay) = match Escrow::bind(chain, escrow).await {
        Ok(bound) => match bound.exit_delay().await {
            Ok(exit_delay) => (true, Some(exit_delay)),
            // Another contract: it has no exit delay, or reverts when it is asked for one.
            Err(EscrowError::Answer(_)) => (true, None),
            Err(EscrowError::Chain(farthing::chain::ChainError::Reverted { .. })) => (true, None),
            Err(error) => return Err(error.into()),
        },
        Err(EscrowError::NoCode { .. }) => (false, None),
        Err(error) => return Err(error.into()),
    };
    let genuine = exit_delay.is_some_and(|exit_delay| is_genuine(escrow, exit_delay));
    Ok(Shown { escrow, chain_id, exit_delay, genuine, has_code })
}

impl Shown {
    fn text(&self) -> String {
        let what = match (self.has_code, self.genuine) {
            (false, _) => "nothing is there; farthing escrow deploy puts the genuine one there",
            (true, true) => "genuine",
            (true, false) => "NOT genuine",
        };
        let delay = self.exit_delay.map_or("unknown".to_owned(), duration);
        format!("escrow     {}\nchain      {}\nexit delay {delay}\n{what}", self.escrow, self.chain_id)
    }
}
