//! `farthing get`: fetch a URL, and pay for it.

mod file;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, transactions, with_transactions};
use crate::purse::{Allowed, Purse};
use clap::Args;
use farthing::core::Amount;
use farthing::core::wire::SignedReceipt;
use farthing::payer::{FetchOptions, Payer, PayerError, Purchase};
use file::Destination;
use serde::Serialize;
use std::path::PathBuf;

/// Fetch a URL, pay for it if it has a price, and keep the receipt
///
/// Paying is a signature: no transaction, no gas, no call to the chain. What is within your budget is paid without a
/// question; farthing budget shows and sets it. What was bought before comes again and costs nothing. If the connection
/// breaks, run the same command again: it sends the same voucher, which is charged once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing get https://music.example/songs/nocturne
  farthing get https://music.example/songs/nocturne -o - | ffplay -
  farthing get https://film.example/evening --max-price 3
  farthing get https://news.example/today --reserve 1")]
pub(crate) struct Get {
    /// Fetch this
    #[arg(value_name = "URL")]
    url: String,

    /// Write it to this file, or with - to standard output [default: the URL's last part, with an extension]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Pay at most this much, and up to it without a question
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<String>,

    /// Pay again for what was bought before
    #[arg(long)]
    again: bool,

    /// Fetch what this wallet's key has bought, with its signature and without paying: after its records were lost, or
    /// on another device
    #[arg(long, conflicts_with_all = ["again", "max_price"])]
    recall: bool,

    /// Answer yes if the price is above what is paid without a question; site and day limits stay
    #[arg(short, long, conflicts_with = "max_price")]
    yes: bool,

    #[command(flatten)]
    allowed: Allowed,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Got {
    url: String,
    /// Nothing if it went to standard output.
    file: Option<PathBuf>,
    bytes: u64,
    price: Amount,
    paid: Amount,
    media_type: Option<String>,
    receipt: Option<SignedReceipt>,
    transactions: Vec<Transaction>,
}

pub(super) async fn run(context: &Context, command: &Get) -> Result<(), Failure> {
    let destination = Destination::new(command.output.as_deref(), &command.url, context.globals.json)?;
    let mut purse = Purse::new(context, &command.allowed)?;
    let max_price = command.max_price.as_deref().map(|text| purse.amount(text)).transpose()?;
    let payer = purse.payer(max_price).await?;
    let options = FetchOptions {
        buy_again: command.again,
        approve_up_to: max_price,
        accept_payee: command.allowed.accept_payee,
        range: None,
        recall: command.recall,
    };
    let purchase = fetch(&payer, &mut purse, command, options).await?;
    if let Some(error) = &purchase.receipt_error {
        context.output.note(format!("note: {error}; the item is yours all the same"));
    }
    let Purchase { price, paid_now: paid, media_type, receipt, token, body, .. } = purchase;
    let (file, bytes) = destination.save(media_type.as_deref(), body).await?;
    let mined = purse.mined;
    let got = Got {
        url: command.url.clone(),
        file,
        bytes,
        price,
        paid,
        media_type,
        receipt,
        transactions: transactions(&mined),
    };
    let text = || {
        let cost = match &token {
            None => "free".to_owned(),
            Some(token) if paid.is_zero() => format!("bought before for {}, paid nothing now", token.format(price)),
            Some(token) => format!("paid {}", token.format(paid)),
        };
        let place = got.file.as_ref().map_or("standard output".to_owned(), |file| file.display().to_string());
        with_transactions(format!("{place}: {bytes} bytes, {cost}"), &mined)
    };
    if got.file.is_none() {
        // Standard output is the item.
        for line in text().lines() {
            context.output.note(line);
        }
        return Ok(());
    }
    context.output.result(&got, text)
}

async fn fetch(
    payer: &Payer,
    purse: &mut Purse<'_>,
    command: &Get,
    mut options: FetchOptions,
) -> Result<Purchase, Failure> {
    let mut try_number = 0;
    loop {
        let error = match payer.fetch_with(&command.url, &options).await {
            Ok(purchase) => return Ok(purchase),
            Err(error) => error,
        };
        // With --max-price the owner has said how far to go.
        if command.max_price.is_some() && matches!(&error, PayerError::Budget(_)) {
            return Err(error.into());
        }
        if let Some(approved) = purse.overcome(payer.store(), error, try_number, command.yes).await? {
            options.approve_up_to = Some(approved);
        }
        try_number += 1;
    }
}

/// A server's error that is none of the payer's, in the middle of an item.
fn broke_off(error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::Site, format!("the item broke off: {}", crate::payer_errors::innermost(error)))
        .hint("run the same command again: what was bought comes again and costs nothing")
}
