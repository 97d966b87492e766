//! `farthing history`: what was bought, and what became of it.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::RememberedToken;
use crate::output::{render, table};
use clap::Args;
use farthing::core::text::harmless;
use farthing::core::wire::{Problem, SignedReceipt};
use farthing::core::{Address, Amount, ChannelId, Timestamp};
use farthing::payer::{Promise, PromiseState};
use serde::Serialize;

/// Show every purchase, the newest last, with those of which nobody said what came of them
///
/// An unfinished purchase is finished by fetching its URL again: the same voucher is sent, and charged once. Neither the
/// chain nor the wallet is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing history
  farthing history --json")]
pub(crate) struct History {}

#[derive(Serialize)]
struct Shown {
    purchases: Vec<ShownPurchase>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPurchase {
    at: Timestamp,
    url: String,
    method: String,
    item: String,
    origin: String,
    /// `bought`, `unfinished` or `refused`.
    state: &'static str,
    price: Amount,
    token: Address,
    chain_id: u64,
    channel_id: ChannelId,
    cumulative_amount: Amount,
    receipt: Option<SignedReceipt>,
    problem: Option<Problem>,
}

pub(super) async fn run(context: &Context, _command: &History) -> Result<(), Failure> {
    let history = context.payer_store().await?.history().await?;
    let shown = Shown { purchases: history.iter().map(show).collect() };
    let known = context.home()?.tokens()?;
    context.output.result(&shown, || text(&shown, &known))
}

fn show(promise: &Promise) -> ShownPurchase {
    let (state, problem) = match &promise.state {
        PromiseState::Promised => ("unfinished", None),
        PromiseState::Bought { .. } => ("bought", None),
        PromiseState::Refused { problem, .. } => ("refused", problem.as_deref().cloned()),
    };
    ShownPurchase {
        at: promise.at,
        url: promise.url.clone(),
        method: promise.method.clone(),
        item: promise.item.clone(),
        origin: promise.origin.clone(),
        state,
        price: promise.price,
        token: promise.channel.token,
        chain_id: promise.deployment.chain_id,
        channel_id: promise.channel_id(),
        cumulative_amount: promise.cumulative_amount,
        receipt: promise.receipt().cloned(),
        problem,
    }
}

fn text(shown: &Shown, known: &[RememberedToken]) -> String {
    if shown.purchases.is_empty() {
        return "nothing was bought yet".to_owned();
    }
    let mut purchases = table(&["when (UTC)", "what", "price", "state"], &[2]);
    for purchase in &shown.purchases {
        let is_it =
            |known: &&RememberedToken| known.chain_id == purchase.chain_id && known.token.address == purchase.token;
        let token = known.iter().find(is_it);
        let price =
            token.map_or_else(|| format!("{} base", purchase.price), |known| known.token.format(purchase.price));
        let when = purchase.at.to_string().replace('T', " ").replace('Z', "");
        let what = harmless(&format!("{}{}", purchase.origin, purchase.item));
        purchases.add_row([when, what, price, purchase.state.to_owned()]);
    }
    render(&purchases)
}
