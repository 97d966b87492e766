//! Vouchers that are verified at the same time and handed to the writer: each is answered once, with its own answer.

use crate::disk::{Disk, DiskStore};
use crate::explore::{explore, find};
use crate::notary::{Notary, mark};
use crate::store::{Entry, Outcome, StoreError};
use crate::verifying::{Checked, Verdict, Verifying, Workers};
use crate::writer::{AnswerTo, Room, ToWrite, Writer, Written};
use farthing::core::voucher::SignatureError;
use farthing::payee::posting::ChargeId;
use farthing_testkit::histories;
use shuttle::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use shuttle::{future, thread};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A voucher, and what the worker finds out about it.
#[derive(Clone)]
struct Voucher {
    entry: Entry,
    id: ChargeId,
    is: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    /// The signature is another's.
    Forged,
    /// Whatever it is, the worker panics.
    Poison,
}

impl Voucher {
    fn new(cumulative: u128, is: Kind) -> Self {
        let signer = histories::signer(0);
        let channel = histories::channel(&signer, 0);
        let voucher = histories::voucher(&signer, &channel, cumulative);
        let id = (voucher.voucher().channel_id, voucher.voucher().cumulative_amount);
        Self { entry: histories::charge(voucher, 10, &format!("/{cumulative}")), id, is }
    }
}

/// What workers may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// They hand over whatever they are given.
    CheckNothing,
    /// They end with the voucher that they panic at.
    EndWhenTheyPanic,
    /// They take what they said there was no room for.
    QueueWhatTheyRefuse,
    /// They answer when they have handed over.
    AnswerBeforeItIsWritten,
}

fn check(voucher: Voucher) -> Checked {
    match voucher.is {
        Kind::Good => Checked::Ready(ToWrite { entry: voucher.entry, sealed: true }),
        Kind::Forged => {
            let expected = histories::signer(0).address();
            Checked::Back(Err(SignatureError::NotByChannelsSigner { expected }))
        }
        // Without the hook of panics, which ends the schedule.
        Kind::Poison => std::panic::resume_unwind(Box::new("poison")),
    }
}

type Answer = Result<Verdict, StoreError>;

/// What scenarios need of workers.
trait Verifies: Send + Sync + 'static {
    fn verify(&self, voucher: Voucher) -> impl Future<Output = Answer> + Send;
}

impl Verifies for Verifying<Voucher> {
    fn verify(&self, voucher: Voucher) -> impl Future<Output = Answer> + Send {
        Self::verify(self, voucher)
    }
}

/// The SDK's.
fn real(workers: Workers, writer: &Writer) -> Verifying<Voucher> {
    Verifying::start(workers, writer, check).expect("starts")
}

struct Job {
    voucher: Voucher,
    answer: oneshot::Sender<Verdict>,
}

/// One worker that makes a mistake.
struct Twin {
    mistake: Mistake,
    queue: SyncSender<Job>,
}

impl Twin {
    fn start(workers: Workers, writer: Writer, mistake: Mistake) -> Self {
        let (queue, jobs) = sync_channel(workers.queue);
        thread::spawn(move || {
            while let Ok(first) = jobs.recv() {
                let mut taken: Vec<Job> = vec![first];
                taken.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(workers.at_once - 1));
                for job in taken {
                    if job.voucher.is == Kind::Poison && mistake == Mistake::EndWhenTheyPanic {
                        return;
                    }
                    answer(job, &writer, mistake);
                }
            }
        });
        Self { mistake, queue }
    }
}

fn answer(Job { voucher, answer }: Job, writer: &Writer, mistake: Mistake) {
    let checked = match voucher.is {
        Kind::Forged if mistake == Mistake::CheckNothing => {
            Checked::Ready(ToWrite { entry: voucher.entry.clone(), sealed: true })
        }
        _ => check(voucher.clone()),
    };
    match checked {
        Checked::Ready(to_write) if mistake == Mistake::AnswerBeforeItIsWritten => {
            // It knows the rules, and what the answer will be.
            let outcome = crate::selling::guess(std::slice::from_ref(&to_write.entry)).remove(0);
            writer.hand_over(to_write, AnswerTo::Caller(oneshot::channel().0));
            let seal = Some(Ok(mark(voucher.id)));
            let _ = answer.send(Verdict::Written(Ok(Written { outcome, seal })));
        }
        Checked::Ready(to_write) => writer.hand_over(to_write, AnswerTo::Verified(answer)),
        Checked::Back(back) => drop(answer.send(Verdict::Back(back))),
    }
}

impl Verifies for Twin {
    async fn verify(&self, voucher: Voucher) -> Answer {
        let (answer, verdict) = oneshot::channel();
        match self.queue.try_send(Job { voucher, answer }) {
            Ok(()) => verdict.await.map_err(|_| StoreError::Closed),
            Err(TrySendError::Full(job)) => {
                if self.mistake == Mistake::QueueWhatTheyRefuse {
                    let (nobody, _) = oneshot::channel();
                    let _ = self.queue.send(Job { answer: nobody, ..job });
                }
                Err(StoreError::Busy { waiting: 0 })
            }
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

fn twin(mistake: Mistake) -> impl Fn(Workers, &Writer) -> Twin + Send + Sync + Clone + 'static {
    move |workers, writer| Twin::start(workers, writer.clone(), mistake)
}

/// Vouchers come at the same time, and the payee is stopped behind them.
fn crowd<V: Verifies>(
    vouchers: &[(u128, Kind)],
    workers: Workers,
    room: Room,
    start: impl Fn(Workers, &Writer) -> V + Send + Sync + Clone + 'static,
) -> impl Fn() + Send + Sync + Clone + 'static {
    let vouchers: Vec<Voucher> = vouchers.iter().map(|(total, is)| Voucher::new(*total, *is)).collect();
    move || {
        let (disk, (tell, closed)) = (Arc::new(Disk::default()), channel());
        let store = DiskStore::new(&disk).telling_when_closed(tell);
        let writer = Writer::start(Arc::new(store), Notary::new(&disk, 0), room).expect("starts");
        let verifying = Arc::new(start(workers, &writer));
        drop(writer);
        let send = |voucher: &Voucher| {
            let (voucher, verifying, disk) = (voucher.clone(), Arc::clone(&verifying), Arc::clone(&disk));
            thread::spawn(move || {
                let verdict = future::block_on(verifying.verify(voucher.clone()));
                assess(&voucher, &verdict, &disk)
            })
        };
        let sent: Vec<_> = vouchers.iter().map(send).collect();
        drop(verifying);
        let busy: Vec<bool> = sent.into_iter().map(|one| one.join().expect("is answered")).collect();
        closed.recv().expect("workers and writer end when the payee is gone");
        for (voucher, busy) in vouchers.iter().zip(busy) {
            let is_charged = disk.charge(voucher.id).is_some();
            assert_eq!(is_charged, voucher.is == Kind::Good && !busy, "told otherwise: {:?}", voucher.is);
        }
        disk.assert_adds_up();
    }
}

/// What holds of every verdict at the moment that it comes; whether it says that there was no room.
fn assess(voucher: &Voucher, verdict: &Result<Verdict, StoreError>, disk: &Disk) -> bool {
    let is_charged = disk.charge(voucher.id).is_some();
    match (voucher.is, verdict) {
        (_, Err(StoreError::Busy { .. }) | Ok(Verdict::Written(Err(StoreError::Busy { .. })))) => {
            assert!(!is_charged, "charged and told that there was no room");
            return true;
        }
        (Kind::Good, Ok(Verdict::Written(Ok(Written { outcome: Outcome::Charged { charge, .. }, seal })))) => {
            assert_eq!(charge.cumulative_amount, voucher.id.1, "another's answer");
            assert!(is_charged, "served before it is durable");
            assert_eq!(seal, &Some(Ok(mark(voucher.id))), "another's seal");
        }
        (Kind::Forged, Ok(Verdict::Back(Err(_)))) | (Kind::Poison, Ok(Verdict::Failed)) => {
            assert!(!is_charged, "refused and charged");
        }
        (is, verdict) => panic!("another's answer: {is:?} got {verdict:?}"),
    }
    false
}

const GOOD: [(u128, Kind); 4] = [(10, Kind::Good), (20, Kind::Good), (30, Kind::Good), (40, Kind::Good)];
const MIXED: [(u128, Kind); 4] = [(10, Kind::Good), (20, Kind::Forged), (30, Kind::Good), (40, Kind::Good)];
const POISONED: [(u128, Kind); 4] = [(10, Kind::Good), (20, Kind::Poison), (30, Kind::Forged), (40, Kind::Good)];

const WORKERS: Workers = Workers { count: 2, queue: 8, at_once: 2 };
const ROOM: Room = Room { batch: 2, queue: 8 };

#[test]
fn what_is_verified_is_written_and_answered_once_whoever_verified_it() {
    explore("vouchers on two workers", crowd(&MIXED, WORKERS, ROOM, real));
    let nothing = crowd(&MIXED, WORKERS, ROOM, twin(Mistake::CheckNothing));
    find("a worker that checks nothing", &["another's answer"], nothing);
    let early = crowd(&MIXED, WORKERS, ROOM, twin(Mistake::AnswerBeforeItIsWritten));
    find("a worker that answers first", &["served before it is durable"], early);
}

#[test]
fn whoever_finds_no_room_at_the_workers_or_at_the_writer_was_not_charged() {
    let one = Workers { queue: 1, at_once: 1, ..WORKERS };
    explore("a full queue of workers", crowd(&GOOD, one, ROOM, real));
    explore("a full queue behind workers", crowd(&GOOD, WORKERS, Room { batch: 1, queue: 1 }, real));
    let refuses = crowd(&GOOD, one, ROOM, twin(Mistake::QueueWhatTheyRefuse));
    find("a worker that takes what it refuses", &["told otherwise", "no room"], refuses);
}

#[test]
fn a_worker_that_panics_answers_all_that_it_had_taken_and_works_on() {
    let one = Workers { count: 1, at_once: 4, ..WORKERS };
    explore("a voucher that a worker panics at", crowd(&POISONED, one, ROOM, real));
    let ends = crowd(&POISONED, one, ROOM, twin(Mistake::EndWhenTheyPanic));
    find("a worker that ends when it panics", &["another's answer"], ends);
}
