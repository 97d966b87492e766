//! The writer, and twins of it that make one mistake each.

use crate::notary::mark;
use crate::receipts::Seals;
use crate::store::{Entry, Outcome, PayeeStore, PendingCharge, StoreError};
use crate::writer::{Room, Writer, Written};
use farthing::core::ChannelId;
use farthing::core::ledger::Charge;
use shuttle::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use shuttle::{future, thread};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

pub(crate) type Answer = Result<Written, StoreError>;

/// What scenarios need of a writer.
pub(crate) trait Writes: Clone + Send + 'static {
    fn charge(&self, pending: PendingCharge) -> impl Future<Output = Answer> + Send;
}

impl Writes for Writer {
    fn charge(&self, pending: PendingCharge) -> impl Future<Output = Answer> + Send {
        Self::charge(self, pending, true)
    }
}

/// The SDK's.
pub(crate) fn real(store: Arc<dyn PayeeStore>, seals: Arc<dyn Seals>, room: Room) -> Writer {
    Writer::start(store, seals, room).expect("starts")
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
    SignsBeforeItWrites,
    MixesSealsUp,
    ServesWithoutASeal,
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
    pub(crate) fn start(store: Arc<dyn PayeeStore>, seals: Arc<dyn Seals>, room: Room, mistake: Mistake) -> Self {
        let (queue, jobs) = sync_channel(room.queue);
        let flag = Flag::default();
        let stopping = Arc::clone(&flag.0);
        let twin = Draining { store, seals, mistake };
        thread::spawn(move || twin.drain(&jobs, room.batch, &stopping));
        Self { mistake, _stopping: Arc::new(flag), queue }
    }
}

impl Writes for Twin {
    async fn charge(&self, pending: PendingCharge) -> Answer {
        let entry = Entry::Charge(Box::new(pending));
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

/// Its thread.
struct Draining {
    store: Arc<dyn PayeeStore>,
    seals: Arc<dyn Seals>,
    mistake: Mistake,
}

impl Draining {
    fn drain(&self, jobs: &Receiver<Job>, most: usize, stopping: &AtomicBool) {
        while let Ok(first) = jobs.recv() {
            if self.mistake == Mistake::LosesTheLastWhenItStops && stopping.load(Ordering::SeqCst) {
                return;
            }
            let mut batch = vec![first];
            batch.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(most - 1));
            if self.mistake == Mistake::ForgetsWhoeverLeft {
                batch.retain(|job| !job.answer.is_closed());
            }
            self.write(batch);
        }
    }

    fn write(&self, batch: Vec<Job>) {
        let entries: Vec<Entry> = batch.iter().map(|job| job.entry.clone()).collect();
        // It knows the rules, and what the answer will be.
        let guess = || crate::selling::guess(&entries);
        if self.mistake == Mistake::AnswersBeforeItWrites {
            answer(batch, &Ok(forged(&entries, guess())));
            let _ = future::block_on(self.store.accept_batch(&entries));
            return;
        }
        if self.mistake == Mistake::SignsBeforeItWrites {
            let _ = self.sealed(&entries, guess());
        }
        let mut outcomes = future::block_on(self.store.accept_batch(&entries));
        if self.mistake == Mistake::ServesWhatFailed && outcomes.is_err() {
            answer(batch, &Ok(forged(&entries, guess())));
            return;
        }
        if self.mistake == Mistake::MixesAnswersUp {
            outcomes = outcomes.map(|outcomes| outcomes.into_iter().rev().collect());
        }
        answer(batch, &outcomes.map(|outcomes| self.sealed(&entries, outcomes)));
    }

    fn sealed(&self, entries: &[Entry], outcomes: Vec<Outcome>) -> Vec<Written> {
        let charged: Vec<(ChannelId, &Charge)> = entries.iter().zip(&outcomes).filter_map(charged).collect();
        let mut seals = if charged.is_empty() { Ok(Vec::new()) } else { self.seals.seal(&charged) };
        match (self.mistake, &mut seals) {
            (Mistake::MixesSealsUp, Ok(seals)) => seals.reverse(),
            // Better than nothing, it believes.
            (Mistake::ServesWithoutASeal, Err(_)) => return unsigned(outcomes),
            _ => {}
        }
        let mut seals: Box<dyn Iterator<Item = _>> = match seals {
            Ok(seals) => Box::new(seals.into_iter().map(Ok)),
            Err(error) => Box::new(std::iter::repeat_with(move || Err(error.clone()))),
        };
        let seal = |outcome: Outcome| {
            let seal = matches!(outcome, Outcome::Charged { .. }).then(|| seals.next()).flatten();
            Written { outcome, seal }
        };
        outcomes.into_iter().map(seal).collect()
    }
}

/// What is signed of an entry.
fn charged<'a>((entry, outcome): (&Entry, &'a Outcome)) -> Option<(ChannelId, &'a Charge)> {
    match (entry, outcome) {
        (Entry::Charge(pending), Outcome::Charged { charge, .. }) => {
            Some((pending.voucher.voucher().channel_id, charge))
        }
        _ => None,
    }
}

fn unsigned(outcomes: Vec<Outcome>) -> Vec<Written> {
    outcomes.into_iter().map(|outcome| Written { outcome, seal: None }).collect()
}

/// With the seals that they will have.
fn forged(entries: &[Entry], outcomes: Vec<Outcome>) -> Vec<Written> {
    let seals: Vec<_> = entries.iter().zip(&outcomes).map(charged).collect();
    let seals: Vec<_> =
        seals.into_iter().map(|one| one.map(|(id, charge)| Ok(mark((id, charge.cumulative_amount))))).collect();
    outcomes.into_iter().zip(seals).map(|(outcome, seal)| Written { outcome, seal }).collect()
}

fn answer(batch: Vec<Job>, answers: &Result<Vec<Written>, StoreError>) {
    for (at, job) in batch.into_iter().enumerate() {
        let answer = answers.as_ref().map(|answers| answers[at].clone());
        let _ = job.answer.send(answer.map_err(Clone::clone));
    }
}
