//! `farthing renew`: leave a channel whose payee counts otherwise.

use crate::channels::pick;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::short;
use clap::Args;
use farthing::core::{Address, Amount, ChannelId};
use farthing::payer::PaidChannel;
use serde::Serialize;

/// Leave a channel, so that the next purchase from its site begins a new one
///
/// For a creator that counts more as spent than this store has promised, and so refuses every voucher (delta-too-small):
/// after a disk was set back, or if its ledger is wrong. It is no transaction and costs nothing. Credit starts small
/// again, and what is reserved in the old channel has to be taken back with farthing request-close.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing renew https://news.example
  farthing renew --all")]
pub(crate) struct Renew {
    /// Leave the channel to this site, or the one of this id
    #[arg(value_name = "SITE_OR_CHANNEL", required_unless_present = "all")]
    channel: Option<String>,

    /// Leave every channel: after the whole disk was set back
    #[arg(long, conflicts_with = "channel")]
    all: bool,
}

#[derive(Serialize)]
struct Renewed {
    channels: Vec<Left>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    channel_id: ChannelId,
    origin: String,
    payee: Address,
    /// What was reserved when that was last looked at.
    #[serde(skip)]
    guaranteed: Amount,
}

pub(super) async fn run(context: &Context, command: &Renew) -> Result<(), Failure> {
    let store = context.payer_store().await?;
    let left = match &command.channel {
        Some(text) => {
            let paid = pick(&store, text).await?;
            let was_in_use = store.renew_channel(paid.channel.id(&paid.deployment)).await?;
            if was_in_use { vec![paid] } else { Vec::new() }
        }
        None => {
            let channels = store.channels().await?.into_iter().filter(|paid| !paid.retired).collect();
            store.renew_channels().await?;
            channels
        }
    };
    let renewed = Renewed { channels: left.into_iter().map(Left::from).collect() };
    context.output.result(&renewed, || renewed.text())
}

impl From<PaidChannel> for Left {
    fn from(paid: PaidChannel) -> Self {
        let channel_id = paid.channel.id(&paid.deployment);
        Self { channel_id, origin: paid.origin, payee: paid.channel.payee, guaranteed: paid.guaranteed }
    }
}

impl Renewed {
    fn text(&self) -> String {
        let mut text = match self.channels.len() {
            0 => return "there is no channel to leave".to_owned(),
            1 => "1 channel is left; the next purchase begins a new one".to_owned(),
            count => format!("{count} channels are left; the next purchase from each site begins a new one"),
        };
        for Left { channel_id, origin, guaranteed, .. } in &self.channels {
            text += &format!("\n{}  {origin}", short(channel_id));
            if !guaranteed.is_zero() {
                text += &format!("\n  what is reserved in it comes back with farthing request-close {channel_id}");
            }
        }
        text
    }
}
