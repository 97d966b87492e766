//! Books and charges in the tables: a row a channel with its newest charges, and rows of many for the others.
//!
//! Whatever is sold, few rows are written: a channel's own, and, when that has grown, one more for all that has
//! gathered in it.

use super::packed::{self, Packed, Prefix};
use super::tables::{
    BOOKS, Bytes, CHUNKS, REQUESTS, SIGNERS, amount_key, amount_of, channel_id_of, channels_of, decode, encode,
};
use farthing_core::ledger::{ChannelBooks, Charge, Purchase};
use farthing_core::{Amount, ChannelId};
use redb::{Error as Trouble, ReadTransaction, ReadableTable, Table, WriteTransaction};
use std::collections::BTreeMap;
use std::sync::Arc;

/// From this size on a channel's newest charges get a row of their own.
const NEWEST_MAX: usize = 2 << 10;

/// The most that one such row has, unless a single charge is larger: with its key it fits in four pages.
const CHUNK_MAX: usize = 15 << 10;

/// A channel's row: its books, up to which amount its charges are in other rows, and the newest ones.
pub(super) struct Shelf<'a> {
    pub(super) books: ChannelBooks,
    pub(super) sealed: Option<Amount>,
    pub(super) newest: &'a [u8],
}

impl<'a> Shelf<'a> {
    pub(super) fn read(row: &'a [u8]) -> Result<Self, Trouble> {
        let (books, rest) = split(row)?;
        // Books that were written before there was anything behind them.
        if rest.is_empty() {
            return Ok(Self { books, sealed: None, newest: rest });
        }
        let (sealed, newest) = split(rest)?;
        Ok(Self { books, sealed, newest })
    }
}

fn split<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Trouble> {
    postcard::take_from_bytes(bytes).map_err(|error| Trouble::Corrupted(format!("a channel's row is damaged: {error}")))
}

/// A channel's books.
pub(super) fn books_in(
    shelves: &impl ReadableTable<Bytes, Bytes>,
    channel_id: ChannelId,
) -> Result<Option<ChannelBooks>, Trouble> {
    let row = shelves.get(channel_id.0.as_slice())?;
    row.map(|row| split::<ChannelBooks>(row.value()).map(|(books, _)| books)).transpose()
}

/// The tables that charges are read from.
pub(super) struct Shelves<T> {
    shelves: T,
    chunks: T,
}

impl Shelves<redb::ReadOnlyTable<Bytes, Bytes>> {
    pub(super) fn of(reader: &ReadTransaction) -> Result<Self, Trouble> {
        Ok(Self { shelves: reader.open_table(BOOKS)?, chunks: reader.open_table(CHUNKS)? })
    }
}

impl<T: ReadableTable<Bytes, Bytes>> Shelves<T> {
    pub(super) fn books(&self, channel_id: ChannelId) -> Result<Option<ChannelBooks>, Trouble> {
        books_in(&self.shelves, channel_id)
    }

    pub(super) fn charge(&self, channel_id: ChannelId, amount: Amount) -> Result<Option<Charge>, Trouble> {
        let found = self.at_or_above(channel_id, amount)?;
        Ok(found.filter(|charge| charge.cumulative_amount == amount))
    }

    /// The channel's lowest charge from this amount on.
    pub(super) fn at_or_above(&self, channel_id: ChannelId, amount: Amount) -> Result<Option<Charge>, Trouble> {
        let Some(row) = self.shelves.get(channel_id.0.as_slice())? else { return Ok(None) };
        let shelf = Shelf::read(row.value())?;
        if shelf.sealed.is_none_or(|sealed| sealed < amount) {
            return charge_of(packed::at_or_above(shelf.newest, amount)?);
        }
        let chunk = self.chunks.range(keys(channel_id, amount, HIGHEST).as_range())?.next().ok_or_else(missing)?;
        charge_of(packed::at_or_above(chunk?.1.value(), amount)?)
    }

    /// The channel's highest charge up to this amount.
    pub(super) fn at_or_below(&self, channel_id: ChannelId, amount: Amount) -> Result<Option<Charge>, Trouble> {
        let Some(row) = self.shelves.get(channel_id.0.as_slice())? else { return Ok(None) };
        let shelf = Shelf::read(row.value())?;
        let newest = charge_of(packed::at_or_below(shelf.newest, amount)?)?;
        let Some(sealed) = shelf.sealed else { return Ok(newest) };
        if newest.is_some() {
            return Ok(newest);
        }
        if amount < sealed {
            let chunk = self.chunks.range(keys(channel_id, amount, HIGHEST).as_range())?.next().ok_or_else(missing)?;
            let within = charge_of(packed::at_or_below(chunk?.1.value(), amount)?)?;
            if within.is_some() {
                return Ok(within);
            }
        }
        let Some(chunk) = self.chunks.range(keys(channel_id, Amount::ZERO, amount).as_range())?.next_back() else {
            return Ok(None);
        };
        charge_of(packed::at_or_below(chunk?.1.value(), amount)?)
    }

    /// All charges of a channel, in the order of their amounts.
    pub(super) fn each(
        &self,
        channel_id: ChannelId,
        shelf: &Shelf<'_>,
        visit: &mut dyn FnMut(Packed<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if shelf.sealed.is_some() {
            for chunk in self.chunks.range(keys(channel_id, Amount::ZERO, HIGHEST).as_range())? {
                packed::unpack(chunk?.1.value()).try_for_each(|packed| visit(packed?))?;
            }
        }
        packed::unpack(shelf.newest).try_for_each(|packed| visit(packed?))
    }
}

/// A charge that paid for a purchase: of all that its key has bought on any channel.
pub(super) fn purchase_in(
    reader: &ReadTransaction,
    purchase: &Purchase,
) -> Result<Option<(ChannelId, Charge)>, Trouble> {
    let channels = channels_of(&reader.open_table(SIGNERS)?, purchase.signer.as_slice())?;
    let (shelves, requests) = (Shelves::of(reader)?, reader.open_table(REQUESTS)?);
    let sought = Prefix::of(&purchase.request);
    for channel_id in channels {
        let Some(row) = shelves.shelves.get(channel_id.0.as_slice())? else { continue };
        let shelf = Shelf::read(row.value())?;
        if let Some(charge) = bought(shelf.newest, purchase)? {
            return Ok(Some((channel_id, charge)));
        }
        if shelf.sealed.is_none() {
            continue;
        }
        for entry in requests.range(keys(channel_id, Amount::ZERO, HIGHEST).as_range())? {
            let (key, prefixes) = entry?;
            if !prefixes.value().chunks_exact(Prefix::LENGTH).any(|prefix| prefix == sought.bytes()) {
                continue;
            }
            let chunk = shelves.chunks.get(key.value())?.ok_or_else(missing)?;
            if let Some(charge) = bought(chunk.value(), purchase)? {
                return Ok(Some((channel_id, charge)));
            }
        }
    }
    Ok(None)
}

fn bought(bytes: &[u8], purchase: &Purchase) -> Result<Option<Charge>, Trouble> {
    let sought = Prefix::of(&purchase.request);
    for packed in packed::unpack(bytes) {
        let packed = packed?;
        if packed.prefix == sought {
            let charge = packed.charge()?;
            if charge.request == purchase.request {
                return Ok(Some(charge));
            }
        }
    }
    Ok(None)
}

fn charge_of(packed: Option<Packed<'_>>) -> Result<Option<Charge>, Trouble> {
    packed.map(|packed| packed.charge()).transpose()
}

fn missing() -> Trouble {
    Trouble::Corrupted("charges that a channel's row promises are missing".to_owned())
}

const HIGHEST: Amount = Amount::new(u128::MAX);

struct Keys([u8; 48], [u8; 48]);

fn keys(channel_id: ChannelId, first: Amount, last: Amount) -> Keys {
    Keys(amount_key(channel_id, first), amount_key(channel_id, last))
}

impl Keys {
    fn as_range(&self) -> std::ops::RangeInclusive<&[u8]> {
        self.0.as_slice()..=self.1.as_slice()
    }
}

/// Writes books and charges.
pub(super) struct Shelving<'t> {
    shelves: Table<'t, Bytes, Bytes>,
    chunks: Table<'t, Bytes, Bytes>,
    requests: Table<'t, Bytes, Bytes>,
}

impl<'t> Shelving<'t> {
    pub(super) fn of(transaction: &'t WriteTransaction) -> Result<Self, Trouble> {
        Ok(Self {
            shelves: transaction.open_table(BOOKS)?,
            chunks: transaction.open_table(CHUNKS)?,
            requests: transaction.open_table(REQUESTS)?,
        })
    }

    /// Writes a channel's books, and charges that are new.
    pub(super) fn put(
        &mut self,
        channel_id: ChannelId,
        books: &ChannelBooks,
        charges: &BTreeMap<Amount, Arc<Charge>>,
    ) -> Result<(), Trouble> {
        let before = self.shelves.get(channel_id.0.as_slice())?;
        let (mut sealed, mut newest) = match &before {
            Some(row) => {
                let shelf = Shelf::read(row.value())?;
                (shelf.sealed, shelf.newest.to_vec())
            }
            None => (None, Vec::new()),
        };
        drop(before);
        let is_late = |amount: &Amount| sealed.is_some_and(|sealed| *amount <= sealed);
        let late: Vec<&Charge> =
            charges.iter().take_while(|(amount, _)| is_late(amount)).map(|(_, one)| &**one).collect();
        if charges.len() > late.len() {
            let new = charges.values().skip(late.len()).map(AsRef::as_ref);
            newest = packed::merge(&newest, new)?;
        }
        self.put_late(channel_id, &late)?;
        if newest.len() > NEWEST_MAX {
            sealed = self.put_chunks(channel_id, &newest)?;
            newest.clear();
        }
        let mut row = encode(books)?;
        row.extend_from_slice(&encode(&sealed)?);
        row.extend_from_slice(&newest);
        self.shelves.insert(channel_id.0.as_slice(), row.as_slice())?;
        Ok(())
    }

    /// Charges that came after others with higher amounts, in the order of their amounts: requests in parallel arrive
    /// in any order.
    fn put_late(&mut self, channel_id: ChannelId, mut late: &[&Charge]) -> Result<(), Trouble> {
        while let Some(first) = late.first() {
            let (last, chunk) = {
                let range = keys(channel_id, first.cumulative_amount, HIGHEST);
                let (key, chunk) = self.chunks.range(range.as_range())?.next().ok_or_else(missing)??;
                (amount_of(key.value()), chunk.value().to_vec())
            };
            let here = late.partition_point(|charge| charge.cumulative_amount <= last);
            let (these, rest) = late.split_at(here);
            if these.is_empty() {
                return Err(missing());
            }
            let merged = packed::merge(&chunk, these.iter().copied())?;
            self.put_chunks(channel_id, &merged)?;
            late = rest;
        }
        Ok(())
    }

    /// Returns the last amount.
    fn put_chunks(&mut self, channel_id: ChannelId, packed: &[u8]) -> Result<Option<Amount>, Trouble> {
        let mut last = None;
        for part in packed::cut(packed, CHUNK_MAX)? {
            let key = amount_key(channel_id, part.last);
            self.chunks.insert(key.as_slice(), part.content())?;
            self.requests.insert(key.as_slice(), part.prefixes.as_slice())?;
            last = Some(part.last);
        }
        Ok(last)
    }
}

/// Packs the charges of a ledger in which each had a row of its own.
pub(super) fn pack_all(
    transaction: &WriteTransaction,
    charges: &impl ReadableTable<Bytes, Bytes>,
) -> Result<(), Trouble> {
    let mut shelving = Shelving::of(transaction)?;
    let mut gathered: Option<(ChannelId, BTreeMap<Amount, Arc<Charge>>)> = None;
    for entry in charges.iter()? {
        let (key, value) = entry?;
        let (channel_id, charge) = (channel_id_of(key.value()), decode::<Charge>(value.value())?);
        match &mut gathered {
            Some((id, charges)) if *id == channel_id => {
                charges.insert(charge.cumulative_amount, Arc::new(charge));
            }
            _ => {
                let one = BTreeMap::from([(charge.cumulative_amount, Arc::new(charge))]);
                shelving.put_gathered(gathered.replace((channel_id, one)))?;
            }
        }
    }
    shelving.put_gathered(gathered)
}

impl Shelving<'_> {
    fn put_gathered(&mut self, gathered: Option<(ChannelId, BTreeMap<Amount, Arc<Charge>>)>) -> Result<(), Trouble> {
        let Some((channel_id, charges)) = gathered else { return Ok(()) };
        let orphan = || Trouble::Corrupted(format!("a charge belongs to channel {channel_id}, which has no books"));
        let books = books_in(&self.shelves, channel_id)?.ok_or_else(orphan)?;
        self.put(channel_id, &books, &charges)
    }
}
