//! By libsecp256k1.

use crate::voucher::VoucherSignature;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{Message, PublicKey};

pub(super) const NAME: &str = "libsecp256k1";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(PublicKey);

pub(super) fn recover(digest: &[u8; 32], signature: &VoucherSignature) -> Option<Key> {
    let recovery = if signature.is_odd() { RecoveryId::One } else { RecoveryId::Zero };
    let signature = RecoverableSignature::from_compact(signature.scalars(), recovery).ok()?;
    signature.recover_ecdsa(Message::from_digest(*digest)).ok().map(Key)
}

impl Key {
    pub(super) fn has_signed(&self, digest: &[u8; 32], signature: &VoucherSignature) -> bool {
        let signature = Signature::from_compact(signature.scalars());
        signature.is_ok_and(|signature| signature.verify(Message::from_digest(*digest), &self.0).is_ok())
    }

    /// The key with these coordinates.
    #[cfg(feature = "lanes")]
    pub(super) fn at(coordinates: &[u8; 64]) -> Option<Self> {
        // Four says that both coordinates follow (SEC 1, section 2.3.3).
        let mut bytes = [4; 65];
        bytes[1..].copy_from_slice(coordinates);
        PublicKey::from_byte_array_uncompressed(bytes).ok().map(Self)
    }

    /// x and y, big-endian.
    pub(super) fn coordinates(&self) -> [u8; 64] {
        let mut coordinates = [0; 64];
        coordinates.copy_from_slice(&self.0.serialize_uncompressed()[1..]);
        coordinates
    }
}
