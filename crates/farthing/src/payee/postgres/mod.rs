//! The payee's ledger in PostgreSQL: many gateways, one ledger, and each batch of each of them one transaction.
//!
//! A batch begins by holding the rows of its accounts, so everything that belongs to an account is
//! decided on and written by one batch at a time, whichever gateway it comes from. Then [`posting`] decides, as it does
//! for every store, and what it changed is written and committed: two round trips, however large the
//! batch. The module `batch` says what happens when a server or a connection fails meanwhile.
//!
//! This is right at every isolation level from READ COMMITTED on. There, what is looked up after the rows are held is
//! as the last holder left it. On a level that looks at a snapshot, a row that was changed since is refused, and the
//! batch tried again; so each batch changes the rows that it holds.

mod batch;
mod loading;
mod numeric;
mod readers;
mod rows;
mod schema;
mod server;
mod session;
mod statements;
mod writing;

pub use server::{PostgresUrl, PostgresUrlError};

use super::posting::{self, Needs};
use super::store::{
    Entry, LedgerIdentity, Outcome, OwingVisitor, PayeeStore, Record, RecordKind, Redemption, Relayed, StoreError,
    Visitor,
};
use super::views::BoxFuture;
use batch::Writer;
use farthing_core::ledger::{self, ChannelBooks, Charge, Purchase};
use farthing_core::wire::ChallengeSecret;
use farthing_core::{AccountId, Amount, B256, ChannelId};
use futures_util::TryStreamExt;
use numeric::Numeric;
use readers::{Reader, Readers};
use rows::Damage;
use server::{Server, describe};
use session::{Parameters, Session};
use statements::Sql;
use std::fmt;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::Row;

/// How to use a database.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where it is.
    pub url: PostgresUrl,
    /// How many connections read, at most; one more writes.
    pub readers: usize,
    /// How long a batch is tried while the server is away, or a read.
    pub patience: Duration,
}

impl PostgresOptions {
    /// How many connections read unless told otherwise.
    pub const READERS: usize = 4;

    /// How long unless told otherwise: most failovers are over by then, and most clients still wait.
    pub const PATIENCE: Duration = Duration::from_secs(15);

    /// What is usual.
    #[must_use]
    pub const fn new(url: PostgresUrl) -> Self {
        Self { url, readers: Self::READERS, patience: Self::PATIENCE }
    }
}

/// A ledger in PostgreSQL.
pub struct PostgresStore {
    server: Server,
    identity: LedgerIdentity,
    writer: Mutex<Writer>,
    readers: Readers,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresStore").field("server", &self.server).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens a ledger, or begins one. Several gateways may have the same one open.
    ///
    /// # Errors
    ///
    /// If no server answers, it is another's ledger or of another version, or the server does not keep what it commits.
    pub async fn open(options: PostgresOptions, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        Self::open_as(options, identity, false).await
    }

    /// Opens a ledger that records are to be [restored](PayeeStore::restore) into, and keeps everybody else from it until
    /// [`Self::finish_import`]: half a ledger would take vouchers that the other half has seen.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_to_import(options: PostgresOptions, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        Self::open_as(options, identity, true).await
    }

    /// Lets everybody use what was imported.
    ///
    /// # Errors
    ///
    /// If the server does not answer; then nobody can use it yet.
    pub async fn finish_import(self) -> Result<(), StoreError> {
        let client = self.server.connect().await.map_err(|reason| self.server.failed(reason))?;
        schema::finish_import(&client).await.map_err(|error| self.server.failed(describe(&error)))
    }

    async fn open_as(options: PostgresOptions, identity: &LedgerIdentity, imports: bool) -> Result<Self, StoreError> {
        let server = Server::new(options.url, imports)?;
        schema::prepare(&server, identity).await?;
        let readers = Readers::new(server.clone(), *identity, options.readers.max(1), options.patience);
        let writer = Mutex::new(Writer::new(server.clone(), *identity, options.patience));
        let store = Self { server, identity: *identity, writer, readers };
        // Shows at once whether the ledger is the one that was asked for, and is kept for the first reader.
        store.readers.take(Instant::now() + options.patience).await?.give_back();
        Ok(store)
    }

    async fn rows<T>(
        &self,
        sql: Sql,
        parameters: Parameters<'_>,
        read: impl Fn(&Row) -> Result<T, Damage>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.readers.rows(sql, parameters).await?;
        rows.iter().map(|row| read(row).map_err(|damage| self.server.failed(damage))).collect()
    }

    /// A row's id is whole, so there is one row at most.
    async fn row<T>(
        &self,
        sql: Sql,
        parameters: Parameters<'_>,
        read: impl Fn(&Row) -> Result<T, Damage>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(sql, parameters, read).await?.pop())
    }

    async fn accept(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let decide = |rows| Ok(posting::post(batch, rows));
        self.writer.lock().await.write(&Needs::of(batch), &decide).await
    }

    async fn put_back(&self, records: &[Record]) -> Result<(), StoreError> {
        let decide = |rows| Ok(((), posting::restore(records, rows)?));
        self.writer.lock().await.write(&posting::restore_needs(records), &decide).await
    }

    async fn secret(&self) -> Result<ChallengeSecret, StoreError> {
        let secret = self.row(Sql::Secret, &[], |row| rows::Columns::of(row).take::<Vec<u8>>()).await?;
        let missing = || self.server.failed("the challenge secret is missing");
        secret.and_then(ChallengeSecret::new).ok_or_else(missing)
    }

    async fn books_now(&self, channel_id: ChannelId) -> Result<Option<ChannelBooks>, StoreError> {
        let read = |row: &Row| rows::books(row, &self.identity).map(|(_, books)| books);
        self.row(Sql::Channel, &[&channel_id.0.as_slice()], read).await
    }

    /// A channel's charge next to what is due, below or above.
    async fn charge_next_to(&self, sql: Sql, books: &ChannelBooks) -> Result<Option<Charge>, StoreError> {
        let channel_id = books.channel.id(&self.identity.deployment);
        let parameters: Parameters<'_> = &[&channel_id.0.as_slice(), &Numeric(books.due())];
        self.row(sql, parameters, |row| rows::charge(row).map(|(_, charge)| charge)).await
    }

    async fn redeemable_now(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError> {
        let Some(books) = self.books_now(channel_id).await? else { return Ok(None) };
        let charge = self.charge_next_to(Sql::LastChargeUpTo, &books).await?;
        Ok(charge.filter(|charge| ledger::is_redeemable(&books, charge)))
    }

    async fn last_resort_now(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError> {
        let Some(books) = self.books_now(channel_id).await? else { return Ok(None) };
        let charge = self.charge_next_to(Sql::FirstChargeFrom, &books).await?;
        Ok(charge.filter(|charge| ledger::is_last_resort(&books, charge)))
    }

    async fn show(&self, kinds: &[RecordKind], visitor: Visitor<'_>) -> Result<(), StoreError> {
        let reader = self.begin_visit().await?;
        for kind in kinds {
            self.show_kind(&reader.session, *kind, visitor).await?;
        }
        self.end_visit(reader).await
    }

    /// One moment for all that is read, and as long as it takes.
    async fn begin_visit(&self) -> Result<Reader<'_>, StoreError> {
        let reader = self.readers.take(Instant::now() + self.readers.patience).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
        let begun = reader.session.control(begin).await;
        begun.map(|()| reader).map_err(|error| self.server.failed(describe(&error)))
    }

    async fn end_visit(&self, reader: Reader<'_>) -> Result<(), StoreError> {
        let ended = reader.session.control("COMMIT").await;
        ended.map(|()| reader.give_back()).map_err(|error| self.server.failed(describe(&error)))
    }

    async fn show_owing(&self, visitor: OwingVisitor<'_>) -> Result<(), StoreError> {
        let reader = self.begin_visit().await?;
        let read = |row: &Row| rows::owing(row, &self.identity);
        self.show_each(&reader.session, Sql::OwingChannels, read, visitor).await?;
        self.end_visit(reader).await
    }

    async fn show_kind(&self, session: &Session, kind: RecordKind, visitor: Visitor<'_>) -> Result<(), StoreError> {
        let identity = &self.identity;
        match kind {
            RecordKind::Channel => {
                let read = |row: &Row| rows::books(row, identity);
                self.show_rows(session, Sql::AllChannels, read, visitor, |(channel_id, books)| Record::Channel {
                    channel_id,
                    books,
                })
                .await
            }
            RecordKind::Charge => {
                let record = |(channel_id, charge)| Record::Charge { channel_id, charge };
                self.show_rows(session, Sql::AllCharges, rows::charge, visitor, record).await
            }
            RecordKind::Credit => {
                let record = |(channel_id, credit)| Record::Credit { channel_id, credit };
                self.show_rows(session, Sql::AllCredits, rows::credit, visitor, record).await
            }
            RecordKind::FinalRedemption => {
                let record = |(channel_id, redemption)| Record::FinalRedemption { channel_id, redemption };
                self.show_rows(session, Sql::AllFinalRedemptions, rows::final_redemption, visitor, record).await
            }
            RecordKind::Redemption => self.show_redemptions(session, visitor).await,
            RecordKind::Relayed => {
                let record = |relayed| Record::Relayed { relayed };
                self.show_rows(session, Sql::AllRelayed, rows::relayed, visitor, record).await
            }
            RecordKind::Strangers => {
                let record = |(day, amount)| Record::Strangers { day, amount };
                self.show_rows(session, Sql::AllStrangers, rows::day, visitor, record).await
            }
        }
    }

    /// Row by row, so that a ledger of any size can be shown.
    async fn show_rows<T: Send>(
        &self,
        session: &Session,
        sql: Sql,
        read: impl Fn(&Row) -> Result<T, Damage> + Send,
        visitor: Visitor<'_>,
        record: impl Fn(T) -> Record + Send + Sync,
    ) -> Result<(), StoreError> {
        self.show_each(session, sql, read, &mut |value| visitor(record(value))).await
    }

    async fn show_each<T: Send>(
        &self,
        session: &Session,
        sql: Sql,
        read: impl Fn(&Row) -> Result<T, Damage> + Send,
        visitor: &mut (dyn FnMut(T) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let failed = |error: tokio_postgres::Error| self.server.failed(describe(&error));
        let mut stream = pin!(session.stream(sql).await.map_err(failed)?);
        while let Some(row) = stream.try_next().await.map_err(failed)? {
            visitor(read(&row).map_err(|damage| self.server.failed(damage))?)?;
        }
        Ok(())
    }

    /// A redemption comes as a row for each of its vouchers, one after the other.
    async fn show_redemptions(&self, session: &Session, visitor: Visitor<'_>) -> Result<(), StoreError> {
        let mut last: Option<Redemption> = None;
        let mut join = |row: Redemption| match join_vouchers(&mut last, row) {
            Some(redemption) => visitor(Record::Redemption { redemption }),
            None => Ok(()),
        };
        self.show_each(session, Sql::AllRedemptions, rows::redemption, &mut join).await?;
        last.map_or(Ok(()), |redemption| visitor(Record::Redemption { redemption }))
    }

    async fn redemptions_in(&self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Redemption>, StoreError> {
        let rows = self.rows(sql, parameters, rows::redemption).await?;
        let mut last = None;
        let mut all: Vec<Redemption> = rows.into_iter().filter_map(|row| join_vouchers(&mut last, row)).collect();
        all.extend(last);
        Ok(all)
    }
}

/// Adds a row to the redemption that it belongs to, or returns that one, which is whole, and begins the next.
fn join_vouchers(last: &mut Option<Redemption>, row: Redemption) -> Option<Redemption> {
    match last {
        Some(last) if last.hash == row.hash => {
            last.vouchers.extend(row.vouchers);
            None
        }
        last => last.replace(row),
    }
}

impl PayeeStore for PostgresStore {
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>> {
        Box::pin(self.accept(batch))
    }

    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.put_back(records))
    }

    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>> {
        Box::pin(self.secret())
    }

    fn books(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>> {
        Box::pin(self.books_now(channel_id))
    }

    fn books_of(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>> {
        Box::pin(async move {
            let read = |row: &Row| rows::books(row, &self.identity);
            self.rows(Sql::ChannelsOfAccounts, &[&vec![account.0.as_slice()]], read).await
        })
    }

    fn charge(&self, id: ChannelId, cumulative_amount: Amount) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        Box::pin(async move {
            let parameters: Parameters<'_> = &[&vec![id.0.as_slice()], &vec![Numeric(cumulative_amount)]];
            self.row(Sql::Charges, parameters, |row| rows::charge(row).map(|(_, charge)| charge)).await
        })
    }

    fn purchase(&self, purchase: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>> {
        Box::pin(async move {
            let parameters: Parameters<'_> = &[&purchase.signer.as_slice(), &purchase.request.0.as_slice()];
            self.row(Sql::ChargeOfPurchase, parameters, rows::charge).await
        })
    }

    fn redeemable(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        Box::pin(self.redeemable_now(channel_id))
    }

    fn last_resort(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>> {
        Box::pin(self.last_resort_now(channel_id))
    }

    fn relayed(&self, request: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        Box::pin(async move { self.row(Sql::RelayedLast, &[&request.as_slice()], rows::relayed).await })
    }

    fn relayed_in(&self, hash: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>> {
        Box::pin(async move { self.row(Sql::Relayed, &[&vec![hash.as_slice()]], rows::relayed).await })
    }

    fn relay_spent(&self, day: u64) -> BoxFuture<'_, Result<Amount, StoreError>> {
        Box::pin(async move {
            let spent = self.row(Sql::RelaySpent, &[&vec![day.cast_signed()]], rows::day).await?;
            Ok(spent.map_or(Amount::ZERO, |(_, amount)| amount))
        })
    }

    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>> {
        Box::pin(self.redemptions_in(Sql::UnsettledRedemptions, &[]))
    }

    fn redemption(&self, hash: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>> {
        Box::pin(async move { Ok(self.redemptions_in(Sql::Redemption, &[&hash.as_slice()]).await?.pop()) })
    }

    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.show_owing(visitor))
    }

    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.show(kinds, visitor))
    }
}
