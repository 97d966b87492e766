//! What travels over HTTP: the `Payment` authentication scheme, method `farthing`, intent `session`.
//!
//! Source: draft-ryan-httpauth-payment and its EVM session draft.

pub mod challenge;
pub mod credential;
pub mod delegation;
pub mod header;
pub mod listing;
pub mod problem;
pub mod recall;
pub mod receipt;
pub mod receipt_batch;
pub mod relay;

pub use challenge::{Challenge, ChallengeSecret, SessionRequest};
pub use credential::{AnyCredential, Credential, VoucherPayload};
pub use delegation::{Delegation, SignedDelegation};
pub use listing::{ListedItem, Listing};
pub use problem::{Problem, ProblemType};
pub use recall::RecallPayload;
pub use receipt::{Receipt, SignedReceipt};
pub use receipt_batch::{ReceiptPath, ReceiptTree};
pub use relay::{RelayAnswer, RelayOrder, RelayRequest, RelayTerms, SignedAuthorization};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The authentication scheme's name.
pub const SCHEME: &str = "Payment";

/// Our method's name in the scheme.
pub const METHOD: &str = "farthing";

/// The one intent of our method.
pub const INTENT: &str = "session";

/// The longest header value that is looked at, in bytes; a credential is about a fifth of it.
pub const HEADER_LENGTH_MAX: usize = 8_192;

/// Thrown when a header is not what the scheme says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Longer than anything this scheme needs.
    #[error("{length} bytes of header are more than the {HEADER_LENGTH_MAX} this scheme needs")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// Not `Payment` followed by what the scheme wants.
    #[error("not of the Payment scheme: {0}")]
    Syntax(&'static str),
    /// A parameter is missing.
    #[error("the challenge has no {0}")]
    MissingParameter(&'static str),
    /// Not base64url without padding.
    #[error("not base64url without padding")]
    Base64,
    /// Not the JSON it should be.
    #[error("not the JSON it should be: {0}")]
    Json(String),
    /// A point in time that is not RFC 3339.
    #[error(transparent)]
    Time(#[from] crate::timestamp::TimestampError),
}

/// Canonical JSON (RFC 8785), then base64url without padding.
fn encode<T: Serialize>(value: &T) -> Result<String, WireError> {
    let json = serde_json_canonicalizer::to_vec(value).map_err(|error| WireError::Json(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// The same of what is canonical JSON as it is: its members are sorted, and its only numbers are small integers.
fn encode_sorted<T: Serialize>(value: &T) -> Result<String, WireError> {
    // Room for a receipt with its path: a vector that grows from nothing is copied four times on the way.
    let mut json = Vec::with_capacity(1_536);
    serde_json::to_writer(&mut json, value).map_err(|error| WireError::Json(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, WireError> {
    if text.len() > HEADER_LENGTH_MAX {
        return Err(WireError::TooLong { length: text.len() });
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| WireError::Base64)?;
    serde_json::from_slice(&json).map_err(|error| WireError::Json(error.to_string()))
}
