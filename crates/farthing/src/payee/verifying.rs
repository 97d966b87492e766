//! Verify workers: one thread a core checks signatures, and hands what is good and known straight to the writer.
//!
//! A signature takes longer than all else on a voucher's path, so it has threads of its own: those that read requests
//! stay free to refuse, and as many signatures are checked at once as the machine can. What is queued here is bounded;
//! beyond it the payee says that it is busy, and has charged nothing.

use super::store::StoreError;
use super::sync::{Mutex, Receiver, SyncSender, ThreadBuilder, TrySendError, oneshot, sync_channel, yield_now};
use super::writer::{Answer, AnswerTo, ToWrite, Writer};
use farthing_core::VerifiedVoucher;
use farthing_core::ledger::ChargeRequest;
use farthing_core::voucher::SignatureError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

/// How many work, and on how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers {
    /// How many threads.
    pub(crate) count: usize,
    /// The most that may wait.
    pub(crate) queue: usize,
    /// The most that one of them takes at once: the others get the rest.
    pub(crate) at_once: usize,
}

impl Workers {
    /// A payee's: one a core.
    pub(crate) fn of_this_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, Into::into);
        Self { count, queue: 8_192, at_once: 16 }
    }
}

/// What a worker found.
#[derive(Debug)]
pub(crate) enum Checked {
    /// All is known that the ledger needs: this goes to the writer.
    Ready(ToWrite),
    /// Whoever asked goes on with it.
    Back(Result<Box<Verified>, SignatureError>),
}

/// A voucher that was verified, and is not charged yet.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The voucher.
    pub(crate) voucher: VerifiedVoucher,
    /// What it is to be charged, if anything.
    pub(crate) request: Option<ChargeRequest>,
}

/// What came of a voucher.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are written: a box would cost each of them an allocation")]
pub(crate) enum Verdict {
    /// The writer's answer.
    Written(Answer),
    /// It was checked, and did not go to the writer.
    Back(Result<Box<Verified>, SignatureError>),
    /// The worker failed at it. Nothing was charged.
    Failed,
}

/// What a worker does with what it takes.
pub(crate) trait Check<T>: Send + Sync + 'static {
    /// Looks at all that was taken at once, for what costs less together. Each is checked afterwards, whatever this does.
    fn look_ahead<'a>(&self, _tasks: impl Iterator<Item = &'a mut T>)
    where
        T: 'a,
    {
    }

    /// Checks one.
    fn check(&self, task: T) -> Checked;
}

impl<T, F: Fn(T) -> Checked + Send + Sync + 'static> Check<T> for F {
    fn check(&self, task: T) -> Checked {
        self(task)
    }
}

struct Job<T> {
    task: T,
    answer: oneshot::Sender<Verdict>,
}

/// The workers' queue. They end when it is dropped and all that was in it is done.
pub(crate) struct Verifying<T> {
    queue: SyncSender<Job<T>>,
    workers: Workers,
}

impl<T> fmt::Debug for Verifying<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifying").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Verifying<T> {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If one can't be had.
    pub(crate) fn start(workers: Workers, writer: &Writer, check: impl Check<T>) -> Result<Self, std::io::Error> {
        let (queue, jobs) = sync_channel(workers.queue);
        let (jobs, check) = (Arc::new(Mutex::new(jobs)), Arc::new(check));
        for _ in 0..workers.count.max(1) {
            let (jobs, check, writer) = (Arc::clone(&jobs), Arc::clone(&check), writer.clone());
            let work = move || work(&jobs, check.as_ref(), &writer, workers.at_once);
            ThreadBuilder::new().name("farthing-verify".to_owned()).spawn(work)?;
        }
        Ok(Self { queue, workers })
    }

    /// Has a voucher checked, and charged if that is all there is to it.
    ///
    /// # Errors
    ///
    /// If too much is waiting.
    ///
    /// # Cancel safety
    ///
    /// If dropped before a worker takes it up, nothing is done; later it is charged all the same.
    pub(crate) async fn verify(&self, task: T) -> Result<Verdict, StoreError> {
        let (answer, verdict) = oneshot::channel();
        self.queue.try_send(Job { task, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy { waiting: self.workers.queue },
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        verdict.await.map_err(|_| StoreError::Closed)
    }
}

fn work<T>(jobs: &Mutex<Receiver<Job<T>>>, check: &impl Check<T>, writer: &Writer, at_once: usize) {
    let mut taken = Vec::with_capacity(at_once);
    while take(jobs, &mut taken, at_once) {
        // Nobody waits for it any more, and nothing was promised: signatures of those who left cost nothing.
        taken.retain(|job| !job.answer.is_closed());
        let ahead = || check.look_ahead(taken.iter_mut().map(|job| &mut job.task));
        // What panics here panics again below, at the one that it is about.
        let _ = catch_unwind(AssertUnwindSafe(ahead));
        for Job { task, answer } in taken.drain(..) {
            // Whatever one voucher does to a worker, the others behind it are still answered.
            let verdict = match catch_unwind(AssertUnwindSafe(|| check.check(task))) {
                Ok(Checked::Ready(to_write)) => {
                    writer.hand_over(to_write, AnswerTo::Verified(answer));
                    continue;
                }
                Ok(Checked::Back(back)) => Verdict::Back(back),
                Err(_) => {
                    tracing::error!("a verify worker panicked; nothing was charged for that voucher");
                    Verdict::Failed
                }
            };
            let _ = answer.send(verdict);
        }
    }
}

/// Waits for a job and takes what is behind it; false if there will be no more. Whoever waits does so for all workers,
/// and the next one takes its place while it works.
fn take<T>(jobs: &Mutex<Receiver<Job<T>>>, taken: &mut Vec<Job<T>>, at_once: usize) -> bool {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(first) = jobs.recv() else { return false };
    taken.push(first);
    // Whoever is about to bring more goes first, if all cores are busy; if one is not, this returns at once. So there is
    // more to check together the more there is to do, and nothing waits where there is time.
    yield_now();
    while taken.len() < at_once {
        let Ok(job) = jobs.try_recv() else { break };
        taken.push(job);
    }
    true
}
