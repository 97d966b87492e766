//! Relaying: a payer without the chain's own coin signs, and a site that offers it sends the transaction and pays its
//! gas.
//!
//! A listing says that a site relays, and from which amounts on. What is posted is complete in itself: the relay needs
//! to believe nothing, and can change nothing.

use crate::funding::{Authorization, Withdrawal, authorization_nonce};
use crate::voucher::{SignatureError, VoucherSignature};
use crate::{Account, Amount, B256, Channel, Deployment, Timestamp};
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// Where a site takes what it relays, if its listing says that it does.
pub const RELAY_PATH: &str = "/.well-known/farthing/relay";

/// What a site relays, in its listing. It is about the listing's own escrow and token only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayTerms {
    /// The path that takes a [`RelayRequest`].
    pub path: String,
    /// The least that is deposited or reserved.
    pub minimum_deposit: Amount,
    /// The least that is withdrawn, unless it is all that the account holds beyond what it owes the site.
    pub minimum_withdrawal: Amount,
}

/// A signed transfer of the payer's tokens to the escrow, without what the request around it says already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedAuthorization {
    /// The last second in which the token does not take it yet.
    pub valid_after: Timestamp,
    /// The first second in which the token does not take it any more.
    pub valid_before: Timestamp,
    /// Drawn at random: tells two of them for one account or channel apart.
    pub salt: B256,
    /// The payer's, in the token's domain.
    pub signature: VoucherSignature,
}

/// What is to be sent for a payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RelayOrder {
    /// The payer's tokens into the payer's account.
    Deposit {
        /// The account; its payer has signed.
        account: Account,
        /// How much.
        amount: Amount,
        /// The payer's leave.
        authorization: SignedAuthorization,
    },
    /// The payer's tokens into a channel's reservation.
    Open {
        /// The channel; its payer has signed.
        channel: Channel,
        /// How much.
        amount: Amount,
        /// The payer's leave.
        authorization: SignedAuthorization,
    },
    /// Money out of the payer's account.
    Withdrawal {
        /// What the payer has signed.
        #[serde(flatten)]
        withdrawal: Withdrawal,
        /// The payer's, in the escrow's domain.
        signature: VoucherSignature,
    },
}

/// The body of a request to relay, one flat object:
///
/// ```json
/// {
///   "type": "withdrawal", "chainId": 8453, "escrow": "0x…", "account": { "payer": "0x…", "authorizedSigner": "0x…",
///   "token": "0x…" }, "amount": "3750000", "to": "0x…", "nonce": 0, "deadline": "2026-01-01T00:20:00Z",
///   "signature": "0x…"
/// }
/// ```
///
/// A `deposit` has an `account`, an `open` has a `channel`; both have an `amount` and an `authorization` with
/// `validAfter`, `validBefore`, `salt` and `signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRequest {
    /// The escrow that it is for.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// What is to be sent.
    #[serde(flatten)]
    pub order: RelayOrder,
}

/// The answer to a request that was sent on. It proves nothing: the chain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAnswer {
    /// The transaction that was sent.
    pub transaction: B256,
}

impl RelayOrder {
    /// Whose money it is, and who has to have signed.
    #[must_use]
    pub const fn payer(&self) -> Address {
        match self {
            Self::Deposit { account, .. } => account.payer,
            Self::Open { channel, .. } => channel.payer,
            Self::Withdrawal { withdrawal, .. } => withdrawal.account.payer,
        }
    }

    /// What moves.
    #[must_use]
    pub const fn token(&self) -> Address {
        match self {
            Self::Deposit { account, .. } => account.token,
            Self::Open { channel, .. } => channel.token,
            Self::Withdrawal { withdrawal, .. } => withdrawal.account.token,
        }
    }

    /// How much moves.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        match self {
            Self::Deposit { amount, .. } | Self::Open { amount, .. } => *amount,
            Self::Withdrawal { withdrawal, .. } => withdrawal.amount,
        }
    }

    /// The id of the account or channel that it is about.
    #[must_use]
    pub fn id(&self, deployment: &Deployment) -> B256 {
        match self {
            Self::Deposit { account, .. } => account.id().0,
            Self::Open { channel, .. } => channel.id(deployment).0,
            Self::Withdrawal { withdrawal, .. } => withdrawal.account.id().0,
        }
    }

    /// The payer's signature.
    #[must_use]
    pub const fn signature(&self) -> VoucherSignature {
        match self {
            Self::Deposit { authorization, .. } | Self::Open { authorization, .. } => authorization.signature,
            Self::Withdrawal { signature, .. } => *signature,
        }
    }

    /// The authorization that was signed; a withdrawal has none.
    #[must_use]
    pub fn authorization(&self, deployment: &Deployment) -> Option<Authorization> {
        let (Self::Deposit { amount, authorization, .. } | Self::Open { amount, authorization, .. }) = self else {
            return None;
        };
        Some(Authorization {
            from: self.payer(),
            to: deployment.escrow,
            value: *amount,
            valid_after: authorization.valid_after,
            valid_before: authorization.valid_before,
            nonce: authorization_nonce(self.id(deployment), authorization.salt),
        })
    }

    /// The first second in which it is not good any more.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        match self {
            Self::Deposit { authorization, .. } | Self::Open { authorization, .. } => authorization.valid_before,
            Self::Withdrawal { withdrawal, .. } => withdrawal.deadline.plus_seconds(1),
        }
    }

    /// Makes sure that the payer has signed `digest`.
    ///
    /// # Errors
    ///
    /// If somebody else has, or nobody.
    pub fn verify(&self, digest: B256) -> Result<(), SignatureError> {
        let (actual, expected) = (self.signature().recover(digest)?, self.payer());
        if actual == expected { Ok(()) } else { Err(SignatureError::SignerMismatch { actual, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> VoucherSignature {
        let mut bytes = [1_u8; 65];
        bytes[64] = 27;
        VoucherSignature::from_bytes(&bytes).expect("well formed")
    }

    #[test]
    fn an_order_is_one_flat_object_with_a_type() {
        let account = Account {
            payer: Address::repeat_byte(1),
            authorized_signer: Address::repeat_byte(2),
            token: Address::repeat_byte(3),
        };
        let (nonce, deadline) = (7, Timestamp::from_unix_seconds(1_800_000_000));
        let withdrawal = Withdrawal { account, amount: Amount::new(5), to: account.payer, nonce, deadline };
        let deployment = Deployment { chain_id: 31_337, escrow: Address::repeat_byte(4) };
        let request = RelayRequest { deployment, order: RelayOrder::Withdrawal { withdrawal, signature: signature() } };
        let json = serde_json::to_value(request).expect("writes");
        assert_eq!(
            (&json["type"], &json["chainId"], &json["amount"]),
            (&"withdrawal".into(), &31_337.into(), &"5".into())
        );
        assert_eq!(serde_json::from_value::<RelayRequest>(json).expect("reads"), request);
        let authorization = SignedAuthorization {
            valid_after: Timestamp::from_unix_seconds(0),
            valid_before: deadline,
            salt: B256::repeat_byte(9),
            signature: signature(),
        };
        let order = RelayOrder::Deposit { account, amount: Amount::new(5), authorization };
        let json = serde_json::to_string(&RelayRequest { deployment, order }).expect("writes");
        assert_eq!(serde_json::from_str::<RelayRequest>(&json).expect("reads").order, order);
        let nonce = order.authorization(&deployment).expect("has one").nonce;
        assert_eq!(nonce, authorization_nonce(account.id().0, authorization.salt), "bound to the account");
    }
}
