//! The receipt: payee-signed proof that an item was bought.

use super::receipt_batch::{ReceiptPath, batch_digest};
use super::{Delegation, INTENT, METHOD, WireError, decode, encode, encode_sorted};
use crate::voucher::{Domain, SignatureError, VoucherSignature};
use crate::{Amount, ChannelId, Timestamp};
use alloy_primitives::{Address, B256, U256, b256, keccak256};
use serde::{Deserialize, Serialize};

/// The EIP-712 type that a receipt alone is signed as. Those that were charged together are signed together: see
/// [`receipt_batch`](super::receipt_batch).
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
    /// How it gets to the root that was signed, if it was signed with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ReceiptPath>,
    /// What proves the delegation, if it is not the payee's own: so a receipt on file needs nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
}

/// What a receipt proves; all that is signed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The channel that paid.
    pub channel_id: ChannelId,
    /// The cumulative amount of the voucher that paid for this item.
    pub cumulative_amount: Amount,
    /// What was bought: the item's path.
    pub item: &'a str,
    /// What it cost.
    pub price: Amount,
    /// When the item was charged.
    pub timestamp: Timestamp,
}

impl Proven<'_> {
    /// The EIP-712 digest that the payee signs for a receipt alone.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        domain.digest_of_struct(keccak256(self.words(RECEIPT_TYPE_HASH)))
    }

    /// A type's hash and the members that all types of receipts begin with, as EIP-712 encodes them.
    pub(super) fn words(&self, type_hash: B256) -> [u8; 192] {
        let words = [
            type_hash,
            self.channel_id.0,
            B256::from(U256::from(self.cumulative_amount.base_units())),
            keccak256(self.item),
            B256::from(U256::from(self.price.base_units())),
            B256::from(U256::from(self.timestamp.unix_seconds())),
        ];
        let mut preimage = [0_u8; 192];
        for (target, word) in preimage.chunks_exact_mut(32).zip(words) {
            target.copy_from_slice(word.as_slice());
        }
        preimage
    }
}

impl Receipt {
    /// The `status` of every receipt.
    pub const STATUS: &'static str = "success";

    /// What it proves: channel, voucher, item, price and time.
    #[must_use]
    pub fn proven(&self) -> Proven<'_> {
        Proven {
            channel_id: self.channel_id,
            cumulative_amount: self.cumulative_amount,
            item: &self.item,
            price: self.price,
            timestamp: self.timestamp,
        }
    }

    /// The EIP-712 digest that the payee signs, if the receipt is alone.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        self.proven().digest(domain)
    }

    /// The scheme's and our method's names, as they stand in every receipt.
    #[must_use]
    pub fn names() -> (String, String, String) {
        (METHOD.to_owned(), INTENT.to_owned(), Self::STATUS.to_owned())
    }
}

impl SignedReceipt {
    /// The EIP-712 digest that was signed: the receipt's own, or that of the batch that its path leads to.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        match &self.path {
            None => self.receipt.digest(domain),
            Some(path) => batch_digest(path.root(&self.receipt.proven()), domain),
        }
    }

    /// Whose key signed what the receipt proves.
    ///
    /// # Errors
    ///
    /// If there is no signer.
    pub fn signer(&self, domain: &Domain) -> Result<Address, SignatureError> {
        self.signature.recover(self.digest(domain))
    }

    /// Checks that `payee`'s own key signed what the receipt proves.
    ///
    /// # Errors
    ///
    /// If there is no signer, or it is somebody else.
    pub fn verify(&self, domain: &Domain, payee: Address) -> Result<(), SignatureError> {
        let actual = self.signer(domain)?;
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
        // What payees send has no delegation in it.
        if self.delegation.is_none() { encode_sorted(&Sorted::from(self)) } else { encode(self) }
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

/// A receipt with its members in the order of canonical JSON: what is written most often needs no sorting.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sorted<'a> {
    accepted_cumulative: Amount,
    challenge_id: &'a str,
    channel_id: ChannelId,
    cumulative_amount: Amount,
    intent: &'a str,
    item: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a ReceiptPath>,
    price: Amount,
    reference: ChannelId,
    signature: VoucherSignature,
    spent: Amount,
    status: &'a str,
    timestamp: Timestamp,
}

impl<'a> From<&'a SignedReceipt> for Sorted<'a> {
    fn from(SignedReceipt { receipt, signature, path, .. }: &'a SignedReceipt) -> Self {
        Self {
            accepted_cumulative: receipt.accepted_cumulative,
            challenge_id: &receipt.challenge_id,
            channel_id: receipt.channel_id,
            cumulative_amount: receipt.cumulative_amount,
            intent: &receipt.intent,
            item: &receipt.item,
            method: &receipt.method,
            path: path.as_ref(),
            price: receipt.price,
            reference: receipt.reference,
            signature: *signature,
            spent: receipt.spent,
            status: &receipt.status,
            timestamp: receipt.timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ReceiptPath;
    use alloy_primitives::FixedBytes;
    use proptest::prelude::*;

    fn any_path() -> impl Strategy<Value = Option<ReceiptPath>> {
        let siblings = prop::collection::vec(any::<[u8; 32]>().prop_map(B256::from), 1..=16);
        let path = (any::<[u8; 16]>(), any::<u16>(), siblings).prop_map(|(blinding, position, siblings)| {
            let position = position & u16::try_from((1_u32 << siblings.len()).saturating_sub(1)).unwrap_or(u16::MAX);
            ReceiptPath::new(FixedBytes(blinding), position, siblings).expect("a path")
        });
        prop::option::of(path)
    }

    fn any_receipt() -> impl Strategy<Value = SignedReceipt> {
        let texts = (any::<String>(), any::<String>(), "[\\x00-\\x7f\u{7f}-\u{a0}\u{2028}\"\\\\]{0,20}");
        let amounts = any::<[u128; 4]>().prop_map(|all| all.map(Amount::new));
        (texts, amounts, any::<[u8; 32]>(), any::<u64>(), any_path()).prop_map(|(texts, amounts, bytes, time, path)| {
            let (status, challenge_id, item) = texts;
            let [accepted_cumulative, cumulative_amount, spent, price] = amounts;
            let channel_id = ChannelId(B256::from(bytes));
            let mut signature = [0x11; 65];
            signature[64] = 27;
            let receipt = Receipt {
                method: METHOD.to_owned(),
                intent: INTENT.to_owned(),
                status,
                timestamp: Timestamp::from_unix_seconds(time),
                reference: channel_id,
                challenge_id,
                channel_id,
                cumulative_amount,
                accepted_cumulative,
                spent,
                item,
                price,
            };
            let signature = VoucherSignature::from_bytes(&signature).expect("well formed");
            SignedReceipt { receipt, signature, path, delegation: None }
        })
    }

    proptest! {
        #[test]
        fn a_receipt_is_written_in_the_order_and_letters_of_canonical_json(signed in any_receipt()) {
            let written = signed.to_header();
            prop_assert_eq!(&written, &encode(&signed));
            prop_assert_eq!(SignedReceipt::from_header(&written.expect("writes")), Ok(signed));
        }
    }

    #[test]
    fn the_type_hash_is_that_of_the_type_string() {
        assert_eq!(RECEIPT_TYPE_HASH, keccak256(RECEIPT_TYPE));
    }
}
