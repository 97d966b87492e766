//! `farthing tip`: give what you like.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Transaction, transactions, with_transactions};
use crate::purse::{Allowed, Purse};
use clap::Args;
use farthing::core::Amount;
use farthing::core::text::harmless;
use farthing::core::wire::SignedReceipt;
use farthing::payer::Purchase;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::timeout;

/// The longest answer to a tip that is read, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// How long that may take altogether.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Give a creator a tip, with a message if you like
///
/// Naming the amount approves it; your limits per site and day stay. Every tip is a gift of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing tip https://music.example 0.50
  farthing tip https://music.example 2 --message 'For the nocturne'")]
pub(crate) struct Tip {
    /// Give it to this site, or at the very address where it takes tips
    #[arg(value_name = "URL")]
    url: String,

    /// Give this much: 5, 0.5, '$5', '5 USDC'
    #[arg(value_name = "AMOUNT", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    amount: Vec<String>,

    /// Say this with it; the creator reads it
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,

    #[command(flatten)]
    allowed: Allowed,
}

#[derive(Serialize)]
struct Given {
    url: String,
    amount: Amount,
    thanks: Option<String>,
    receipt: Option<SignedReceipt>,
    transactions: Vec<Transaction>,
}

#[derive(Default, Deserialize)]
struct Answer {
    thanks: Option<String>,
}

pub(super) async fn run(context: &Context, command: &Tip) -> Result<(), Failure> {
    let mut purse = Purse::new(context, &command.allowed)?;
    let token = purse.token()?.clone();
    let amount = purse.amount(&command.amount.join(" "))?;
    let payer = purse.payer(None).await?;
    let mut try_number = 0;
    let purchase = loop {
        match payer.tip(&command.url, amount, &command.message).await {
            Ok(purchase) => break purchase,
            Err(error) => drop(purse.overcome(payer.store(), error, try_number, false).await?),
        }
        try_number += 1;
    };
    let Purchase { receipt, receipt_error, body, .. } = purchase;
    if let Some(error) = receipt_error {
        context.output.note(format!("note: {error}; the tip was given all the same"));
    }
    let answer = timeout(ANSWER_WITHIN, read_answer(body)).await.unwrap_or_default();
    let thanks = answer.thanks.map(|thanks| harmless(&thanks));
    let given = Given { url: command.url.clone(), amount, thanks, receipt, transactions: transactions(&purse.mined) };
    context.output.result(&given, || {
        let thanks = given.thanks.as_deref().unwrap_or_default();
        with_transactions(format!("gave {}\n{thanks}", token.format(amount)).trim_end().to_owned(), &purse.mined)
    })
}

/// What the creator says. The tip is given, whatever it says.
async fn read_answer(mut body: reqwest::Response) -> Answer {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = body.chunk().await {
        if bytes.len() + chunk.len() > ANSWER_MAX {
            return Answer::default();
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}
