//! Warns of what an operator's key does that this gateway did not: a stolen one can give the payee's guarantees up.

use super::{Payee, StoreError};
use crate::escrow::bindings::Escrow as abi;
use alloy::primitives::U256;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use farthing_core::{Address, B256, ChannelId};

/// Something an owner should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// A key may close the payee's channels now, or may not any more.
    Operator { operator: Address, allowed: bool },
    /// A channel was closed and its reservation given back, and not by this gateway.
    Closed { channel_id: ChannelId, refunded: U256, transaction: B256 },
}

impl Alarm {
    /// Says it.
    pub(super) fn raise(&self) {
        match self {
            Self::Operator { operator, allowed } => {
                tracing::warn!(%operator, allowed, "the payee's operators have changed");
            }
            Self::Closed { channel_id, refunded, transaction } => tracing::warn!(
                channel = %channel_id, %refunded, %transaction,
                "a channel was closed by the payee or an operator, and not by this gateway; if nobody meant to, take \
                 the operator back with farthing operator set --revoke"
            ),
        }
    }
}

/// Looks at one event of the escrow.
pub(super) async fn look(payee: &Payee, log: &Log) -> Result<Option<Alarm>, StoreError> {
    if let Ok(event) = abi::OperatorSet::decode_log(&log.inner) {
        let alarm = Alarm::Operator { operator: event.operator, allowed: event.allowed };
        return Ok((event.payee == payee.address()).then_some(alarm));
    }
    let Ok(event) = abi::Closed::decode_log(&log.inner) else { return Ok(None) };
    let (channel_id, transaction) = (ChannelId(event.channelId), log.transaction_hash.unwrap_or_default());
    let is_watched = payee.views().account_named(channel_id.0).is_some();
    let gave_up = event.payee == payee.address() && !event.refunded.is_zero() && is_watched;
    if !gave_up || was_leaving(payee, channel_id).await || was_sent_here(payee, log).await? {
        return Ok(None);
    }
    Ok(Some(Alarm::Closed { channel_id, refunded: event.refunded, transaction }))
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
