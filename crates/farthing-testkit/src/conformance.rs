//! What every store of a payee's ledger has to do, whatever it is made of. Each check takes an empty ledger.

use crate::histories::{History, channel, charge, identity, signer, voucher};
use crate::ledger_model::{Expected, LedgerModel, Mistake};
use farthing::core::ledger::{ChannelBooks, Purchase, RequestId};
use farthing::core::wire::challenge::{MethodDetails, SessionRequest};
use farthing::core::wire::{Challenge, ChallengeSecret};
use farthing::core::{Address, Amount, B256, ChannelId, Timestamp};
use farthing::payee::LedgerIdentity;
use farthing::payee::store::{
    Entry, Lease, Outcome, PayeeStore, Record, RecordKind, Redemption, RedemptionState, Relayed, StoreError,
};
use farthing::payee::views::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a ledger is kept, and how it is opened, again and again.
pub trait StoreStage: fmt::Debug + Send + Sync {
    /// Opens the ledger of [`identity`].
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn PayeeStore>, StoreError>> {
        self.open_as(identity())
    }

    /// Whether several may have the ledger open at once. Then a lease outlasts the one who had it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Opens the ledger as somebody's.
    fn open_as(&self, identity: LedgerIdentity) -> BoxFuture<'_, Result<Arc<dyn PayeeStore>, StoreError>>;
}

async fn open(stage: &dyn StoreStage) -> Arc<dyn PayeeStore> {
    stage.open().await.expect("opens")
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Charged { again: false, .. })
}

fn is_served(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Charged { .. })
}

async fn write(store: &dyn PayeeStore, batch: &[Entry]) -> Vec<Outcome> {
    store.accept_batch(batch).await.expect("writes")
}

/// Everything a store shows, in an order of its own.
async fn records(store: &dyn PayeeStore) -> Vec<Record> {
    let mut all = Vec::new();
    store
        .visit(&RecordKind::ALL, &mut |record| {
            all.push(record);
            Ok(())
        })
        .await
        .expect("reads");
    all
}

fn sorted(mut records: Vec<Record>) -> Vec<String> {
    let mut lines: Vec<String> = records.drain(..).map(|record| format!("{record:?}")).collect();
    lines.sort();
    lines
}

/// Loss 12: two hundred copies of one voucher at once are one charge for one item, whatever batches they come in.
pub async fn copies_of_one_voucher_are_one_charge(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let entry = charge(voucher(&signer, &channel, 10), 10, "/song");
    let outcomes = at_once(&store, (0..200).map(|_| entry.clone()), 7).await;
    assert!(outcomes.iter().all(is_served));
    assert_eq!(outcomes.iter().filter(|outcome| is_new(outcome)).count(), 1);
    assert_eq!(spent(store.as_ref(), channel.id(&identity().deployment)).await, 10);
}

/// Loss 12: two hundred copies of one voucher on two hundred items buy one of them.
pub async fn one_voucher_buys_one_of_many_items(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let voucher = voucher(&signer, &channel, 10);
    let outcomes = at_once(&store, (0..200).map(|item| charge(voucher, 10, &format!("/{item}"))), 7).await;
    assert_eq!(outcomes.iter().filter(|outcome| is_served(outcome)).count(), 1);
    assert_eq!(spent(store.as_ref(), channel.id(&identity().deployment)).await, 10);
}

/// Loss 18: parallel requests of one payer all succeed, in any order, charged once each.
pub async fn parallel_vouchers_of_one_channel_are_all_charged(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let entries = (1..=60_u128).map(|item| charge(voucher(&signer, &channel, item * 10), 10, &format!("/{item}")));
    // Backwards, and several of them in a batch.
    let entries: Vec<Entry> = entries.collect::<Vec<_>>().into_iter().rev().collect();
    let outcomes = at_once(&store, entries, 9).await;
    assert_eq!(outcomes.iter().filter(|outcome| is_new(outcome)).count(), 60);
    let channel_id = channel.id(&identity().deployment);
    assert_eq!(spent(store.as_ref(), channel_id).await, 600);
    let highest = store.redeemable(channel_id).await.expect("reads").expect("due");
    assert_eq!(highest.cumulative_amount, Amount::new(600));
}

/// Sends entries from many tasks, a few in each batch.
async fn at_once(store: &Arc<dyn PayeeStore>, entries: impl IntoIterator<Item = Entry>, size: usize) -> Vec<Outcome> {
    let entries: Vec<Entry> = entries.into_iter().collect();
    let mut tasks = tokio::task::JoinSet::new();
    for batch in entries.chunks(size) {
        let (store, batch) = (Arc::clone(store), batch.to_vec());
        tasks.spawn(async move { write(store.as_ref(), &batch).await });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn spent(store: &dyn PayeeStore, channel_id: ChannelId) -> u128 {
    store.books(channel_id).await.expect("reads").map_or(0, |books| books.spent.base_units())
}

/// How many batches a history has.
const HISTORY_LENGTH: usize = 250;

/// Random histories get the answers that the reference model gives, and leave the ledger that its history adds up to;
/// closing the store and opening it again changes nothing. Every answer that there is is given.
pub async fn histories_are_answered_like_the_models(stage: &dyn StoreStage) {
    let mut given: BTreeMap<&'static str, u32> = BTreeMap::new();
    let (mut history, mut model) = (History::new(1, true), LedgerModel::default());
    let mut store = open(stage).await;
    for round in 0..HISTORY_LENGTH {
        let answers = step(store.as_ref(), &mut history, &mut model).await.unwrap_or_else(|error| panic!("{error}"));
        for answer in answers {
            *given.entry(answer.name()).or_default() += 1;
        }
        if round % 50 == 49 {
            drop(store);
            store = open(stage).await;
            if !stage.is_shared() {
                model.forget_leases();
            }
        }
    }
    compare(store.as_ref(), &model).await;
    looks_up(store.as_ref(), &model).await.unwrap_or_else(|difference| panic!("{difference}"));
    let never: Vec<_> = Expected::NAMES.iter().filter(|name| !given.contains_key(*name)).collect();
    assert!(never.is_empty(), "never answered: {never:?}; answered: {given:?}");
}

/// The control: after how many batches it shows that the model makes a mistake, if it does.
pub async fn batches_until_noticed(stage: &dyn StoreStage, mistake: Mistake) -> Option<usize> {
    let (mut history, mut model) = (History::new(1, true), LedgerModel::with_mistake(mistake));
    let store = open(stage).await;
    for round in 1..=HISTORY_LENGTH {
        if step(store.as_ref(), &mut history, &mut model).await.is_err() {
            return Some(round);
        }
        if round % 10 == 0 && looks_up(store.as_ref(), &model).await.is_err() {
            return Some(round);
        }
    }
    None
}

/// One batch of a history, answered by both.
async fn step(store: &dyn PayeeStore, history: &mut History, model: &mut LedgerModel) -> Result<Vec<Expected>, String> {
    let batch = history.batch();
    let expected: Vec<Expected> = batch.iter().map(|entry| model.post(entry)).collect();
    let outcomes = write(store, &batch).await;
    history.hear(&outcomes);
    let found: Vec<Expected> = outcomes.iter().map(Expected::of).collect();
    if found == expected { Ok(found) } else { Err(format!("{found:?} instead of {expected:?} to {batch:#?}")) }
}

/// Whether the store finds what is not settled, and who owes since when, as the model does.
async fn looks_up(store: &dyn PayeeStore, model: &LedgerModel) -> Result<(), String> {
    let states = |redemptions: Vec<Redemption>| -> BTreeMap<B256, RedemptionState> {
        redemptions.into_iter().map(|redemption| (redemption.hash, redemption.state)).collect()
    };
    let all = states(store.redemptions().await.expect("reads"));
    same("redemptions", &all, &model.redemptions())?;
    same("unsettled", &states(store.unsettled().await.expect("reads")), &model.unsettled())?;
    for (hash, state) in all {
        let found = store.redemption(hash).await.expect("reads").map(|redemption| redemption.state);
        same("redemption", &found, &Some(state))?;
    }
    let mut since = BTreeMap::new();
    for owing in store.owing().await.expect("reads") {
        same("books", &store.books(owing.channel_id).await.expect("reads"), &Some(owing.books))?;
        since.insert(owing.channel_id, owing.since.unix_seconds());
    }
    same("owing", &since, &model.owing())
}

fn same<T: fmt::Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

async fn compare(store: &dyn PayeeStore, model: &LedgerModel) {
    let channels = store.all_books().await.expect("reads");
    assert_eq!(channels.len(), model.channels().len());
    for (channel_id, books) in channels {
        let ChannelBooks { accepted, spent, credited, redeemed, channel } = books;
        let found = [accepted, spent, credited, redeemed].map(Amount::base_units);
        assert_eq!(Some(found), model.books(channel_id));
        assert_eq!(channel.id(&identity().deployment), channel_id);
        let redeemable = store.redeemable(channel_id).await.expect("reads");
        assert_eq!(redeemable.map(|charge| charge.cumulative_amount.base_units()), model.redeemable(channel_id));
        let of_account = store.books_of(channel.account().id()).await.expect("reads");
        assert!(of_account.contains(&(channel_id, books)));
    }
    assert_eq!(store.all_charges().await.expect("reads").len(), model.sold());
    for (signer, request) in model.purchases() {
        let bought = store.purchase(Purchase { signer, request }).await.expect("reads");
        let (channel_id, charge) = bought.expect("what was bought is found by the key that signed");
        assert_eq!(charge.request, request);
        let books = store.books(channel_id).await.expect("reads").expect("books");
        assert_eq!(books.channel.authorized_signer, signer);
    }
    let stranger = Purchase { signer: Address::repeat_byte(0xee), request: RequestId::new("GET", "/0") };
    assert_eq!(store.purchase(stranger).await.expect("reads"), None);
}

/// A batch in which every entry is refused, or was answered before, changes nothing.
pub async fn what_is_refused_changes_nothing(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let signer = signer(0);
    let channel = channel(&signer, 0);
    let paid = charge(voucher(&signer, &channel, 10), 10, "/song");
    write(store.as_ref(), std::slice::from_ref(&paid)).await;
    let before = sorted(records(store.as_ref()).await);
    let channel_id = channel.id(&identity().deployment);
    let at = Timestamp::from_unix_seconds(0);
    let nothing = [
        paid,
        charge(voucher(&signer, &channel, 10), 10, "/other"),
        charge(voucher(&signer, &channel, 12), 10, "/short"),
        Entry::Credit { channel_id, cumulative_amount: Amount::new(11), amount: None, at },
        Entry::Credit { channel_id, cumulative_amount: Amount::new(10), amount: Some(Amount::new(11)), at },
        Entry::Redeemed { channel_id, redeemed: Amount::ZERO, block: 1, at },
        Entry::Redeemed { channel_id: ChannelId(B256::repeat_byte(9)), redeemed: Amount::new(5), block: 1, at },
    ];
    write(store.as_ref(), &nothing).await;
    assert_eq!(sorted(records(store.as_ref()).await), before);
    assert!(write(store.as_ref(), &[]).await.is_empty());
}

/// Transactions and what was relayed are found again by every name they have, and a day's cost is what its entries add
/// up to.
pub async fn transactions_are_on_record_until_settled(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let at = Timestamp::from_unix_seconds(1_800_000_000);
    let relayed = |hash: u8, request: u8, cost: u128| {
        Entry::Relayed(Relayed {
            request: B256::repeat_byte(request),
            hash: B256::repeat_byte(hash),
            at: at.plus_seconds(hash.into()),
            cost: Amount::new(cost),
        })
    };
    let redemption = |state| Redemption {
        hash: B256::repeat_byte(1),
        sender: Address::repeat_byte(2),
        nonce: 3,
        fees: farthing::chain::Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: vec![(ChannelId(B256::repeat_byte(6)), Amount::new(7))],
        closes: true,
        at,
        state,
    };
    let transaction = |state| Entry::Redemption { redemption: redemption(state), fence: None };
    write(store.as_ref(), &[relayed(1, 1, 100), transaction(RedemptionState::Sent)]).await;
    write(store.as_ref(), &[relayed(2, 1, 130), relayed(3, 2, 50)]).await;
    // It was replaced, and cost nothing.
    write(store.as_ref(), &[relayed(1, 1, 0)]).await;
    let mined = RedemptionState::Mined { block: 8, gas_used: 9, gas_price: 10 };
    write(store.as_ref(), &[transaction(mined)]).await;
    drop(store);

    let store = open(stage).await;
    assert_eq!(store.redemptions().await.expect("reads"), [redemption(mined)]);
    assert_eq!(store.relay_spent(at.day()).await.expect("reads"), Amount::new(180));
    assert_eq!(store.relay_spent(at.day() + 1).await.expect("reads"), Amount::ZERO);
    let last = store.relayed(B256::repeat_byte(1)).await.expect("reads").expect("relayed");
    assert_eq!((last.hash, last.cost), (B256::repeat_byte(2), Amount::new(130)));
    let first = store.relayed_in(B256::repeat_byte(1)).await.expect("reads").expect("relayed");
    assert_eq!(first.cost, Amount::ZERO);
    assert_eq!(store.relayed(B256::repeat_byte(9)).await.expect("reads"), None);
}

const HOLDERS: [B256; 2] = [B256::repeat_byte(0xa), B256::repeat_byte(0xb)];

fn lease(holder: B256, at: u64, until: u64) -> Entry {
    let (at, until) = (Timestamp::from_unix_seconds(at), Timestamp::from_unix_seconds(until));
    Entry::Lease { holder, at, until }
}

fn sent(hash: u8, fence: u64) -> Entry {
    let redemption = Redemption {
        hash: B256::repeat_byte(hash),
        sender: Address::repeat_byte(2),
        nonce: 3,
        fees: farthing::chain::Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: Vec::new(),
        closes: true,
        at: Timestamp::from_unix_seconds(1),
        state: RedemptionState::Sent,
    };
    Entry::Redemption { redemption, fence: Some(fence) }
}

/// A lease passes on when it has run out or was given back, with a fence that nobody has had; from then on nothing more
/// is written under the one before, and whatever else is in the batch is.
pub async fn whoever_lost_the_lease_writes_nothing_more(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let [first, second] = HOLDERS;
    let leased =
        |holder, fence, until| Outcome::Leased(Lease { holder, fence, until: Timestamp::from_unix_seconds(until) });
    let answers =
        write(store.as_ref(), &[sent(1, 0), sent(1, 1), lease(first, 100, 110), lease(second, 109, 120)]).await;
    let held = Lease { holder: first, fence: 1, until: Timestamp::from_unix_seconds(110) };
    let nobodys = Outcome::Fenced(Lease::NOBODYS);
    assert_eq!(answers, [nobodys.clone(), nobodys, leased(first, 1, 110), Outcome::Held(held)]);
    // It ran out, and nobody has taken it: what was written under it is all that there is.
    let answers = write(store.as_ref(), &[sent(2, 1), lease(first, 130, 140), lease(second, 140, 150)]).await;
    assert_eq!(answers, [Outcome::Noted, leased(first, 1, 140), leased(second, 2, 150)]);

    let signer = signer(0);
    let sale = charge(voucher(&signer, &channel(&signer, 0), 10), 10, "/song");
    let answers = write(store.as_ref(), &[sent(3, 1), sale, sent(4, 2), lease(first, 141, 151)]).await;
    let now = Lease { holder: second, fence: 2, until: Timestamp::from_unix_seconds(150) };
    assert_eq!((&answers[0], &answers[2], &answers[3]), (&Outcome::Fenced(now), &Outcome::Noted, &Outcome::Held(now)));
    assert!(is_new(&answers[1]), "{:?}", answers[1]);

    // Whoever does not have it can't give it back.
    let asks =
        [lease(first, 142, 142), lease(first, 142, 152), lease(second, 142, 142), lease(first, 1, 152), sent(5, 2)];
    let answers = write(store.as_ref(), &asks).await;
    let after = Lease { holder: first, fence: 3, until: Timestamp::from_unix_seconds(152) };
    let noted = Outcome::Noted;
    assert_eq!(answers, [noted.clone(), Outcome::Held(now), noted, leased(first, 3, 152), Outcome::Fenced(after)]);
    let mut written: Vec<u8> = store.unsettled().await.expect("reads").iter().map(|one| one.hash[0]).collect();
    written.sort_unstable();
    assert_eq!(written, [2, 4]);
}

/// A gateway whose clock is far ahead, and that dies, keeps nobody out; one whose clock is behind takes the lease too
/// early, and the fence does the rest.
pub async fn no_clock_keeps_others_from_the_lease(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let ([first, second], year) = (HOLDERS, 365 * 86_400);
    let answers = write(store.as_ref(), &[lease(first, year, 2 * year), lease(second, 100, 160), sent(1, 1)]).await;
    let until = |until| Timestamp::from_unix_seconds(until);
    let longest = Outcome::Leased(Lease { holder: first, fence: 1, until: until(year + Lease::LONGEST) });
    let taken = Lease { holder: second, fence: 2, until: until(160) };
    assert_eq!(answers, [longest, Outcome::Leased(taken), Outcome::Fenced(taken)]);
}

/// Of many that ask at once one gets the lease, and all others are told whose it is.
pub async fn one_of_many_gets_the_lease(stage: &dyn StoreStage) {
    let store = open(stage).await;
    for round in 0..10_u64 {
        let asks = (1..=20).map(|holder| lease(B256::repeat_byte(holder), round * 10, round * 10 + 10));
        let answers = at_once(&store, asks, 1).await;
        let (leased, held): (Vec<Outcome>, Vec<Outcome>) =
            answers.into_iter().partition(|answer| matches!(answer, Outcome::Leased(_)));
        let [Outcome::Leased(lease)] = leased[..] else { panic!("{leased:?}") };
        assert!(held.iter().all(|answer| *answer == Outcome::Held(lease)), "{held:?}");
        // The same holder may win again, and then goes on with its fence.
        assert!(held.len() == 19 && lease.fence >= 1 && lease.fence <= round + 1, "{lease:?}");
    }
}

/// Whoever reads sees whole batches: at every moment the books are what the charges add up to.
pub async fn a_visit_sees_whole_batches(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut history = History::new(3, false);
            for _ in 0..150 {
                write(store.as_ref(), &history.batch()).await;
                tokio::task::yield_now().await;
            }
            stop.store(true, Ordering::SeqCst);
        })
    };
    let mut visits = 0;
    while !stop.load(Ordering::SeqCst) {
        adds_up(&records(store.as_ref()).await);
        visits += 1;
        tokio::task::yield_now().await;
    }
    writer.await.expect("writes");
    assert!(visits > 2, "only {visits} visits while it was written to");
    adds_up(&records(store.as_ref()).await);
}

/// Panics unless every channel's books are the sums of its entries.
pub fn adds_up(records: &[Record]) {
    let mut sums: BTreeMap<ChannelId, [u128; 4]> = BTreeMap::new();
    let mut books_of = BTreeMap::new();
    for record in records {
        match record {
            Record::Channel { channel_id, books } => {
                books_of.insert(*channel_id, *books);
            }
            Record::Charge { channel_id, charge } => {
                let sum = sums.entry(*channel_id).or_default();
                sum[0] = sum[0].max(charge.cumulative_amount.base_units());
                sum[1] += charge.price.base_units();
            }
            Record::Credit { channel_id, credit } => {
                sums.entry(*channel_id).or_default()[2] += credit.amount.base_units();
            }
            Record::FinalRedemption { channel_id, redemption } => {
                sums.entry(*channel_id).or_default()[3] += redemption.paid.base_units();
            }
            _ => {}
        }
    }
    assert_eq!(sums.len(), books_of.len());
    for (channel_id, sum) in sums {
        let books = books_of[&channel_id];
        let found = [books.accepted, books.spent, books.credited, books.redeemed].map(Amount::base_units);
        assert_eq!(found, sum, "channel {channel_id}");
        assert!(books.spent <= books.accepted && books.credited <= books.spent);
    }
}

/// What one store shows, another takes, and then shows the same and goes on from there.
pub async fn records_move_to_another_store(stage: &dyn StoreStage, other: &dyn StoreStage) {
    let (store, mut history) = (open(stage).await, History::new(5, true));
    for _ in 0..80 {
        write(store.as_ref(), &history.batch()).await;
    }
    let shown = records(store.as_ref()).await;
    let copy = open(other).await;
    for records in shown.chunks(50) {
        copy.restore(records).await.expect("restores");
    }
    assert_eq!(sorted(records(copy.as_ref()).await), sorted(shown));
    // Who may send stays behind.
    let (holder, at) = (B256::repeat_byte(7), Timestamp::from_unix_seconds(0));
    let asked = write(copy.as_ref(), &[Entry::Lease { holder, at, until: at.plus_seconds(1) }]).await;
    assert!(matches!(asked[..], [Outcome::Leased(Lease { fence: 1, .. })]), "{asked:?}");
    for _ in 0..80 {
        let batch = without_leases(history.batch());
        assert_eq!(write(copy.as_ref(), &batch).await, write(store.as_ref(), &batch).await);
    }
    assert_eq!(sorted(records(copy.as_ref()).await), sorted(records(store.as_ref()).await));
    let orphan = records(store.as_ref()).await.into_iter().find(|record| matches!(record, Record::Charge { .. }));
    let Some(Record::Charge { charge, .. }) = orphan else { panic!("no charge") };
    let orphan = Record::Charge { channel_id: ChannelId(B256::repeat_byte(9)), charge };
    let refused = copy.restore(&[orphan]).await.expect_err("a charge of no channel");
    assert!(matches!(refused, StoreError::UnknownChannel { .. }), "{refused}");
}

fn without_leases(batch: Vec<Entry>) -> Vec<Entry> {
    let kept = batch.into_iter().filter(|entry| !matches!(entry, Entry::Lease { .. }));
    kept.map(|entry| match entry {
        Entry::Redemption { redemption, .. } => Entry::Redemption { redemption, fence: None },
        entry => entry,
    })
    .collect()
}

/// A ledger is opened for whom it was begun, and for nobody else; its challenges stay good.
pub async fn a_ledger_is_opened_for_its_owner_only(stage: &dyn StoreStage) {
    let store = open(stage).await;
    let secret = store.challenge_secret().await.expect("reads");
    drop(store);
    let mut strangers = [identity(); 4];
    strangers[0].payee = Address::repeat_byte(0xaa);
    strangers[1].token = Address::ZERO;
    strangers[2].deployment.chain_id += 1;
    strangers[3].deployment.escrow = Address::repeat_byte(0xbb);
    for stranger in strangers {
        let refused = stage.open_as(stranger).await.expect_err("another's");
        assert!(matches!(refused, StoreError::OtherLedger { .. }), "{refused}");
    }
    let again = open(stage).await.challenge_secret().await.expect("reads");
    assert!(issued_by(&secret).is_issued_by(&again), "a challenge of before is not honoured");
}

fn issued_by(secret: &ChallengeSecret) -> Challenge {
    let LedgerIdentity { deployment, payee, token } = identity();
    let request = SessionRequest {
        amount: Amount::new(10),
        unit_type: "item".to_owned(),
        currency: token,
        recipient: payee,
        suggested_deposit: None,
        method_details: MethodDetails {
            chain_id: deployment.chain_id,
            escrow_contract: deployment.escrow,
            exit_delay: 86_400,
            item: "/song".to_owned(),
            symbol: "dUSD".to_owned(),
            decimals: 6,
            dollar: true,
            reservation: None,
        },
    };
    Challenge::issue(secret, "localhost", &request, Timestamp::from_unix_seconds(1), None).expect("issues")
}
