//! What a mined transaction paid, as its receipt says.

use crate::chain::to_amount;
use crate::escrow::bindings::Escrow as abi;
use crate::escrow::{Escrow, EscrowError};
use crate::payee::Payee;
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use alloy::rpc::types::TransactionReceipt;
use alloy::sol_types::SolEvent;
use farthing_core::{Amount, ChannelId};

/// What moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// To the payee.
    pub(super) paid: Amount,
    /// Back to the payer.
    pub(super) refunded: Amount,
}

/// Adds up the escrow's events in a receipt. A batch's event says what it paid; that of a single channel says what the
/// channel has paid in total, so what it had paid before is looked up.
pub(super) async fn moved_in(
    payee: &Payee,
    escrow: &Escrow,
    receipt: &TransactionReceipt,
) -> Result<Moved, EscrowError> {
    let mut moved = Moved::default();
    // A close that pays out of an account has two events, and both name the total.
    let mut total_of: Option<(B256, Amount)> = None;
    let logs = receipt.logs().iter().filter(|log| log.address() == escrow.deployment().escrow);
    for log in logs {
        if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
            moved.paid = moved.paid.saturating_add(to_amount(event.total)?);
        } else if let Ok(event) = abi::Redeemed::decode_log(&log.inner) {
            total_of = Some((event.channelId, to_amount(event.redeemed)?));
        } else if let Ok(event) = abi::RedeemedFromAccount::decode_log(&log.inner) {
            total_of = Some((event.channelId, to_amount(event.redeemed)?));
        } else if let Ok(event) = abi::Closed::decode_log(&log.inner) {
            total_of = Some((event.channelId, to_amount(event.redeemed)?));
            moved.refunded = moved.refunded.saturating_add(to_amount(event.refunded)?);
        }
    }
    if let Some((channel_id, total)) = total_of {
        let before = redeemed_before(payee, escrow, ChannelId(channel_id), receipt).await?;
        moved.paid = moved.paid.saturating_add(total.saturating_sub(before));
    }
    Ok(moved)
}

/// What a channel had paid before a block; as far as the ledger knows it, if the node does not look back even that far.
async fn redeemed_before(
    payee: &Payee,
    escrow: &Escrow,
    channel_id: ChannelId,
    receipt: &TransactionReceipt,
) -> Result<Amount, EscrowError> {
    let books = payee.store().books(channel_id).await.ok().flatten();
    let Some(books) = books else { return Ok(Amount::ZERO) };
    let block = receipt.block_number.unwrap_or_default().saturating_sub(1);
    match escrow.funds_of(&books.channel, BlockNumberOrTag::Number(block)).await {
        Ok(funds) => Ok(funds.channel.redeemed),
        Err(error) => {
            tracing::warn!(%error, channel = %channel_id, "what the channel had paid before can't be read");
            Ok(books.redeemed)
        }
    }
}
