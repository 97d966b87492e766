//! The challenge: what a 402 asks for.

use super::header::{SchemeChallenge, quote};
use super::{INTENT, METHOD, SCHEME, WireError, decode, encode};
use crate::{Amount, Deployment, Timestamp};
use alloy_primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

/// The payee's secret, of which every challenge's id is an HMAC: so the payee needs to remember no challenge.
#[derive(Clone)]
pub struct ChallengeSecret(Vec<u8>);

impl ChallengeSecret {
    /// The least number of bytes a secret may have.
    pub const LENGTH_MIN: usize = 32;

    /// Takes a secret of at least [`Self::LENGTH_MIN`] bytes; `None` if it is shorter.
    #[must_use]
    pub fn new(secret: Vec<u8>) -> Option<Self> {
        (secret.len() >= Self::LENGTH_MIN).then_some(Self(secret))
    }
}

impl fmt::Debug for ChallengeSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChallengeSecret(…)")
    }
}

/// A challenge as it stands in `WWW-Authenticate` and is echoed in a credential.
///
/// Every field but the description is covered by the id. Absent optional fields count as empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// base64url of HMAC-SHA-256 over the other fields.
    pub id: String,
    /// What is protected; ours is the origin's host.
    pub realm: String,
    /// The payment method: `farthing`.
    pub method: String,
    /// What the payment is for: `session`.
    pub intent: String,
    /// base64url of the canonical JSON of a [`SessionRequest`].
    pub request: String,
    /// Until when a credential for it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Digest of the request's body; we send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Server's own data, returned as it is; we send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
    /// For people; not covered by the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The request inside a challenge: what one item costs, in which token, to whom, through which escrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRequest {
    /// The item's price.
    pub amount: Amount,
    /// What the price is for: `item`.
    pub unit_type: String,
    /// The token; zero is the native coin.
    pub currency: Address,
    /// The payee.
    pub recipient: Address,
    /// A reservation or deposit that the payee suggests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_deposit: Option<Amount>,
    /// The fields that our method adds.
    pub method_details: MethodDetails,
}

/// What method `farthing` adds to a session request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodDetails {
    /// The chain's id.
    pub chain_id: u64,
    /// The escrow.
    pub escrow_contract: Address,
    /// Seconds of the escrow's exit delay: with it a client works out whether the address is a genuine escrow's.
    pub exit_delay: u64,
    /// The path of the item that the amount is for.
    pub item: String,
    /// The token's symbol, for people.
    pub symbol: String,
    /// The token's decimals, for people.
    pub decimals: u8,
    /// Whether one token is declared to be worth a dollar.
    #[serde(default)]
    pub dollar: bool,
    /// Set if the payee serves only what a reservation covers: the reservation it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Amount>,
}

impl SessionRequest {
    /// The escrow that it asks to be paid through.
    #[must_use]
    pub const fn deployment(&self) -> Deployment {
        Deployment { chain_id: self.method_details.chain_id, escrow: self.method_details.escrow_contract }
    }

    /// The token it asks to be paid in.
    #[must_use]
    pub fn token(&self) -> crate::Token {
        crate::Token {
            address: self.currency,
            symbol: self.method_details.symbol.clone(),
            decimals: self.method_details.decimals,
            dollar: self.method_details.dollar,
        }
    }
}

impl Challenge {
    /// Makes a challenge and its id.
    ///
    /// # Errors
    ///
    /// If the request can't be written as canonical JSON.
    pub fn issue(
        secret: &ChallengeSecret,
        realm: &str,
        request: &SessionRequest,
        expires: Timestamp,
        description: Option<String>,
    ) -> Result<Self, WireError> {
        let mut challenge = Self {
            id: String::new(),
            realm: realm.to_owned(),
            method: METHOD.to_owned(),
            intent: INTENT.to_owned(),
            request: encode(request)?,
            expires: Some(expires.to_string()),
            digest: None,
            opaque: None,
            description,
        };
        challenge.id = URL_SAFE_NO_PAD.encode(challenge.authentication_code(secret).finalize().into_bytes());
        Ok(challenge)
    }

    /// Whether the holder of `secret` issued exactly this challenge. Takes the same time wherever an id differs.
    #[must_use]
    pub fn is_issued_by(&self, secret: &ChallengeSecret) -> bool {
        let Ok(id) = URL_SAFE_NO_PAD.decode(&self.id) else { return false };
        self.authentication_code(secret).verify_slice(&id).is_ok()
    }

    /// HMAC-SHA-256 over realm|method|intent|request|expires|digest|opaque; an absent one is empty and kept.
    fn authentication_code(&self, secret: &ChallengeSecret) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut code = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes a key of any length");
        code.update(self.realm.as_bytes());
        for field in [&self.method, &self.intent, &self.request] {
            code.update(b"|");
            code.update(field.as_bytes());
        }
        for field in [&self.expires, &self.digest, &self.opaque] {
            code.update(b"|");
            code.update(field.as_deref().unwrap_or_default().as_bytes());
        }
        code
    }

    /// Reads the request inside.
    ///
    /// # Errors
    ///
    /// If it is not a session request.
    pub fn session_request(&self) -> Result<SessionRequest, WireError> {
        decode(&self.request)
    }

    /// Until when a credential is taken; a challenge without an end has none.
    ///
    /// # Errors
    ///
    /// If it is not a time.
    pub fn expires_at(&self) -> Result<Option<Timestamp>, WireError> {
        Ok(self.expires.as_deref().map(str::parse).transpose()?)
    }

    /// The value of `WWW-Authenticate`.
    #[must_use]
    pub fn to_header(&self) -> String {
        let mut parameters = vec![
            ("id", Some(&self.id)),
            ("realm", Some(&self.realm)),
            ("method", Some(&self.method)),
            ("intent", Some(&self.intent)),
            ("request", Some(&self.request)),
        ];
        parameters.extend([
            ("expires", self.expires.as_ref()),
            ("digest", self.digest.as_ref()),
            ("opaque", self.opaque.as_ref()),
            ("description", self.description.as_ref()),
        ]);
        let parameters: Vec<String> = parameters
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", quote(value))))
            .collect();
        format!("{SCHEME} {}", parameters.join(", "))
    }

    /// Picks our method's challenges out of one `WWW-Authenticate` field; those of other schemes and methods are left.
    ///
    /// # Errors
    ///
    /// If the field is no list of challenges, or one of ours lacks a parameter.
    pub fn from_header(field: &str) -> Result<Vec<Self>, WireError> {
        super::header::parse_challenges(field)?
            .iter()
            .filter(|challenge| challenge.scheme.eq_ignore_ascii_case(SCHEME))
            .filter(|challenge| challenge.parameter("method") == Some(METHOD))
            .filter(|challenge| challenge.parameter("intent") == Some(INTENT))
            .map(Self::from_parameters)
            .collect()
    }

    fn from_parameters(challenge: &SchemeChallenge) -> Result<Self, WireError> {
        let optional = |name: &str| challenge.parameter(name).map(str::to_owned);
        let required = |name: &'static str| optional(name).ok_or(WireError::MissingParameter(name));
        Ok(Self {
            id: required("id")?,
            realm: required("realm")?,
            method: required("method")?,
            intent: required("intent")?,
            request: required("request")?,
            expires: optional("expires"),
            digest: optional("digest"),
            opaque: optional("opaque"),
            description: optional("description"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_request() -> SessionRequest {
        SessionRequest {
            amount: Amount::new(500_000),
            unit_type: "item".to_owned(),
            currency: Address::repeat_byte(0x11),
            recipient: Address::repeat_byte(0x22),
            suggested_deposit: None,
            method_details: MethodDetails {
                chain_id: 31337,
                escrow_contract: Address::repeat_byte(0x33),
                exit_delay: 86_400,
                item: "/songs/nocturne".to_owned(),
                symbol: "dUSD".to_owned(),
                decimals: 6,
                dollar: true,
                reservation: None,
            },
        }
    }

    fn secret(text: &str) -> ChallengeSecret {
        ChallengeSecret::new(text.as_bytes().to_vec()).expect("long enough")
    }

    /// The two vectors that the draft's reference implementations agree on.
    #[test]
    fn ids_equal_those_of_other_implementations() {
        let secret = secret("test-vector-secret-minimum-32-byte-secret");
        for (intent, id) in [
            ("session", "3bUB3LSxOG-lexqNCMGiV-p_j1UeibqWlA-saIiwo5A"),
            ("charge", "6QDs0BmhrI_v67iWeCMvGqQJEFQ6ErWKlk7zi5xL6t0"),
        ] {
            let challenge = Challenge {
                id: id.to_owned(),
                realm: "api.example.com".to_owned(),
                method: "tempo".to_owned(),
                intent: intent.to_owned(),
                request: URL_SAFE_NO_PAD.encode(r#"{"amount":"1000000"}"#),
                expires: None,
                digest: None,
                opaque: None,
                description: Some("not covered".to_owned()),
            };
            assert!(challenge.is_issued_by(&secret), "{intent}");
        }
    }

    #[test]
    fn a_header_reads_back_and_any_change_shows() {
        let secret = secret("0123456789abcdef0123456789abcdef");
        let expires = Timestamp::from_unix_seconds(1_767_225_600);
        let description = Some("Nocturne, \"Op. 9\"".to_owned());
        let challenge =
            Challenge::issue(&secret, "localhost:8402", &session_request(), expires, description).expect("issues");
        let field = format!("Basic realm=\"x\", {}", challenge.to_header());
        let parsed = Challenge::from_header(&field).expect("parses").remove(0);
        assert_eq!(parsed, challenge);
        assert_eq!(parsed.session_request().expect("decodes"), session_request());
        assert_eq!(parsed.expires_at(), Ok(Some(expires)));
        let later = Challenge { expires: Some("2036-01-01T00:00:00Z".to_owned()), ..challenge.clone() };
        assert!(!later.is_issued_by(&secret));
        let other_realm = Challenge { realm: "localhost:8403".to_owned(), ..challenge };
        assert!(!other_realm.is_issued_by(&secret));
    }

    #[test]
    fn unknown_fields_of_a_request_are_ignored() {
        let mut json = serde_json::to_value(session_request()).expect("serialises");
        json["future"] = serde_json::json!({"x": 1});
        json["methodDetails"]["future"] = serde_json::json!(true);
        assert_eq!(serde_json::from_value::<SessionRequest>(json).expect("reads"), session_request());
    }

    #[test]
    fn a_secret_is_long_and_never_printed() {
        assert!(ChallengeSecret::new(vec![7; 31]).is_none());
        assert!(!format!("{:?}", secret("0123456789abcdef0123456789abcdef")).contains("0123"));
    }
}
