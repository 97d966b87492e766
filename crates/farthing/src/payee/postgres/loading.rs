//! Begins a batch's transaction and looks up what the batch needs, in one round trip.

use super::super::posting::{ChargeId, Needs, Rows};
use super::super::store::LedgerIdentity;
use super::numeric::Numeric;
use super::rows::{self, Damage};
use super::session::{Parameters, Session};
use super::statements::Sql;
use farthing_core::{AccountId, B256, ChannelId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio_postgres::{Error, Row};

/// A batch's name: who writes it, and its number there.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchId {
    pub(super) writer: [u8; 16],
    pub(super) number: i64,
    pub(super) day: u64,
}

/// What the server has looked up.
pub(super) struct Loaded {
    /// Whether the batch has not been committed before.
    pub(super) is_new: bool,
    channels: Vec<Row>,
    charges: Vec<Row>,
    credits: Vec<Row>,
    strangers: Vec<Row>,
    redemptions: Vec<Row>,
    relayed: Vec<Row>,
    relay_spent: Vec<Row>,
    /// Nothing if it was not asked for.
    lease: Option<Vec<Row>>,
}

/// The accounts whose books a batch may change.
pub(super) async fn accounts(session: &Session, needs: &Needs) -> Result<BTreeSet<AccountId>, Error> {
    let mut accounts = needs.accounts.clone();
    if !needs.channels.is_empty() {
        let ids: Vec<&[u8]> = needs.channels.iter().map(|id| id.0.as_slice()).collect();
        for row in session.rows(Sql::AccountsOfChannels, &[&ids]).await? {
            let account: &[u8] = row.try_get(0)?;
            // Not an account's id only if the row was damaged; its channel is then not found below.
            accounts.extend(account.try_into().ok().map(AccountId));
        }
    }
    Ok(accounts)
}

/// Begins a transaction, notes the batch in it, holds its accounts, and looks up what it needs: all statements are sent
/// before the first is answered, and the server carries them out one after the other. So everything is looked up after
/// the accounts are held, and nobody else changes their books until this transaction ends.
///
/// A day's sum is everybody's. It is not held unless `hold_sums` says so, which is after it changed under a batch.
pub(super) async fn begin(
    session: &Session,
    batch: &BatchId,
    accounts: &BTreeSet<AccountId>,
    needs: &Needs,
    hold_sums: bool,
) -> Result<Loaded, Error> {
    let ids: Vec<&[u8]> = accounts.iter().map(|account| account.0.as_slice()).collect();
    let (charges, credits) = (ChargeIds::of(&needs.charges), ChargeIds::of(&needs.credits));
    let days = |days: &BTreeSet<u64>| days.iter().map(|day| day.cast_signed()).collect::<Vec<i64>>();
    let (stranger_days, relay_days) = (days(&needs.strangers), days(&needs.relay_spent));
    let hashes = |hashes: &'_ BTreeSet<B256>| hashes.iter().map(|hash| hash.to_vec()).collect::<Vec<_>>();
    let (redemption_hashes, relayed_hashes) = (hashes(&needs.redemptions), hashes(&needs.relayed));
    let sums = |free, held| if hold_sums { held } else { free };
    let mark: Parameters<'_> = &[&batch.writer.as_slice(), &batch.number, &batch.day.cast_signed()];
    let of_accounts: Parameters<'_> = &[&ids];
    let of_charges: Parameters<'_> = &[&charges.channels, &charges.amounts];
    let of_credits: Parameters<'_> = &[&credits.channels, &credits.amounts];
    let (of_strangers, of_relayed_days): (Parameters<'_>, Parameters<'_>) = (&[&stranger_days], &[&relay_days]);
    let (of_redemptions, of_relayed): (Parameters<'_>, Parameters<'_>) = (&[&redemption_hashes], &[&relayed_hashes]);
    let found = tokio::try_join!(
        biased;
        session.control("BEGIN"),
        session.execute(Sql::Mark, mark),
        rows_of(session, ids.is_empty(), Sql::AddAccounts, of_accounts),
        rows_of(session, ids.is_empty(), Sql::HoldAccounts, of_accounts),
        rows_of(session, !needs.lease, Sql::HoldLease, &[]),
        rows_of(session, redemption_hashes.is_empty(), Sql::HoldRedemptions, of_redemptions),
        rows_of(session, stranger_days.is_empty(), sums(Sql::Strangers, Sql::HoldStrangers), of_strangers),
        rows_of(session, relay_days.is_empty(), sums(Sql::RelaySpent, Sql::HoldRelaySpent), of_relayed_days),
        rows_of(session, ids.is_empty(), Sql::ChannelsOfAccounts, of_accounts),
        rows_of(session, charges.is_empty(), Sql::Charges, of_charges),
        rows_of(session, credits.is_empty(), Sql::Credits, of_credits),
        rows_of(session, relayed_hashes.is_empty(), Sql::Relayed, of_relayed),
    )?;
    let (_, marked, _, _, lease, redemptions, strangers, relay_spent, channels, charges, credits, relayed) = found;
    let (is_new, lease) = (marked > 0, needs.lease.then_some(lease));
    Ok(Loaded { is_new, channels, charges, credits, strangers, redemptions, relayed, relay_spent, lease })
}

/// The rows of a query that is not sent if it would ask for nothing. Sends one statement at most, when it is first
/// polled: more could fall behind what is sent after it.
async fn rows_of(session: &Session, is_empty: bool, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
    if is_empty { Ok(Vec::new()) } else { session.rows(sql, parameters).await }
}

/// Ids of charges, a column each.
struct ChargeIds<'a> {
    channels: Vec<&'a [u8]>,
    amounts: Vec<Numeric>,
}

impl<'a> ChargeIds<'a> {
    fn of(ids: &'a BTreeSet<ChargeId>) -> Self {
        let channels = ids.iter().map(|(channel_id, _)| channel_id.0.as_slice()).collect();
        Self { channels, amounts: ids.iter().map(|(_, amount)| Numeric(*amount)).collect() }
    }

    const fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

impl Loaded {
    /// What the rows say.
    pub(super) fn rows(&self, identity: &LedgerIdentity) -> Result<Rows, Damage> {
        let mut rows = Rows::default();
        for row in &self.channels {
            let (channel_id, books) = rows::books(row, identity)?;
            let account: &mut Vec<ChannelId> = rows.accounts.entry(books.channel.account().id()).or_default();
            account.push(channel_id);
            rows.books.insert(channel_id, books);
        }
        for row in &self.charges {
            let (channel_id, charge) = rows::charge(row)?;
            rows.charges.insert((channel_id, charge.cumulative_amount), Arc::new(charge));
        }
        for row in &self.credits {
            let (channel_id, credit) = rows::credit(row)?;
            rows.credits.insert((channel_id, credit.cumulative_amount), credit);
        }
        for row in &self.relayed {
            let relayed = rows::relayed(row)?;
            rows.relayed.insert(relayed.hash, relayed);
        }
        rows.redemptions = self.redemptions.iter().map(rows::state).collect::<Result<BTreeMap<_, _>, _>>()?;
        if let Some(lease) = &self.lease {
            // Without it, it would be everybody's.
            let row = lease.first().ok_or("the lease has no row")?;
            rows.lease = rows::lease(row)?;
        }
        rows.strangers = self.strangers.iter().map(rows::day).collect::<Result<BTreeMap<_, _>, _>>()?;
        rows.relay_spent = self.relay_spent.iter().map(rows::day).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(rows)
    }
}
