//! Keeps the payee's views of the chain current: one look at every new block, and only at accounts it touched.
//!
//! Deposits and withdrawals, redemptions and close requests count from the head; reservations and redemptions count as
//! good news when they are final. Each node is looked through by itself, so that none waits for another, and of what
//! they show the safer counts.

mod agreement;
mod logs;
mod look;
mod sightings;

use super::nodes::Nodes;
use super::views::BoxFuture;
use super::{Payee, StoreError};
use crate::chain::ChainError;
use crate::clock;
use crate::escrow::EscrowError;
use farthing_core::AccountId;
use futures_util::future::join_all;
use look::NodeWatch;
use sightings::Sightings;
use std::collections::HashSet;
use std::time::Duration;

/// Thrown when a look at the chain fails. The views stay as they are and age.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The chain.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ChainError> for WatchError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}

/// Watches one escrow for one payee, through one node or several.
#[derive(Debug)]
pub struct Watcher {
    sightings: Sightings,
    watches: Vec<NodeWatch>,
}

impl Watcher {
    /// Begins to watch. Channels that the ledger knows and that owe something are looked at in the first step.
    #[must_use]
    pub fn new(payee: Payee, nodes: impl Into<Nodes>) -> Self {
        let nodes = nodes.into();
        let watches = (0..nodes.len()).map(NodeWatch::new).collect();
        Self { sightings: Sightings::new(payee, nodes), watches }
    }

    /// Trusts no node whose newest block is older than this, or from the future. For chains that move by themselves.
    ///
    /// By this machine's clock, never by what another node shows: a liar with a high head must not make honest nodes
    /// look as if they lagged.
    #[must_use]
    pub fn with_head_age_max(mut self, age: Duration) -> Self {
        self.sightings.head_age_max = Some(age);
        self
    }

    /// Reads all accounts anew this often, whatever the nodes say has changed; else 24 times in an exit delay. A node may
    /// leave events out of its answers, and nothing else would tell.
    #[must_use]
    pub const fn with_all_read_every(mut self, every: Duration) -> Self {
        self.sightings.all_read_every = every;
        self
    }

    /// Looks at the chain through every node until the future is dropped: at each new head that a node announces, and
    /// every `interval`. A failed look is tried again, and holds up no other node.
    pub async fn run(mut self, interval: Duration) {
        let sightings = &self.sightings;
        let mut looks: Vec<BoxFuture<'_, ()>> = Vec::with_capacity(self.watches.len());
        for watch in &mut self.watches {
            looks.push(Box::pin(watch.run(sightings, interval)));
        }
        join_all(looks).await;
    }

    /// One look through every node: finds what new blocks touched and reads that anew.
    ///
    /// # Errors
    ///
    /// If fewer nodes answer than have to, or the store fails; the next step makes up for it.
    pub async fn step(&mut self) -> Result<(), WatchError> {
        let sightings = &self.sightings;
        let mut looks: Vec<BoxFuture<'_, Result<(), WatchError>>> = Vec::with_capacity(self.watches.len());
        for watch in &mut self.watches {
            looks.push(Box::pin(watch.step(sightings)));
        }
        let (mut answered, mut failed) = (0, None);
        for look in join_all(looks).await {
            match look {
                Ok(()) => answered += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let required = self.sightings.nodes.required();
        match failed {
            _ if answered >= required => Ok(()),
            Some(error) if answered == 0 => Err(error),
            _ => Err(EscrowError::TooFewNodes { answered, required }.into()),
        }
    }
}

/// What a look that failed means for the payee.
fn age_of_views(payee: &Payee) -> u64 {
    clock::now().seconds_since(payee.views().seen_at())
}

/// Accounts, each once.
type Accounts = HashSet<AccountId>;
