//! What was earned: the ledger added up, per item and per channel.

use super::store::{PayeeStore, StoreError};
use farthing_core::{Address, Amount, ChannelId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The ledger added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earnings {
    /// How many items were sold.
    pub items_sold: u64,
    /// What they cost together.
    pub earned: Amount,
    /// What the chain has finally paid.
    pub redeemed: Amount,
    /// What is still to be redeemed.
    pub outstanding: Amount,
    /// Per item.
    pub items: Vec<ItemEarnings>,
    /// Per channel.
    pub channels: Vec<ChannelEarnings>,
}

/// One item's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemEarnings {
    /// The item's path.
    pub item: String,
    /// How often it was sold.
    pub sold: u64,
    /// What that came to.
    pub earned: Amount,
}

/// One channel's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelEarnings {
    /// The channel.
    pub channel_id: ChannelId,
    /// Who pays.
    pub payer: Address,
    /// Who signs.
    pub authorized_signer: Address,
    /// The highest voucher held.
    pub accepted: Amount,
    /// What was charged.
    pub spent: Amount,
    /// What the chain has finally paid.
    pub redeemed: Amount,
}

/// Adds up a ledger.
///
/// # Errors
///
/// If it can't be read.
pub async fn earnings(store: &dyn PayeeStore) -> Result<Earnings, StoreError> {
    let mut total = Earnings::default();
    let mut items: BTreeMap<String, ItemEarnings> = BTreeMap::new();
    for (_, charge) in store.all_charges().await? {
        total.items_sold += 1;
        total.earned = total.earned.saturating_add(charge.price);
        let entry = items.entry(charge.item.clone()).or_insert_with(|| ItemEarnings {
            item: charge.item,
            sold: 0,
            earned: Amount::ZERO,
        });
        entry.sold += 1;
        entry.earned = entry.earned.saturating_add(charge.price);
    }
    for (channel_id, books) in store.all_books().await? {
        total.redeemed = total.redeemed.saturating_add(books.redeemed);
        total.outstanding = total.outstanding.saturating_add(books.outstanding());
        total.channels.push(ChannelEarnings {
            channel_id,
            payer: books.channel.payer,
            authorized_signer: books.channel.authorized_signer,
            accepted: books.accepted,
            spent: books.spent,
            redeemed: books.redeemed,
        });
    }
    total.items = items.into_values().collect();
    total.items.sort_by(|first, second| second.earned.cmp(&first.earned).then(first.item.cmp(&second.item)));
    Ok(total)
}
