//! Orders that were signed for a relay and can still be carried out. What is signed is written down here first, and
//! stays until the chain shows it as used or its time is over: so an answer that was lost makes nobody sign twice.

use super::{StoreError, failed};
use farthing_core::Timestamp;
use farthing_core::wire::{RelayOrder, RelayRequest};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

/// Chain id, escrow, id of the account or channel, and what is done with it.
type OrderKey = (u64, [u8; 20], [u8; 32], u8);

/// To [`OpenOrder`] as JSON. Made when it is first needed: stores of before have none.
const ORDERS: TableDefinition<'_, OrderKey, &[u8]> = TableDefinition::new("orders");

/// An order that was signed, perhaps sent, and perhaps not carried out yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// What was signed.
    pub request: RelayRequest,
    /// The site that it was made for.
    pub site: String,
    /// When.
    pub at: Timestamp,
}

fn key(request: &RelayRequest) -> OrderKey {
    let kind = match request.order {
        RelayOrder::Deposit { .. } => 0,
        RelayOrder::Open { .. } => 1,
        RelayOrder::Withdrawal { .. } => 2,
    };
    let deployment = &request.deployment;
    (deployment.chain_id, deployment.escrow.into(), request.order.id(deployment).0, kind)
}

fn encode(order: &OpenOrder) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(order).map_err(|error| StoreError::Damaged(format!("an order can't be written: {error}")))
}

fn decode(bytes: &[u8]) -> Result<OpenOrder, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged(format!("an order can't be read: {error}")))
}

/// Writes an order down, unless there is one of its kind for its account or channel: then that one is returned. Of two
/// withdrawals with one nonce one at most is ever carried out, so there the later takes the earlier one's place.
pub(super) fn begin(transaction: &WriteTransaction, order: OpenOrder) -> Result<OpenOrder, StoreError> {
    let mut table = transaction.open_table(ORDERS).map_err(failed)?;
    let key = key(&order.request);
    let earlier = table.get(key).map_err(failed)?.map(|earlier| decode(earlier.value())).transpose()?;
    if let Some(earlier) = earlier.filter(|earlier| !supersedes(&order.request.order, &earlier.request.order)) {
        return Ok(earlier);
    }
    table.insert(key, encode(&order)?.as_slice()).map_err(failed)?;
    Ok(order)
}

fn supersedes(later: &RelayOrder, earlier: &RelayOrder) -> bool {
    match (later, earlier) {
        (RelayOrder::Withdrawal { withdrawal: later, .. }, RelayOrder::Withdrawal { withdrawal: earlier, .. }) => {
            later.nonce == earlier.nonce
        }
        _ => false,
    }
}

/// Takes an order out, if it is this very one that is there.
pub(super) fn finish(transaction: &WriteTransaction, request: &RelayRequest) -> Result<(), StoreError> {
    let mut table = transaction.open_table(ORDERS).map_err(failed)?;
    let there = table.get(key(request)).map_err(failed)?.map(|order| decode(order.value())).transpose()?;
    if there.is_some_and(|there| there.request == *request) {
        table.remove(key(request)).map_err(failed)?;
    }
    Ok(())
}

pub(super) fn all(transaction: &WriteTransaction) -> Result<Vec<OpenOrder>, StoreError> {
    let table = transaction.open_table(ORDERS).map_err(failed)?;
    table.iter().map_err(failed)?.map(|entry| decode(entry.map_err(failed)?.1.value())).collect()
}
