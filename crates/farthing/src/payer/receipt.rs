//! Whether a receipt proves what was bought.

use super::policy::Policy;
use super::store::Promise;
use crate::delegation::{DelegationError, receipt_key};
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::wire::{Delegation, SignedReceipt, WireError};
use farthing_core::{Address, Deployment};

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
    /// Nobody signed it.
    #[error("the receipt is not the payee's: {0}")]
    Signature(#[from] SignatureError),
    /// Neither the payee nor a key that it delegated signed it.
    #[error("the receipt is not the payee's: {actual} signed it, and {expected} should have")]
    Signer {
        /// Who signed.
        actual: Address,
        /// Who signs for the payee, as far as is known: itself, or the key that it delegated.
        expected: Address,
    },
    /// What is shown for the key that signed it proves nothing.
    #[error("the receipt is not the payee's: {0}")]
    Delegation(#[from] DelegationError),
}

impl ReceiptError {
    /// Whether the receipt says the right thing, and only who signed it is in question.
    pub(super) const fn is_about_signer(&self) -> bool {
        matches!(self, Self::Signer { .. } | Self::Delegation(_))
    }
}

/// Reads a receipt and checks that it is for this promise: channel, voucher, item, price at most what was agreed to, and
/// signed by the payee or by a key that it delegated. The proof of that is kept with it.
pub(super) fn check(
    field: &str,
    promise: &Promise,
    policy: &Policy,
    known: Option<&Delegation>,
) -> Result<SignedReceipt, ReceiptError> {
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
    check_signer(signed, promise.deployment, promise.channel.payee, policy, known)
}

/// Reads a receipt and checks that it is for an item, signed by the payee or by a key that it delegated.
pub(super) fn check_item(
    field: &str,
    item: &str,
    deployment: Deployment,
    payee: Address,
    policy: &Policy,
    known: Option<&Delegation>,
) -> Result<SignedReceipt, ReceiptError> {
    let signed = SignedReceipt::from_header(field)?;
    if signed.receipt.item != item {
        return Err(ReceiptError::Mismatch("item"));
    }
    check_signer(signed, deployment, payee, policy, known)
}

fn check_signer(
    mut signed: SignedReceipt,
    deployment: Deployment,
    payee: Address,
    policy: &Policy,
    known: Option<&Delegation>,
) -> Result<SignedReceipt, ReceiptError> {
    let actual = signed.signer(&Domain::new(deployment))?;
    // What the receipt itself brings along is as good as what the listing says, if it holds.
    let shown = signed.delegation.take();
    if policy.may_sign_receipts(payee, actual) {
        return Ok(signed);
    }
    let mut refused = ReceiptError::Signer { actual, expected: payee };
    for delegation in shown.iter().chain(known) {
        match receipt_key(delegation, deployment, payee, signed.receipt.timestamp) {
            Ok(key) if key == actual => {
                signed.delegation = Some(delegation.clone());
                return Ok(signed);
            }
            Ok(expected) => refused = ReceiptError::Signer { actual, expected },
            Err(error) => refused = error.into(),
        }
    }
    Err(refused)
}
