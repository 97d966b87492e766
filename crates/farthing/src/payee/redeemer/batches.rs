//! What goes into one transaction: as many vouchers as there is gas for, and none that would not be paid.

use super::due::{Due, allocate};
use super::sending::Sending;
use super::{RedeemError, Skipped};
use crate::chain::ChainError;
use crate::escrow::EscrowError;
use farthing_core::gas::GasModel;
use farthing_core::{AcceptedVoucher, Amount};
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// The most gas that one transaction may use (EIP-7825).
const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// How many calls the search for what is not paid may make in one batch; what it has not found by then is read.
const CALLS_MAX: usize = 64;

/// How often a batch is looked through before it is taken as it is: the chain may change under it each time.
const ROUNDS_MAX: usize = 3;

/// How many channels are read at once.
const READS_MAX: usize = 16;

/// What a transaction may use of a block with this much room.
pub(super) fn gas_limit(block_gas_limit: u64) -> u64 {
    block_gas_limit.min(TRANSACTION_GAS_MAX)
}

/// What a batch is filled up to by what its rows are thought to use: a fifth of the limit is for what they use beyond
/// that.
pub(super) fn gas_room(block_gas_limit: u64) -> u64 {
    gas_limit(block_gas_limit) / 5 * 4
}

/// Whether a transaction may not even use three quarters of what its rows are thought to: the node has estimated wrongly,
/// and it would revert at the owner's cost.
pub(super) fn is_too_little_gas(gas_limit: u64, rows: &[Due]) -> bool {
    let gas = rows.iter().fold(GasModel::TRANSACTION, |gas, due| gas.saturating_add(due.gas()));
    gas_limit < gas / 4 * 3
}

/// Takes as many from the front as there is gas for, one at least.
pub(super) fn fill(queue: &mut VecDeque<Due>, room: u64) -> Vec<Due> {
    let mut gas = GasModel::TRANSACTION;
    let mut batch = Vec::new();
    while let Some(due) = queue.pop_front() {
        gas = gas.saturating_add(due.gas());
        if gas > room && !batch.is_empty() {
            queue.push_front(due);
            break;
        }
        batch.push(due);
    }
    batch
}

pub(super) fn vouchers(rows: &[Due]) -> Vec<AcceptedVoucher> {
    rows.iter().map(|due| due.voucher).collect()
}

fn expected(rows: &[Due]) -> Amount {
    Amount::saturating_sum(rows.iter().map(|due| due.amount))
}

/// What a batch would pay at the head, or why nothing.
type Simulated = Result<Amount, String>;

/// Rows of which one alone is not paid, each with the chain's reason, and rows that were not looked at any more.
type Suspects = BTreeMap<usize, Option<String>>;

impl Sending<'_> {
    /// Simulates a batch at the head and takes out what would not be paid: what a payer has withdrawn meanwhile, what was
    /// redeemed already, what the escrow refuses. What owes nothing any more is left out without a word.
    pub(super) async fn winnow(&self, mut rows: Vec<Due>, skipped: &mut Vec<Skipped>) -> Result<Vec<Due>, RedeemError> {
        let mut calls = CALLS_MAX;
        for _ in 0..ROUNDS_MAX {
            if rows.is_empty() {
                break;
            }
            let simulated = self.simulate(&rows).await?;
            if simulated.is_ok_and(|paid| paid >= expected(&rows)) {
                return Ok(rows);
            }
            let suspects = self.search(&rows, &mut calls).await?;
            rows = self.look_again(rows, &suspects, skipped).await?;
        }
        // It changes faster than it is looked at. What it pays at all is worth its gas or not as it was before.
        if rows.is_empty() {
            return Ok(rows);
        }
        match self.simulate(&rows).await? {
            Ok(_) => Ok(rows),
            Err(reason) => {
                let refused = |due: Due| Skipped {
                    channel_id: due.channel_id(),
                    error: RedeemError::Refused { reason: reason.clone() },
                };
                skipped.extend(rows.into_iter().map(refused));
                Ok(Vec::new())
            }
        }
    }

    async fn simulate(&self, rows: &[Due]) -> Result<Simulated, RedeemError> {
        match self.escrow.simulate_redemption(&vouchers(rows)).await {
            Ok(paid) => Ok(Ok(paid)),
            Err(EscrowError::Chain(ChainError::Reverted { reason, .. })) => Ok(Err(reason)),
            Err(error) => Err(error.into()),
        }
    }

    /// Halves what pays less than it should until single rows are left. When the calls are used up, what is left over is
    /// suspected as a whole.
    async fn search(&self, rows: &[Due], calls: &mut usize) -> Result<Suspects, RedeemError> {
        let mut suspects = Suspects::new();
        // The whole is known to pay too little.
        let mut ranges: Vec<Range<usize>> = halves(0..rows.len());
        while let Some(range) = ranges.pop() {
            let Some(part) = rows.get(range.clone()) else { continue };
            if *calls == 0 {
                suspects.extend(range.map(|row| (row, None)));
                continue;
            }
            *calls -= 1;
            let simulated = self.simulate(part).await?;
            if simulated.as_ref().is_ok_and(|paid| *paid >= expected(part)) {
                continue;
            }
            if range.len() == 1 {
                suspects.insert(range.start, simulated.err());
            } else {
                ranges.extend(halves(range));
            }
        }
        if suspects.is_empty() {
            // Each half pays what it should, and the whole does not: they share an account. All are looked at again.
            suspects.extend((0..rows.len()).map(|row| (row, None)));
        }
        Ok(suspects)
    }

    /// Reads the suspects anew, and takes out what has nothing behind it, and what the escrow refuses although it has.
    async fn look_again(
        &self,
        rows: Vec<Due>,
        suspects: &Suspects,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Vec<Due>, RedeemError> {
        let read = rows.into_iter().enumerate().map(|(row, due)| async move {
            let is_suspect = suspects.contains_key(&row);
            let funds = if is_suspect { Some(self.redeemer.read_funds(due.voucher.channel()).await) } else { None };
            (row, due, funds)
        });
        let mut read = stream::iter(read).buffered(READS_MAX);
        let mut kept = Vec::new();
        let mut refused = BTreeMap::new();
        while let Some((row, mut due, funds)) = read.next().await {
            match funds.transpose() {
                Err(error) => skipped.push(Skipped { channel_id: due.channel_id(), error: error.into() }),
                Ok(Some(funds)) if !due.refresh(funds) => {}
                Ok(_) => {
                    if let Some(Some(reason)) = suspects.get(&row) {
                        refused.insert(due.channel_id(), reason.clone());
                    }
                    kept.push(due);
                }
            }
        }
        allocate(&mut kept);
        let mut paid = Vec::with_capacity(kept.len());
        for due in kept {
            let channel_id = due.channel_id();
            let error = if due.amount.is_zero() {
                RedeemError::Uncovered { owed: due.owed }
            } else if let Some(reason) = refused.remove(&channel_id) {
                RedeemError::Refused { reason }
            } else {
                paid.push(due);
                continue;
            };
            skipped.push(Skipped { channel_id, error });
        }
        Ok(paid)
    }
}

/// Both halves of a range of several; a range of one as it is.
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    let middle = range.start + range.len() / 2;
    if range.len() < 2 { vec![range] } else { vec![middle..range.end, range.start..middle] }
}
