//! Everything that a ledger holds, shown record by record: what was acknowledged is brought to the tables first, and
//! they are read as they are then.

use super::keeping::Keeping;
use super::shelves::{Shelf, Shelves};
use super::tables::{BOOKS, CREDITS, FINAL_REDEMPTIONS, REDEMPTIONS, RELAYED, Rowset, channel_id_of, decode, sums};
use crate::payee::store::{Owing, OwingVisitor, Record, RecordKind, Relayed, StoreError, Visitor};
use farthing_core::{Amount, ChannelId, Timestamp};
use redb::{Error as Trouble, ReadTransaction, ReadableTable};
use serde::de::DeserializeOwned;

impl Keeping {
    pub(super) fn show_owing(&self, visitor: OwingVisitor<'_>) -> Result<(), StoreError> {
        let reader = self.settled()?;
        let shelves = Shelves::of(&reader).map_err(|error| self.failed(&error))?;
        self.each_shelf(&reader, |channel_id, shelf| {
            let books = shelf.books;
            if books.outstanding().is_zero() {
                return Ok(());
            }
            let since = match first_charge_above(&shelves, channel_id, books.redeemed) {
                Ok(since) => since,
                // Damage hides neither what the others owe nor this one: it counts as old, and redeeming it names it.
                Err(Trouble::Corrupted(_)) => Timestamp::from_unix_seconds(0),
                Err(error) => return Err(self.failed(&error)),
            };
            visitor(Owing { channel_id, books, since })
        })
    }

    pub(super) fn show(&self, kinds: &[RecordKind], visitor: Visitor<'_>) -> Result<(), StoreError> {
        let reader = self.settled()?;
        for kind in kinds {
            self.show_kind(&reader, *kind, visitor)?;
        }
        Ok(())
    }

    fn show_kind(&self, reader: &ReadTransaction, kind: RecordKind, visitor: Visitor<'_>) -> Result<(), StoreError> {
        match kind {
            RecordKind::Channel => {
                self.each_shelf(reader, |channel_id, shelf| visitor(Record::Channel { channel_id, books: shelf.books }))
            }
            RecordKind::Charge => self.show_charges(reader, visitor),
            RecordKind::Credit => self.show_rows(reader, CREDITS, visitor, |key, credit| Record::Credit {
                channel_id: channel_id_of(key),
                credit,
            }),
            RecordKind::FinalRedemption => self.show_rows(reader, FINAL_REDEMPTIONS, visitor, |key, redemption| {
                Record::FinalRedemption { channel_id: channel_id_of(key), redemption }
            }),
            RecordKind::Redemption => {
                self.show_rows(reader, REDEMPTIONS, visitor, |_, redemption| Record::Redemption { redemption })
            }
            RecordKind::Relayed => {
                let mut all: Vec<Relayed> = Vec::new();
                self.each(reader, RELAYED, |_, relayed| {
                    all.push(decode(relayed).map_err(|error| self.failed(&error))?);
                    Ok(())
                })?;
                all.sort_by_key(|relayed| relayed.at);
                all.into_iter().try_for_each(|relayed| visitor(Record::Relayed { relayed }))
            }
            RecordKind::Strangers => {
                let days = sums(reader).map_err(|error| self.failed(&error))?;
                days.into_iter().try_for_each(|(day, amount)| visitor(Record::Strangers { day, amount }))
            }
        }
    }

    /// Channel by channel: then the order is the same whatever rows the charges are in.
    fn show_charges(&self, reader: &ReadTransaction, visitor: Visitor<'_>) -> Result<(), StoreError> {
        let shelves = Shelves::of(reader).map_err(|error| self.failed(&error))?;
        self.each_shelf(reader, |channel_id, shelf| {
            let mut stopped = None;
            let shown = shelves.each(channel_id, &shelf, &mut |packed| {
                if stopped.is_none() {
                    let charge = packed.charge()?;
                    stopped = visitor(Record::Charge { channel_id, charge }).err();
                }
                Ok(())
            });
            shown.map_err(|error| self.failed(&error))?;
            stopped.map_or(Ok(()), Err)
        })
    }

    fn each_shelf(
        &self,
        reader: &ReadTransaction,
        mut body: impl FnMut(ChannelId, Shelf<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each(reader, BOOKS, |key, row| {
            let shelf = Shelf::read(row).map_err(|error| self.failed(&error))?;
            body(channel_id_of(key), shelf)
        })
    }

    fn show_rows<T: DeserializeOwned>(
        &self,
        reader: &ReadTransaction,
        table: Rowset,
        visitor: Visitor<'_>,
        make: impl Fn(&[u8], T) -> Record,
    ) -> Result<(), StoreError> {
        self.each(reader, table, |key, value| {
            let value = decode(value).map_err(|error| self.failed(&error))?;
            visitor(make(key, value))
        })
    }

    fn each(
        &self,
        reader: &ReadTransaction,
        table: Rowset,
        mut body: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let table = reader.open_table(table).map_err(|error| self.failed(&error))?;
        for entry in table.iter().map_err(|error| self.failed(&error))? {
            let (key, value) = entry.map_err(|error| self.failed(&error))?;
            body(key.value(), value.value())?;
        }
        Ok(())
    }
}

/// When the lowest charge above what was redeemed was made. A channel that owes something has one: its highest voucher
/// promises all that is due.
fn first_charge_above<T: ReadableTable<super::Bytes, super::Bytes>>(
    shelves: &Shelves<T>,
    channel_id: ChannelId,
    redeemed: Amount,
) -> Result<Timestamp, Trouble> {
    let above = redeemed.saturating_add(Amount::new(1));
    let missing = || Trouble::Corrupted(format!("channel {channel_id} owes something and has no charge for it"));
    Ok(shelves.at_or_above(channel_id, above)?.ok_or_else(missing)?.at)
}
