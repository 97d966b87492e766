//! As alloy does it, for measurements: every signer is recovered, and no key is kept.

use super::address_of;
use crate::voucher::VoucherSignature;
use alloy_primitives::{Address, B256, Signature};

pub(super) const NAME: &str = "alloy";

/// Whose key it is: that is all that is used of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    address: Address,
    coordinates: [u8; 64],
}

pub(super) fn recover(digest: &[u8; 32], signature: &VoucherSignature) -> Option<Key> {
    let signature = Signature::from_bytes_and_parity(signature.scalars(), signature.is_odd());
    let key = signature.recover_from_prehash(&B256::from(*digest)).ok()?;
    let mut coordinates = [0; 64];
    coordinates.copy_from_slice(key.to_encoded_point(false).as_bytes().get(1..)?);
    Some(Key { address: address_of(&coordinates), coordinates })
}

impl Key {
    pub(super) fn has_signed(&self, digest: &[u8; 32], signature: &VoucherSignature) -> bool {
        let is_own = |signature: &VoucherSignature| {
            let signature = Signature::from_bytes_and_parity(signature.scalars(), signature.is_odd());
            signature.recover_address_from_prehash(&B256::from(*digest)).ok() == Some(self.address)
        };
        // The second only where the recovery byte is wrong, which no measured signature's is.
        is_own(signature) || is_own(&signature.with_other_recovery_byte())
    }

    /// The key with these coordinates.
    #[cfg(feature = "lanes")]
    pub(super) fn at(coordinates: &[u8; 64]) -> Option<Self> {
        Some(Self { address: address_of(coordinates), coordinates: *coordinates })
    }

    /// x and y, big-endian.
    pub(super) const fn coordinates(&self) -> [u8; 64] {
        self.coordinates
    }
}
