//! What a batch needs, looked up in memory and, what is not there, in the tables.

use super::keeping::Keeping;
use super::recent::Channels;
use super::shelves::Shelves;
use super::tables::{
    ACCOUNTS, CREDITS, REDEMPTIONS, RELAY_SPENT, RELAYED, STRANGERS, amount_key, channels_of, get, sum,
};
use crate::payee::posting::{Needs, Rows};
use crate::payee::store::{Redemption, StoreError};
use farthing_core::{AccountId, ChannelId};
use redb::Error as Trouble;
use std::sync::Arc;

impl Keeping {
    /// Looks up what a batch needs. Only for the one writer.
    pub(super) fn load(&self, needs: &Needs) -> Result<Rows, StoreError> {
        let mut rows = Rows::default();
        let mut missing = Vec::new();
        let mut found = |account: AccountId, channels: Channels| {
            rows.books.extend(channels.iter().copied());
            rows.accounts.insert(account, channels.iter().map(|(channel_id, _)| *channel_id).collect());
        };
        for account in &needs.accounts {
            match self.recent.get(*account) {
                Some(channels) => found(*account, channels),
                None => missing.push(*account),
            }
        }
        for (account, channels) in self.accounts(&missing)? {
            self.recent.keep(account, Arc::clone(&channels));
            found(account, channels);
        }
        for channel_id in &needs.channels {
            let books = self
                .find(|generation| generation.books(*channel_id), |reader| Shelves::of(reader)?.books(*channel_id))?;
            rows.books.extend(books.map(|books| (*channel_id, books)));
        }
        self.load_charges(needs, &mut rows)?;
        self.load_others(needs, &mut rows)?;
        Ok(rows)
    }

    /// All channels of each account, and their books.
    pub(super) fn accounts(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, Channels)>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let overlay = self.overlay()?;
        let reader = self.reader()?;
        let look = || {
            let (index, shelves) = (reader.open_table(ACCOUNTS)?, Shelves::of(&reader)?);
            let books = |channel_id: ChannelId| {
                let newest = overlay.find(|generation| generation.books(channel_id));
                let books = newest.map_or_else(|| shelves.books(channel_id), |books| Ok(Some(books)))?;
                Ok(books.map(|books| (channel_id, books)))
            };
            let each = accounts.iter().map(|account| {
                let mut channels = channels_of(&index, account.0.as_slice())?;
                for new in overlay.generations().flat_map(|one| one.new_channels_of(*account)) {
                    // One that is being written may be in both.
                    if !channels.contains(&new) {
                        channels.push(new);
                    }
                }
                channels.sort_unstable();
                let books = channels.into_iter().filter_map(|channel_id| books(channel_id).transpose());
                Ok((*account, books.collect::<Result<Channels, Trouble>>()?))
            });
            each.collect::<Result<Vec<_>, Trouble>>()
        };
        look().map_err(|error| self.failed(&error))
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
                |generation| generation.rest.credits.get(id).copied(),
                |reader| get(&reader.open_table(CREDITS)?, &amount_key(id.0, id.1)),
            )?;
            rows.credits.extend(credit.map(|credit| (*id, credit)));
        }
        for hash in &needs.redemptions {
            let state = self.find(
                |generation| generation.rest.redemptions.get(hash).map(|redemption| redemption.state),
                |reader| {
                    let known = get::<Redemption>(&reader.open_table(REDEMPTIONS)?, hash.as_slice())?;
                    Ok(known.map(|redemption| redemption.state))
                },
            )?;
            rows.redemptions.extend(state.map(|state| (*hash, state)));
        }
        for hash in &needs.relayed {
            let relayed = self.find(
                |generation| generation.rest.relayed.get(hash).copied(),
                |reader| get(&reader.open_table(RELAYED)?, hash.as_slice()),
            )?;
            rows.relayed.extend(relayed.map(|relayed| (*hash, relayed)));
        }
        for day in &needs.strangers {
            let amount = self.find(
                |generation| generation.rest.strangers.get(day).copied(),
                |reader| sum(&reader.open_table(STRANGERS)?, *day),
            )?;
            rows.strangers.extend(amount.map(|amount| (*day, amount)));
        }
        for day in &needs.relay_spent {
            let amount = self.find(
                |generation| generation.rest.relay_spent.get(day).copied(),
                |reader| sum(&reader.open_table(RELAY_SPENT)?, *day),
            )?;
            rows.relay_spent.extend(amount.map(|amount| (*day, amount)));
        }
        Ok(())
    }
}
