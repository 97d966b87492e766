//! Group commit: everything that arrives while one batch is being made durable becomes the next batch.
//!
//! Two threads pass a batch on: one makes it durable, the other signs its receipts and answers. So a disk never waits for
//! a signature, nor for hundreds of tasks to be woken.

use super::PayeeError;
use super::receipts::{Seal, SealError, Seals, TOGETHER};
use super::store::{Entry, Outcome, PayeeStore, PendingCharge, StoreError};
use super::sync::{Handle, Receiver, SyncSender, ThreadBuilder, TrySendError, oneshot, sync_channel, yield_now};
use super::verifying::Verdict;
use farthing_core::ChannelId;
use farthing_core::ledger::Charge;
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

/// How many durable batches may wait to be answered before the next is written.
const UNANSWERED: usize = 1;

/// An entry on its way into the store.
#[derive(Clone, Debug)]
pub(crate) struct ToWrite {
    pub(crate) entry: Entry,
    /// Whether it is to have a receipt: then its answer comes with a seal, if it is charged.
    pub(crate) sealed: bool,
}

/// What became of an entry, with a seal if it was charged and is to have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    pub(crate) seal: Option<Result<Seal, SealError>>,
}

pub(crate) type Answer = Result<Written, StoreError>;

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

struct Job {
    to_write: ToWrite,
    answer: AnswerTo,
}

/// One that is durable, and not answered yet.
struct Durable {
    outcome: Outcome,
    /// The channel of a charge that is to be sealed.
    sealed: Option<ChannelId>,
    answer: AnswerTo,
}

impl Durable {
    /// What is to be signed of it.
    fn charged(&self) -> Option<(ChannelId, &Charge)> {
        match &self.outcome {
            Outcome::Charged { charge, .. } => self.sealed.map(|channel_id| (channel_id, charge.as_ref())),
            _ => None,
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
    /// Starts its threads. Threads of their own, for an embedded store blocks its one while it syncs its file.
    ///
    /// # Errors
    ///
    /// If no thread can be had, or there is no tokio runtime.
    pub(crate) fn start(store: Arc<dyn PayeeStore>, seals: Arc<dyn Seals>, room: Room) -> Result<Self, PayeeError> {
        let runtime = Handle::try_current()?;
        let (queue, jobs) = sync_channel(room.queue);
        let (pass_on, batches) = sync_channel(UNANSWERED);
        let drain = move || drain(store.as_ref(), &runtime, &jobs, &pass_on, room.batch);
        let answer = move || answer(&batches, seals.as_ref());
        ThreadBuilder::new().name("farthing-receipt".to_owned()).spawn(answer)?;
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
    pub(crate) async fn write(&self, entry: Entry) -> Result<Outcome, StoreError> {
        self.send(ToWrite { entry, sealed: false }).await.map(|written| written.outcome)
    }

    /// The same for a charge, which is sealed if it is to be.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`].
    pub(crate) async fn charge(&self, pending: PendingCharge, sealed: bool) -> Answer {
        self.send(ToWrite { entry: Entry::Charge(Box::new(pending)), sealed }).await
    }

    async fn send(&self, to_write: ToWrite) -> Answer {
        let (answer, written) = oneshot::channel();
        self.hand_over(to_write, AnswerTo::Caller(answer));
        written.await.map_err(|_| StoreError::Closed)?
    }

    /// Queues an entry whose answer goes to somebody else; so does it if there is no room.
    pub(crate) fn hand_over(&self, to_write: ToWrite, answer: AnswerTo) {
        let (job, error) = match self.queue.try_send(Job { to_write, answer }) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, StoreError::Busy { waiting: self.room.queue }),
            Err(TrySendError::Disconnected(job)) => (job, StoreError::Closed),
        };
        job.answer.send(Err(error));
    }
}

fn drain(
    store: &dyn PayeeStore,
    runtime: &Handle,
    jobs: &Receiver<Job>,
    pass_on: &SyncSender<Vec<Durable>>,
    batch_max: usize,
) {
    while let Ok(first) = jobs.recv() {
        // As the workers do: with all cores busy, those who are about to bring more go first, and share the sync and the
        // receipts' signature.
        yield_now();
        let (mut batch, mut waiting) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(Job { to_write: ToWrite { entry, sealed }, answer }) = next {
            waiting.push((channel_of(&entry).filter(|_| sealed), answer));
            batch.push(entry);
            next = if batch.len() < batch_max { jobs.try_recv().ok() } else { None };
        }
        match runtime.block_on(store.accept_batch(&batch)) {
            Ok(outcomes) => {
                let durable = waiting.into_iter().zip(outcomes);
                let durable = durable.map(|((sealed, answer), outcome)| Durable { outcome, sealed, answer });
                // Nothing more is charged if there is nobody to say so.
                if pass_on.send(durable.collect()).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, entries = batch.len(), "not stored, so nothing of this batch is served");
                for (_, answer) in waiting {
                    answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The channel of a charge.
fn channel_of(entry: &Entry) -> Option<ChannelId> {
    match entry {
        Entry::Charge(pending) => Some(pending.voucher.voucher().channel_id),
        _ => None,
    }
}

/// Signs and answers what is durable.
fn answer(batches: &Receiver<Vec<Durable>>, seals: &dyn Seals) {
    while let Ok(batch) = batches.recv() {
        let (charged, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| one.charged().is_some());
        for Durable { outcome, answer, .. } in others {
            answer.send(Ok(Written { outcome, seal: None }));
        }
        let mut charged = charged.into_iter().peekable();
        while charged.peek().is_some() {
            let group: Vec<Durable> = charged.by_ref().take(TOGETHER).collect();
            answer_sealed(group, seals);
        }
    }
}

/// Signs a group with one signature. Where that fails the charges stay, and the same requests are answered again.
fn answer_sealed(group: Vec<Durable>, seals: &dyn Seals) {
    let charged: Vec<_> = group.iter().filter_map(Durable::charged).collect();
    let sealed = seals.seal(&charged);
    if let Err(error) = &sealed {
        tracing::error!(%error, receipts = charged.len(), "charged, and the receipts can't be signed");
    }
    let count = charged.len();
    let sealed: Vec<_> = match sealed {
        Ok(sealed) => sealed.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); count],
    };
    for (Durable { outcome, answer, .. }, seal) in group.into_iter().zip(sealed) {
        answer.send(Ok(Written { outcome, seal: Some(seal) }));
    }
}
