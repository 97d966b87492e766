//! The receipt: payee-signed proof that an item was bought.

use super::{Delegation, INTENT, METHOD, WireError, decode, encode};
use crate::voucher::{Domain, SignatureError, VoucherSignature};
use crate::{Amount, ChannelId, Timestamp};
use alloy_primitives::{Address, B256, U256, b256, keccak256};
use serde::{Deserialize, Serialize};

/// The EIP-712 type that a receipt is signed as.
pub const RECEIPT_TYPE: &str =
    "Receipt(bytes32 channelId,uint128 cumulativeAmount,string item,uint128 price,uint64 timestamp)";

/// Hash of [`RECEIPT_TYPE`].
const RECEIPT_TYPE_HASH: B256 = b256!("67da157720d27fc82e1158b1fad79444611db33321bb0cfe6f4cd51f80f0fcba");

/// What a receipt says, in the scheme's fields and ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// `farthing`.
    pub method: String,
    /// `session`.
    pub intent: String,
    /// `success`; a receipt is only sent with what was bought.
    pub status: String,
    /// When the item was charged.
    pub timestamp: Timestamp,
    /// The channel's id once more: the scheme's name for what a receipt refers to.
    pub reference: ChannelId,
    /// The challenge that the credential answered.
    pub challenge_id: String,
    /// The channel that paid.
    pub channel_id: ChannelId,
    /// The cumulative amount of the voucher that paid for this item.
    pub cumulative_amount: Amount,
    /// The highest promise that the payee holds.
    pub accepted_cumulative: Amount,
    /// All that was charged to the channel.
    pub spent: Amount,
    /// What was bought: the item's path.
    pub item: String,
    /// What it cost.
    pub price: Amount,
}

/// A receipt and the payee's signature over what it proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// What it says.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// EIP-712, by the payee or the key it delegated.
    pub signature: VoucherSignature,
    /// What proves the delegation, if it is not the payee's own: so a receipt on file needs nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
}

impl Receipt {
    /// The `status` of every receipt.
    pub const STATUS: &'static str = "success";

    /// The EIP-712 digest that the payee signs: channel, voucher, item, price and time.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let words = [
            RECEIPT_TYPE_HASH,
            self.channel_id.0,
            B256::from(U256::from(self.cumulative_amount.base_units())),
            keccak256(&self.item),
            B256::from(U256::from(self.price.base_units())),
            B256::from(U256::from(self.timestamp.unix_seconds())),
        ];
        let preimage: Vec<u8> = words.iter().flatten().copied().collect();
        domain.digest_of_struct(keccak256(preimage))
    }

    /// The scheme's and our method's names, as they stand in every receipt.
    #[must_use]
    pub fn names() -> (String, String, String) {
        (METHOD.to_owned(), INTENT.to_owned(), Self::STATUS.to_owned())
    }
}

impl SignedReceipt {
    /// Checks that `payee`'s own key signed what the receipt proves.
    ///
    /// # Errors
    ///
    /// If there is no signer, or it is somebody else.
    pub fn verify(&self, domain: &Domain, payee: Address) -> Result<(), SignatureError> {
        let actual = self.signature.recover(self.receipt.digest(domain))?;
        if actual != payee {
            return Err(SignatureError::SignerMismatch { actual, expected: payee });
        }
        Ok(())
    }

    /// The value of `Payment-Receipt`.
    ///
    /// # Errors
    ///
    /// If it can't be written as canonical JSON.
    pub fn to_header(&self) -> Result<String, WireError> {
        encode(self)
    }

    /// Reads the value of `Payment-Receipt`.
    ///
    /// # Errors
    ///
    /// If it is not a receipt.
    pub fn from_header(field: &str) -> Result<Self, WireError> {
        decode(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hash_is_that_of_the_type_string() {
        assert_eq!(RECEIPT_TYPE_HASH, keccak256(RECEIPT_TYPE));
    }
}
