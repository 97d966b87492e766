//! One connection with its statements prepared: what a ledger is read and written with.

use super::super::store::{LedgerIdentity, StoreError};
use super::schema;
use super::server::{Server, describe};
use super::statements::Sql;
use super::writing::Order;
use futures_util::future::{join_all, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, RowStream, Statement};

/// A statement's parameters.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection to a ledger.
pub(super) struct Session {
    client: Client,
    statements: Vec<Statement>,
}

/// Why no session could be had.
pub(super) enum NoSession {
    /// No server gave a connection, or it was lost again: another attempt may succeed.
    Unreachable(String),
    /// What is there is not the ledger that was asked for.
    Refused(StoreError),
}

impl Session {
    /// Connects, and makes sure that this is still the ledger that it was: after a failover it might be another.
    pub(super) async fn connect(server: &Server, identity: &LedgerIdentity) -> Result<Self, NoSession> {
        let client = server.connect().await.map_err(NoSession::Unreachable)?;
        schema::check(&client, server, identity).await?;
        let lost = |error: Error| NoSession::Unreachable(describe(&error));
        let statements = try_join_all(Sql::TEXTS.iter().map(|text| client.prepare(text))).await.map_err(lost)?;
        Ok(Self { client, statements })
    }

    /// Whether nothing can come of it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn statement(&self, sql: Sql) -> &Statement {
        // One was prepared for each of them.
        &self.statements[sql as usize]
    }

    pub(super) async fn rows(&self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        self.client.query(self.statement(sql), parameters).await
    }

    /// Rows one by one, as many as there are.
    pub(super) async fn stream(&self, sql: Sql) -> Result<RowStream, Error> {
        self.client.query_raw(self.statement(sql), std::iter::empty::<&(dyn ToSql + Sync)>()).await
    }

    /// Carries out a statement, and says how many rows it changed.
    pub(super) async fn execute(&self, sql: Sql, parameters: Parameters<'_>) -> Result<u64, Error> {
        self.client.execute(self.statement(sql), parameters).await
    }

    /// Carries out orders one after the other without waiting for any answer in between, and says how many rows they
    /// changed.
    pub(super) async fn carry_out(&self, orders: &[Order<'_>]) -> Result<u64, Error> {
        // Each statement is on its way when its future has been polled once, and here that happens in order.
        let results = join_all(orders.iter().map(|order| self.carry_out_one(order))).await;
        results.into_iter().sum()
    }

    async fn carry_out_one(&self, order: &Order<'_>) -> Result<u64, Error> {
        let columns: Vec<&(dyn ToSql + Sync)> = order.columns.iter().map(|column| &**column as _).collect();
        self.execute(order.sql, &columns).await
    }

    /// Begins, ends or sets up a transaction.
    pub(super) async fn control(&self, statement: &str) -> Result<(), Error> {
        self.client.batch_execute(statement).await
    }
}
