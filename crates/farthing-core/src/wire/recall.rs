//! The recall: asking again for what a key has bought, by proving the key.
//!
//! A voucher is no such proof: the chain shows every voucher that was redeemed. What a key has bought is fetched with its
//! signature over a challenge that was drawn for this request.

use crate::voucher::{Domain, SignatureError, VoucherSignature};
use alloy_primitives::{Address, B256, b256, keccak256};
use serde::{Deserialize, Serialize};

/// The EIP-712 type that the key signs. The domain is the escrow's.
pub const RECALL_TYPE: &str = "Recall(address payee,string challengeId,string item)";

/// Hash of [`RECALL_TYPE`].
const RECALL_TYPE_HASH: B256 = b256!("ccee224f1bd59f8431420410260b7ecd3c017b926b7ef3051b7cd7751ce190c5");

/// The payload of a credential that pays nothing and asks for what was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecallPayload {
    /// `recall`.
    pub action: String,
    /// The key that bought it.
    pub authorized_signer: Address,
    /// That key's, over [`RecallPayload::digest`].
    pub signature: VoucherSignature,
}

impl RecallPayload {
    /// The payload's one action.
    pub const ACTION: &'static str = "recall";

    /// The EIP-712 digest that the key signs.
    #[must_use]
    pub fn digest(payee: Address, challenge_id: &str, item: &str, domain: &Domain) -> B256 {
        let words = [RECALL_TYPE_HASH, payee.into_word(), keccak256(challenge_id), keccak256(item)];
        let preimage: Vec<u8> = words.iter().flatten().copied().collect();
        domain.digest_of_struct(keccak256(preimage))
    }

    /// Checks that the key it names has signed.
    ///
    /// # Errors
    ///
    /// If there is no signer, or it is somebody else.
    pub fn verify(
        &self,
        payee: Address,
        challenge_id: &str,
        item: &str,
        domain: &Domain,
    ) -> Result<(), SignatureError> {
        let actual = self.signature.recover(Self::digest(payee, challenge_id, item, domain))?;
        if actual != self.authorized_signer {
            return Err(SignatureError::SignerMismatch { actual, expected: self.authorized_signer });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hash_is_that_of_the_type_string() {
        assert_eq!(RECALL_TYPE_HASH, keccak256(RECALL_TYPE));
    }
}
