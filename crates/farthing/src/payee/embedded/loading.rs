//! What a batch needs, looked up in memory and, what is not there, in the tables.

use super::keeping::Keeping;
use super::overlay::Generation;
use super::recent::Recent;
use super::shelves::Shelves;
use super::tables::{
    ACCOUNTS, CREDITS, REDEMPTIONS, RELAY_SPENT, RELAYED, STRANGERS, amount_key, channels_of, get, sum,
};
use crate::payee::posting::{Needs, Rows};
use crate::payee::store::{Redemption, StoreError};
use farthing_core::ledger::ChannelBooks;
use farthing_core::{AccountId, ChannelId};
use redb::{Error as Trouble, ReadTransaction};
use std::sync::Arc;

/// What was looked up in the tables and may be kept in memory: nobody but the one writer changes it.
#[derive(Default)]
struct Fetched {
    accounts: Vec<(AccountId, Vec<ChannelId>)>,
    books: Vec<(ChannelId, ChannelBooks)>,
}

impl Fetched {
    fn keep(self, current: &mut Generation, rows: &mut Rows) {
        for (channel_id, books) in self.books {
            // The current generation may know a channel though its account was not asked for.
            let books = current.books(channel_id).unwrap_or(books);
            current.note_books(channel_id, books);
            rows.books.insert(channel_id, books);
        }
        for (account, channels) in self.accounts {
            // One that is new may be nowhere but here, if what was looked up for its first batch has been frozen since.
            rows.books.extend(channels.iter().filter_map(|id| Some((*id, current.books(*id)?))));
            current.note_account(account, channels.clone());
            rows.accounts.insert(account, channels);
        }
    }
}

impl Keeping {
    /// Looks up what a batch needs. Only for the one writer.
    pub(super) fn load(&self, needs: &Needs) -> Result<Rows, StoreError> {
        let mut rows = loop {
            if let Some(rows) = self.load_books(needs)? {
                break rows;
            }
        };
        self.load_charges(needs, &mut rows)?;
        self.load_others(needs, &mut rows)?;
        Ok(rows)
    }

    /// Nothing if a generation was frozen meanwhile: what it has of these channels is newer than what was fetched.
    fn load_books(&self, needs: &Needs) -> Result<Option<Rows>, StoreError> {
        let (mut rows, mut missing) = (Rows::default(), Missing::default());
        let overlay = self.overlay()?;
        for account in &needs.accounts {
            if let Some(channels) = overlay.current.channels_of(*account) {
                rows.books.extend(channels.iter().filter_map(|id| Some((*id, overlay.current.books(*id)?))));
                rows.accounts.insert(*account, channels.to_vec());
            } else {
                let new = overlay.generations().flat_map(|one| one.new_channels_of(*account)).copied().collect();
                missing.accounts.push((*account, new));
            }
        }
        for channel_id in &needs.channels {
            match overlay.find(|generation| generation.books(*channel_id)) {
                Some(books) => drop(rows.books.insert(*channel_id, books)),
                None => missing.channels.push(*channel_id),
            }
        }
        if missing.accounts.is_empty() && missing.channels.is_empty() {
            return Ok(Some(rows));
        }
        let (turns, frozen, reader) = (overlay.turns, overlay.frozen.clone(), self.reader()?);
        drop(overlay);
        let fetched = fetch(&reader, &self.recent, frozen.as_deref(), missing).map_err(|error| self.failed(&error))?;
        let mut overlay = self.overlay()?;
        Ok((overlay.turns == turns).then(|| {
            fetched.keep(&mut overlay.current, &mut rows);
            rows
        }))
    }

    /// Every charge is at or below what its channel has accepted: above it there is nothing to look for.
    fn load_charges(&self, needs: &Needs, rows: &mut Rows) -> Result<(), StoreError> {
        let may_be = |(channel_id, amount): &&(ChannelId, _)| {
            rows.books.get(channel_id).is_some_and(|books| *amount <= books.accepted)
        };
        let sought: Vec<_> = needs.charges.iter().filter(may_be).copied().collect();
        if sought.is_empty() {
            return Ok(());
        }
        let overlay = self.overlay()?;
        let mut elsewhere = Vec::new();
        for id in sought {
            match overlay.find(|generation| generation.charge(&id).cloned()) {
                Some(charge) => drop(rows.charges.insert(id, charge)),
                None => elsewhere.push(id),
            }
        }
        if elsewhere.is_empty() {
            return Ok(());
        }
        let reader = self.reader()?;
        drop(overlay);
        let failed = |error: Trouble| self.failed(&error);
        let shelves = Shelves::of(&reader).map_err(failed)?;
        for id in elsewhere {
            let charge = shelves.charge(id.0, id.1).map_err(failed)?;
            rows.charges.extend(charge.map(|charge| (id, Arc::new(charge))));
        }
        Ok(())
    }

    fn load_others(&self, needs: &Needs, rows: &mut Rows) -> Result<(), StoreError> {
        for id in &needs.credits {
            let credit = self.find(
                |generation| generation.credits.get(id).copied(),
                |reader| get(&reader.open_table(CREDITS)?, &amount_key(id.0, id.1)),
            )?;
            rows.credits.extend(credit.map(|credit| (*id, credit)));
        }
        for hash in &needs.redemptions {
            let state = self.find(
                |generation| generation.redemptions.get(hash).map(|redemption| redemption.state),
                |reader| {
                    let known = get::<Redemption>(&reader.open_table(REDEMPTIONS)?, hash.as_slice())?;
                    Ok(known.map(|redemption| redemption.state))
                },
            )?;
            rows.redemptions.extend(state.map(|state| (*hash, state)));
        }
        for hash in &needs.relayed {
            let relayed = self.find(
                |generation| generation.relayed.get(hash).copied(),
                |reader| get(&reader.open_table(RELAYED)?, hash.as_slice()),
            )?;
            rows.relayed.extend(relayed.map(|relayed| (*hash, relayed)));
        }
        for day in &needs.strangers {
            let amount = self.find(
                |generation| generation.strangers.get(day).copied(),
                |reader| sum(&reader.open_table(STRANGERS)?, *day),
            )?;
            rows.strangers.extend(amount.map(|amount| (*day, amount)));
        }
        for day in &needs.relay_spent {
            let amount = self.find(
                |generation| generation.relay_spent.get(day).copied(),
                |reader| sum(&reader.open_table(RELAY_SPENT)?, *day),
            )?;
            rows.relay_spent.extend(amount.map(|amount| (*day, amount)));
        }
        Ok(())
    }
}

/// What is not in memory.
#[derive(Default)]
struct Missing {
    /// With the channels that are new.
    accounts: Vec<(AccountId, Vec<ChannelId>)>,
    channels: Vec<ChannelId>,
}

/// What the frozen generation has goes before what was kept lately, and that before the tables.
fn fetch(
    reader: &ReadTransaction,
    recent: &Recent,
    frozen: Option<&Generation>,
    missing: Missing,
) -> Result<Fetched, Trouble> {
    let (index, shelves) = (reader.open_table(ACCOUNTS)?, Shelves::of(reader)?);
    let mut fetched = Fetched::default();
    let mut channels: Vec<(ChannelId, Option<ChannelBooks>)> =
        missing.channels.into_iter().map(|channel_id| (channel_id, None)).collect();
    for (account, new) in missing.accounts {
        let first = channels.len();
        if let Some(known) = frozen.and_then(|frozen| frozen.channels_of(account)) {
            channels.extend(known.iter().map(|channel_id| (*channel_id, None)));
        } else if let Some(known) = recent.get(account) {
            channels.extend(known.iter().map(|(channel_id, books)| (*channel_id, Some(*books))));
        } else {
            channels
                .extend(channels_of(&index, account.0.as_slice())?.into_iter().map(|channel_id| (channel_id, None)));
        }
        for channel_id in new {
            if channels[first..].iter().all(|(known, _)| *known != channel_id) {
                channels.push((channel_id, None));
            }
        }
        fetched.accounts.push((account, channels[first..].iter().map(|(channel_id, _)| *channel_id).collect()));
    }
    for (channel_id, recent) in channels {
        let books = match frozen.and_then(|frozen| frozen.books(channel_id)).or(recent) {
            Some(books) => Some(books),
            None => shelves.books(channel_id)?,
        };
        fetched.books.extend(books.map(|books| (channel_id, books)));
    }
    Ok(fetched)
}
