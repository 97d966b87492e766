//! One batch, from its first attempt until it is committed or given up.
//!
//! An attempt may end in three ways without an answer.
//!
//! - The server undoes it, for it met another batch. It is made again.
//! - Its connection breaks before the commit was sent. The server undoes it, and it is made again over another one.
//! - Its connection breaks after the commit was sent. Then nobody but the server knows whether it was committed. The
//!   next attempt finds out by the first thing that every attempt does: it notes the batch's number under the writer's
//!   name. If that number is there, the last attempt was committed, and its answer is the answer. If it is not, the
//!   last attempt has ended without being committed, and can't be any more: while it was under way it held the writer's
//!   row, and this attempt waited for that.

use super::super::posting::{Changes, Needs, Rows};
use super::super::store::{LedgerIdentity, StoreError};
use super::loading::{self, BatchId};
use super::server::{Server, describe};
use super::session::{NoSession, Session};
use super::writing::{SumChanges, SumsBefore, orders};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// How long one attempt may take; a server that says nothing for longer is taken for gone.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);

/// How long the server may take to undo what is not committed.
const UNDO_WITHIN: Duration = Duration::from_secs(1);

/// Between two attempts; it doubles from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a batch comes to: its answer, and what it changes. It may be asked several times, with the rows of another
/// moment.
pub(super) type Decide<'a, T> = &'a (dyn Fn(Rows) -> Result<(T, Changes), StoreError> + Send + Sync);

/// How an attempt ended without an answer.
enum Setback {
    /// The server undid it.
    Undone(String),
    /// Its connection is no good any more.
    Lost(String),
    /// The server undid it, and would do so again.
    Broken(String),
    /// No other attempt would do better.
    Final(StoreError),
}

/// The writer of a store. Its name is drawn anew each time the store is opened.
pub(super) struct Writer {
    server: Server,
    identity: LedgerIdentity,
    /// How long a batch is tried. Whoever waits for it has been told nothing yet, and is told to come again after that.
    patience: Duration,
    id: [u8; 16],
    number: i64,
    session: Option<Session>,
}

impl Writer {
    pub(super) fn new(server: Server, identity: LedgerIdentity, patience: Duration) -> Self {
        Self { server, identity, patience, id: rand::random(), number: 0, session: None }
    }

    /// Writes a batch. When it returns `Ok`, the batch is committed.
    ///
    /// An error means that it was not committed in time; and if the error says that this is not known, the
    /// server may have committed it all the same. Nothing is served for it then; and whoever sends the same voucher for
    /// the same request again is answered as if it had been.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the connection is closed with it, and the batch is committed or not, but never by half.
    pub(super) async fn write<T: Clone + Send>(
        &mut self,
        needs: &Needs,
        decide: Decide<'_, T>,
    ) -> Result<T, StoreError> {
        self.number += 1;
        let id = BatchId { writer: self.id, number: self.number, day: crate::clock::now().day() };
        let mut batch = Batch { id, needs, decide, identity: self.identity, sent: None, hold_sums: false };
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.attempt(&mut batch, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Broken(reason)) => return Err(self.server.failed(reason)),
                Err(Setback::Undone(reason) | Setback::Lost(reason)) => reason,
            };
            if Instant::now() + pause >= deadline {
                return Err(self.server.failed(batch.given_up(&reason)));
            }
            tracing::warn!(%reason, "a batch is not stored yet, and tried again");
            // Not all gateways at the same moment.
            sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T: Clone + Send>(&mut self, batch: &mut Batch<'_, T>, deadline: Instant) -> Result<T, Setback> {
        // Taken, and put back only when no transaction is open on it: if this future is dropped, so is the connection.
        let session = match self.session.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => {
                let session = timeout_at(deadline, Session::connect(&self.server, &self.identity)).await;
                session.map_err(|_| Setback::Lost("no connection in time".to_owned()))??
            }
        };
        let until = deadline.min(Instant::now() + ATTEMPT_WITHIN);
        let result = timeout_at(until, batch.attempt(&session, &self.server)).await;
        let result = result.unwrap_or_else(|_| Err(Setback::Lost("the server does not answer".to_owned())));
        let is_clean = match &result {
            Ok(_) => true,
            Err(Setback::Lost(_)) => false,
            Err(Setback::Undone(_) | Setback::Broken(_) | Setback::Final(_)) => {
                matches!(timeout(UNDO_WITHIN, session.control("ROLLBACK")).await, Ok(Ok(())))
            }
        };
        if is_clean {
            self.session = Some(session);
        }
        result
    }
}

struct Batch<'a, T> {
    id: BatchId,
    needs: &'a Needs,
    decide: Decide<'a, T>,
    identity: LedgerIdentity,
    /// The answer of an attempt whose commit was sent, while it is not known what became of it.
    sent: Option<T>,
    /// Set when a day's sum has changed under an attempt: the next one holds it, and so gets through.
    hold_sums: bool,
}

impl<T: Clone + Send> Batch<'_, T> {
    async fn attempt(&mut self, session: &Session, server: &Server) -> Result<T, Setback> {
        let accounts = loading::accounts(session, self.needs).await?;
        let loaded = loading::begin(session, &self.id, &accounts, self.needs, self.hold_sums).await?;
        if !loaded.is_new {
            session.control("ROLLBACK").await?;
            let unasked = || Setback::Final(server.failed("a batch is committed that was not sent"));
            return self.sent.take().ok_or_else(unasked);
        }
        // So the last attempt, if its commit was sent, was not committed, and has ended.
        self.sent = None;
        let rows = loaded.rows(&self.identity).map_err(|damage| Setback::Final(server.failed(damage)))?;
        let before = SumsBefore { strangers: rows.strangers.clone(), relay_spent: rows.relay_spent.clone() };
        let (answer, changes) = (self.decide)(rows).map_err(Setback::Final)?;
        let sums = SumChanges::between(&before, &changes);
        let orders = orders(&changes);
        if orders.is_empty() && sums.is_empty() {
            session.control("ROLLBACK").await?;
            return Ok(answer);
        }
        if !sums.is_empty() {
            let written = session.carry_out(&sums.orders()).await?;
            if usize::try_from(written) != Ok(sums.len()) {
                self.hold_sums = true;
                return Err(Setback::Undone("another batch changed a day's sum".to_owned()));
            }
        }
        self.sent = Some(answer.clone());
        // The commit is sent behind the orders without waiting for them: if one fails, the server undoes them all.
        let (written, committed) = tokio::join!(biased; session.carry_out(&orders), session.control("COMMIT"));
        match written.and(committed.map(|()| 0)) {
            Ok(_) => Ok(answer),
            Err(error) => {
                if is_refusal(&error) {
                    self.sent = None;
                }
                Err(error.into())
            }
        }
    }

    fn given_up(&self, reason: &str) -> String {
        match self.sent {
            Some(_) => format!("{reason}; whether the last batch was stored is not known"),
            None => reason.to_owned(),
        }
    }
}

/// Whether the server itself said that a transaction is not committed. Whatever ends a connection says nothing of that:
/// a server that is shut down while it commits reports its end, and has committed.
fn is_refusal(error: &Error) -> bool {
    let is_error = |error: &DbError| error.parsed_severity() == Some(Severity::Error);
    error
        .as_db_error()
        .is_some_and(|error| is_error(error) && error.code() != &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN)
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        let reason = describe(&error);
        if !is_refusal(&error) || error.code().is_some_and(needs_another_connection) {
            return Self::Lost(reason);
        }
        if error.code().is_some_and(may_pass) { Self::Undone(reason) } else { Self::Broken(reason) }
    }
}

/// Serialization failures and deadlocks, and waiting for longer than is allowed for another batch.
fn may_pass(code: &SqlState) -> bool {
    code.code().starts_with("40") || code == &SqlState::LOCK_NOT_AVAILABLE || code == &SqlState::QUERY_CANCELED
}

/// What another server, or the same with a fresh connection, does better: one that is a standby now, or has forgotten
/// or outlived what was prepared.
fn needs_another_connection(code: &SqlState) -> bool {
    let codes = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    codes.contains(code) || code.code().starts_with("08") || code.code().starts_with("57P")
}

impl From<NoSession> for Setback {
    fn from(error: NoSession) -> Self {
        match error {
            NoSession::Unreachable(reason) => Self::Lost(reason),
            NoSession::Refused(error) => Self::Final(error),
        }
    }
}
