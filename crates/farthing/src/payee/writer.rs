//! Group commit: everything that arrives while one batch is being made durable becomes the next batch.

use super::PayeeError;
use super::store::{Entry, Outcome, PayeeStore, StoreError};
use super::sync::{Handle, Receiver, SyncSender, ThreadBuilder, TrySendError, oneshot, sync_channel};
use super::verifying::Verdict;
use std::sync::Arc;

/// How much a writer takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The most entries in one batch; more wait for the next.
    pub(crate) batch: usize,
    /// The most entries that may wait; beyond it the payee says that it is busy, rather than grow without bound.
    pub(crate) queue: usize,
}

impl Room {
    /// A payee's.
    pub(crate) const PAYEE: Self = Self { batch: 1_024, queue: 16_384 };
}

/// What became of an entry.
pub(crate) type Answer = Result<Outcome, StoreError>;

struct Job {
    entry: Entry,
    answer: AnswerTo,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum AnswerTo {
    /// Whoever wrote.
    Caller(oneshot::Sender<Answer>),
    /// Whoever had a voucher verified: the worker is not in between any more.
    Verified(oneshot::Sender<Verdict>),
}

impl AnswerTo {
    /// Nobody may be waiting any more; then the answer goes nowhere.
    fn send(self, answer: Answer) {
        match self {
            Self::Caller(sender) => drop(sender.send(answer)),
            Self::Verified(sender) => drop(sender.send(Verdict::Written(answer))),
        }
    }
}

/// The one writer of a store: a thread that drains its queue. Cheap to clone; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    room: Room,
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
    pub(crate) fn start(store: Arc<dyn PayeeStore>, room: Room) -> Result<Self, PayeeError> {
        let runtime = Handle::try_current()?;
        let (queue, jobs) = sync_channel(room.queue);
        let drain = move || drain(store.as_ref(), &runtime, &jobs, room.batch);
        ThreadBuilder::new().name("farthing-ledger".to_owned()).spawn(drain)?;
        Ok(Self { queue, room })
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
        self.hand_over(entry, AnswerTo::Caller(answer));
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Queues an entry whose answer goes to somebody else; so does it if there is no room.
    pub(crate) fn hand_over(&self, entry: Entry, answer: AnswerTo) {
        let (job, error) = match self.queue.try_send(Job { entry, answer }) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, StoreError::Busy { waiting: self.room.queue }),
            Err(TrySendError::Disconnected(job)) => (job, StoreError::Closed),
        };
        job.answer.send(Err(error));
    }
}

fn drain(store: &dyn PayeeStore, runtime: &Handle, jobs: &Receiver<Job>, batch_max: usize) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first.entry];
        let mut answers = vec![first.answer];
        while batch.len() < batch_max {
            let Ok(job) = jobs.try_recv() else { break };
            batch.push(job.entry);
            answers.push(job.answer);
        }
        match runtime.block_on(store.accept_batch(&batch)) {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::error!(%error, entries = batch.len(), "not stored, so nothing of this batch is served");
                for answer in answers {
                    answer.send(Err(error.clone()));
                }
            }
        }
    }
}
