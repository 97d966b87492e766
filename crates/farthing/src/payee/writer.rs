//! Group commit: everything that arrives while one batch is being made durable becomes the next batch.

use super::PayeeError;
use super::store::{Entry, Outcome, PayeeStore, StoreError};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The most entries in one batch; more wait for the next.
const BATCH_MAX: usize = 1_024;

/// The most entries that may wait; beyond it the payee says that it is busy, rather than grow without bound.
const QUEUE_MAX: usize = 16_384;

type Answer = Result<Outcome, StoreError>;

struct Job {
    entry: Entry,
    answer: oneshot::Sender<Answer>,
}

/// The one writer of a store: a thread that drains its queue. Cheap to clone; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: SyncSender<Job>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread. A thread of its own, for an embedded store blocks it while it syncs its file.
    ///
    /// # Errors
    ///
    /// If no thread can be had, or there is no tokio runtime.
    pub(crate) fn start(store: Arc<dyn PayeeStore>) -> Result<Self, PayeeError> {
        let runtime = Handle::try_current()?;
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let drain = move || drain(store.as_ref(), &runtime, &jobs);
        std::thread::Builder::new().name("farthing-ledger".to_owned()).spawn(drain)?;
        Ok(Self { queue })
    }

    /// Writes one entry with whatever else is waiting; durable when it returns.
    ///
    /// # Errors
    ///
    /// If it could not be written, or too much is waiting.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the entry back: a charge whose client went away is found again by its retry.
    pub(crate) async fn write(&self, entry: Entry) -> Answer {
        let (answer, outcome) = oneshot::channel();
        self.queue.try_send(Job { entry, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy { waiting: QUEUE_MAX },
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }
}

fn drain(store: &dyn PayeeStore, runtime: &Handle, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first.entry];
        let mut answers = vec![first.answer];
        while batch.len() < BATCH_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            batch.push(job.entry);
            answers.push(job.answer);
        }
        // Nobody may be waiting any more; then the answer goes nowhere.
        match runtime.block_on(store.accept_batch(&batch)) {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::error!(%error, entries = batch.len(), "not stored, so nothing of this batch is served");
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
