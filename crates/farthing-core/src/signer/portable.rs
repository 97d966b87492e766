//! In Rust alone.

use crate::voucher::VoucherSignature;
#[cfg(feature = "lanes")]
use k256::Sec1Point;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

#[cfg(not(any(feature = "libsecp", feature = "recover-with-alloy")))]
pub(super) const NAME: &str = "k256";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(VerifyingKey);

pub(super) fn recover(digest: &[u8; 32], signature: &VoucherSignature) -> Option<Key> {
    let recovery = RecoveryId::new(signature.is_odd(), false);
    let signature = Signature::from_slice(signature.scalars()).ok()?;
    VerifyingKey::recover_from_prehash(digest, &signature, recovery).ok().map(Key)
}

impl Key {
    pub(super) fn has_signed(&self, digest: &[u8; 32], signature: &VoucherSignature) -> bool {
        let signature = Signature::from_slice(signature.scalars());
        signature.is_ok_and(|signature| self.0.verify_prehash(digest, &signature).is_ok())
    }

    /// The key with these coordinates.
    #[cfg(feature = "lanes")]
    pub(super) fn at(coordinates: &[u8; 64]) -> Option<Self> {
        VerifyingKey::from_sec1_point(&Sec1Point::from_untagged_bytes(&(*coordinates).into())).ok().map(Self)
    }

    /// x and y, big-endian.
    pub(super) fn coordinates(&self) -> [u8; 64] {
        let mut coordinates = [0; 64];
        let point = self.0.to_sec1_point(false);
        if let Some(both) = point.as_bytes().get(1..) {
            coordinates.copy_from_slice(both);
        }
        coordinates
    }
}
