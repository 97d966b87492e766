//! The packed rows of `redeemBatch`.
//!
//! A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if flag 2) |
//! signature (64, EIP-2098)`: terms that are as usual (signer = payer, salt = 0) take no calldata.

use crate::{AcceptedVoucher, Amount};
use alloy_primitives::B256;

const FLAG_SIGNER: u8 = 1;
const FLAG_SALT: u8 = 2;

/// Thrown when a voucher can't be a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a voucher for {cumulative_amount} does not fit a row's 104 bits")]
pub struct RowError {
    /// What the voucher promises.
    pub cumulative_amount: Amount,
}

/// Packs vouchers of one payee and one token for `redeemBatch`, in the order given.
///
/// # Errors
///
/// If a cumulative amount is above [`Amount::MAX_ON_CHAIN`]; the ledger accepts no such voucher.
pub fn pack_rows<'a>(vouchers: impl IntoIterator<Item = &'a AcceptedVoucher>) -> Result<Vec<u8>, RowError> {
    let mut rows = Vec::new();
    for voucher in vouchers {
        let channel = voucher.channel();
        let cumulative_amount = voucher.voucher().cumulative_amount;
        if cumulative_amount > Amount::MAX_ON_CHAIN {
            return Err(RowError { cumulative_amount });
        }
        let signer_differs = channel.authorized_signer != channel.payer;
        let salted = channel.salt != B256::ZERO;
        rows.push(if signer_differs { FLAG_SIGNER } else { 0 } | if salted { FLAG_SALT } else { 0 });
        rows.extend_from_slice(channel.payer.as_slice());
        rows.extend_from_slice(&cumulative_amount.base_units().to_be_bytes()[3..]);
        if signer_differs {
            rows.extend_from_slice(channel.authorized_signer.as_slice());
        }
        if salted {
            rows.extend_from_slice(channel.salt.as_slice());
        }
        rows.extend_from_slice(&voucher.signature().to_compact());
    }
    Ok(rows)
}
