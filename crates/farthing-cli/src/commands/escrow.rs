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
    /// Check that an address is a genuine escrow and has code on this chain
    #[command(after_help = "\
Example:
  farthing escrow verify ADDRESS

Fails with 8 if it is not genuine and with 4 if nothing is there.")]
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

async fn verify(context: &Context, address: Address) -> Result<(), Failure> {
    let shown = look_at(context.chain().await?, address).await?;
    if !shown.has_code {
        return Err(Failure::new(
            Code::Chain,
            format!("there is no contract at {address} on chain {}", shown.chain_id),
        )
        .hint("send nothing there; check --rpc-url"));
    }
    if !shown.genuine {
        return Err(Failure::new(Code::Policy, format!("{address} is not a genuine escrow"))
            .hint("send nothing there unless you know its code; farthing escrow show has the genuine one"));
    }
    context.output.result(&shown, || shown.text())
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
