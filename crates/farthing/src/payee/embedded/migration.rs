//! Ledgers of older versions, brought up to date when they are opened.

use super::shelves::pack_all;
use super::tables::{
    BOOKS, FINAL_REDEMPTIONS, REDEMPTIONS, RELAYED, Rowset, SIGNERS, amount_key, channel_id_of, decode, index_key, put,
    put_redemptions,
};
use crate::chain::Fees;
use crate::payee::store::{Redemption, RedemptionState, Relayed};
use farthing_core::ledger::{ChannelBooks, Charge, FinalRedemption, RequestId};
use farthing_core::{Address, Amount, B256, Channel, ChannelId, Timestamp, VoucherSignature};
use redb::{Error as Trouble, ReadableTable, TableDefinition, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Until version 3: channel id, cumulative amount → charge.
const CHARGES: Rowset = TableDefinition::new("charges");

/// Until version 3: signer, request → a charge's key.
const PURCHASES: Rowset = TableDefinition::new("purchases");

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

/// From version 3: a channel's charges are packed, and what a key has bought is found through its channels.
pub(super) fn from_version_three(transaction: &WriteTransaction) -> Result<(), Trouble> {
    {
        let (books, mut signers) = (transaction.open_table(BOOKS)?, transaction.open_table(SIGNERS)?);
        for entry in books.iter()? {
            let (key, value) = entry?;
            let books = decode::<ChannelBooks>(value.value())?;
            let key: [u8; 52] = index_key(books.channel.authorized_signer.as_slice(), channel_id_of(key.value()));
            signers.insert(key.as_slice(), ())?;
        }
    }
    pack_all(transaction, &transaction.open_table(CHARGES)?)?;
    transaction.delete_table(CHARGES)?;
    transaction.delete_table(PURCHASES)?;
    Ok(())
}

/// From version 1: what the chain has finally paid becomes an entry, of block 0.
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
    charges(transaction)?;
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

fn charges(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let renewed: Vec<(Vec<u8>, Charge)> = all::<ChargeOne>(transaction, CHARGES)?
        .into_iter()
        .map(|(key, ChargeOne { cumulative_amount, signature, price, item, request, at })| {
            let unearned_credit = Amount::ZERO;
            (key, Charge { cumulative_amount, signature, price, item, request, unearned_credit, at })
        })
        .collect();
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
