//! Why a payment was refused, as problem+json (RFC 9457).

use crate::ledger::Refusal;
use crate::voucher::SignatureError;
use crate::{Amount, Token};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the scheme's problem types live.
pub const PROBLEM_BASE: &str = "https://paymentauth.org/problems/";

/// The kinds of refusal that the scheme knows, with the paths of their types and their statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemType {
    /// Nothing was paid yet.
    PaymentRequired,
    /// Less was agreed to than the item costs.
    PaymentInsufficient,
    /// The challenge has expired.
    PaymentExpired,
    /// The terms or the escrow are not what was asked for.
    VerificationFailed,
    /// Another method, intent or action than ours.
    MethodUnsupported,
    /// The credential can't be read.
    MalformedCredential,
    /// The challenge is not of this server.
    InvalidChallenge,
    /// The signature is none that the escrow would accept.
    InvalidSignature,
    /// A key signed that the channel does not name.
    SignerMismatch,
    /// More is promised than the reservation and the account cover.
    AmountExceedsDeposit,
    /// The voucher adds less than the item costs.
    DeltaTooSmall,
    /// The account holds too little, or may owe no more before redemption.
    InsufficientBalance,
    /// The channel is unknown and its terms were not sent.
    ChannelNotFound,
    /// The channel is closing.
    ChannelFinalized,
    /// The server can't tell now; the scheme leaves this to RFC 9110.
    Unavailable,
    /// What is to be relayed can't be read, or its signature or its time is not good.
    RelayInvalid,
    /// This site relays nothing of that kind: another escrow, token or payee, or an account that it does not know.
    RelayRefused,
    /// Less than this site relays.
    RelayMinimum,
    /// The chain would refuse it.
    RelayWouldFail,
    /// One payer asks too often.
    RelayTooMany,
    /// The relay has spent its gas for today, or gas is too dear, or another transaction is in the way.
    RelayExhausted,
}

impl ProblemType {
    const ALL: [Self; 21] = [
        Self::PaymentRequired,
        Self::PaymentInsufficient,
        Self::PaymentExpired,
        Self::VerificationFailed,
        Self::MethodUnsupported,
        Self::MalformedCredential,
        Self::InvalidChallenge,
        Self::InvalidSignature,
        Self::SignerMismatch,
        Self::AmountExceedsDeposit,
        Self::DeltaTooSmall,
        Self::InsufficientBalance,
        Self::ChannelNotFound,
        Self::ChannelFinalized,
        Self::Unavailable,
        Self::RelayInvalid,
        Self::RelayRefused,
        Self::RelayMinimum,
        Self::RelayWouldFail,
        Self::RelayTooMany,
        Self::RelayExhausted,
    ];

    /// Path under [`PROBLEM_BASE`], HTTP status, and title.
    const fn details(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::PaymentRequired => ("payment-required", 402, "Payment required"),
            Self::PaymentInsufficient => ("payment-insufficient", 402, "Payment insufficient"),
            Self::PaymentExpired => ("payment-expired", 402, "Payment expired"),
            Self::VerificationFailed => ("verification-failed", 402, "Verification failed"),
            Self::MethodUnsupported => ("method-unsupported", 400, "Method unsupported"),
            Self::MalformedCredential => ("malformed-credential", 402, "Malformed credential"),
            Self::InvalidChallenge => ("invalid-challenge", 402, "Invalid challenge"),
            Self::InvalidSignature => ("session/invalid-signature", 402, "Invalid signature"),
            Self::SignerMismatch => ("session/signer-mismatch", 402, "Signer mismatch"),
            Self::AmountExceedsDeposit => ("session/amount-exceeds-deposit", 402, "Amount exceeds deposit"),
            Self::DeltaTooSmall => ("session/delta-too-small", 402, "Delta too small"),
            Self::InsufficientBalance => ("session/insufficient-balance", 402, "Insufficient balance"),
            Self::ChannelNotFound => ("session/channel-not-found", 410, "Channel not found"),
            Self::ChannelFinalized => ("session/channel-finalized", 410, "Channel finalized"),
            Self::Unavailable => ("unavailable", 503, "Unavailable"),
            Self::RelayInvalid => ("relay/invalid", 400, "Nothing that can be relayed"),
            Self::RelayRefused => ("relay/refused", 403, "Not relayed here"),
            Self::RelayMinimum => ("relay/below-minimum", 403, "Below the minimum"),
            Self::RelayWouldFail => ("relay/would-fail", 409, "The chain would refuse it"),
            Self::RelayTooMany => ("relay/too-many-requests", 429, "Too many requests"),
            Self::RelayExhausted => ("relay/exhausted", 503, "Not relayed now"),
        }
    }

    /// The type's URI.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{PROBLEM_BASE}{}", self.details().0)
    }

    /// The HTTP status it is sent with.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.details().1
    }

    /// The type of a URI, if it is one of the scheme's.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let path = uri.strip_prefix(PROBLEM_BASE)?;
        Self::ALL.into_iter().find(|kind| kind.details().0 == path)
    }
}

/// A refusal as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// URI of the kind; see [`ProblemType::from_uri`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, for people.
    #[serde(default)]
    pub detail: String,
    /// The figures, by name, in base units.
    #[serde(flatten)]
    pub figures: BTreeMap<String, serde_json::Value>,
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        let (_, status, title) = kind.details();
        Self { kind: kind.uri(), title: title.to_owned(), status, detail: detail.into(), figures: BTreeMap::new() }
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: &dyn std::fmt::Display) -> Self {
        self.figures.insert(name.to_owned(), serde_json::Value::String(value.to_string()));
        self
    }

    /// The kind, if it is one of the scheme's.
    #[must_use]
    pub fn problem_type(&self) -> Option<ProblemType> {
        ProblemType::from_uri(&self.kind)
    }
}

impl Problem {
    /// What the client is told of a refusal: in words with the token's own amounts, and the figures in base units.
    #[must_use]
    pub fn of_refusal(refusal: &Refusal, token: &Token) -> Self {
        let money = |amount: &Amount| token.format(*amount);
        match refusal {
            Refusal::TooLarge { cumulative_amount } => {
                Self::new(ProblemType::AmountExceedsDeposit, refusal.to_string())
                    .with("cumulativeAmount", cumulative_amount)
            }
            Refusal::AlreadyCharged { cumulative_amount, item } => {
                let detail = format!("the voucher for {} has already paid for {item}", money(cumulative_amount));
                Self::new(ProblemType::DeltaTooSmall, detail).with("chargedItem", item)
            }
            Refusal::Underpaid { price, accepted, available } => {
                let (price_text, available_text) = (money(price), money(available));
                let detail = format!("the item costs {price_text}, and {available_text} of what was promised is left");
                Self::new(ProblemType::DeltaTooSmall, detail)
                    .with("price", price)
                    .with("acceptedCumulative", accepted)
                    .with("available", available)
            }
            Refusal::ReservationRequired { required, reserved } => {
                let (required_text, reserved_text) = (money(required), money(reserved));
                let detail = format!("a reservation must cover {required_text}; {reserved_text} is reserved and final");
                Self::new(ProblemType::AmountExceedsDeposit, detail)
                    .with("required", required)
                    .with("reserved", reserved)
            }
            Refusal::CloseRequested => Self::new(ProblemType::ChannelFinalized, refusal.to_string()),
            Refusal::InsufficientBalance { balance, required } => {
                let detail = format!("the account holds {}, and {} would be owed", money(balance), money(required));
                Self::new(ProblemType::InsufficientBalance, detail).with("balance", balance).with("required", required)
            }
            Refusal::CreditExhausted { required, allowance } => {
                let (required_text, allowance_text) = (money(required), money(allowance));
                let detail = format!(
                    "{required_text} would be owed before the creator redeems, and this account may owe {allowance_text}"
                );
                Self::new(ProblemType::InsufficientBalance, detail)
                    .with("required", required)
                    .with("allowance", allowance)
            }
            Refusal::StrangersExhausted { limit } => {
                let detail = format!("today's credit of {} for new accounts is used up", money(limit));
                Self::new(ProblemType::InsufficientBalance, detail).with("limit", limit)
            }
            Refusal::StaleChain => Self::new(ProblemType::Unavailable, refusal.to_string()),
        }
    }
}

impl From<&SignatureError> for Problem {
    fn from(error: &SignatureError) -> Self {
        let kind = match error {
            SignatureError::SignerMismatch { .. } | SignatureError::NotByChannelsSigner { .. } => {
                ProblemType::SignerMismatch
            }
            _ => ProblemType::InvalidSignature,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_uri() {
        for kind in ProblemType::ALL {
            assert_eq!(ProblemType::from_uri(&kind.uri()), Some(kind));
        }
        assert_eq!(ProblemType::from_uri("https://example.com/payment-required"), None);
    }
}
