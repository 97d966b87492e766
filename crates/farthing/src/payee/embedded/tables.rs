//! The tables of a ledger's file, and how what a batch needs and changes is read from them and written to them.

use crate::payee::posting::{Changes, ChargeId, Needs, Rows};
use crate::payee::store::Redemption;
use farthing_core::ledger::{Charge, Purchase};
use farthing_core::{AccountId, Amount, B256, ChannelId};
use redb::{Error as Trouble, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) type Bytes = &'static [u8];
pub(super) type Rowset = TableDefinition<'static, Bytes, Bytes>;
pub(super) type Sums = TableDefinition<'static, u64, u128>;

/// The store's own facts, by name.
pub(super) const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
/// Channel id → books.
pub(super) const BOOKS: Rowset = TableDefinition::new("books");
/// Account id, channel id → nothing: which channels an account has.
pub(super) const ACCOUNTS: TableDefinition<'_, Bytes, ()> = TableDefinition::new("accounts");
/// Channel id, cumulative amount → charge; append-only.
pub(super) const CHARGES: Rowset = TableDefinition::new("charges");
/// Signer, request → a charge's key.
pub(super) const PURCHASES: Rowset = TableDefinition::new("purchases");
/// Channel id, cumulative amount of the charge → credit; append-only.
pub(super) const CREDITS: Rowset = TableDefinition::new("credits");
/// Channel id, what was redeemed in total → final redemption; append-only.
pub(super) const FINAL_REDEMPTIONS: Rowset = TableDefinition::new("final redemptions");
/// Transaction hash → redemption.
pub(super) const REDEMPTIONS: Rowset = TableDefinition::new("redemptions");
/// Transaction hash → nothing: which redemptions the chain has not had its last word on.
pub(super) const UNSETTLED: TableDefinition<'_, Bytes, ()> = TableDefinition::new("unsettled");
/// Transaction hash → what was relayed in it.
pub(super) const RELAYED: Rowset = TableDefinition::new("relayed");
/// Digest that a payer signed → hash of the transaction that was sent last for it.
pub(super) const RELAYED_BY_REQUEST: Rowset = TableDefinition::new("relayed by request");
/// Day → what accounts without history were served for.
pub(super) const STRANGERS: Sums = TableDefinition::new("strangers");
/// Day → what relaying cost, in wei.
pub(super) const RELAY_SPENT: Sums = TableDefinition::new("relay spent");

/// The version of the tables above and of what is in them.
pub(super) const SCHEMA_VERSION: u32 = 3;

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let rowsets = [BOOKS, CHARGES, PURCHASES, CREDITS, FINAL_REDEMPTIONS, REDEMPTIONS, RELAYED, RELAYED_BY_REQUEST];
    for table in rowsets {
        transaction.open_table(table)?;
    }
    for table in [STRANGERS, RELAY_SPENT] {
        transaction.open_table(table)?;
    }
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(UNSETTLED)?;
    Ok(())
}

/// Looks up what a batch needs.
pub(super) fn load(transaction: &WriteTransaction, needs: &Needs) -> Result<Rows, Trouble> {
    let mut rows = Rows::default();
    let accounts = transaction.open_table(ACCOUNTS)?;
    for account in &needs.accounts {
        rows.accounts.insert(*account, channels_of(&accounts, *account)?);
    }
    let books = transaction.open_table(BOOKS)?;
    for id in rows.accounts.values().flatten().chain(&needs.channels) {
        rows.books.extend(get(&books, id.0.as_slice())?.map(|books| (*id, books)));
    }
    rows.charges = load_by_amount(transaction, CHARGES, &needs.charges)?;
    rows.credits = load_by_amount(transaction, CREDITS, &needs.credits)?;
    if !needs.redemptions.is_empty() {
        let redemptions = transaction.open_table(REDEMPTIONS)?;
        for hash in &needs.redemptions {
            let known = get::<Redemption>(&redemptions, hash.as_slice())?;
            rows.redemptions.extend(known.map(|known| (*hash, known.state)));
        }
    }
    let relayed = transaction.open_table(RELAYED)?;
    for hash in &needs.relayed {
        rows.relayed.extend(get(&relayed, hash.as_slice())?.map(|relayed| (*hash, relayed)));
    }
    let strangers = transaction.open_table(STRANGERS)?;
    for day in &needs.strangers {
        rows.strangers.extend(sum(&strangers, *day)?.map(|amount| (*day, amount)));
    }
    let relay_spent = transaction.open_table(RELAY_SPENT)?;
    for day in &needs.relay_spent {
        rows.relay_spent.extend(sum(&relay_spent, *day)?.map(|amount| (*day, amount)));
    }
    Ok(rows)
}

pub(super) fn load_by_amount<T: DeserializeOwned>(
    transaction: &WriteTransaction,
    table: Rowset,
    ids: &std::collections::BTreeSet<ChargeId>,
) -> Result<std::collections::BTreeMap<ChargeId, T>, Trouble> {
    let table = transaction.open_table(table)?;
    let found = ids.iter().map(|id| Ok(get(&table, &amount_key(id.0, id.1))?.map(|value| (*id, value))));
    found.filter_map(Result::transpose).collect()
}

/// Writes what a batch changed.
pub(super) fn apply(transaction: &WriteTransaction, changes: &Changes) -> Result<(), Trouble> {
    let mut accounts = transaction.open_table(ACCOUNTS)?;
    for (account, channel_id) in &changes.new_channels {
        accounts.insert(account_key(*account, *channel_id).as_slice(), ())?;
    }
    put(transaction, BOOKS, changes.books.iter().map(|(id, books)| (id.0, books)))?;
    let by_amount = |channel_id: &ChannelId, amount| amount_key(*channel_id, amount);
    let charges = changes.charges.iter().map(|(id, charge)| (by_amount(id, charge.cumulative_amount), charge));
    put(transaction, CHARGES, charges)?;
    let credits = changes.credits.iter().map(|(id, credit)| (by_amount(id, credit.cumulative_amount), credit));
    put(transaction, CREDITS, credits)?;
    let finals =
        changes.final_redemptions.iter().map(|(id, redemption)| (by_amount(id, redemption.redeemed), redemption));
    put(transaction, FINAL_REDEMPTIONS, finals)?;
    put_redemptions(transaction, changes.redemptions.values())?;
    put(transaction, RELAYED, changes.relayed.iter())?;
    let mut purchases = transaction.open_table(PURCHASES)?;
    for (purchase, (channel_id, amount)) in &changes.purchases {
        purchases.insert(purchase_key(purchase).as_slice(), amount_key(*channel_id, *amount).as_slice())?;
    }
    let mut by_request = transaction.open_table(RELAYED_BY_REQUEST)?;
    for (request, hash) in &changes.relayed_by_request {
        by_request.insert(request.as_slice(), hash.as_slice())?;
    }
    for (table, sums) in [(STRANGERS, &changes.strangers), (RELAY_SPENT, &changes.relay_spent)] {
        let mut table = transaction.open_table(table)?;
        for (day, amount) in sums {
            table.insert(*day, amount.base_units())?;
        }
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

pub(super) fn channels_of(
    table: &impl ReadableTable<Bytes, ()>,
    account: AccountId,
) -> Result<Vec<ChannelId>, Trouble> {
    let first = account_key(account, ChannelId::default());
    let mut channels = Vec::new();
    for entry in table.range(first.as_slice()..)? {
        let (key, _) = entry?;
        let Some(id) = key.value().strip_prefix(account.0.as_slice()) else { break };
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

pub(super) fn account_key(account: AccountId, channel_id: ChannelId) -> [u8; 64] {
    let mut key = [0; 64];
    let (first, second) = key.split_at_mut(32);
    first.copy_from_slice(account.0.as_slice());
    second.copy_from_slice(channel_id.0.as_slice());
    key
}

pub(super) fn purchase_key(purchase: &Purchase) -> [u8; 52] {
    let mut key = [0; 52];
    let (signer, request) = key.split_at_mut(20);
    signer.copy_from_slice(purchase.signer.as_slice());
    request.copy_from_slice(purchase.request.0.as_slice());
    key
}

/// The channel id that a key begins with; keys are written by this module and are long enough.
pub(super) fn channel_id_of(key: &[u8]) -> ChannelId {
    key.get(..32).map(|id| ChannelId(B256::from_slice(id))).unwrap_or_default()
}

/// A channel that owes something has one: its highest voucher promises all that is due.
pub(super) fn first_charge_above(
    charges: &impl ReadableTable<Bytes, Bytes>,
    channel_id: ChannelId,
    redeemed: Amount,
) -> Result<Charge, Trouble> {
    let first = amount_key(channel_id, redeemed.saturating_add(Amount::new(1)));
    let last = amount_key(channel_id, Amount::new(u128::MAX));
    let missing = || Trouble::Corrupted(format!("channel {channel_id} owes something and has no charge for it"));
    let entry = charges.range(first.as_slice()..=last.as_slice())?.next().ok_or_else(missing)?;
    decode(entry?.1.value())
}
