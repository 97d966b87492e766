//! The writer, and twins of it that make one mistake each.

use crate::store::{Entry, Outcome, PayeeStore, StoreError};
use crate::writer::{Room, Writer};
use shuttle::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use shuttle::{future, thread};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

pub(crate) type Answer = Result<Outcome, StoreError>;

/// What scenarios need of a writer.
pub(crate) trait Writes: Clone + Send + 'static {
    fn write(&self, entry: Entry) -> impl Future<Output = Answer> + Send;
}

impl Writes for Writer {
    fn write(&self, entry: Entry) -> impl Future<Output = Answer> + Send {
        Self::write(self, entry)
    }
}

/// The SDK's.
pub(crate) fn real(store: Arc<dyn PayeeStore>, room: Room) -> Writer {
    Writer::start(store, room).expect("starts")
}

/// What a writer may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    AnswersBeforeItWrites,
    MixesAnswersUp,
    ServesWhatFailed,
    ForgetsWhoeverLeft,
    LosesTheLastWhenItStops,
    QueuesWhatItRefuses,
}

struct Job {
    entry: Entry,
    answer: oneshot::Sender<Answer>,
}

/// Raises its flag when it is dropped.
#[derive(Default)]
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A writer that makes a mistake.
#[derive(Clone)]
pub(crate) struct Twin {
    mistake: Mistake,
    _stopping: Arc<Flag>,
    queue: SyncSender<Job>,
}

impl Twin {
    pub(crate) fn start(store: Arc<dyn PayeeStore>, room: Room, mistake: Mistake) -> Self {
        let (queue, jobs) = sync_channel(room.queue);
        let flag = Flag::default();
        let stopping = Arc::clone(&flag.0);
        thread::spawn(move || drain(store.as_ref(), &jobs, room.batch, mistake, &stopping));
        Self { mistake, _stopping: Arc::new(flag), queue }
    }
}

impl Writes for Twin {
    async fn write(&self, entry: Entry) -> Answer {
        let (answer, outcome) = oneshot::channel();
        match self.queue.try_send(Job { entry, answer }) {
            Ok(()) => outcome.await.map_err(|_| StoreError::Closed)?,
            Err(TrySendError::Full(job)) => {
                if self.mistake == Mistake::QueuesWhatItRefuses {
                    let _ = self.queue.send(job);
                }
                Err(StoreError::Busy { waiting: 0 })
            }
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

fn drain(store: &dyn PayeeStore, jobs: &Receiver<Job>, most: usize, mistake: Mistake, stopping: &AtomicBool) {
    while let Ok(first) = jobs.recv() {
        if mistake == Mistake::LosesTheLastWhenItStops && stopping.load(Ordering::SeqCst) {
            return;
        }
        let mut batch = vec![first];
        batch.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(most - 1));
        if mistake == Mistake::ForgetsWhoeverLeft {
            batch.retain(|job| !job.answer.is_closed());
        }
        let entries: Vec<Entry> = batch.iter().map(|job| job.entry.clone()).collect();
        if mistake == Mistake::AnswersBeforeItWrites {
            // It knows the rules, and what the answer will be.
            let guess = crate::selling::guess(&entries);
            answer(batch, &Ok(guess));
            let _ = future::block_on(store.accept_batch(&entries));
            continue;
        }
        let mut outcomes = future::block_on(store.accept_batch(&entries));
        if mistake == Mistake::ServesWhatFailed && outcomes.is_err() {
            outcomes = Ok(crate::selling::guess(&entries));
        }
        if mistake == Mistake::MixesAnswersUp {
            outcomes = outcomes.map(|outcomes| outcomes.into_iter().rev().collect());
        }
        answer(batch, &outcomes);
    }
}

fn answer(batch: Vec<Job>, outcomes: &Result<Vec<Outcome>, StoreError>) {
    for (at, job) in batch.into_iter().enumerate() {
        let outcome = outcomes.as_ref().map(|outcomes| outcomes[at].clone());
        let _ = job.answer.send(outcome.map_err(Clone::clone));
    }
}
