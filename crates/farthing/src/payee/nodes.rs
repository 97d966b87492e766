//! The RPC nodes through which a payee sees one chain. Any of them may lag, lie, hang or die, so all are asked, and the
//! safer answer counts.

use super::views::{BoxFuture, FundsSource, Reading};
use crate::chain::{Block, ChainError};
use crate::clock;
use crate::escrow::{Escrow, EscrowError};
use farthing_core::{Channel, Deployment, Timestamp};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Thrown when nodes can't be used together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodesError {
    /// None was given.
    #[error("no node is named, and at least one is needed")]
    None,
    /// They are bound to different escrows.
    #[error("the node {node} is bound to {found}, not to {expected}")]
    OtherDeployment {
        /// The node.
        node: String,
        /// What it is bound to.
        found: Deployment,
        /// What the first one is bound to.
        expected: Deployment,
    },
}

/// Why a node's answers are not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Trouble {
    /// It does not answer in time, or answers with an error.
    Failing {
        /// What it said.
        reason: String,
    },
    /// Its newest block is old: it has stopped following the chain.
    Old {
        /// The block.
        block: u64,
        /// How old it is, in seconds.
        age: u64,
    },
    /// It was not reached yet.
    Unknown,
    /// Its newest block is from the future.
    Future {
        /// The block.
        block: u64,
        /// By how many seconds.
        ahead: u64,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(formatter, "it was not reached yet"),
            Self::Failing { reason } => write!(formatter, "it fails: {reason}"),
            Self::Old { block, age } => write!(formatter, "its newest block {block} is {age} s old"),
            Self::Future { block, ahead } => {
                write!(formatter, "its newest block {block} is {ahead} s in the future, by this machine's clock")
            }
        }
    }
}

/// How a node is doing, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealth {
    /// Scheme, host and port of its URL: the rest often holds a key.
    pub node: String,
    /// The newest block it has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// Why it is left out, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What another node says otherwise, if one does. One of the two is wrong, and nothing here says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<String>,
    /// Whether it names no final block. Then nothing that it shows is final, and no reservation counts.
    pub is_without_final: bool,
    /// Since when it has been in or out of trouble.
    pub since: Timestamp,
}

/// One node.
#[derive(Debug)]
struct Node {
    escrow: Escrow,
    health: Mutex<NodeHealth>,
}

/// The RPC nodes through which a payee sees one chain, each bound to the same escrow. Cheap to clone; clones share what
/// is known of the nodes.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: Arc<[Node]>,
    required: usize,
    answer_within: Duration,
}

impl Nodes {
    /// How long a node may take for one answer, unless told otherwise.
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    /// Takes the nodes in the order in which they are preferred for sending.
    ///
    /// # Errors
    ///
    /// If there is none, or they are bound to different escrows.
    pub fn new(escrows: Vec<Escrow>) -> Result<Self, NodesError> {
        let Some(first) = escrows.first() else { return Err(NodesError::None) };
        let expected = first.deployment();
        if let Some(other) = escrows.iter().find(|escrow| escrow.deployment() != expected) {
            let node = other.chain().origin().to_owned();
            return Err(NodesError::OtherDeployment { node, found: other.deployment(), expected });
        }
        Ok(Self::of(escrows))
    }

    fn of(escrows: Vec<Escrow>) -> Self {
        let since = clock::now();
        let nodes = escrows.into_iter().map(|escrow| {
            let node = escrow.chain().origin().to_owned();
            let health =
                NodeHealth { node, block: None, trouble: None, contradiction: None, is_without_final: false, since };
            Node { escrow, health: Mutex::new(health) }
        });
        Self { nodes: nodes.collect(), required: 1, answer_within: Self::ANSWER_WITHIN }
    }

    /// Adds a node that may be down now, to send or be asked last. Until the watcher has reached it and found the same
    /// chain there, it is left out.
    ///
    /// # Errors
    ///
    /// If it is bound to another escrow.
    pub fn with_unchecked(self, escrow: Escrow) -> Result<Self, NodesError> {
        let mut escrows: Vec<Escrow> = self.nodes.iter().map(|node| node.escrow.clone()).collect();
        escrows.push(escrow);
        let all = Self::new(escrows)?;
        for (node, known) in all.nodes.iter().zip(self.nodes.iter().map(Some).chain([None])) {
            match known {
                Some(known) => *node.health() = known.health().clone(),
                None => node.health().trouble = Some(Trouble::Unknown),
            }
        }
        Ok(Self { nodes: all.nodes, ..self })
    }

    /// How many must answer for anything to be believed. One unless told otherwise: the safer answer counts anyway, and
    /// more than one keeps a lone liar from being believed while the others are silent. More than there are nodes is
    /// never met.
    #[must_use]
    pub fn with_required(self, required: usize) -> Self {
        Self { required: required.max(1), ..self }
    }

    /// How long a node may take for one answer.
    #[must_use]
    pub const fn with_answer_within(mut self, answer_within: Duration) -> Self {
        self.answer_within = answer_within;
        self
    }

    /// Which escrow all of them are bound to.
    #[must_use]
    pub fn deployment(&self) -> Deployment {
        self.nodes[0].escrow.deployment()
    }

    /// How many must answer.
    #[must_use]
    pub const fn required(&self) -> usize {
        self.required
    }

    /// All of them, the healthy ones first: whoever sends tries them in this order.
    #[must_use]
    pub fn preferred(&self) -> Vec<Escrow> {
        let (healthy, troubled): (Vec<&Node>, Vec<&Node>) = self.nodes.iter().partition(|node| node.is_healthy());
        healthy.into_iter().chain(troubled).map(|node| node.escrow.clone()).collect()
    }

    /// How each of them is doing, as far as the watcher has looked.
    #[must_use]
    pub fn health(&self) -> Vec<NodeHealth> {
        self.nodes.iter().map(|node| node.health().clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn escrow(&self, index: usize) -> &Escrow {
        &self.nodes[index].escrow
    }

    /// What announces new blocks, of the nodes that do.
    pub(super) fn announcements(&self) -> Vec<watch::Receiver<u64>> {
        self.nodes.iter().filter_map(|node| node.escrow.chain().announcements()).collect()
    }

    pub(super) fn is_healthy(&self, index: usize) -> bool {
        self.nodes[index].is_healthy()
    }

    /// The node has answered, and its newest block is one to go by.
    pub(super) fn note_well(&self, index: usize, head: Block) {
        let mut health = self.nodes[index].health();
        health.block = Some(head.number);
        if health.trouble.take().is_some() {
            health.since = clock::now();
            tracing::info!(node = health.node, block = head.number, "the node is asked again");
        }
    }

    /// The node is left out from here. Said once, not at every look.
    pub(super) fn note_trouble(&self, index: usize, trouble: Trouble) {
        let mut health = self.nodes[index].health();
        if let Trouble::Old { block, .. } | Trouble::Future { block, .. } = trouble {
            health.block = Some(block);
        }
        let kind = std::mem::discriminant(&trouble);
        if health.trouble.as_ref().map(std::mem::discriminant) != Some(kind) {
            health.since = clock::now();
            tracing::warn!(node = health.node, %trouble, "the node is left out until it does better");
        }
        health.trouble = Some(trouble);
    }

    /// Whether the node names a final block. Said once.
    pub(super) fn note_final(&self, index: usize, is_named: bool) {
        let mut health = self.nodes[index].health();
        if health.is_without_final == is_named {
            health.is_without_final = !is_named;
            if is_named {
                tracing::info!(node = health.node, "the node names a final block now");
            } else {
                tracing::warn!(
                    node = health.node,
                    "the node names no final block, so nothing that it shows is final and no reservation counts"
                );
            }
        }
    }

    /// Another node says otherwise, or none does any more. Said once.
    pub(super) fn note_contradiction(&self, index: usize, contradiction: Option<String>) {
        let mut health = self.nodes[index].health();
        match (&contradiction, &health.contradiction) {
            (Some(what), None) => {
                tracing::error!(
                    node = health.node,
                    what,
                    "nodes contradict each other; the safer answer counts, and one of them should be replaced"
                );
            }
            (None, Some(_)) => tracing::info!(node = health.node, "the nodes agree again"),
            _ => {}
        }
        health.contradiction = contradiction;
    }

    /// What a node answers, if it does in time: a connection that hangs must not hold up what the others say.
    pub(super) async fn answer<T, E: From<EscrowError>>(
        &self,
        index: usize,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.answer_within, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let url = self.escrow(index).chain().origin().to_owned();
                let reason = format!("no answer within {:?}", self.answer_within);
                Err(EscrowError::from(ChainError::Unreachable { url, reason }).into())
            }
        }
    }

    /// The healthy ones; all of them while none is.
    fn asked(&self) -> Vec<usize> {
        let healthy: Vec<usize> = (0..self.len()).filter(|index| self.is_healthy(*index)).collect();
        if healthy.is_empty() { (0..self.len()).collect() } else { healthy }
    }

    async fn safest_reading(&self, channel: &Channel) -> Result<Reading, EscrowError> {
        let asked = self.asked().into_iter();
        let asked = asked.map(|index| self.answer(index, FundsSource::funds_of(self.escrow(index), channel)));
        let (mut safest, mut answered, mut failed) = (None::<Reading>, 0, None);
        for answer in join_all(asked).await {
            match answer {
                Ok(reading) => {
                    answered += 1;
                    safest = Some(safest.map_or(reading, |safest| safest.safer(reading)));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match (safest, failed) {
            (Some(safest), _) if answered >= self.required => Ok(safest),
            (None, Some(error)) => Err(error),
            _ => Err(EscrowError::TooFewNodes { answered, required: self.required }),
        }
    }
}

impl Node {
    fn health(&self) -> std::sync::MutexGuard<'_, NodeHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_healthy(&self) -> bool {
        self.health().trouble.is_none()
    }
}

impl From<Escrow> for Nodes {
    fn from(escrow: Escrow) -> Self {
        Self::of(vec![escrow])
    }
}

impl FundsSource for Nodes {
    fn funds_of<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        Box::pin(self.safest_reading(channel))
    }
}
