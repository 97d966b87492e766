//! Whose turn it is to send: one of this redeemer's clones at a time, and of all gateways on a ledger the one that has
//! its lease.
//!
//! The lease alone would not do: whoever has it may stand still for longer than it is good, and go on as if nothing had
//! happened. So everything that a turn writes carries the lease's fence, and nothing is broadcast that is not written.

use super::RedeemError;
use crate::clock;
use crate::escrow::Escrow;
use crate::payee::Payee;
use crate::payee::StoreError;
use crate::payee::store::{Entry, Lease, Outcome, Redemption, RedemptionState};
use farthing_core::B256;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a lease is good that is not renewed: how long a ledger waits for a gateway that died while it sent.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// How long is waited for another gateway's turn to end before the asker is told so: that gateway may have died.
const HELD_WITHIN: Duration = Duration::from_secs(75);

/// How long a node that was of no use is asked after the others.
const NODE_REST: Duration = Duration::from_secs(300);

/// How often the lease is asked for meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The turns of a redeemer and its clones.
#[derive(Debug)]
pub(in crate::payee) struct Turns {
    /// Drawn anew by every redeemer, so that two processes with one key are two.
    holder: B256,
    lease: Duration,
    local: Arc<Mutex<()>>,
    /// Nodes that were of no use in a turn, and when: the next turns begin with another.
    failed_nodes: std::sync::Mutex<BTreeMap<String, Instant>>,
    last: std::sync::Mutex<Option<Lease>>,
}

impl Turns {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            holder: B256::from(rand::random::<[u8; 32]>()),
            lease,
            local: Arc::default(),
            failed_nodes: std::sync::Mutex::default(),
            last: std::sync::Mutex::default(),
        }
    }

    pub(super) fn note_failed_node(&self, escrow: &Escrow) {
        let mut failed = self.failed_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        failed.insert(escrow.chain().origin().to_owned(), Instant::now());
    }

    /// Whether a node was of no use lately.
    pub(super) fn has_failed(&self, escrow: &Escrow) -> bool {
        let failed = self.failed_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(escrow.chain().origin()).is_some_and(|at| at.elapsed() < NODE_REST)
    }

    /// Waits for its turn. Whoever waits here waits in order; between gateways the first to ask again is next.
    ///
    /// Dropped while it waits, it has no turn; a lease that was granted at that very moment runs out, or is this
    /// redeemer's next.
    pub(in crate::payee) async fn wait(self: Arc<Self>, payee: Payee) -> Result<Turn, RedeemError> {
        let local = Arc::clone(&self.local).lock_owned().await;
        let deadline = Instant::now() + HELD_WITHIN.max(self.lease + ASK_AGAIN);
        loop {
            match self.ask(&payee).await? {
                Ok(lease) => return Ok(self.begin(payee, lease, local)),
                Err(held) if Instant::now() >= deadline => return Err(RedeemError::Held { until: held.until }),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Takes its turn unless another gateway has the lease; clones of this redeemer are waited for.
    pub(super) async fn take(self: Arc<Self>, payee: Payee) -> Result<Option<Turn>, RedeemError> {
        let local = Arc::clone(&self.local).lock_owned().await;
        let asked = self.ask(&payee).await?;
        Ok(asked.ok().map(|lease| self.begin(payee, lease, local)))
    }

    /// Who had the lease when it was asked for last, and whether that was this redeemer.
    pub(super) fn last_lease(&self) -> Option<(Lease, bool)> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|lease| (lease, lease.holder == self.holder))
    }

    fn note_lease(&self, lease: Option<Lease>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    /// Asks for the lease or renews it: it is this redeemer's then, or another's.
    async fn ask(&self, payee: &Payee) -> Result<Result<Lease, Lease>, StoreError> {
        let at = clock::now();
        let until = at.plus_seconds(self.lease.as_secs().max(1));
        let asked = match payee.writer().write(Entry::Lease { holder: self.holder, at, until }).await? {
            Outcome::Leased(lease) => Ok(lease),
            Outcome::Held(lease) => Err(lease),
            // A lease is answered with a lease.
            _ => return Err(StoreError::Closed),
        };
        self.note_lease(asked.ok().or(asked.err()));
        Ok(asked)
    }

    fn begin(self: Arc<Self>, payee: Payee, lease: Lease, local: OwnedMutexGuard<()>) -> Turn {
        let renewing = tokio::spawn(Arc::clone(&self).renew(payee.clone(), lease.fence));
        Turn { held: Some(Held { turns: self, payee, renewing, _local: local }), fence: lease.fence }
    }

    /// Renews the lease until it is another's. Whether it still is this redeemer's, the fence decides, not this.
    async fn renew(self: Arc<Self>, payee: Payee, fence: u64) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            match self.ask(&payee).await {
                Ok(Ok(lease)) if lease.fence == fence => {}
                Ok(Ok(_) | Err(_)) => return,
                Err(error) => tracing::warn!(%error, "the lease to redeem can't be renewed; trying again"),
            }
        }
    }

    async fn give_back(&self, payee: &Payee) {
        self.note_lease(None);
        let at = clock::now();
        if let Err(error) = payee.writer().write(Entry::Lease { holder: self.holder, at, until: at }).await {
            let seconds = self.lease.as_secs();
            tracing::warn!(%error, seconds, "the lease to redeem can't be given back; other gateways wait until it ends");
        }
    }
}

/// A turn to send, until it is ended or dropped.
#[derive(Debug)]
pub(in crate::payee) struct Turn {
    held: Option<Held>,
    fence: u64,
}

#[derive(Debug)]
struct Held {
    turns: Arc<Turns>,
    payee: Payee,
    renewing: JoinHandle<()>,
    /// The last to go: the next turn of this redeemer must not be the one whose lease is given back.
    _local: OwnedMutexGuard<()>,
}

impl Held {
    async fn end(self) {
        self.renewing.abort();
        // Whatever it has asked for is asked for before the lease is given back.
        let _ = self.renewing.await;
        self.turns.give_back(&self.payee).await;
    }
}

impl Turn {
    /// Ends it: when this returns, another gateway can have the lease.
    pub(in crate::payee) async fn end(mut self) {
        if let Some(held) = self.held.take() {
            held.end().await;
        }
    }

    /// Writes down what became of a transaction, or that it is about to be sent. Only with its answer may anything be
    /// broadcast: then whoever has the lease next finds the record.
    pub(in crate::payee) async fn note(&self, record: Redemption, state: RedemptionState) -> Result<(), RedeemError> {
        let Some(held) = &self.held else { return Err(StoreError::Closed.into()) };
        let entry = Entry::Redemption { redemption: Redemption { state, ..record }, fence: Some(self.fence) };
        match held.payee.writer().write(entry).await? {
            Outcome::Fenced(lease) => Err(RedeemError::Fenced { fence: lease.fence }),
            _ => Ok(()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Without a runtime nothing can be given back; the lease runs out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(held.end());
        }
    }
}
