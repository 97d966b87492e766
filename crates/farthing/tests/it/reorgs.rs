//! Blocks are undone, from one to all that are not final, at every step of a channel's life. After each the payee
//! knows, gives on credit and has in its books what one does that only ever saw the new chain; what was final stays.
//!
//! `FARTHING_REORGS=all` plays the whole matrix, which `script/verify.sh reorgs` does; `every` plays it at every depth.

mod stage;

use farthing::core::Amount;
use farthing::payee::store::RedemptionState;
use farthing_testkit::rpc_proxy::{Fault, Rule};
use farthing_testkit::{Fixture, RpcProxy};
use serde_json::Value;
use stage::{Act, Observer, Stage, Step};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use url::Url;

/// How many of the newest blocks are undone: 64 are all that are not final on a chain like Ethereum.
const DEPTHS: [u64; 6] = [1, 2, 3, 8, 31, 64];

/// The ends, where there is not so much time.
const DEPTHS_IN_SHORT: [u64; 2] = [1, 64];

/// What becomes of a transaction whose block was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It never comes back.
    Gone,
    /// The new chain has it in another block.
    Moved,
    /// It is gone when the payee looks, and mined after that.
    Back,
    /// It is gone, and sent again by the payee; then that is undone as well, and the first one mined instead.
    Swapped,
}

const FATES: [Fate; 4] = [Fate::Gone, Fate::Moved, Fate::Back, Fate::Swapped];

#[derive(Clone, Copy, Debug)]
struct Cell {
    step: Step,
    depth: u64,
    fate: Fate,
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} undone, {:?}", self.step.name(), self.depth, self.fate)
    }
}

/// The node that the payee looks through, and whether it goes on telling what it said before.
struct Node {
    url: Url,
    is_stuck: Arc<AtomicBool>,
}

fn holds(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

/// Where a payee stands against one that only ever saw this chain; an error says in what they differ.
async fn compare(stage: &Stage, observer: &Observer, when: &str) -> Result<(), String> {
    let fresh = stage.fresh_observer(observer).await;
    let (seen, expected) = (observer.standing(stage).await, fresh.standing(stage).await);
    holds(seen == expected, || format!("{when}: {seen:#?}\ninstead of\n{expected:#?}"))
}

/// Plays one cell.
async fn play(stage: &Stage, cell: Cell, node: &Node) -> Result<(), String> {
    let mut observer = stage.observer(&node.url).await;
    let before = observer.standing(stage).await;
    let act = stage.act(cell.step, &mut observer).await;
    stage.faults.mine(cell.depth - cell.step.blocks()).await;
    observer.look().await?;
    holds(observer.standing(stage).await != before, || "the payee never saw the step".to_owned())?;

    node.is_stuck.store(true, Ordering::SeqCst);
    stage.undo(cell.depth, &act, cell.fate == Fate::Moved).await;
    if cell.fate != Fate::Moved {
        // One that has not looked again is wrong, so that this cell can fail.
        holds(compare(stage, &observer, "").await.is_err(), || "nothing was undone".to_owned())?;
    }
    observer.look().await?;
    compare(stage, &observer, "after the blocks were undone").await?;
    if cell.fate == Fate::Back {
        stage.bring_back(&act).await;
        observer.look().await?;
        compare(stage, &observer, "after the transaction came back").await?;
    }
    // A redemption that was undone is sent again; one that is there is not.
    let expected = if matches!(cell.fate, Fate::Gone | Fate::Swapped) { act.redeemed_again } else { 0 };
    let sent = observer.redeem(stage, &act.channels).await?;
    holds(sent == expected, || format!("{sent} redemptions were sent instead of {expected}"))?;
    if cell.fate == Fate::Swapped {
        stage.swap_for(&act).await;
        observer.look().await?;
        compare(stage, &observer, "after the first one was mined instead").await?;
        let sent = observer.redeem(stage, &act.channels).await?;
        holds(sent == 0, || format!("{sent} redemptions were sent of what is paid"))?;
    }
    stage.make_final().await;
    observer.look().await?;
    compare(stage, &observer, "when all is final").await?;
    settled(stage, &observer, &act).await
}

/// At the end the books say what the chain has paid, and no base unit is lost; what is left of the credit can be spent
/// and nothing more.
async fn settled(stage: &Stage, observer: &Observer, act: &Act) -> Result<(), String> {
    let books = observer.payee.store().all_books().await.map_err(|error| error.to_string())?;
    let redeemed = Amount::saturating_sum(books.iter().map(|(_, books)| books.redeemed));
    let paid = stage.fixture.dollars_of(Fixture::payee().address()).await;
    holds(redeemed == paid, || format!("the books say that {redeemed} was paid, and {paid} was"))?;
    holds(stage.is_conserved().await, || "money was lost or made".to_owned())?;
    if act.redeemed_again > 0 {
        let states = observer.settled_redemptions(stage).await?;
        let is_one_final = |state: &&RedemptionState| matches!(state, RedemptionState::Final { .. });
        let count = states.iter().filter(is_one_final).count();
        let is_rest_failed =
            states.iter().filter(|state| **state == RedemptionState::Failed).count() + 1 == states.len();
        holds(count == 1 && is_rest_failed, || format!("of the attempts one must be final: {states:?}"))?;
    }
    observer.spends_its_credit_and_no_more(stage).await
}

/// Plays every cell of these steps and depths; returns how many, and those that fail with the reason.
async fn play_all(stage: &mut Stage, steps: &[Step], depths: &[u64], node: &Node) -> (usize, Vec<(Cell, String)>) {
    let (mut played, mut failed) = (0, Vec::new());
    for step in steps {
        stage.prepare(*step).await;
        for (depth, fate) in depths.iter().flat_map(|depth| FATES.map(|fate| (*depth, fate))) {
            if depth < step.blocks() || (fate == Fate::Swapped && !step.is_redemption()) {
                continue;
            }
            let cell = Cell { step: *step, depth, fate };
            node.is_stuck.store(false, Ordering::SeqCst);
            if let Err(reason) = play(stage, cell, node).await {
                failed.push((cell, reason));
            }
            played += 1;
            stage.start_over().await;
        }
    }
    (played, failed)
}

fn depths() -> Vec<u64> {
    match std::env::var("FARTHING_REORGS").as_deref() {
        Ok("every") => (1..=64).collect(),
        Ok("all") => DEPTHS.to_vec(),
        _ => DEPTHS_IN_SHORT.to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_blocks_are_undone_a_payee_stands_where_one_does_that_never_saw_them() {
    let (mut played, mut failed) = (0, Vec::new());
    // A chain for a few steps each: anvil keeps every block that was ever made.
    for steps in Step::ALL.chunks(if depths().len() > DEPTHS.len() { 1 } else { Step::ALL.len() }) {
        let mut stage = Stage::build().await;
        let node = Node { url: stage.fixture.local.url().clone(), is_stuck: Arc::default() };
        let (cells, wrong) = play_all(&mut stage, steps, &depths(), &node).await;
        played += cells;
        failed.extend(wrong);
    }
    println!(
        "reorganizations: {} steps at {:?} blocks, {played} cells, {} failed",
        Step::ALL.len(),
        depths(),
        failed.len()
    );
    for (cell, reason) in &failed {
        println!("{cell}: {reason}");
    }
    assert!(failed.is_empty(), "{}", failed.len());
    assert!(played >= 73, "{played}");
}

/// Negative control: a node that stays with the blocks that were undone and tells what it told before. The payee
/// believes it, and every step that never came back is found to be wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_finds_a_payee_that_does_not_look_again() {
    let mut stage = Stage::build().await;
    let proxy = RpcProxy::start(stage.fixture.local.url()).await;
    let node = Node { url: proxy.url(), is_stuck: Arc::default() };
    let (is_stuck, told) = (Arc::clone(&node.is_stuck), Mutex::new(HashMap::<String, Value>::new()));
    proxy.inject(Rule::on_everything(Fault::lie(move |request, truth| {
        let asked = format!("{} {}", request["method"], request["params"]);
        let mut told = told.lock().unwrap();
        if is_stuck.load(Ordering::SeqCst) {
            return told.get(&asked).cloned().unwrap_or(truth);
        }
        told.insert(asked, truth.clone());
        truth
    })));
    let (played, failed) = play_all(&mut stage, &Step::ALL, &[8], &node).await;
    let (mut found, mut others) = (BTreeSet::new(), 0);
    for (cell, reason) in &failed {
        if cell.fate == Fate::Gone {
            assert!(reason.starts_with("after the blocks were undone"), "{cell}: {reason}");
            found.insert(cell.step);
        } else {
            others += 1;
        }
    }
    println!(
        "a payee that does not look again: {} of {} steps found, and {others} other cells of {played}",
        found.len(),
        Step::ALL.len()
    );
    assert_eq!(found, Step::ALL.into(), "each step that never came back");
}
