//! The journal's rules, checked over random histories against what a payee could redeem.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase};
use std::collections::BTreeSet;

const SITES: u8 = 4;
const PAYEES: u8 = 3;

fn limits() -> Limits {
    let [item, site_per_day, day, reservation] = [100, 200, 300, 500].map(Amount::new);
    Limits { item, site_per_day, day, reservation }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A site (with a payee that several sites may share) asks a price.
    Promise {
        site: u8,
        price: u128,
    },
    /// The nth open promise is refused, or kept.
    Refuse(usize),
    Keep(usize),
    NextDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..SITES, 1..=120_u128).prop_map(|(site, price)| Step::Promise { site, price }),
        3 => (0..8_usize).prop_map(Step::Refuse),
        2 => (0..8_usize).prop_map(Step::Keep),
        1 => Just(Step::NextDay),
    ];
    prop::collection::vec(step, 1..60)
}

/// A store in memory, and beside it what any payee could redeem.
struct World {
    database: Database,
    lineage: Lineage,
    limits: Limits,
    day: u64,
    /// Per channel: the highest voucher that it ever gave.
    highest: BTreeMap<ChannelId, Amount>,
    /// The same when the day began.
    highest_at_dawn: BTreeMap<ChannelId, Amount>,
    open: Vec<Promise>,
    kept: Vec<Promise>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let database = Builder::new().create_with_backend(InMemoryBackend::new()).expect("creates");
        let lineage = Lineage::unborn().renewed(0);
        let transaction = database.begin_write().expect("begins");
        tables::create(&transaction, 1, &lineage).expect("creates");
        tables::record_deposit(&transaction, deployment(), account(), Timestamp::from_unix_seconds(0))
            .expect("records");
        transaction.commit().expect("commits");
        let (highest, highest_at_dawn) = (BTreeMap::new(), BTreeMap::new());
        Self { database, lineage, limits, day: 20_000, highest, highest_at_dawn, open: Vec::new(), kept: Vec::new() }
    }

    fn promise(&mut self, site: u8, price: u128) -> Result<Promise, Denied> {
        let intent = intent(site, price, self.limits, self.day);
        let transaction = self.database.begin_write().expect("begins");
        let outcome = promise(&transaction, &self.lineage, &intent).expect("the store works");
        transaction.commit().expect("commits");
        let promise = outcome?;
        let highest = self.highest.entry(promise.channel_id()).or_default();
        *highest = promise.cumulative_amount.max(*highest);
        self.open.push(promise.clone());
        Ok(promise)
    }

    fn mark(&mut self, work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>) {
        let transaction = self.database.begin_write().expect("begins");
        work(&transaction).expect("the store works");
        transaction.commit().expect("commits");
    }

    fn refuse(&mut self, promise: &Promise) {
        self.open.retain(|open| open.id != promise.id);
        self.mark(|transaction| mark_refused(transaction, promise.id, None));
    }

    fn keep(&mut self, promise: Promise) {
        self.open.retain(|open| open.id != promise.id);
        self.mark(|transaction| mark_bought(transaction, promise.id, None).map(drop));
        self.kept.push(promise);
    }

    fn run(&mut self, step: Step) {
        let pick = |open: &[Promise], index: usize| open.get(index % open.len().max(1)).cloned();
        match step {
            Step::Promise { site, price } => {
                let _ = self.promise(site, price);
            }
            Step::Refuse(index) => {
                if let Some(promise) = pick(&self.open, index) {
                    self.refuse(&promise);
                }
            }
            Step::Keep(index) => {
                if let Some(promise) = pick(&self.open, index) {
                    self.keep(promise);
                }
            }
            Step::NextDay => {
                self.day += 1;
                self.highest_at_dawn = self.highest.clone();
            }
        }
    }

    fn history(&self) -> Vec<Promise> {
        tables::history(&self.database.begin_read().expect("begins")).expect("reads")
    }

    /// What all payees together could redeem of today.
    fn redeemable_of_today(&self) -> Amount {
        Amount::saturating_sum(self.highest.iter().map(|(channel, highest)| {
            highest.saturating_sub(self.highest_at_dawn.get(channel).copied().unwrap_or_default())
        }))
    }

    /// What is wrong, if anything.
    fn fault(&self) -> Option<String> {
        let bounds = limits();
        let redeemable = self.redeemable_of_today();
        if redeemable > bounds.day {
            return Some(format!("{redeemable} of today could be redeemed, {} is the day's limit", bounds.day));
        }
        let history = self.history();
        for (channel, highest) in &self.highest {
            let of_channel = history.iter().filter(|promise| promise.channel_id() == *channel);
            let counted = Amount::saturating_sum(of_channel.map(|promise| promise.counted));
            if counted < *highest {
                return Some(format!("{counted} counts for {channel}, which could redeem {highest}"));
            }
        }
        let mut by_site: BTreeMap<(u64, &str), Amount> = BTreeMap::new();
        for promise in &history {
            let sum = by_site.entry((promise.at.day(), &promise.origin)).or_default();
            *sum = sum.saturating_add(promise.counted);
        }
        if let Some((site, sum)) = by_site.iter().find(|(_, sum)| **sum > bounds.site_per_day) {
            return Some(format!("{sum} counts for {site:?}"));
        }
        let standing = self.open.iter().chain(&self.kept);
        let amounts: Vec<_> = standing.map(|promise| (promise.channel_id(), promise.cumulative_amount)).collect();
        let distinct: BTreeSet<_> = amounts.iter().collect();
        (distinct.len() < amounts.len()).then(|| "two promises that stand share an amount".to_owned())
    }
}

fn deployment() -> Deployment {
    Deployment { chain_id: 31_337, escrow: Address::repeat_byte(0xee) }
}

fn account() -> Account {
    let payer = Address::repeat_byte(0xaa);
    Account { payer, authorized_signer: payer, token: Address::repeat_byte(0x70) }
}

fn intent(site: u8, price: u128, limits: Limits, day: u64) -> Intent {
    let url = format!("https://site-{site}.example/item");
    Intent {
        deployment: deployment(),
        account: account(),
        payee: Address::repeat_byte(site % PAYEES + 1),
        token: Token { address: account().token, symbol: "dUSD".to_owned(), decimals: 2, dollar: true },
        limits,
        price: Amount::new(price),
        approved: None,
        accept_payee: None,
        reservation: None,
        method: "GET".to_owned(),
        request: format!("GET {url}"),
        anew: true,
        url,
        body: None,
        origin: format!("https://site-{site}.example"),
        item: "/item".to_owned(),
        at: Timestamp::from_unix_seconds(day * 86_400),
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]

    // Failures 13 and 21.
    #[test]
    fn what_payees_could_redeem_of_a_day_never_exceeds_its_budget(steps in steps()) {
        let mut world = World::new(limits());
        for step in steps {
            world.run(step);
            prop_assert_eq!(world.fault(), None);
        }
    }
}

#[test]
fn the_same_check_finds_a_payer_without_budgets() {
    let unlimited = [Amount::MAX_ON_CHAIN; 4];
    let [item, site_per_day, day, reservation] = unlimited;
    let mut runner = TestRunner::deterministic();
    let found = runner.run(&steps(), |steps| {
        let mut world = World::new(Limits { item, site_per_day, day, reservation });
        for step in steps {
            world.run(step);
            prop_assert_eq!(world.fault(), None);
        }
        Ok(())
    });
    assert!(found.is_err(), "the property holds without budgets, so it says nothing");
}

// Loss 13.
#[test]
fn a_payee_that_refuses_everything_holds_one_items_worth() {
    let mut world = World::new(limits());
    for price in [40, 100, 7, 100, 63] {
        let promise = world.promise(0, price).expect("within the budget");
        assert_eq!(promise.cumulative_amount, Amount::new(price), "signed from where the last one began");
        world.refuse(&promise);
    }
    assert_eq!(world.redeemable_of_today(), Amount::new(100));
    let counted = Amount::saturating_sum(world.history().iter().map(|promise| promise.counted));
    assert_eq!(counted, Amount::new(100), "and that is what counts");
}

#[test]
fn a_refused_amount_below_a_promise_that_stands_is_never_signed_again() {
    let mut world = World::new(limits());
    let low = world.promise(0, 10).expect("within the budget");
    let high = world.promise(0, 20).expect("within the budget");
    world.refuse(&low);
    assert_eq!(world.promise(0, 5).expect("within the budget").cumulative_amount, Amount::new(35));
    world.refuse(&high);
    assert_eq!(world.promise(0, 5).expect("within the budget").cumulative_amount, Amount::new(40));
}

#[test]
fn refusals_from_the_top_release_everything_below() {
    let mut world = World::new(limits());
    let promises: Vec<_> = (0..3).map(|_| world.promise(0, 10).expect("within the budget")).collect();
    for promise in &promises {
        world.refuse(promise);
    }
    assert_eq!(world.promise(0, 15).expect("within the budget").cumulative_amount, Amount::new(15));
    assert_eq!(world.fault(), None);
}

#[test]
fn a_voucher_that_was_refused_once_and_taken_once_is_spent() {
    let mut world = World::new(limits());
    let promise = world.promise(0, 10).expect("within the budget");
    world.refuse(&promise);
    let same_amount = world.promise(0, 10).expect("within the budget");
    assert_eq!(same_amount.cumulative_amount, promise.cumulative_amount);
    world.mark(|transaction| mark_bought(transaction, promise.id, None).map(drop));
    world.refuse(&same_amount);
    let next = world.promise(0, 10).expect("within the budget");
    assert_eq!(next.cumulative_amount, Amount::new(20), "the amount that paid is not signed for anything else");
}

#[test]
fn a_refused_voucher_that_is_taken_after_all_is_spent() {
    let mut world = World::new(limits());
    let promise = world.promise(0, 10).expect("within the budget");
    world.refuse(&promise);
    world.mark(|transaction| mark_bought(transaction, promise.id, None).map(drop));
    assert_eq!(world.promise(0, 10).expect("within the budget").cumulative_amount, Amount::new(20));
    assert_eq!(world.fault(), None);
}

#[test]
fn a_promise_is_found_by_its_request_unless_it_was_refused() {
    let mut world = World::new(limits());
    let find = |world: &World| {
        let transaction = world.database.begin_read().expect("begins");
        earlier(&transaction, "GET https://site-0.example/item").expect("reads").map(|promise| promise.id)
    };
    assert_eq!(find(&world), None);
    let first = world.promise(0, 10).expect("within the budget");
    assert_eq!(find(&world), Some(first.id));
    world.keep(first.clone());
    let again = world.promise(0, 10).expect("within the budget");
    assert_eq!(find(&world), Some(again.id));
    world.refuse(&again);
    assert_eq!(find(&world), Some(first.id), "what was bought is not forgotten over a later refusal");
}

#[test]
fn another_epoch_has_another_channel() {
    let mut world = World::new(limits());
    let before = world.promise(0, 10).expect("within the budget");
    world.lineage = world.lineage.renewed(0);
    world.mark(tables::retire_channels);
    let after = world.promise(0, 10).expect("within the budget");
    assert_ne!(after.channel.salt, before.channel.salt);
    assert_eq!(after.cumulative_amount, Amount::new(10), "a channel of its own");
    assert_eq!(world.promise(0, 10).expect("within the budget").channel, after.channel, "and it is kept");
    assert_eq!(world.fault(), None);
}

#[test]
fn a_request_is_promised_once_until_it_is_refused() {
    let mut world = World::new(Limits::dollars(2));
    let ask = |world: &World| {
        let intent = Intent { anew: false, ..intent(0, 10, world.limits, world.day) };
        let transaction = world.database.begin_write().expect("begins");
        let outcome = promise(&transaction, &world.lineage, &intent).expect("the store works");
        transaction.commit().expect("commits");
        outcome.expect("within the budget")
    };
    let first = ask(&world);
    assert_eq!(ask(&world), first);
    world.refuse(&first);
    let second = ask(&world);
    assert_ne!(second.id, first.id);
    world.keep(second.clone());
    assert_eq!(ask(&world).id, second.id, "bought");
    assert_ne!(world.promise(0, 10).expect("within the budget").id, second.id, "anew");
}
