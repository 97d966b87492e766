//! Requests that are charged at the same time: each is answered, with its own answer, when what it says is durable.

use crate::disk::{Disk, DiskStore, Failure, StoreMistake};
use crate::explore::{explore, find};
use crate::notary::{Notary, mark};
use crate::receipts::Seals;
use crate::store::{Entry, Outcome, PayeeStore, PendingCharge, StoreError};
use crate::twin::{Answer, Mistake, Twin, Writes, real};
use crate::writer::{Room, Written};
use farthing::core::ledger::RequestId;
use farthing::payee::posting::{ChargeId, Rows, post};
use farthing_testkit::histories;
use shuttle::sync::mpsc::channel;
use shuttle::{future, thread};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// A request, ready to be charged. Signed before any schedule begins, for signing takes longer than all the rest.
#[derive(Clone)]
struct Request {
    pending: PendingCharge,
    id: ChargeId,
    purchase: RequestId,
}

impl Request {
    /// Pays 10 for an item with the voucher for this total, in the one channel that there is.
    fn new(cumulative: u128, item: &str) -> Self {
        let signer = histories::signer(0);
        let channel = histories::channel(&signer, 0);
        let voucher = histories::voucher(&signer, &channel, cumulative);
        let id = (voucher.voucher().channel_id, voucher.voucher().cumulative_amount);
        let Entry::Charge(pending) = histories::charge(voucher, 10, item) else { unreachable!("it is a charge") };
        Self { pending: *pending, id, purchase: RequestId::new("GET", item) }
    }

    fn is_in(&self, disk: &Disk) -> bool {
        disk.charge(self.id).is_some_and(|charge| charge.request == self.purchase)
    }

    /// What holds of every answer at the moment that it comes.
    fn check(&self, disk: &Disk, answer: &Answer) {
        let Ok(Written { outcome, seal }) = answer else { return };
        match outcome {
            Outcome::Charged { charge, .. } => {
                let told = (charge.cumulative_amount, charge.request);
                assert_eq!(told, (self.id.1, self.purchase), "another's answer");
                assert!(self.is_in(disk), "served before it is durable");
                match seal {
                    Some(Ok(seal)) => assert_eq!(seal, &mark(self.id), "another's seal"),
                    Some(Err(_)) => {}
                    None => panic!("served without a seal"),
                }
            }
            Outcome::Refused(_) => assert!(!self.is_in(disk), "refused and charged"),
            other => panic!("another's answer: {other:?}"),
        }
    }
}

/// What a store without any rows would answer: how a writer could come to answer without one.
pub(crate) fn guess(entries: &[Entry]) -> Vec<Outcome> {
    post(entries, Rows::default()).0
}

fn is_served(answer: &Answer) -> bool {
    matches!(answer, Ok(Written { outcome: Outcome::Charged { .. }, seal: Some(Ok(_)) }))
}

fn is_new(answer: &Answer) -> bool {
    matches!(answer, Ok(Written { outcome: Outcome::Charged { again: false, .. }, .. }))
}

/// Starts a writer.
trait Start<W>: Fn(Arc<dyn PayeeStore>, Arc<dyn Seals>, Room) -> W + Send + Sync + Clone + 'static {}

impl<W, F: Fn(Arc<dyn PayeeStore>, Arc<dyn Seals>, Room) -> W + Send + Sync + Clone + 'static> Start<W> for F {}

/// Sends requests at the same time, each through one of the writers in turn, and waits for the answers.
fn at_once<W: Writes>(disk: &Arc<Disk>, writers: &[W], requests: &[Request]) -> Vec<Answer> {
    let send = |(request, writer): (&Request, &W)| {
        let (request, writer, disk) = (request.clone(), writer.clone(), Arc::clone(disk));
        thread::spawn(move || {
            let answer = future::block_on(writer.charge(request.pending.clone()));
            request.check(&disk, &answer);
            answer
        })
    };
    let sent: Vec<_> = requests.iter().zip(writers.iter().cycle()).map(send).collect();
    sent.into_iter().map(|request| request.join().expect("is answered")).collect()
}

/// Two gateways on one ledger. The same request comes to both of them, and one of them is asked for another item with
/// the same voucher as well.
fn contested<W: Writes>(
    start: impl Start<W>,
    mistake: Option<StoreMistake>,
) -> impl Fn() + Send + Sync + Clone + 'static {
    let requests = [(10, "/a"), (10, "/a"), (10, "/b"), (20, "/c")].map(|(total, item)| Request::new(total, item));
    move || {
        let disk = Arc::new(Disk::default());
        let store = || Arc::new(DiskStore::new(&disk).with_mistake(mistake));
        let gateway = || start(store(), Notary::new(&disk, 0), Room { batch: 3, queue: 8 });
        let writers = [gateway(), gateway()];
        let answers = at_once(&disk, &writers, &requests);
        let served: Vec<bool> = answers.iter().map(is_served).collect();
        assert_eq!((served[0], served[2]), (served[1], !served[0]), "one voucher bought two items, or none");
        assert!(served[3], "a good voucher was refused");
        let new = answers.iter().filter(|answer| is_new(answer)).count();
        assert_eq!((new, disk.charges().len()), (2, 2), "a charge was lost, or made twice");
        disk.assert_adds_up();
    }
}

/// The disk fails once, and those who were told so come again.
fn failing<W: Writes>(start: impl Start<W>, failure: Failure) -> impl Fn() + Send + Sync + Clone + 'static {
    let requests = [10, 20, 30].map(|total| Request::new(total, &format!("/{total}")));
    move || {
        let disk = Arc::new(Disk::default());
        let store = DiskStore::new(&disk).with_failures(&[failure]);
        let writers = [start(Arc::new(store), Notary::new(&disk, 0), Room { batch: 2, queue: 8 })];
        let answers = at_once(&disk, &writers, &requests);
        let failed: Vec<Request> =
            requests.iter().zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(one, _)| one.clone()).collect();
        assert!(!failed.is_empty() && answers.iter().all(|answer| is_served(answer) || answer.is_err()));
        assert!(at_once(&disk, &writers, &failed).iter().all(is_served), "what failed can't be had again");
        assert_eq!(disk.charges().len(), requests.len());
        disk.assert_adds_up();
    }
}

/// The key refuses to sign once. What it was asked for is charged all the same, and comes again.
fn unsigned<W: Writes>(start: impl Start<W>) -> impl Fn() + Send + Sync + Clone + 'static {
    let requests = [10, 20, 30].map(|total| Request::new(total, &format!("/{total}")));
    move || {
        let disk = Arc::new(Disk::default());
        let store = Arc::new(DiskStore::new(&disk));
        let writers = [start(store, Notary::new(&disk, 1), Room { batch: 2, queue: 8 })];
        let answers = at_once(&disk, &writers, &requests);
        let refused = |answer: &Answer| matches!(answer, Ok(Written { seal: Some(Err(_)), .. }));
        let failed: Vec<Request> =
            requests.iter().zip(&answers).filter(|(_, answer)| refused(answer)).map(|(one, _)| one.clone()).collect();
        assert!(!failed.is_empty() && answers.iter().all(|answer| is_served(answer) || refused(answer)));
        assert_eq!(disk.charges().len(), requests.len(), "not charged because it was not signed");
        let again = at_once(&disk, &writers, &failed);
        assert!(again.iter().all(|answer| is_served(answer) && !is_new(answer)), "what was charged can't be had again");
        assert_eq!(disk.charges().len(), requests.len());
        disk.assert_adds_up();
    }
}

/// The gateway stops while one client waits for its answer and another has left without.
fn stopping<W: Writes>(start: impl Start<W>) -> impl Fn() + Send + Sync + Clone + 'static {
    let (leaves, waits) = (Request::new(10, "/a"), Request::new(20, "/b"));
    move || {
        let (disk, (tell, closed)) = (Arc::new(Disk::default()), channel());
        let store = DiskStore::new(&disk).telling_when_closed(tell);
        let writer = start(Arc::new(store), Notary::new(&disk, 0), Room { batch: 2, queue: 8 });
        let (left, pending) = (writer.clone(), leaves.pending.clone());
        let left = thread::spawn(move || future::block_on(leave(pin!(left.charge(pending)))));
        let answers = at_once(&disk, &[writer], std::slice::from_ref(&waits));
        let answer = left.join().expect("leaves");
        closed.recv().expect("the store is closed when the last request is gone");
        assert!(is_served(&answers[0]), "{:?}", answers[0]);
        assert!(leaves.is_in(&disk), "lost: {answer:?}");
        disk.assert_adds_up();
    }
}

/// Looks once whether there is an answer.
async fn leave(mut answer: std::pin::Pin<&mut impl Future<Output = Answer>>) -> Option<Answer> {
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// More requests come than there is room for.
fn crowded<W: Writes>(start: impl Start<W>) -> impl Fn() + Send + Sync + Clone + 'static {
    let requests = [10, 20, 30, 40].map(|total| Request::new(total, &format!("/{total}")));
    move || {
        let (disk, (tell, closed)) = (Arc::new(Disk::default()), channel());
        let store = DiskStore::new(&disk).telling_when_closed(tell);
        let writer = start(Arc::new(store), Notary::new(&disk, 0), Room { batch: 1, queue: 1 });
        let answers = at_once(&disk, std::slice::from_ref(&writer), &requests);
        drop(writer);
        closed.recv().expect("the store is closed when the last request is gone");
        for (request, answer) in requests.iter().zip(&answers) {
            let busy = matches!(answer, Err(StoreError::Busy { .. }));
            assert!(busy || is_served(answer), "{answer:?}");
            assert_ne!(request.is_in(&disk), busy, "charged and told that it was not, or the other way round");
        }
        disk.assert_adds_up();
    }
}

fn twin(mistake: Mistake) -> impl Start<Twin> {
    move |store: Arc<dyn PayeeStore>, seals: Arc<dyn Seals>, room: Room| Twin::start(store, seals, room, mistake)
}

#[test]
fn one_voucher_is_one_charge_whichever_gateway_it_comes_to() {
    explore("contested vouchers, charges", contested(real, None));
    let mistake = StoreMistake::GetThenPut;
    // What another put over is gone at the end, or already when its answer comes, or when it is to be signed.
    let gone_early = ["served before it is durable", "signed before it is durable"];
    let says = [gone_early.as_slice(), &["a charge was lost", "one voucher bought two items"]].concat();
    find("a store that gets, then puts", &says, contested(real, Some(mistake)));
}

#[test]
fn nothing_is_served_before_it_is_durable() {
    explore("contested vouchers, durability", contested(real, None));
    let early = StoreMistake::AnswersBeforeItIsDurable;
    let says = ["served before it is durable", "signed before it is durable"];
    find("a store that answers first", &says, contested(real, Some(early)));
    let early = twin(Mistake::AnswersBeforeItWrites);
    find("a writer that answers first", &["served before it is durable"], contested(early, None));
}

#[test]
fn each_request_gets_its_own_answer() {
    explore("contested vouchers, answers", contested(real, None));
    // One that gets another's refusal was charged all the same.
    let says = ["another's answer", "refused and charged", "served before it is durable"];
    find("a writer that mixes answers up", &says, contested(twin(Mistake::MixesAnswersUp), None));
}

#[test]
fn nothing_is_signed_before_it_is_durable_and_each_has_its_own_seal() {
    explore("contested vouchers, seals", contested(real, None));
    let early = StoreMistake::AnswersBeforeItIsDurable;
    find("a store that answers first", &["signed before it is durable"], contested(real, Some(early)));
    let early = twin(Mistake::SignsBeforeItWrites);
    find("a writer that signs first", &["signed before it is durable"], contested(early, None));
    find("a writer that mixes seals up", &["another's seal"], contested(twin(Mistake::MixesSealsUp), None));
}

#[test]
fn what_was_not_signed_is_charged_and_can_be_had_again() {
    explore("a key that refuses once", unsigned(real));
    let serves = twin(Mistake::ServesWithoutASeal);
    find("a writer that serves without a seal", &["served without a seal"], unsigned(serves));
}

#[test]
fn what_failed_is_not_served_and_can_be_had_again() {
    explore("a batch that is lost", failing(real, Failure::Lost));
    explore("a batch that is written though it failed", failing(real, Failure::Kept));
    let serves = twin(Mistake::ServesWhatFailed);
    find("a writer that serves what failed", &["served before it is durable"], failing(serves, Failure::Lost));
}

#[test]
fn what_was_queued_is_written_though_its_client_left_and_the_gateway_stops() {
    explore("a client that leaves, a gateway that stops", stopping(real));
    find("a writer that forgets whoever left", &["lost"], stopping(twin(Mistake::ForgetsWhoeverLeft)));
    find("a writer that loses the last", &["lost"], stopping(twin(Mistake::LosesTheLastWhenItStops)));
}

#[test]
fn whoever_is_told_that_it_is_busy_was_not_charged() {
    explore("a queue that is full", crowded(real));
    find(
        "a writer that queues what it refuses",
        &["told that it was not"],
        crowded(twin(Mistake::QueuesWhatItRefuses)),
    );
}
