//! First contacts while the chain moves and the watcher looks: what is in view catches up with the chain.

use crate::contacts::Contacts;
use crate::explore::{explore, find};
use crate::views::{BoxFuture, ChainViews, FundsSource, Reading};
use farthing::core::{AccountId, Amount, Channel};
use farthing::escrow::{EscrowError, Funds};
use farthing_testkit::histories;
use shuttle::sync::Mutex;
use shuttle::{future, thread};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A chain on which one account is emptied bit by bit: its balance after each block.
#[derive(Debug)]
struct Chain {
    balances: Mutex<Vec<u128>>,
    /// How many are asking now, and how many were at most.
    asking: [AtomicUsize; 2],
}

impl Chain {
    fn head(&self) -> usize {
        self.balances.lock().unwrap().len() - 1
    }

    fn balance(&self) -> Amount {
        Amount::new(*self.balances.lock().unwrap().last().expect("a block"))
    }

    fn mine(&self, balance: u128) {
        self.balances.lock().unwrap().push(balance);
    }
}

impl FundsSource for Chain {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        Box::pin(async move {
            let asking = self.asking[0].fetch_add(1, Ordering::SeqCst) + 1;
            self.asking[1].fetch_max(asking, Ordering::SeqCst);
            let head = Funds { account_balance: self.balance(), ..Funds::default() };
            // The answer is on its way, and the chain moves on.
            thread::yield_now();
            self.asking[0].fetch_sub(1, Ordering::SeqCst);
            Ok(Reading { head, ..Reading::default() })
        })
    }
}

/// What may be done wrong about an account that is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The watcher is not told to read it again.
    NeverNoted,
    /// It is told before the account is in view.
    NotedTooEarly,
    /// The chain is asked without taking a place.
    AsksAtOnce,
}

struct Stage {
    chain: Chain,
    views: ChainViews,
    contacts: Contacts,
    noted_early: Mutex<HashSet<AccountId>>,
    mistake: Option<Mistake>,
}

impl Stage {
    fn new(mistake: Option<Mistake>) -> Arc<Self> {
        let chain = Chain { balances: Mutex::new(vec![100]), asking: [AtomicUsize::new(0), AtomicUsize::new(0)] };
        let views = ChainViews::new(histories::identity().deployment);
        Arc::new(Self { chain, views, contacts: Contacts::new(), noted_early: Mutex::default(), mistake })
    }

    /// A request of a channel.
    fn meet(&self, channel: &Channel) {
        let Some(mistake) = self.mistake else {
            let met = future::block_on(self.contacts.account_of(&self.views, &self.chain, channel));
            assert!(!met.expect("is met").balance.is_zero());
            return;
        };
        if self.views.account_of(channel).is_some() {
            return;
        }
        if mistake == Mistake::NotedTooEarly {
            self.noted_early.lock().unwrap().insert(channel.account().id());
        }
        let reading = future::block_on(self.chain.funds_of(channel)).expect("is read");
        if mistake == Mistake::AsksAtOnce {
            self.views.enter_fresh(channel, &reading);
        } else {
            self.views.enter(channel, &reading);
        }
    }

    fn take_fresh(&self) -> HashSet<AccountId> {
        let mut fresh = self.views.take_fresh();
        fresh.extend(self.noted_early.lock().unwrap().drain());
        fresh
    }
}

/// The steps of the SDK's watcher, over a chain whose every block names the account.
#[derive(Default)]
struct Watcher {
    last: Option<usize>,
    unsettled: HashMap<AccountId, usize>,
}

impl Watcher {
    /// One look. `finality` is by how many blocks the last final one is behind the head.
    fn step(&mut self, stage: &Stage, finality: usize) {
        let head = stage.chain.head();
        let fresh = stage.take_fresh();
        self.unsettled.extend(fresh.into_iter().map(|account| (account, head)));
        if self.last != Some(head) {
            self.unsettled.extend(stage.views.accounts().into_iter().map(|account| (account, head)));
        }
        for account in self.unsettled.keys() {
            for channel in stage.views.channels_of(*account) {
                let reading = future::block_on(stage.chain.funds_of(&channel)).expect("is read");
                stage.views.enter(&channel, &reading);
            }
        }
        self.unsettled.retain(|_, block| *block + finality > head);
        self.last = Some(head);
    }
}

/// Requests of two channels of one account, while it is emptied and watched. When all is quiet the next look of the
/// watcher leaves nothing in view that is not so.
fn emptied(mistake: Option<Mistake>, finality: usize) -> impl Fn() + Send + Sync + Clone + 'static {
    let channels = [0, 1].map(|salt| histories::channel(&histories::signer(0), salt));
    move || {
        let stage = Stage::new(mistake);
        let mut threads = Vec::new();
        for channel in [channels[0], channels[0], channels[1]] {
            let stage = Arc::clone(&stage);
            threads.push(thread::spawn(move || stage.meet(&channel)));
        }
        let mining = Arc::clone(&stage);
        threads.push(thread::spawn(move || [60, 20].into_iter().for_each(|balance| mining.chain.mine(balance))));
        let watching = Arc::clone(&stage);
        let watcher = thread::spawn(move || {
            let mut watcher = Watcher::default();
            (0..3).for_each(|_| watcher.step(&watching, finality));
            watcher
        });
        threads.into_iter().for_each(|thread| thread.join().expect("ends"));
        watcher.join().expect("ends").step(&stage, finality);
        for channel in &channels {
            let view = stage.views.account_of(channel).expect("was met, and has money");
            assert_eq!(view.balance, Amount::new(20), "an old balance stays in view");
        }
    }
}

/// Strangers, more than may ask the chain at once.
fn strangers(mistake: Option<Mistake>) -> impl Fn() + Send + Sync + Clone + 'static {
    let channels: Vec<Channel> = (0..10).map(|index| histories::channel(&histories::signer(index), 0)).collect();
    move || {
        let stage = Stage::new(mistake);
        let meet = |channel: &Channel| {
            let (stage, channel) = (Arc::clone(&stage), *channel);
            thread::spawn(move || stage.meet(&channel))
        };
        let threads: Vec<_> = channels.iter().map(meet).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("ends"));
        assert!(channels.iter().all(|channel| stage.views.account_of(channel).is_some()));
        let most = stage.chain.asking[1].load(Ordering::SeqCst);
        assert!(most <= 8, "too many asked at once: {most}");
    }
}

#[test]
fn a_balance_that_was_read_too_early_is_read_again() {
    explore("first contacts, instant finality", emptied(None, 0));
    explore("first contacts, late finality", emptied(None, 1));
    find("an account that is not noted", &["an old balance"], emptied(Some(Mistake::NeverNoted), 0));
    find("an account that is noted too early", &["an old balance"], emptied(Some(Mistake::NotedTooEarly), 0));
}

#[test]
fn strangers_ask_the_chain_a_few_at_a_time() {
    explore("strangers", strangers(None));
    find("strangers without places", &["too many asked at once"], strangers(Some(Mistake::AsksAtOnce)));
}
