//! A ledger's past, for [replaying](farthing_core::replay): what was charged since a moment, and what was owed then.

use super::store::{PayeeStore, Record, RecordKind, StoreError};
use farthing_core::ledger::Charge;
use farthing_core::replay::{Past, PastChannel, PastCharge};
use farthing_core::{Amount, ChannelId, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// What a ledger says of the time from `start` on. What was given back of a charge, whenever that was, is taken off it;
/// what the chain has paid since `start` is left out, for the replay redeems in its own way.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn past(store: &dyn PayeeStore, start: Timestamp) -> Result<Past, StoreError> {
    let mut gathered = Gathered::default();
    // What charges are set against comes before them.
    for kind in [RecordKind::Channel, RecordKind::FinalRedemption, RecordKind::Credit, RecordKind::Charge] {
        store
            .visit(&[kind], &mut |record| {
                gathered.take(record, start);
                Ok(())
            })
            .await?;
    }
    Ok(gathered.finish())
}

#[derive(Default)]
struct Gathered {
    past: Past,
    credits: HashMap<(ChannelId, Amount), Amount>,
    /// What each channel had been charged in all before `start`.
    due_before: BTreeMap<ChannelId, Amount>,
}

impl Gathered {
    fn take(&mut self, record: Record, start: Timestamp) {
        match record {
            Record::Channel { channel_id, books } => {
                let channel = books.channel;
                let is_long = channel.authorized_signer != channel.payer || !channel.salt.is_zero();
                let (opening, redeemed) = (Amount::ZERO, Amount::ZERO);
                let account_id = channel.account().id();
                let channel = PastChannel { account_id, opening, since: start, redeemed, is_long };
                self.past.channels.insert(channel_id, channel);
            }
            Record::FinalRedemption { channel_id, redemption } if redemption.at < start => {
                if let Some(channel) = self.past.channels.get_mut(&channel_id) {
                    channel.redeemed = channel.redeemed.max(redemption.redeemed);
                }
            }
            Record::Credit { channel_id, credit } => {
                self.credits.insert((channel_id, credit.cumulative_amount), credit.amount);
            }
            Record::Charge { channel_id, charge } => self.charge(channel_id, &charge, start),
            _ => {}
        }
    }

    fn charge(&mut self, channel_id: ChannelId, charge: &Charge, start: Timestamp) {
        let credited = self.credits.get(&(channel_id, charge.cumulative_amount)).copied().unwrap_or_default();
        let amount = charge.price.saturating_sub(credited);
        if charge.at >= start {
            self.past.charges.push(PastCharge { channel_id, amount, at: charge.at });
            return;
        }
        let due = self.due_before.entry(channel_id).or_default();
        *due = due.saturating_add(amount);
        let channel = self.past.channels.get_mut(&channel_id);
        if let Some(channel) = channel.filter(|channel| charge.cumulative_amount > channel.redeemed) {
            channel.since = channel.since.min(charge.at);
        }
    }

    fn finish(mut self) -> Past {
        for (channel_id, due) in self.due_before {
            if let Some(channel) = self.past.channels.get_mut(&channel_id) {
                channel.opening = due.saturating_sub(channel.redeemed);
            }
        }
        self.past
    }
}
