//! The connections that are read through: a fixed number at most, made when they are needed.

use super::super::store::{LedgerIdentity, StoreError};
use super::server::{Server, describe};
use super::session::{NoSession, Parameters, Session};
use super::statements::Sql;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;

/// How long one query may take before the server is taken for gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Readers {
    server: Server,
    identity: LedgerIdentity,
    most: usize,
    /// How long a read is tried.
    pub(super) patience: Duration,
    places: Semaphore,
    idle: Mutex<Vec<Session>>,
}

/// A session that is somebody's until it is given back; if it is not, it is closed.
pub(super) struct Reader<'a> {
    readers: &'a Readers,
    pub(super) session: Session,
    _place: SemaphorePermit<'a>,
}

impl Reader<'_> {
    /// For a session that can be used again: it answered, and no transaction is open on it.
    pub(super) fn give_back(self) {
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.session);
    }
}

impl Readers {
    pub(super) fn new(server: Server, identity: LedgerIdentity, most: usize, patience: Duration) -> Self {
        Self { server, identity, most, patience, places: Semaphore::new(most), idle: Mutex::default() }
    }

    /// A session of one's own, within a deadline.
    pub(super) async fn take(&self, deadline: Instant) -> Result<Reader<'_>, StoreError> {
        let busy = || self.server.failed(format!("all {} connections for reading are in use", self.most));
        let place = timeout_at(deadline, self.places.acquire()).await.map_err(|_| busy())?;
        let place = place.map_err(|_| StoreError::Closed)?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reason = match idle {
                Some(session) if session.is_closed() => continue,
                Some(session) => return Ok(Reader { readers: self, session, _place: place }),
                None => match timeout_at(deadline, Session::connect(&self.server, &self.identity)).await {
                    Ok(Ok(session)) => return Ok(Reader { readers: self, session, _place: place }),
                    Ok(Err(NoSession::Refused(error))) => return Err(error),
                    Ok(Err(NoSession::Unreachable(reason))) => reason,
                    Err(_) => return Err(self.server.failed("no connection in time")),
                },
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(self.server.failed(reason));
            }
            sleep(PAUSE).await;
        }
    }

    /// A query's rows. Asking twice does no harm, so a connection that breaks meanwhile is nobody's business.
    pub(super) async fn rows(&self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let reader = self.take(deadline).await?;
            let until = deadline.min(Instant::now() + ANSWER_WITHIN);
            let reason = match timeout_at(until, reader.session.rows(sql, parameters)).await {
                Ok(Ok(rows)) => {
                    reader.give_back();
                    return Ok(rows);
                }
                Ok(Err(error)) => describe(&error),
                Err(_) => "the server does not answer".to_owned(),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(self.server.failed(reason));
            }
            drop(reader);
            sleep(PAUSE).await;
        }
    }
}
