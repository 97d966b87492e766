//! Whether the nodes agree: about what is final, and about accounts in the same block. Two honest nodes always do, however
//! far one of them lags; so where they don't, one of them is wrong, and a person is told.

use super::look::view_of;
use super::sightings::{Seen, SeenByNode, Sightings};
use crate::chain::Block;
use crate::escrow::EscrowError;
use alloy::eips::BlockNumberOrTag;
use farthing_core::AccountId;
use farthing_core::exposure::AccountView;
use std::collections::{BTreeMap, HashMap, HashSet};

/// About how many accounts two nodes are asked anew in one look, where they show different things at different heads.
const EXAMINED_AT_ONCE: usize = 8;

/// Nodes keep the state of about so many blocks.
const STATES_KEPT: u64 = 100;

/// Two nodes, the lower index first.
type Pair = (usize, usize);

/// What the nodes agree on, and what not.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The final blocks of two nodes that were found to be of one chain.
    agreed: HashMap<Pair, (Block, Block)>,
    /// Which final block two nodes disagree about. They stay so until they agree again, even if one of them is gone: the
    /// other may be the liar.
    split: BTreeMap<Pair, u64>,
    /// Accounts that were read since all nodes showed them alike.
    unlike: HashSet<AccountId>,
    /// Accounts that two nodes show differently in the same block.
    disputed: BTreeMap<Pair, HashMap<AccountId, u64>>,
    /// Two nodes that give one block two numbers.
    renumbered: BTreeMap<Pair, (u64, u64)>,
}

impl Agreement {
    /// Accounts were read.
    pub(super) fn note_read(&mut self, accounts: impl Iterator<Item = AccountId>) {
        self.unlike.extend(accounts);
    }

    fn dispute(&mut self, pair: Pair, account: AccountId, block: u64) {
        self.disputed.entry(pair).or_default().insert(account, block);
    }

    fn is_disputed(&self, account: AccountId) -> bool {
        self.disputed.values().any(|accounts| accounts.contains_key(&account))
    }

    fn agree_on(&mut self, pair: Pair, account: AccountId) {
        if let Some(accounts) = self.disputed.get_mut(&pair) {
            accounts.remove(&account);
        }
        self.disputed.retain(|_, accounts| !accounts.is_empty());
    }

    /// What a node says otherwise than another one.
    fn contradiction(&self, index: usize, name: impl Fn(usize) -> String) -> Option<String> {
        let other = |pair: &Pair| match pair {
            (one, two) if *one == index => Some(name(*two)),
            (one, two) if *two == index => Some(name(*one)),
            _ => None,
        };
        let split = self
            .split
            .iter()
            .find_map(|(pair, block)| Some(format!("it calls another block {block} final than {} does", other(pair)?)));
        let renumbered = || {
            self.renumbered.iter().find_map(|(pair, (one, two))| {
                Some(format!("it and {} give one block the numbers {one} and {two}", other(pair)?))
            })
        };
        let disputed = || {
            self.disputed.iter().find_map(|(pair, accounts)| {
                let (account, block) = accounts.iter().next()?;
                let more = accounts.len() - 1;
                let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                let (other, account) = (other(pair)?, account.0);
                Some(format!("it shows account {account}{more} otherwise in block {block} than {other} does"))
            })
        };
        split.or_else(renumbered).or_else(disputed)
    }
}

/// Two nodes in order.
fn pair(one: usize, other: usize) -> Pair {
    (one.min(other), one.max(other))
}

impl Sightings {
    fn others(&self, index: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|other| *other != index && self.nodes.is_healthy(*other)).collect()
    }

    /// Finds out whether the block that a node calls final now is one that the others do as well.
    pub(super) async fn compare_final_blocks(&self, index: usize) {
        for other in self.others(index) {
            let finals = {
                let seen = self.seen();
                seen.nodes[index].confirmed.zip(seen.nodes[other].confirmed)
            };
            let Some((own, others)) = finals else { continue };
            let pair = pair(index, other);
            let blocks = if index < other { (own, others) } else { (others, own) };
            if self.seen().agreement.agreed.get(&pair) == Some(&blocks) {
                continue;
            }
            // The one that is behind is asked nothing: it can't know more. Nobody's head or final block counts as late by
            // what another shows, so a raised number alone makes no disagreement.
            let there = if own.number >= others.number {
                self.block_at(index, own, others.number).await
            } else {
                self.block_at(other, others, own.number).await
            };
            let lower = if own.number >= others.number { others } else { own };
            let Some(there) = there else { continue };
            let mut seen = self.seen();
            if there.hash == lower.hash {
                seen.agreement.agreed.insert(pair, blocks);
                seen.agreement.split.remove(&pair);
            } else {
                seen.agreement.agreed.remove(&pair);
                seen.agreement.split.insert(pair, lower.number);
            }
        }
        let is_split = !self.seen().agreement.split.is_empty();
        self.payee.views().dispute(is_split);
        self.say();
    }

    /// A node's block by number; `known` spares the question where it is that one.
    async fn block_at(&self, index: usize, known: Block, number: u64) -> Option<Block> {
        if known.number == number {
            return Some(known);
        }
        let chain = self.nodes.escrow(index).chain();
        let asked = async { Ok::<_, EscrowError>(chain.block(BlockNumberOrTag::Number(number)).await?) };
        // One that does not answer is found out by its own looks.
        self.nodes.answer(index, asked).await.ok().flatten()
    }

    /// Compares what the nodes show of the accounts that were read since they agreed.
    pub(super) async fn compare_accounts(&self, index: usize) {
        let mut unclear = Vec::new();
        {
            let mut seen = self.seen();
            for other in self.others(index) {
                unclear.extend(seen.compare(index, other).into_iter().map(|account| (other, account)));
            }
            let healthy: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes.is_healthy(*index)).collect();
            seen.forget_alike(&healthy);
        }
        unclear.truncate(EXAMINED_AT_ONCE);
        for (other, account) in unclear {
            self.examine(index, other, account).await;
        }
        self.say();
    }

    /// Two nodes show an account differently, at different heads: one may be behind. Asks both for the older block.
    async fn examine(&self, index: usize, other: usize, account: AccountId) {
        let heads = {
            let seen = self.seen();
            seen.nodes[index].head.zip(seen.nodes[other].head)
        };
        let Some((own, others)) = heads else { return };
        let (lower, ahead, ahead_head) =
            if own.number >= others.number { (others, index, own) } else { (own, other, others) };
        if ahead_head.number - lower.number > STATES_KEPT {
            return;
        }
        let there = self.block_at(ahead, ahead_head, lower.number).await;
        if there.is_none_or(|there| there.hash != lower.hash) {
            return;
        }
        for channel in self.channels_of(account) {
            let ask = |index| self.nodes.answer(index, view_of(self.nodes.escrow(index), &channel, lower, None));
            if let (Ok(one), Ok(two)) = tokio::join!(ask(index), ask(other))
                && one != two
            {
                self.seen().agreement.dispute(pair(index, other), account, lower.number);
                return;
            }
        }
        // That they agree here settles no dispute: meanwhile the other may have come as far and been found to differ.
    }

    /// Tells people what the nodes disagree about, and when they no longer do.
    fn say(&self) {
        let contradictions: Vec<Option<String>> = {
            let seen = self.seen();
            let name = |index: usize| self.nodes.escrow(index).chain().origin().to_owned();
            (0..self.nodes.len()).map(|index| seen.agreement.contradiction(index, name)).collect()
        };
        for (index, contradiction) in contradictions.into_iter().enumerate() {
            self.nodes.note_contradiction(index, contradiction);
        }
    }
}

impl Seen {
    /// Compares what two nodes show. Returns the accounts of which it is unclear, the nodes being at different heads.
    fn compare(&mut self, index: usize, other: usize) -> Vec<AccountId> {
        let pair = pair(index, other);
        let (one, two) = (&self.nodes[pair.0], &self.nodes[pair.1]);
        let Some((head, others)) = one.head.zip(two.head) else { return Vec::new() };
        if head.hash == others.hash && head.number != others.number {
            self.agreement.renumbered.insert(pair, (head.number, others.number));
        } else {
            self.agreement.renumbered.remove(&pair);
        }
        let mut unclear = Vec::new();
        for account in self.agreement.unlike.clone() {
            match is_alike(one, two, account) {
                None => {}
                Some(true) => self.agreement.agree_on(pair, account),
                Some(false) if head == others => self.agreement.dispute(pair, account, head.number),
                Some(false) => unclear.push(account),
            }
        }
        unclear
    }

    /// Lets go of the accounts that all healthy nodes show alike.
    fn forget_alike(&mut self, healthy: &[usize]) {
        let nodes = &self.nodes;
        let alike = |account: &AccountId| {
            healthy.windows(2).all(|pair| is_alike(&nodes[pair[0]], &nodes[pair[1]], *account) == Some(true))
        };
        let disputed: Vec<AccountId> =
            self.agreement.unlike.iter().filter(|account| self.agreement.is_disputed(**account)).copied().collect();
        self.agreement.unlike.retain(|account| disputed.contains(account) || !alike(account));
    }
}

/// Whether two nodes show an account alike; `None` if one of them has not shown it. What is final is compared where they
/// call the same block so.
fn is_alike(one: &SeenByNode, two: &SeenByNode, account: AccountId) -> Option<bool> {
    let (first, second) = (one.accounts.get(&account)?, two.accounts.get(&account)?);
    let is_final_too = one.confirmed == two.confirmed;
    Some(first.balance == second.balance && are_alike(first, second, is_final_too))
}

fn are_alike(first: &AccountView, second: &AccountView, is_final_too: bool) -> bool {
    first.channels.iter().all(|(channel_id, (_, view))| {
        let Some(other) = second.channel(channel_id) else { return true };
        view.head == other.head && (!is_final_too || view.confirmed == other.confirmed)
    })
}
