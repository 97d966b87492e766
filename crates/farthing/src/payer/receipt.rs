//! Whether a receipt proves what was bought.

use super::policy::Policy;
use super::store::Promise;
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::wire::{SignedReceipt, WireError};

/// Thrown when a receipt is no proof of the purchase. The item is paid for and delivered all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// It can't be read.
    #[error("the receipt can't be read: {0}")]
    Malformed(#[from] WireError),
    /// It is for something else.
    #[error("the receipt is for another {0}")]
    Mismatch(&'static str),
    /// Neither the payee nor a key that it delegated signed it.
    #[error("the receipt is not the payee's: {0}")]
    Signature(#[from] SignatureError),
}

/// Reads a receipt and checks that it is for this promise: channel, voucher, item, price at most what was agreed to, and
/// signed by the payee.
pub(super) fn check(field: &str, promise: &Promise, policy: &Policy) -> Result<SignedReceipt, ReceiptError> {
    let signed = SignedReceipt::from_header(field)?;
    let receipt = &signed.receipt;
    let mismatch = if receipt.channel_id != promise.channel_id() {
        Some("channel")
    } else if receipt.cumulative_amount != promise.cumulative_amount {
        Some("voucher")
    } else if receipt.item != promise.item {
        Some("item")
    } else if receipt.price > promise.price {
        Some("price")
    } else {
        None
    };
    if let Some(mismatch) = mismatch {
        return Err(ReceiptError::Mismatch(mismatch));
    }
    let expected = promise.channel.payee;
    let actual = signed.signature.recover(receipt.digest(&Domain::new(promise.deployment)))?;
    if !policy.may_sign_receipts(expected, actual) {
        return Err(SignatureError::SignerMismatch { actual, expected }.into());
    }
    Ok(signed)
}
