//! The packed rows of `redeemBatch`, and the packed entries of its event.
//!
//! A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if flag 2) |
//! signature (64, EIP-2098)`: terms that are as usual (signer = payer, salt = 0) take no calldata.

use crate::{AcceptedVoucher, Address, Amount, Channel};
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

/// Thrown when the entries of a batch's event end within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch's entries end within one")]
pub struct EntriesError;

/// The channels that a batch paid, each with what it has been paid in total, as its event names them: an entry is
/// `flags (1) | payer (20) | redeemed (13) | authorizedSigner (20, if flag 1) | salt (32, if flag 2)`.
///
/// # Errors
///
/// If the entries end within one.
pub fn unpack_entries(payee: Address, token: Address, entries: &[u8]) -> Result<Vec<(Channel, Amount)>, EntriesError> {
    let mut rest = entries;
    let mut take = |length: usize| -> Result<&[u8], EntriesError> {
        let (taken, left) = rest.split_at_checked(length).ok_or(EntriesError)?;
        rest = left;
        Ok(taken)
    };
    let mut found = Vec::new();
    while let Ok(flags) = take(1) {
        let flags = flags.first().copied().unwrap_or_default();
        let payer = Address::from_slice(take(20)?);
        let mut redeemed = [0; 16];
        redeemed.iter_mut().skip(3).zip(take(13)?).for_each(|(to, from)| *to = *from);
        let authorized_signer = if flags & FLAG_SIGNER == 0 { payer } else { Address::from_slice(take(20)?) };
        let salt = if flags & FLAG_SALT == 0 { B256::ZERO } else { B256::from_slice(take(32)?) };
        let channel = Channel { payer, payee, token, salt, authorized_signer };
        found.push((channel, Amount::new(u128::from_be_bytes(redeemed))));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_batch_names_what_differs_only() {
        let (payee, token) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (payer, signer, salt) = (Address::repeat_byte(4), Address::repeat_byte(5), B256::repeat_byte(6));
        let mut entries = Vec::new();
        for flags in 0..4_u8 {
            entries.push(flags);
            entries.extend(payer);
            entries.extend([0; 12]);
            entries.push(flags + 1);
            entries.extend(if flags & 1 == 1 { signer.to_vec() } else { Vec::new() });
            entries.extend(if flags & 2 == 2 { salt.to_vec() } else { Vec::new() });
        }
        let expected = [(payer, B256::ZERO), (signer, B256::ZERO), (payer, salt), (signer, salt)];
        let expected = expected.iter().zip(1..).map(|((authorized_signer, salt), redeemed)| {
            let authorized_signer = *authorized_signer;
            (Channel { payer, payee, token, salt: *salt, authorized_signer }, Amount::new(redeemed))
        });
        assert_eq!(unpack_entries(payee, token, &entries), Ok(expected.collect()));
        assert_eq!(unpack_entries(payee, token, &[]), Ok(Vec::new()));
        for length in 1..entries.len() {
            let whole = [34, 34 + 54, 34 + 54 + 66].contains(&length);
            assert_eq!(unpack_entries(payee, token, &entries[..length]).is_ok(), whole, "{length} bytes");
        }
    }
}
