//! The tables of a ledger's file, and how what some batches have changed is written to them.

use super::overlay::{Generation, Rest};
use super::shelves::Shelving;
use crate::payee::store::Redemption;
use farthing_core::{Amount, B256, ChannelId};
use redb::{Error as Trouble, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) type Bytes = &'static [u8];
pub(super) type Rowset = TableDefinition<'static, Bytes, Bytes>;
pub(super) type Index = TableDefinition<'static, Bytes, ()>;
pub(super) type Sums = TableDefinition<'static, u64, u128>;

/// The store's own facts, by name.
pub(super) const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
/// Channel id → books, up to which amount its charges are in chunks, and the newer ones.
pub(super) const BOOKS: Rowset = TableDefinition::new("books");
/// Account id, channel id → nothing: which channels an account has.
pub(super) const ACCOUNTS: Index = TableDefinition::new("accounts");
/// Signer, channel id → nothing: which channels a key signs for.
pub(super) const SIGNERS: Index = TableDefinition::new("signers");
/// Channel id, last cumulative amount → charges; nothing in them changes, and few come late.
pub(super) const CHUNKS: Rowset = TableDefinition::new("charge chunks");
/// A chunk's key → what the requests begin with that its charges answer, in the order of the charges.
pub(super) const REQUESTS: Rowset = TableDefinition::new("chunk requests");
/// Channel id, cumulative amount of the charge → credit; append-only.
pub(super) const CREDITS: Rowset = TableDefinition::new("credits");
/// Channel id, what was redeemed in total → final redemption; append-only.
pub(super) const FINAL_REDEMPTIONS: Rowset = TableDefinition::new("final redemptions");
/// Transaction hash → redemption.
pub(super) const REDEMPTIONS: Rowset = TableDefinition::new("redemptions");
/// Transaction hash → nothing: which redemptions the chain has not had its last word on.
pub(super) const UNSETTLED: Index = TableDefinition::new("unsettled");
/// Transaction hash → what was relayed in it.
pub(super) const RELAYED: Rowset = TableDefinition::new("relayed");
/// Digest that a payer signed → hash of the transaction that was sent last for it.
pub(super) const RELAYED_BY_REQUEST: Rowset = TableDefinition::new("relayed by request");
/// Day → what accounts without history were served for.
pub(super) const STRANGERS: Sums = TableDefinition::new("strangers");
/// Day → what relaying cost, in wei.
pub(super) const RELAY_SPENT: Sums = TableDefinition::new("relay spent");

/// The version of the tables above and of what is in them.
pub(super) const SCHEMA_VERSION: u32 = 4;

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let rowsets = [BOOKS, CHUNKS, REQUESTS, CREDITS, FINAL_REDEMPTIONS, REDEMPTIONS, RELAYED, RELAYED_BY_REQUEST];
    for table in rowsets {
        transaction.open_table(table)?;
    }
    for table in [STRANGERS, RELAY_SPENT] {
        transaction.open_table(table)?;
    }
    for table in [ACCOUNTS, SIGNERS, UNSETTLED] {
        transaction.open_table(table)?;
    }
    Ok(())
}

/// Writes what some batches have changed.
pub(super) fn apply(transaction: &WriteTransaction, changed: &Generation) -> Result<(), Trouble> {
    put_channels(transaction, changed)?;
    put_rest(transaction, &changed.rest)
}

fn put_rest(transaction: &WriteTransaction, changed: &Rest) -> Result<(), Trouble> {
    let by_amount = |channel_id: &ChannelId, amount| amount_key(*channel_id, amount);
    put(transaction, CREDITS, changed.credits.iter().map(|((id, amount), credit)| (by_amount(id, *amount), credit)))?;
    let finals =
        changed.final_redemptions.iter().map(|(id, redemption)| (by_amount(id, redemption.redeemed), redemption));
    put(transaction, FINAL_REDEMPTIONS, finals)?;
    put_redemptions(transaction, changed.redemptions.values())?;
    put(transaction, RELAYED, changed.relayed.iter())?;
    let mut by_request = transaction.open_table(RELAYED_BY_REQUEST)?;
    for (request, hash) in &changed.relayed_by_request {
        by_request.insert(request.as_slice(), hash.as_slice())?;
    }
    for (table, sums) in [(STRANGERS, &changed.strangers), (RELAY_SPENT, &changed.relay_spent)] {
        let mut table = transaction.open_table(table)?;
        for (day, amount) in sums {
            table.insert(*day, amount.base_units())?;
        }
    }
    Ok(())
}

fn put_channels(transaction: &WriteTransaction, changed: &Generation) -> Result<(), Trouble> {
    let mut shelving = Shelving::of(transaction)?;
    for (channel_id, known) in changed.changed() {
        shelving.put(channel_id, &known.books, &known.charges)?;
    }
    let mut new: Vec<([u8; 64], [u8; 52])> = Vec::new();
    for (account, channels) in changed.new_channels() {
        for id in channels {
            let books = changed.books(*id).ok_or_else(|| Trouble::Corrupted(format!("channel {id} has no books")))?;
            let (of_account, of_signer) =
                (index_key(account.0.as_slice(), *id), index_key(books.channel.authorized_signer.as_slice(), *id));
            new.push((of_account, of_signer));
        }
    }
    new.sort_unstable();
    let (mut accounts, mut signers) = (transaction.open_table(ACCOUNTS)?, transaction.open_table(SIGNERS)?);
    for (of_account, of_signer) in &new {
        accounts.insert(of_account.as_slice(), ())?;
        signers.insert(of_signer.as_slice(), ())?;
    }
    Ok(())
}

/// Writes redemptions down, and which of them are not settled.
pub(super) fn put_redemptions<'a>(
    transaction: &WriteTransaction,
    redemptions: impl Iterator<Item = &'a Redemption> + Clone,
) -> Result<(), Trouble> {
    put(transaction, REDEMPTIONS, redemptions.clone().map(|redemption| (redemption.hash, redemption)))?;
    let mut redemptions = redemptions.peekable();
    if redemptions.peek().is_none() {
        return Ok(());
    }
    let mut unsettled = transaction.open_table(UNSETTLED)?;
    for redemption in redemptions {
        let hash = redemption.hash.as_slice();
        if redemption.state.is_unsettled() {
            unsettled.insert(hash, ())?
        } else {
            unsettled.remove(hash)?
        };
    }
    Ok(())
}

pub(super) fn put<'a, K: AsRef<[u8]>, T: Serialize + 'a>(
    transaction: &WriteTransaction,
    table: Rowset,
    rows: impl Iterator<Item = (K, &'a T)>,
) -> Result<(), Trouble> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for (key, value) in rows {
        table.insert(key.as_ref(), encode(value)?.as_slice())?;
    }
    Ok(())
}

pub(super) fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<T>, Trouble> {
    table.get(key)?.map(|value| decode(value.value())).transpose()
}

pub(super) fn sum(table: &impl ReadableTable<u64, u128>, day: u64) -> Result<Option<Amount>, Trouble> {
    Ok(table.get(day)?.map(|amount| Amount::new(amount.value())))
}

pub(super) fn sums(reader: &ReadTransaction) -> Result<Vec<(u64, Amount)>, Trouble> {
    let table = reader.open_table(STRANGERS)?;
    let days = table.iter()?.map(|entry| entry.map(|(day, amount)| (day.value(), Amount::new(amount.value()))));
    Ok(days.collect::<Result<_, _>>()?)
}

/// The channels under an id or address in an index.
pub(super) fn channels_of(table: &impl ReadableTable<Bytes, ()>, whose: &[u8]) -> Result<Vec<ChannelId>, Trouble> {
    let mut channels = Vec::new();
    for entry in table.range(whose..)? {
        let (key, ()) = entry.map(|(key, _)| (key, ()))?;
        let Some(id) = key.value().strip_prefix(whose) else { break };
        channels.push(channel_id_of(id));
    }
    Ok(channels)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Trouble> {
    postcard::to_stdvec(value).map_err(|error| Trouble::Corrupted(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Trouble> {
    postcard::from_bytes(bytes).map_err(|error| Trouble::Corrupted(format!("an entry is damaged: {error}")))
}

/// Big-endian, so that the order of keys is the order of amounts.
pub(super) fn amount_key(channel_id: ChannelId, amount: Amount) -> [u8; 48] {
    let mut key = [0; 48];
    let (id, rest) = key.split_at_mut(32);
    id.copy_from_slice(channel_id.0.as_slice());
    rest.copy_from_slice(&amount.base_units().to_be_bytes());
    key
}

/// A key of an index: an id or address, and a channel.
pub(super) fn index_key<const LENGTH: usize>(whose: &[u8], channel_id: ChannelId) -> [u8; LENGTH] {
    let mut key = [0; LENGTH];
    key.iter_mut().zip(whose.iter().chain(channel_id.0.as_slice())).for_each(|(key, byte)| *key = *byte);
    key
}

/// The channel id that a key begins with; keys are written by this module and are long enough.
pub(super) fn channel_id_of(key: &[u8]) -> ChannelId {
    key.get(..32).map(|id| ChannelId(B256::from_slice(id))).unwrap_or_default()
}

/// The amount that a key ends with.
pub(super) fn amount_of(key: &[u8]) -> Amount {
    key.last_chunk::<16>().map(|amount| Amount::new(u128::from_be_bytes(*amount))).unwrap_or_default()
}
