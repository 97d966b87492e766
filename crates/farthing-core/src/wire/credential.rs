//! The credential: what a client answers to a challenge.

use super::{Challenge, RecallPayload, SCHEME, WireError, decode, encode};
use crate::{Amount, Channel, ChannelId, SignedVoucher, Voucher, VoucherSignature};
use alloy_primitives::{Address, B256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What stands in `Authorization: Payment …`: a voucher, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential<P = VoucherPayload> {
    /// The challenge as it was received.
    pub challenge: Challenge,
    /// Who pays: `did:pkh:eip155:<chain>:<address>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is paid, or proven.
    pub payload: P,
}

/// A credential of any kind that is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyCredential {
    /// Pays.
    Voucher(Box<Credential>),
    /// Asks for what was bought.
    Recall(Box<Credential<RecallPayload>>),
}

impl AnyCredential {
    /// Reads the value of `Authorization`.
    ///
    /// # Errors
    ///
    /// If it is of another scheme, too long, or not a credential.
    pub fn from_header(field: &str) -> Result<Self, WireError> {
        // Nearly all are vouchers, and a recall has no channel, so it is none.
        let malformed = match Credential::from_header(field) {
            Ok(voucher) => return Ok(Self::Voucher(Box::new(voucher))),
            Err(error) => error,
        };
        match Credential::<RecallPayload>::from_header(field) {
            Ok(recall) if recall.payload.action == RecallPayload::ACTION => Ok(Self::Recall(Box::new(recall))),
            _ => Err(malformed),
        }
    }
}

/// A voucher and what the payee needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherPayload {
    /// `voucher`.
    pub action: String,
    /// The channel that owes.
    pub channel_id: ChannelId,
    /// All it owes.
    pub cumulative_amount: Amount,
    /// The authorized signer's.
    pub signature: VoucherSignature,
    /// The price that the payer agreed to for this request: a dearer item is a fresh 402, never a silent charge.
    /// Without it the challenge's own amount is what was agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The terms behind the channel's id; with a channel's first voucher, and whenever the payee may have forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub terms: Option<ChannelTerms>,
}

/// What the payee can't know of a channel's terms: it is the payee itself, and it named the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelTerms {
    /// Whose money it is.
    pub payer: Address,
    /// The key whose vouchers are good.
    pub authorized_signer: Address,
    /// Tells channels between the same two parties apart.
    pub salt: B256,
}

impl ChannelTerms {
    /// The whole terms, seen from the payee.
    #[must_use]
    pub const fn channel(&self, payee: Address, token: Address) -> Channel {
        Channel { payer: self.payer, payee, token, salt: self.salt, authorized_signer: self.authorized_signer }
    }
}

impl From<&Channel> for ChannelTerms {
    fn from(channel: &Channel) -> Self {
        Self { payer: channel.payer, authorized_signer: channel.authorized_signer, salt: channel.salt }
    }
}

impl VoucherPayload {
    /// The payload's one action.
    pub const ACTION: &'static str = "voucher";

    /// The voucher inside.
    #[must_use]
    pub const fn signed_voucher(&self) -> SignedVoucher {
        let voucher = Voucher { channel_id: self.channel_id, cumulative_amount: self.cumulative_amount };
        voucher.with_signature(self.signature)
    }
}

impl<P: Serialize + DeserializeOwned> Credential<P> {
    /// The value of `Authorization`.
    ///
    /// # Errors
    ///
    /// If it can't be written as canonical JSON.
    pub fn to_header(&self) -> Result<String, WireError> {
        Ok(format!("{SCHEME} {}", encode(self)?))
    }

    /// Reads the value of `Authorization`.
    ///
    /// # Errors
    ///
    /// If it is of another scheme, too long, or not a credential.
    pub fn from_header(field: &str) -> Result<Self, WireError> {
        let (scheme, blob) = field.split_once(' ').ok_or(WireError::Syntax("a scheme and a credential"))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(WireError::Syntax("another scheme"));
        }
        decode(blob.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn credential(terms: Option<ChannelTerms>) -> Credential {
        let mut signature = [1_u8; 65];
        signature[64] = 27;
        Credential {
            challenge: Challenge {
                id: "id".to_owned(),
                realm: "localhost".to_owned(),
                method: super::super::METHOD.to_owned(),
                intent: super::super::INTENT.to_owned(),
                request: "e30".to_owned(),
                expires: None,
                digest: None,
                opaque: None,
                description: None,
            },
            source: None,
            payload: VoucherPayload {
                action: VoucherPayload::ACTION.to_owned(),
                channel_id: ChannelId(B256::repeat_byte(9)),
                cumulative_amount: Amount::new(u128::MAX),
                signature: VoucherSignature::from_bytes(&signature).expect("well formed"),
                amount: Some(Amount::new(5)),
                terms,
            },
        }
    }

    #[test]
    fn a_credential_reads_back_with_and_without_terms() {
        let terms = ChannelTerms {
            payer: Address::repeat_byte(1),
            authorized_signer: Address::repeat_byte(2),
            salt: B256::repeat_byte(3),
        };
        for terms in [None, Some(terms)] {
            let credential = credential(terms);
            let header = credential.to_header().expect("writes");
            assert_eq!(Credential::from_header(&header), Ok(credential));
        }
    }

    #[test]
    fn amounts_are_strings_and_nothing_else() {
        let mut json = serde_json::to_value(credential(None)).expect("serialises");
        assert_eq!(json["payload"]["cumulativeAmount"], u128::MAX.to_string());
        for wrong in [serde_json::json!(5), serde_json::json!("5.0"), serde_json::json!("-5"), serde_json::json!("0x5")]
        {
            json["payload"]["cumulativeAmount"] = wrong;
            assert!(serde_json::from_value::<Credential>(json.clone()).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(field in "(Payment )?[A-Za-z0-9_=-]{0,80}", json in "\\PC{0,60}") {
            let _ = AnyCredential::from_header(&field);
            use base64::Engine;
            let blob = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
            let _ = AnyCredential::from_header(&format!("Payment {blob}"));
        }
    }
}
