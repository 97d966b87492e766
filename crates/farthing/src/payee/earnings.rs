//! What was earned: the ledger added up, in all or by item, day, channel, payer or charge, over a period or over all
//! time. The ledger is read once, and what does not belong to the question is not kept.

use super::posting::ChargeId;
use super::store::{PayeeStore, Record, RecordKind, StoreError};
use farthing_core::ledger::{ChannelBooks, Charge, FinalRedemption};
use farthing_core::{Address, Amount, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// From when to when. Nothing set is all time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The first moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The first moment after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Period {
    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

/// The ledger added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earnings {
    /// How many items were sold.
    pub items_sold: u64,
    /// What they cost together.
    pub earned: Amount,
    /// What of it was given back.
    pub credited: Amount,
    /// What the chain has finally paid.
    pub redeemed: Amount,
    /// What is still to be redeemed now, whatever the period.
    pub outstanding: Amount,
    /// Per item, the most earned first.
    pub items: Vec<ItemEarnings>,
    /// Per channel, the most earned first.
    pub channels: Vec<ChannelEarnings>,
}

/// By what earnings are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named as what it is by")]
pub enum Grouping {
    Item,
    Day,
    Channel,
    Payer,
    Charge,
}

/// Earnings by something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", content = "rows", rename_all = "camelCase")]
pub enum EarningsBy {
    /// The most earned first.
    Item(Vec<ItemEarnings>),
    /// In order, without days on which nothing happened.
    Day(Vec<DayEarnings>),
    /// The most earned first.
    Channel(Vec<ChannelEarnings>),
    /// The most earned first.
    Payer(Vec<PayerEarnings>),
    /// In order of time.
    Charge(Vec<ChargeEarnings>),
}

/// One item's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemEarnings {
    /// The item's path.
    pub item: String,
    /// How often it was sold.
    pub sold: u64,
    /// What that came to.
    pub earned: Amount,
    /// What of it was given back.
    pub credited: Amount,
}

/// One day's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayEarnings {
    /// The UTC day, as `2026-01-31`.
    pub day: String,
    /// How many items were sold.
    pub sold: u64,
    /// What they cost together.
    pub earned: Amount,
    /// What was given back on this day, whenever it was earned.
    pub credited: Amount,
    /// What was seen as finally paid on this day.
    pub redeemed: Amount,
}

/// One channel's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelEarnings {
    /// The channel.
    pub channel_id: ChannelId,
    /// Who pays.
    pub payer: Address,
    /// Who signs.
    pub authorized_signer: Address,
    /// The highest voucher held now, whatever the period.
    pub accepted: Amount,
    /// How many items were sold.
    pub sold: u64,
    /// What was charged.
    pub spent: Amount,
    /// What was given back.
    pub credited: Amount,
    /// What the chain has finally paid.
    pub redeemed: Amount,
    /// What is still to be redeemed now, whatever the period.
    pub outstanding: Amount,
}

/// One payer's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayerEarnings {
    /// Who pays.
    pub payer: Address,
    /// Through how many channels.
    pub channels: u64,
    /// How many items were sold.
    pub sold: u64,
    /// What they cost together.
    pub earned: Amount,
    /// What of it was given back.
    pub credited: Amount,
    /// What the chain has finally paid.
    pub redeemed: Amount,
    /// What is still to be redeemed now, whatever the period.
    pub outstanding: Amount,
}

/// One charge. Channel and cumulative amount are its id: what a refund names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeEarnings {
    /// When.
    pub at: Timestamp,
    /// The channel.
    pub channel_id: ChannelId,
    /// The cumulative amount of the voucher that paid.
    pub cumulative_amount: Amount,
    /// Who pays.
    pub payer: Address,
    /// The item's path.
    pub item: String,
    /// What it cost.
    pub price: Amount,
    /// What of it was given back, whenever that was.
    pub credited: Amount,
}

/// Adds up a ledger.
///
/// # Errors
///
/// If it can't be read.
pub async fn earnings(store: &dyn PayeeStore, period: Period) -> Result<Earnings, StoreError> {
    let (mut items, mut channels) = (Items::default(), Channels::default());
    let mut total = Earnings::default();
    read(store, period, &mut |entry| {
        match &entry {
            Posted::Channel(_, books) => total.outstanding = total.outstanding.saturating_add(books.outstanding()),
            Posted::Charge(_, charge, _) => {
                total.items_sold += 1;
                total.earned = total.earned.saturating_add(charge.price);
            }
            Posted::Credit { amount, .. } => total.credited = total.credited.saturating_add(*amount),
            Posted::Redeemed(_, redemption) => total.redeemed = total.redeemed.saturating_add(redemption.paid),
        }
        items.post(&entry);
        channels.post(&entry);
    })
    .await?;
    total.items = items.rows();
    total.channels = channels.rows(period);
    Ok(total)
}

/// Adds up a ledger by something.
///
/// # Errors
///
/// If it can't be read.
pub async fn earnings_by(store: &dyn PayeeStore, grouping: Grouping, period: Period) -> Result<EarningsBy, StoreError> {
    match grouping {
        Grouping::Item => {
            let mut items = Items::default();
            read(store, period, &mut |entry| items.post(&entry)).await?;
            Ok(EarningsBy::Item(items.rows()))
        }
        Grouping::Day => {
            let mut days = Days::default();
            read(store, period, &mut |entry| days.post(&entry)).await?;
            Ok(EarningsBy::Day(days.0.into_values().collect()))
        }
        Grouping::Channel => {
            let mut channels = Channels::default();
            read(store, period, &mut |entry| channels.post(&entry)).await?;
            Ok(EarningsBy::Channel(channels.rows(period)))
        }
        Grouping::Payer => {
            let mut channels = Channels::default();
            read(store, period, &mut |entry| channels.post(&entry)).await?;
            Ok(EarningsBy::Payer(by_payer(channels.rows(period))))
        }
        Grouping::Charge => {
            let (mut charges, mut payers) = (Vec::new(), HashMap::new());
            read(store, period, &mut |entry| post_charge(&mut charges, &mut payers, &entry)).await?;
            charges.sort_by_key(|charge| (charge.at, charge.channel_id, charge.cumulative_amount));
            Ok(EarningsBy::Charge(charges))
        }
    }
}

/// What matters of a ledger for adding it up, within the period.
enum Posted<'a> {
    /// A channel, whatever the period. Before anything else of it.
    Channel(ChannelId, &'a ChannelBooks),
    /// A charge, and what was given back of it, whenever that was.
    Charge(ChannelId, &'a Charge, Amount),
    /// What was given back of a charge, whenever that was.
    Credit {
        channel_id: ChannelId,
        item: &'a str,
        amount: Amount,
        at: Timestamp,
    },
    Redeemed(ChannelId, &'a FinalRedemption),
}

async fn read(
    store: &dyn PayeeStore,
    period: Period,
    post: &mut (dyn FnMut(Posted<'_>) + Send),
) -> Result<(), StoreError> {
    // A credit names its charge's voucher, not its item; there are few of them, so they are what is kept.
    let mut credits: BTreeMap<ChargeId, (Amount, Timestamp)> = BTreeMap::new();
    let kinds = [RecordKind::Channel, RecordKind::Credit, RecordKind::Charge, RecordKind::FinalRedemption];
    store
        .visit(&kinds, &mut |record| {
            match record {
                Record::Channel { channel_id, books } => post(Posted::Channel(channel_id, &books)),
                Record::Credit { channel_id, credit } => {
                    credits.insert((channel_id, credit.cumulative_amount), (credit.amount, credit.at));
                }
                Record::Charge { channel_id, charge } => {
                    let credit = credits.remove(&(channel_id, charge.cumulative_amount));
                    if period.contains(charge.at) {
                        let credited = credit.map_or(Amount::ZERO, |(amount, _)| amount);
                        post(Posted::Charge(channel_id, &charge, credited));
                    }
                    if let Some((amount, at)) = credit.filter(|(_, at)| period.contains(*at)) {
                        post(Posted::Credit { channel_id, item: &charge.item, amount, at });
                    }
                }
                Record::FinalRedemption { channel_id, redemption } => {
                    if period.contains(redemption.at) {
                        post(Posted::Redeemed(channel_id, &redemption));
                    }
                }
                Record::Redemption { .. } | Record::Relayed { .. } | Record::Strangers { .. } => {}
            }
            Ok(())
        })
        .await
}

#[derive(Default)]
struct Items(BTreeMap<String, ItemEarnings>);

impl Items {
    fn post(&mut self, entry: &Posted<'_>) {
        match entry {
            Posted::Charge(_, charge, _) => {
                let row = self.row(&charge.item);
                row.sold += 1;
                row.earned = row.earned.saturating_add(charge.price);
            }
            Posted::Credit { item, amount, .. } => {
                let row = self.row(item);
                row.credited = row.credited.saturating_add(*amount);
            }
            Posted::Channel(..) | Posted::Redeemed(..) => {}
        }
    }

    fn row(&mut self, item: &str) -> &mut ItemEarnings {
        let new = || ItemEarnings { item: item.to_owned(), ..ItemEarnings::default() };
        self.0.entry(item.to_owned()).or_insert_with(new)
    }

    fn rows(self) -> Vec<ItemEarnings> {
        let mut rows: Vec<ItemEarnings> = self.0.into_values().collect();
        rows.sort_by(|first, second| second.earned.cmp(&first.earned).then_with(|| first.item.cmp(&second.item)));
        rows
    }
}

#[derive(Default)]
struct Channels(HashMap<ChannelId, ChannelEarnings>);

impl Channels {
    fn post(&mut self, entry: &Posted<'_>) {
        match entry {
            Posted::Channel(channel_id, books) => {
                self.0.insert(*channel_id, ChannelEarnings::new(*channel_id, books));
            }
            Posted::Charge(channel_id, charge, _) => {
                if let Some(row) = self.0.get_mut(channel_id) {
                    row.sold += 1;
                    row.spent = row.spent.saturating_add(charge.price);
                }
            }
            Posted::Credit { channel_id, amount, .. } => {
                if let Some(row) = self.0.get_mut(channel_id) {
                    row.credited = row.credited.saturating_add(*amount);
                }
            }
            Posted::Redeemed(channel_id, redemption) => {
                if let Some(row) = self.0.get_mut(channel_id) {
                    row.redeemed = row.redeemed.saturating_add(redemption.paid);
                }
            }
        }
    }

    /// All channels; of a period only those that something happened on.
    fn rows(self, period: Period) -> Vec<ChannelEarnings> {
        let mut rows: Vec<ChannelEarnings> = self.0.into_values().collect();
        if period != Period::default() {
            rows.retain(|row| row.sold > 0 || !row.credited.is_zero() || !row.redeemed.is_zero());
        }
        rows.sort_by_key(|row| (Reverse(row.spent), row.channel_id));
        rows
    }
}

impl ChannelEarnings {
    fn new(channel_id: ChannelId, books: &ChannelBooks) -> Self {
        let nothing = Amount::ZERO;
        Self {
            channel_id,
            payer: books.channel.payer,
            authorized_signer: books.channel.authorized_signer,
            accepted: books.accepted,
            sold: 0,
            spent: nothing,
            credited: nothing,
            redeemed: nothing,
            outstanding: books.outstanding(),
        }
    }
}

fn by_payer(channels: Vec<ChannelEarnings>) -> Vec<PayerEarnings> {
    let mut payers: BTreeMap<Address, PayerEarnings> = BTreeMap::new();
    for channel in channels {
        let (payer, nothing) = (channel.payer, Amount::ZERO);
        let row = payers.entry(payer).or_insert(PayerEarnings {
            payer,
            channels: 0,
            sold: 0,
            earned: nothing,
            credited: nothing,
            redeemed: nothing,
            outstanding: nothing,
        });
        row.channels += 1;
        row.sold += channel.sold;
        row.earned = row.earned.saturating_add(channel.spent);
        row.credited = row.credited.saturating_add(channel.credited);
        row.redeemed = row.redeemed.saturating_add(channel.redeemed);
        row.outstanding = row.outstanding.saturating_add(channel.outstanding);
    }
    let mut rows: Vec<PayerEarnings> = payers.into_values().collect();
    rows.sort_by_key(|row| (Reverse(row.earned), row.payer));
    rows
}

#[derive(Default)]
struct Days(BTreeMap<u64, DayEarnings>);

impl Days {
    fn post(&mut self, entry: &Posted<'_>) {
        match entry {
            Posted::Channel(..) => {}
            Posted::Charge(_, charge, _) => {
                let row = self.row(charge.at);
                row.sold += 1;
                row.earned = row.earned.saturating_add(charge.price);
            }
            Posted::Credit { amount, at, .. } => {
                let row = self.row(*at);
                row.credited = row.credited.saturating_add(*amount);
            }
            Posted::Redeemed(_, redemption) => {
                let row = self.row(redemption.at);
                row.redeemed = row.redeemed.saturating_add(redemption.paid);
            }
        }
    }

    fn row(&mut self, at: Timestamp) -> &mut DayEarnings {
        let new = || DayEarnings { day: at.date(), ..DayEarnings::default() };
        self.0.entry(at.day()).or_insert_with(new)
    }
}

fn post_charge(charges: &mut Vec<ChargeEarnings>, payers: &mut HashMap<ChannelId, Address>, entry: &Posted<'_>) {
    match entry {
        Posted::Channel(channel_id, books) => {
            payers.insert(*channel_id, books.channel.payer);
        }
        Posted::Charge(channel_id, charge, credited) => charges.push(ChargeEarnings {
            at: charge.at,
            channel_id: *channel_id,
            cumulative_amount: charge.cumulative_amount,
            payer: payers.get(channel_id).copied().unwrap_or_default(),
            item: charge.item.clone(),
            price: charge.price,
            credited: *credited,
        }),
        Posted::Credit { .. } | Posted::Redeemed(..) => {}
    }
}
