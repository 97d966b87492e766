//! Whose signature it is: found out once by recovery, checked against the known key from then on.
//!
//! Checking against a known key takes less work than recovering one. It ignores the recovery byte, which the escrow
//! does not; so what is taken that way is [recovered](SignerKey::recover) before it is redeemed, and the byte put right.
//!
//! k256 does the work, or with the feature `libsecp` libsecp256k1, which is faster. With the feature `lanes` signatures
//! that wait together are checked eight at a time, where the processor can. A shared set of signatures, hostile ones
//! among them, holds all to the same answers.

#[cfg(any(test, not(any(feature = "libsecp", feature = "recover-with-alloy"))))]
mod portable;

#[cfg(feature = "libsecp")]
mod libsecp;

#[cfg(feature = "lanes")]
mod lanes;

#[cfg(all(feature = "recover-with-alloy", not(feature = "libsecp")))]
mod alloy;

#[cfg(all(feature = "recover-with-alloy", not(feature = "libsecp")))]
use alloy as backend;
#[cfg(feature = "libsecp")]
use libsecp as backend;
#[cfg(not(any(feature = "libsecp", feature = "recover-with-alloy")))]
use portable as backend;

use crate::voucher::{SignatureError, VoucherSignature};
use alloy_primitives::{Address, B256, keccak256};
use std::fmt;

/// Which implementation is at work: for people who compare measurements.
pub const BACKEND: &str = backend::NAME;

/// A signer's public key, ready to check signatures with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignerKey {
    address: Address,
    key: backend::Key,
}

impl SignerKey {
    /// The key that signed a digest.
    ///
    /// # Errors
    ///
    /// [`SignatureError::NoSigner`] if there is none.
    pub fn recover(signature: &VoucherSignature, digest: B256) -> Result<Self, SignatureError> {
        let key = backend::recover(&digest.0, signature);
        let key = key.ok_or(SignatureError::NoSigner)?;
        Ok(Self { address: address_of(&key.coordinates()), key })
    }

    /// The same if it is `expected`'s, with the signature's recovery byte put right where only that is wrong.
    ///
    /// # Errors
    ///
    /// [`SignatureError::NoSigner`] if there is none, [`SignatureError::SignerMismatch`] if it is another's.
    pub fn expect(
        expected: Address,
        signature: VoucherSignature,
        digest: B256,
    ) -> Result<(Self, VoucherSignature), SignatureError> {
        let first = Self::recover(&signature, digest);
        if let Ok(key) = first.as_ref()
            && key.address == expected
        {
            return Ok((*key, signature));
        }
        let flipped = signature.with_other_recovery_byte();
        match Self::recover(&flipped, digest) {
            Ok(key) if key.address == expected => Ok((key, flipped)),
            _ => Err(first
                .map_or_else(|error| error, |key| SignatureError::SignerMismatch { actual: key.address, expected })),
        }
    }

    /// See [`SignerKey::expect`], for many. Lanes never refuse anybody: whoever they don't find is looked for one by one.
    pub(crate) fn expect_together(
        claims: &[(Address, VoucherSignature, B256)],
    ) -> Vec<Result<(Self, VoucherSignature), SignatureError>> {
        #[cfg(feature = "lanes")]
        let found = lanes::recover(claims);
        #[cfg(not(feature = "lanes"))]
        let found = vec![None; claims.len()];
        let claims = claims.iter().zip(found);
        let expect = |((expected, signature, digest), found): (&(Address, VoucherSignature, B256), Option<Self>)| {
            let found = found.filter(|key| key.address == *expected).map(|key| (key, *signature));
            found.map_or_else(|| Self::expect(*expected, *signature, *digest), Ok)
        };
        claims.map(expect).collect()
    }

    /// Whose key it is.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Whether this key signed a digest, whatever the recovery byte says.
    #[must_use]
    pub fn has_signed(&self, signature: &VoucherSignature, digest: B256) -> bool {
        if is_ambiguous(signature.scalars()) {
            return Self::expect(self.address, *signature, digest).is_ok();
        }
        self.key.has_signed(&digest.0, signature)
    }

    /// The same for many, each a key with a signature and a digest. Lanes never refuse anybody: what they don't find good
    /// is looked at one by one.
    pub(crate) fn have_signed(claims: &[(&Self, &VoucherSignature, B256)]) -> Vec<bool> {
        #[cfg(feature = "lanes")]
        let found = lanes::which_have_signed(claims);
        #[cfg(not(feature = "lanes"))]
        let found = vec![false; claims.len()];
        let claims = claims.iter().zip(found);
        claims.map(|((key, signature, digest), found)| found || key.has_signed(signature, *digest)).collect()
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SignerKey").field(&self.address).finish()
    }
}

/// Whether r may stand for two points: r and r + n are both coordinates only below p − n, which is less than 2¹³⁶. The
/// escrow never tries the second. Nobody can aim at such a point; whoever has one is looked up in the escrow's way.
fn is_ambiguous(scalars: &[u8; 64]) -> bool {
    scalars.first_chunk::<15>() == Some(&[0; 15])
}

/// The address of a public key: the end of the hash of its coordinates (Ethereum yellow paper, appendix F).
fn address_of(coordinates: &[u8; 64]) -> Address {
    Address::from_slice(&keccak256(coordinates)[12..])
}

#[cfg(all(test, feature = "libsecp", feature = "lanes"))]
mod agreement;
