//! Reading and writing single records.

use super::epoch::Lineage;
use super::records::{
    ACCOUNTS, AccountKey, BY_DAY, BY_REQUEST, BY_VOUCHER, CHANNELS, CachedOffer, FundedAccount, HELD, JOURNAL, META,
    OFFERS, PAYEES, PaidChannel, Promise, PromiseId, decode, encode,
};
use super::{StoreError, failed};
use farthing_core::{Account, Address, Amount, ChannelId, Deployment, Timestamp};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

const SCHEMA_KEY: &str = "schema";
const LINEAGE_KEY: &str = "lineage";

/// Makes every table, so that readers find them all.
pub(super) fn create(transaction: &WriteTransaction, schema: u64, lineage: &Lineage) -> Result<(), StoreError> {
    transaction.open_table(ACCOUNTS).map_err(failed)?;
    transaction.open_table(CHANNELS).map_err(failed)?;
    transaction.open_table(JOURNAL).map_err(failed)?;
    transaction.open_table(BY_DAY).map_err(failed)?;
    transaction.open_table(BY_REQUEST).map_err(failed)?;
    transaction.open_table(BY_VOUCHER).map_err(failed)?;
    transaction.open_table(HELD).map_err(failed)?;
    transaction.open_table(PAYEES).map_err(failed)?;
    transaction.open_table(OFFERS).map_err(failed)?;
    save_meta(transaction, SCHEMA_KEY, &encode(&schema)?)?;
    save_lineage(transaction, lineage)
}

fn save_meta(transaction: &WriteTransaction, key: &str, value: &[u8]) -> Result<(), StoreError> {
    transaction.open_table(META).map_err(failed)?.insert(key, value).map_err(failed)?;
    Ok(())
}

fn meta<T: serde::de::DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<T, StoreError> {
    let bytes = table.get(key).map_err(failed)?;
    decode(bytes.ok_or_else(|| StoreError::Damaged(format!("it has no {key}")))?.value())
}

pub(super) fn schema(transaction: &ReadTransaction) -> Result<u64, StoreError> {
    meta(&transaction.open_table(META).map_err(failed)?, SCHEMA_KEY)
}

pub(super) fn schema_of_writer(transaction: &WriteTransaction) -> Result<u64, StoreError> {
    meta(&transaction.open_table(META).map_err(failed)?, SCHEMA_KEY)
}

pub(super) fn lineage(transaction: &WriteTransaction) -> Result<Lineage, StoreError> {
    meta(&transaction.open_table(META).map_err(failed)?, LINEAGE_KEY)
}

pub(super) fn save_lineage(transaction: &WriteTransaction, lineage: &Lineage) -> Result<(), StoreError> {
    save_meta(transaction, LINEAGE_KEY, &encode(lineage)?)
}

fn account_key(deployment: &Deployment, account: &Account) -> AccountKey {
    (deployment.chain_id, deployment.escrow.into(), account.id().0.into())
}

pub(super) fn record_deposit(
    transaction: &WriteTransaction,
    deployment: Deployment,
    account: Account,
    first_seen: Timestamp,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(ACCOUNTS).map_err(failed)?;
    let key = account_key(&deployment, &account);
    if table.get(key).map_err(failed)?.is_none() {
        let record = encode(&FundedAccount { deployment, account, first_seen })?;
        table.insert(key, record.as_slice()).map_err(failed)?;
    }
    Ok(())
}

pub(super) fn is_funded(
    transaction: &WriteTransaction,
    deployment: &Deployment,
    account: &Account,
) -> Result<bool, StoreError> {
    let table = transaction.open_table(ACCOUNTS).map_err(failed)?;
    Ok(table.get(account_key(deployment, account)).map_err(failed)?.is_some())
}

pub(super) fn accounts(transaction: &ReadTransaction) -> Result<Vec<FundedAccount>, StoreError> {
    let table = transaction.open_table(ACCOUNTS).map_err(failed)?;
    table.iter().map_err(failed)?.map(|entry| decode(entry.map_err(failed)?.1.value())).collect()
}

fn channel_in(
    table: &impl ReadableTable<[u8; 32], &'static [u8]>,
    id: ChannelId,
) -> Result<Option<PaidChannel>, StoreError> {
    table.get(<[u8; 32]>::from(id.0)).map_err(failed)?.map(|bytes| decode(bytes.value())).transpose()
}

pub(super) fn channel(transaction: &WriteTransaction, id: ChannelId) -> Result<Option<PaidChannel>, StoreError> {
    channel_in(&transaction.open_table(CHANNELS).map_err(failed)?, id)
}

pub(super) fn channel_of_reader(transaction: &ReadTransaction, id: ChannelId) -> Result<PaidChannel, StoreError> {
    channel_in(&transaction.open_table(CHANNELS).map_err(failed)?, id)?.ok_or(StoreError::UnknownChannel(id))
}

pub(super) fn save_channel(transaction: &WriteTransaction, record: &PaidChannel) -> Result<(), StoreError> {
    let key: [u8; 32] = record.channel.id(&record.deployment).0.into();
    let mut table = transaction.open_table(CHANNELS).map_err(failed)?;
    table.insert(key, encode(record)?.as_slice()).map_err(failed)?;
    Ok(())
}

pub(super) fn channels(transaction: &ReadTransaction) -> Result<Vec<PaidChannel>, StoreError> {
    let table = transaction.open_table(CHANNELS).map_err(failed)?;
    table.iter().map_err(failed)?.map(|entry| decode(entry.map_err(failed)?.1.value())).collect()
}

pub(super) fn retire_channels(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let records: Vec<PaidChannel> = {
        let table = transaction.open_table(CHANNELS).map_err(failed)?;
        let entries = table.iter().map_err(failed)?;
        entries.map(|entry| decode(entry.map_err(failed)?.1.value())).collect::<Result<_, _>>()?
    };
    for record in records.into_iter().filter(|record| !record.retired) {
        save_channel(transaction, &PaidChannel { retired: true, ..record })?;
    }
    Ok(())
}

/// Says whether the channel was in use.
pub(super) fn retire_channel(transaction: &WriteTransaction, id: ChannelId) -> Result<bool, StoreError> {
    let record = channel(transaction, id)?.ok_or(StoreError::UnknownChannel(id))?;
    let was_in_use = !record.retired;
    save_channel(transaction, &PaidChannel { retired: true, ..record })?;
    Ok(was_in_use)
}

pub(super) fn record_reservation(
    transaction: &WriteTransaction,
    id: ChannelId,
    guaranteed: Amount,
) -> Result<(), StoreError> {
    let record = channel(transaction, id)?.ok_or(StoreError::UnknownChannel(id))?;
    save_channel(transaction, &PaidChannel { guaranteed, ..record })
}

pub(super) fn payee(transaction: &WriteTransaction, origin: &str) -> Result<Option<Address>, StoreError> {
    let table = transaction.open_table(PAYEES).map_err(failed)?;
    Ok(table.get(origin).map_err(failed)?.map(|payee| Address::from(payee.value())))
}

pub(super) fn save_payee(transaction: &WriteTransaction, origin: &str, payee: Address) -> Result<(), StoreError> {
    let mut table = transaction.open_table(PAYEES).map_err(failed)?;
    table.insert(origin, <[u8; 20]>::from(payee)).map_err(failed)?;
    Ok(())
}

pub(super) fn offer(transaction: &ReadTransaction, origin: &str) -> Result<Option<CachedOffer>, StoreError> {
    let table = transaction.open_table(OFFERS).map_err(failed)?;
    table.get(origin).map_err(failed)?.map(|bytes| decode(bytes.value())).transpose()
}

pub(super) fn save_offer(transaction: &WriteTransaction, origin: &str, offer: &CachedOffer) -> Result<(), StoreError> {
    let mut table = transaction.open_table(OFFERS).map_err(failed)?;
    table.insert(origin, encode(offer)?.as_slice()).map_err(failed)?;
    Ok(())
}

pub(super) fn promise(transaction: &WriteTransaction, id: PromiseId) -> Result<Promise, StoreError> {
    let table = transaction.open_table(JOURNAL).map_err(failed)?;
    let bytes = table.get(id.0).map_err(failed)?;
    decode(bytes.ok_or_else(|| StoreError::Damaged(format!("the journal has no entry {}", id.0)))?.value())
}

pub(super) fn save_promise(transaction: &WriteTransaction, promise: &Promise) -> Result<(), StoreError> {
    let mut table = transaction.open_table(JOURNAL).map_err(failed)?;
    table.insert(promise.id.0, encode(promise)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// The number after the last one.
pub(super) fn next_id(transaction: &WriteTransaction) -> Result<PromiseId, StoreError> {
    let table = transaction.open_table(JOURNAL).map_err(failed)?;
    let last = table.last().map_err(failed)?;
    Ok(PromiseId(last.map_or(0, |(id, _)| id.value().saturating_add(1))))
}

pub(super) fn history(transaction: &ReadTransaction) -> Result<Vec<Promise>, StoreError> {
    let table = transaction.open_table(JOURNAL).map_err(failed)?;
    table.iter().map_err(failed)?.map(|entry| decode(entry.map_err(failed)?.1.value())).collect()
}
