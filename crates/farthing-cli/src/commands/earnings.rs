//! `farthing earnings`: the ledger added up.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::ledger::{AdminRequest, EarningsReport, LedgerPlace, report};
use crate::output::{render, short, short_address, table};
use clap::Args;
use farthing::core::{Address, Amount, ChannelId};
use serde::Deserialize;

/// Show what was sold, what it came to and what is still to be redeemed
///
/// Asks the gateway if one runs on the ledger, else reads the ledger; the chain is not asked. Redeemed is what the chain
/// has finally paid, so a redemption of a moment ago is not in it yet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing earnings nocturne-records
  farthing earnings --data /var/lib/farthing --json")]
pub(crate) struct Earned {
    #[command(flatten)]
    place: LedgerPlace,
}

/// The parts of the report that are shown in tables.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    items_sold: u64,
    earned: Amount,
    redeemed: Amount,
    outstanding: Amount,
    items: Vec<ShownItem>,
    channels: Vec<ShownChannel>,
}

#[derive(Deserialize)]
struct ShownItem {
    item: String,
    sold: u64,
    earned: Amount,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShownChannel {
    channel_id: ChannelId,
    payer: Address,
    spent: Amount,
    redeemed: Amount,
}

pub(super) async fn run(context: &Context, command: &Earned) -> Result<(), Failure> {
    let data = command.place.data();
    let earned: EarningsReport = match data.ask(&AdminRequest::Earnings).await? {
        Some(earned) => earned,
        None => {
            let (record, store) = data.read()?;
            report(&store, record.identity.payee, &record.token).await?
        }
    };
    let shown: Shown =
        serde_json::from_value(earned.earnings.clone()).map_err(|error| Failure::new(Code::Unexpected, error))?;
    context.output.result(&earned, || shown.text(&earned))
}

impl Shown {
    fn text(&self, report: &EarningsReport) -> String {
        let money = |amount| report.token.format(amount);
        let mut text = format!(
            "payee       {}\nsold        {}\nearned      {}\nredeemed    {}\noutstanding {}\n",
            report.payee,
            self.items_sold,
            money(self.earned),
            money(self.redeemed),
            money(self.outstanding)
        );
        if !self.items.is_empty() {
            let mut items = table(&["item", "sold", "earned"], &[1, 2]);
            for item in &self.items {
                items.add_row([item.item.clone(), item.sold.to_string(), money(item.earned)]);
            }
            text += &format!("\n{}\n", render(&items));
        }
        if !self.channels.is_empty() {
            let mut channels = table(&["channel", "payer", "spent", "redeemed"], &[2, 3]);
            for channel in &self.channels {
                let (id, payer) = (short(channel.channel_id), short_address(channel.payer));
                channels.add_row([id, payer, money(channel.spent), money(channel.redeemed)]);
            }
            text += &format!("\n{}\n", render(&channels));
        }
        text
    }
}
