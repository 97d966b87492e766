//! Warns of what an operator's key does that this gateway did not: a stolen one can give the payee's guarantees up.

use super::{Payee, StoreError};
use crate::escrow::bindings::Escrow as abi;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use farthing_core::{AccountId, ChannelId};
use std::collections::HashMap;

/// Looks at one event of the escrow. `channels` are those that this payee watches.
pub(super) async fn look(payee: &Payee, channels: &HashMap<ChannelId, AccountId>, log: &Log) -> Result<(), StoreError> {
    if let Ok(event) = abi::OperatorSet::decode_log(&log.inner) {
        if event.payee == payee.address() {
            let (operator, allowed) = (event.operator, event.allowed);
            tracing::warn!(%operator, allowed, "the payee's operators have changed");
        }
    } else if let Ok(event) = abi::Closed::decode_log(&log.inner) {
        let channel_id = ChannelId(event.channelId);
        let gave_up = event.payee == payee.address() && !event.refunded.is_zero() && channels.contains_key(&channel_id);
        if gave_up && !was_leaving(payee, channel_id).await && !was_sent_here(payee, log).await? {
            let (refunded, transaction) = (event.refunded, log.transaction_hash.unwrap_or_default());
            tracing::warn!(
                channel = %channel_id, %refunded, %transaction,
                "a channel was closed by the payee or an operator, and not by this gateway; if nobody meant to, take \
                 the operator back with farthing operator set --revoke"
            );
        }
    }
    Ok(())
}

/// Whether its payer had asked for the close: then anyone may finalize it.
async fn was_leaving(payee: &Payee, channel_id: ChannelId) -> bool {
    let channel = payee.store().books(channel_id).await.ok().flatten().map(|books| books.channel);
    let account = channel.and_then(|channel| payee.views().account_of(&channel));
    let view = account.and_then(|account| account.channel(channel_id));
    view.is_some_and(|view| view.head.close_at.is_some())
}

/// Whether the event is of a transaction that is on record here, which it is before it is sent.
async fn was_sent_here(payee: &Payee, log: &Log) -> Result<bool, StoreError> {
    let Some(hash) = log.transaction_hash else { return Ok(false) };
    Ok(payee.store().redemption(hash).await?.is_some())
}
