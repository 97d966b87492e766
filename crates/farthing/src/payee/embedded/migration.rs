//! Ledgers of older versions, brought up to date when they are opened.

use super::tables::{
    BOOKS, CHARGES, FINAL_REDEMPTIONS, PURCHASES, REDEMPTIONS, RELAYED, Rowset, amount_key, channel_id_of, decode,
    purchase_key, put, put_redemptions,
};
use crate::chain::Fees;
use crate::payee::store::{Redemption, RedemptionState, Relayed};
use farthing_core::ledger::{ChannelBooks, Charge, FinalRedemption, RequestId};
use farthing_core::{Address, Amount, B256, Channel, ChannelId, Timestamp, VoucherSignature};
use redb::{Error as Trouble, ReadableTable, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Books of version 1: nothing could be given back.
#[derive(Deserialize)]
struct BooksOne {
    channel: Channel,
    accepted: Amount,
    spent: Amount,
    redeemed: Amount,
}

/// A charge of version 1: how much of it was unearned credit was in the day's sum only.
#[derive(Deserialize)]
struct ChargeOne {
    cumulative_amount: Amount,
    signature: VoucherSignature,
    price: Amount,
    item: String,
    request: RequestId,
    at: Timestamp,
}

/// What was relayed, in version 1.
#[derive(Deserialize)]
struct RelayedOne {
    request: B256,
    hash: B256,
    day: u64,
    cost: Amount,
}

/// A redemption of versions 1 and 2.
#[derive(Deserialize)]
struct RedemptionTwo {
    hash: B256,
    sender: Address,
    nonce: u64,
    fees: Fees,
    vouchers: Vec<(ChannelId, Amount)>,
    closes: bool,
    at: Timestamp,
    state: RedemptionStateTwo,
}

/// What became of it: nothing was final, and nobody looked again at what was mined.
#[derive(Deserialize)]
enum RedemptionStateTwo {
    Sent,
    Mined {
        block: u64,
        gas_used: u64,
        #[serde(with = "crate::chain::wei")]
        gas_price: u128,
    },
    Failed,
}

impl From<RedemptionTwo> for Redemption {
    fn from(redemption: RedemptionTwo) -> Self {
        let RedemptionTwo { hash, sender, nonce, fees, vouchers, closes, at, state } = redemption;
        let state = match state {
            RedemptionStateTwo::Sent => RedemptionState::Sent,
            RedemptionStateTwo::Mined { block, gas_used, gas_price } => {
                RedemptionState::Final { block, gas_used, gas_price }
            }
            RedemptionStateTwo::Failed => RedemptionState::Failed,
        };
        Self { hash, sender, nonce, fees, vouchers, closes, at, state }
    }
}

/// From version 2: what was mined was taken for settled, so it becomes final; what is not settled gets an index.
pub(super) fn from_version_two(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let redemptions = all::<RedemptionTwo>(transaction, REDEMPTIONS)?;
    let redemptions: Vec<Redemption> = redemptions.into_iter().map(|(_, redemption)| redemption.into()).collect();
    put_redemptions(transaction, redemptions.iter())
}

/// From version 1: purchases get rows of their own, and what the chain has finally paid becomes an entry, of block 0.
pub(super) fn from_version_one(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let books = all::<BooksOne>(transaction, BOOKS)?;
    let books: Vec<(ChannelId, ChannelBooks)> = books
        .into_iter()
        .map(|(key, BooksOne { channel, accepted, spent, redeemed })| {
            let credited = Amount::ZERO;
            (channel_id_of(&key), ChannelBooks { channel, accepted, spent, credited, redeemed })
        })
        .collect();
    put(transaction, BOOKS, books.iter().map(|(id, books)| (id.0, books)))?;
    let at = Timestamp::from_unix_seconds(0);
    let finals = books.iter().filter(|(_, books)| !books.redeemed.is_zero());
    let finals: Vec<([u8; 48], FinalRedemption)> = finals
        .map(|(id, ChannelBooks { redeemed, .. })| {
            (amount_key(*id, *redeemed), FinalRedemption { redeemed: *redeemed, paid: *redeemed, block: 0, at })
        })
        .collect();
    put(transaction, FINAL_REDEMPTIONS, finals.iter().map(|(key, redemption)| (key, redemption)))?;
    charges(transaction, &books)?;
    let relayed = all::<RelayedOne>(transaction, RELAYED)?;
    let relayed: Vec<Relayed> = relayed
        .into_iter()
        .map(|(_, RelayedOne { request, hash, day, cost })| Relayed {
            request,
            hash,
            at: Timestamp::from_unix_seconds(day.saturating_mul(86_400)),
            cost,
        })
        .collect();
    put(transaction, RELAYED, relayed.iter().map(|relayed| (relayed.hash, relayed)))
}

fn charges(transaction: &WriteTransaction, books: &[(ChannelId, ChannelBooks)]) -> Result<(), Trouble> {
    let mut purchases = transaction.open_table(PURCHASES)?;
    let mut renewed = Vec::new();
    for (key, charge) in all::<ChargeOne>(transaction, CHARGES)? {
        let ChargeOne { cumulative_amount, signature, price, item, request, at } = charge;
        let unearned_credit = Amount::ZERO;
        let charge = Charge { cumulative_amount, signature, price, item, request, unearned_credit, at };
        let channel_id = channel_id_of(&key);
        let orphan = || Trouble::Corrupted(format!("a charge belongs to channel {channel_id}, which has no books"));
        let (_, books) = books.iter().find(|(id, _)| *id == channel_id).ok_or_else(orphan)?;
        purchases.insert(purchase_key(&charge.purchase(&books.channel)).as_slice(), key.as_slice())?;
        renewed.push((key, charge));
    }
    put(transaction, CHARGES, renewed.iter().map(|(key, charge)| (key, charge)))
}

fn all<T: DeserializeOwned>(transaction: &WriteTransaction, table: Rowset) -> Result<Vec<(Vec<u8>, T)>, Trouble> {
    let table = transaction.open_table(table)?;
    table
        .iter()?
        .map(|entry| {
            entry.map_err(Trouble::from).and_then(|(key, value)| Ok((key.value().to_vec(), decode(value.value())?)))
        })
        .collect()
}
