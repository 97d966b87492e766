//! `farthing refund`: give a price back.

use super::close::parse_channel;
use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::gateway::AdminRequest;
use crate::ledger::DataPlace;
use clap::Args;
use farthing::core::ledger::CreditRefusal;
use farthing::core::text::harmless;
use farthing::core::wire::SignedReceipt;
use farthing::core::{Amount, ChannelId, Token};
use farthing::payee::refund::{Refund, RefundError, refund};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Give back what an item cost, or a part of it: less is redeemed from the channel from then on
///
/// No transaction is sent. What was redeemed already counts towards what the channel buys later; the buyer keeps the item.
/// A charge is given back from once, and the same again changes nothing.
#[derive(Debug, Args)]
#[command(override_usage = "farthing refund [OPTIONS] CHANNEL VOUCHER [FOLDER]\n       \
                            farthing refund [OPTIONS] --receipt FILE [FOLDER]")]
#[command(after_help = "\
Examples:
  farthing refund 0x5d6c…the-full-id 1.50 nocturne-records
  farthing refund --receipt receipt.json --amount 0.25 nocturne-records

farthing earnings --by charge --json lists channels and vouchers; a listener finds both in farthing history --json.")]
pub(crate) struct GiveBack {
    /// Give back the charge of this channel's voucher, by the voucher's total, and use the ledger of this folder
    #[arg(value_name = "CHANNEL VOUCHER [FOLDER]", num_args = 0..=3)]
    charge: Vec<String>,

    /// Give back what this receipt is for: a JSON file as farthing get and history write it, or - for standard input
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    /// Give back only this much of the price
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,

    #[command(flatten)]
    data: DataPlace,
}

/// How a command line names a charge.
enum Named<'a> {
    Voucher { channel: &'a str, voucher: &'a str },
    Receipt(&'a Path),
}

/// A receipt, or a purchase with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReceiptFile {
    Receipt(Box<SignedReceipt>),
    Purchase { receipt: Box<SignedReceipt> },
}

impl GiveBack {
    fn named(&self) -> Result<(Named<'_>, &Path), Failure> {
        let words: Vec<&str> = self.charge.iter().map(String::as_str).collect();
        match (&self.receipt, words.as_slice()) {
            (Some(receipt), []) => Ok((Named::Receipt(receipt), Path::new("."))),
            (Some(receipt), [folder]) => Ok((Named::Receipt(receipt), Path::new(*folder))),
            (None, [channel, voucher]) => Ok((Named::Voucher { channel, voucher }, Path::new("."))),
            (None, [channel, voucher, folder]) => Ok((Named::Voucher { channel, voucher }, Path::new(*folder))),
            (receipt, _) => {
                let missing = if receipt.is_some() {
                    "a receipt names channel and voucher already"
                } else {
                    "a channel's id and a voucher's total are needed, or a receipt"
                };
                Err(Failure::new(Code::Usage, missing)
                    .hint("write farthing refund CHANNEL VOUCHER [FOLDER], or farthing refund --receipt FILE [FOLDER]"))
            }
        }
    }
}

pub(super) async fn run(context: &Context, command: &GiveBack) -> Result<(), Failure> {
    let (named, folder) = command.named()?;
    let data = command.data.of(folder)?;
    let record = data.record()?;
    let token = &record.token;
    let (channel_id, cumulative_amount) = match named {
        Named::Voucher { channel, voucher } => {
            let channel_id =
                parse_channel(channel).map_err(|message| Failure::new(Code::Usage, message).hint(LISTED))?;
            (channel_id, amounts::parse(token, voucher)?)
        }
        Named::Receipt(file) => charge_of(file)?,
    };
    let amount = command.amount.as_deref().map(|text| amounts::parse_positive(token, text)).transpose()?;
    let request = AdminRequest::Refund { channel_id, cumulative_amount, amount };
    let refunded: Refund = match data.ask(&request).await? {
        Some(refunded) => refunded,
        None => {
            let (_, store) = data.read().await?;
            let refunded = refund(store.as_ref(), (channel_id, cumulative_amount), amount).await;
            refunded.map_err(|error| refund_failure(error, token))?
        }
    };
    context.output.result(&refunded, || text(&refunded, token))
}

const LISTED: &str = "farthing earnings --by charge --json lists channels and vouchers";

fn charge_of(file: &Path) -> Result<(ChannelId, Amount), Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", file.display())).hint(RECEIPT))?;
    let receipt: ReceiptFile = serde_json::from_str(&text)
        .map_err(|_| Failure::new(Code::Usage, format!("{} holds no receipt", file.display())).hint(RECEIPT))?;
    let (ReceiptFile::Receipt(signed) | ReceiptFile::Purchase { receipt: signed }) = receipt;
    Ok((signed.receipt.channel_id, signed.receipt.cumulative_amount))
}

const RECEIPT: &str = "name a file with a receipt, as farthing get --json and farthing history --json write it";

/// Why nothing is given back, with amounts as people write them.
pub(in crate::commands) fn refund_failure(error: RefundError, token: &Token) -> Failure {
    let usage = |message: String| Failure::new(Code::Usage, message);
    match error {
        RefundError::Store(error) => error.into(),
        RefundError::Refused(CreditRefusal::NoSuchCharge { cumulative_amount }) => {
            usage(format!("nothing was charged to a voucher for {} there", token.format(cumulative_amount)))
                .hint(LISTED)
        }
        RefundError::Refused(CreditRefusal::TooMuch { item, price, amount }) => {
            let (price, amount) = (token.format(price), token.format(amount));
            usage(format!("{item} cost {price}, so {amount} can't be given back")).hint("name less with --amount")
        }
        RefundError::Refused(CreditRefusal::AlreadyCredited { item, credited }) => {
            let credited = token.format(credited);
            usage(format!("{credited} was given back for {item} before"))
                .hint("a charge is given back from once; what goes beyond is a matter between you and the buyer")
        }
        RefundError::Refused(CreditRefusal::Nothing { item }) => {
            usage(format!("nothing is to be given back for {item}")).hint("it cost nothing")
        }
        error => Failure::new(Code::Unexpected, error),
    }
}

fn text(refunded: &Refund, token: &Token) -> String {
    let money = |amount| token.format(amount);
    let before = if refunded.again { " (before)" } else { "" };
    let mut text = format!(
        "gave back {} of the {} for {}{before}\nchannel   {}\ndue       {}\nredeemed  {}",
        money(refunded.credited),
        money(refunded.price),
        harmless(&refunded.item),
        refunded.channel_id,
        money(refunded.due),
        money(refunded.redeemed),
    );
    if refunded.redeemed > refunded.due {
        text += "\nwhat was redeemed beyond what is due counts towards later items";
    }
    text
}
