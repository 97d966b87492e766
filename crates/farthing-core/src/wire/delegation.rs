//! A delegation: which key signs receipts in a payee's name, and what proves that.
//!
//! A payee's own key is best kept offline, and a split has none. So a gateway signs receipts with a key of its own, and
//! its origin's listing says why they are the payee's. Whoever holds a receipt checks that without asking anybody.

use crate::voucher::{Domain, SignatureError, VoucherSignature};
use crate::{SplitTerms, Timestamp};
use alloy_primitives::{Address, B256, U256, b256, keccak256};
use serde::{Deserialize, Deserializer, Serialize};

/// The EIP-712 type that a payee signs. The domain is the escrow's, so it is good for one escrow on one chain.
pub const RECEIPT_KEY_TYPE: &str = "ReceiptKey(address receiptKey,uint64 expires)";

/// Hash of [`RECEIPT_KEY_TYPE`].
const RECEIPT_KEY_TYPE_HASH: B256 = b256!("a4d02c39f0edf8af05b77f9e37adf89267ef84d7fa44f07a5d664b198a476e8f");

/// Why receipts by another key than the payee's are the payee's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "camelCase")]
pub enum Delegation {
    /// The payee's key says so.
    Signature(SignedDelegation),
    /// The payee is a split, and these are its terms: they give its address.
    Split(SplitTerms),
}

/// What a payee signs to let another key sign receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedDelegation {
    /// The key whose receipts are good.
    pub receipt_key: Address,
    /// The last second that a receipt may bear.
    pub expires: Timestamp,
    /// The payee's, over [`SignedDelegation::digest`].
    pub signature: VoucherSignature,
}

impl SignedDelegation {
    /// The EIP-712 digest that the payee signs.
    #[must_use]
    pub fn digest(receipt_key: Address, expires: Timestamp, domain: &Domain) -> B256 {
        let words = [RECEIPT_KEY_TYPE_HASH, receipt_key.into_word(), B256::from(U256::from(expires.unix_seconds()))];
        let preimage: Vec<u8> = words.iter().flatten().copied().collect();
        domain.digest_of_struct(keccak256(preimage))
    }

    /// Whose delegation it is: whoever signed it.
    ///
    /// # Errors
    ///
    /// If nobody has.
    pub fn payee(&self, domain: &Domain) -> Result<Address, SignatureError> {
        self.signature.recover(Self::digest(self.receipt_key, self.expires, domain))
    }
}

/// Reads a delegation, and takes one that this version does not know for none: a listing must not become unreadable by
/// a kind of proof that is added later.
pub(super) fn known_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Delegation>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Deployment;

    #[test]
    fn the_type_hash_is_that_of_the_type_string() {
        assert_eq!(RECEIPT_KEY_TYPE_HASH, keccak256(RECEIPT_KEY_TYPE));
    }

    #[test]
    fn the_digest_covers_key_time_escrow_and_chain() {
        let deployment = Deployment { chain_id: 1, escrow: Address::repeat_byte(1) };
        let (key, expires) = (Address::repeat_byte(2), Timestamp::from_unix_seconds(7));
        let digest = |key, expires, deployment| SignedDelegation::digest(key, expires, &Domain::new(deployment));
        let digests = [
            digest(key, expires, deployment),
            digest(Address::repeat_byte(3), expires, deployment),
            digest(key, Timestamp::from_unix_seconds(8), deployment),
            digest(key, expires, Deployment { chain_id: 2, ..deployment }),
            digest(key, expires, Deployment { escrow: Address::repeat_byte(9), ..deployment }),
        ];
        let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }
}
