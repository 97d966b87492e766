//! The signed promise: *in total, this channel owes you N*.
//!
//! A voucher goes through four states, each a type of its own, so that no code can charge against or redeem what was
//! not checked: [`Voucher`] → [`SignedVoucher`] → [`VerifiedVoucher`] → [`AcceptedVoucher`]. Only
//! [`SignedVoucher::verify`] and its sisters make the third, only the [ledger](crate::ledger) makes the last.

use crate::signer::SignerKey;
use crate::{AccountId, Amount, Channel, ChannelId, Deployment};
use alloy_primitives::{Address, B256, U256, b256, keccak256};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The EIP-712 type of a voucher, exactly as it is hashed.
pub const VOUCHER_TYPE: &str = "Voucher(bytes32 channelId,uint128 cumulativeAmount)";

/// The EIP-712 domain's name.
pub const DOMAIN_NAME: &str = "Farthing Escrow";

/// The EIP-712 domain's version.
pub const DOMAIN_VERSION: &str = "1";

/// Hash of [`VOUCHER_TYPE`].
const VOUCHER_TYPE_HASH: B256 = b256!("e97c93f01d3ef8eaba1586553df13308f236815bf4ea49c7b696895d8f5ea68a");

/// Hash of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE_HASH: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");

/// Half the order of secp256k1, rounded down. Of the two `s` that are valid for a message only the lower is accepted
/// (EIP-2), so that one promise has one signature.
const LOW_S_MAX: B256 = b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// A promise that is not signed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// The channel that owes.
    pub channel_id: ChannelId,
    /// All it owes since it exists. Vouchers only grow, and only the highest is redeemed.
    pub cumulative_amount: Amount,
}

/// The EIP-712 domain of one escrow, with its separator worked out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    deployment: Deployment,
    separator: B256,
}

impl Domain {
    /// The domain of an escrow.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        let mut preimage = [0_u8; 160];
        let words = [
            DOMAIN_TYPE_HASH,
            keccak256(DOMAIN_NAME),
            keccak256(DOMAIN_VERSION),
            B256::from(U256::from(deployment.chain_id)),
            deployment.escrow.into_word(),
        ];
        for (target, word) in preimage.chunks_exact_mut(32).zip(words) {
            target.copy_from_slice(word.as_slice());
        }
        Self { deployment, separator: keccak256(preimage) }
    }

    /// The escrow that this domain is of.
    #[must_use]
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// `keccak256(0x1901 | separator | structHash)`, the digest of EIP-712.
    #[must_use]
    pub fn digest_of_struct(&self, struct_hash: B256) -> B256 {
        let mut preimage = [0_u8; 66];
        let (prefix, rest) = preimage.split_at_mut(2);
        prefix.copy_from_slice(&[0x19, 0x01]);
        let (separator, inner) = rest.split_at_mut(32);
        separator.copy_from_slice(self.separator.as_slice());
        inner.copy_from_slice(struct_hash.as_slice());
        keccak256(preimage)
    }
}

impl Voucher {
    /// The EIP-712 digest that the channel's authorized signer signs.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let mut preimage = [0_u8; 96];
        let words = [VOUCHER_TYPE_HASH, self.channel_id.0, B256::from(U256::from(self.cumulative_amount.base_units()))];
        for (target, word) in preimage.chunks_exact_mut(32).zip(words) {
            target.copy_from_slice(word.as_slice());
        }
        domain.digest_of_struct(keccak256(preimage))
    }

    /// Puts a signature beside the promise. Nothing is checked yet.
    #[must_use]
    pub const fn with_signature(self, signature: VoucherSignature) -> SignedVoucher {
        SignedVoucher { voucher: self, signature }
    }
}

/// Thrown when bytes are no signature that the escrow would accept, or it is by another key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Neither 65 bytes (r, s, v) nor 64 (EIP-2098), or not hex.
    #[error("a signature is 65 bytes, or 64 as in EIP-2098, in hex with 0x")]
    Malformed,
    /// The last of 65 bytes is neither 27 nor 28; the chain accepts no other.
    #[error("the recovery byte is {0}, not 27 or 28")]
    RecoveryByte(u8),
    /// The higher of the two `s`, which anyone can make from the lower.
    #[error("the signature's s is in the upper half of the curve's order")]
    HighS,
    /// No key has signed this digest with these numbers.
    #[error("the signature has no signer")]
    NoSigner,
    /// A key signed, but not the one the channel names.
    #[error("signed by {actual}, not by the channel's authorized signer {expected}")]
    SignerMismatch {
        /// Who signed.
        actual: Address,
        /// Who should have.
        expected: Address,
    },
    /// Not signed by the channel's key, which is known.
    #[error("not signed by the channel's authorized signer {expected}")]
    NotByChannelsSigner {
        /// Who should have signed.
        expected: Address,
    },
}

/// An ECDSA signature in the form that the escrow accepts: low `s`, recovery byte 27 or 28.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VoucherSignature([u8; 65]);

impl VoucherSignature {
    /// Takes 65 bytes (r, s, v with v 27 or 28) or 64 (r, vs; EIP-2098).
    ///
    /// # Errors
    ///
    /// If the length, the recovery byte or `s` is one that the escrow refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let mut canonical = [0_u8; 65];
        let (body, recovery) = canonical.split_at_mut(64);
        match bytes.len() {
            64 => {
                body.copy_from_slice(bytes);
                recovery[0] = 27_u8.saturating_add(body[32] >> 7);
                body[32] &= 0x7f;
            }
            65 => {
                let (given, v) = bytes.split_at(64);
                body.copy_from_slice(given);
                recovery[0] = v[0];
            }
            _ => return Err(SignatureError::Malformed),
        }
        if !matches!(canonical[64], 27 | 28) {
            return Err(SignatureError::RecoveryByte(canonical[64]));
        }
        if canonical[32..64] > LOW_S_MAX[..] {
            return Err(SignatureError::HighS);
        }
        Ok(Self(canonical))
    }

    /// r, s and v, 65 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 65] {
        self.0
    }

    /// r and vs, 64 bytes (EIP-2098).
    #[must_use]
    pub fn to_compact(self) -> [u8; 64] {
        let mut compact = [0_u8; 64];
        compact.copy_from_slice(&self.0[..64]);
        // A low s leaves the top bit free for the parity.
        if self.0[64] == 28 {
            compact[32] |= 0x80;
        }
        compact
    }

    /// The address whose key signed `digest`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::NoSigner`] if there is none.
    pub fn recover(&self, digest: B256) -> Result<Address, SignatureError> {
        SignerKey::recover(self, digest).map(|key| key.address())
    }

    /// r and s.
    pub(crate) fn scalars(&self) -> &[u8; 64] {
        // 65 bytes begin with 64.
        self.0.first_chunk().unwrap_or(&[0; 64])
    }

    /// Whether the point that r is of has an odd y.
    pub(crate) const fn is_odd(&self) -> bool {
        self.0[64] == 28
    }

    /// The same numbers with the only other recovery byte there is.
    pub(crate) const fn with_other_recovery_byte(mut self) -> Self {
        self.0[64] = if self.is_odd() { 27 } else { 28 };
        self
    }
}

impl fmt::Display for VoucherSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&alloy_primitives::hex::encode_prefixed(self.0))
    }
}

impl fmt::Debug for VoucherSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for VoucherSignature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let digits = text.strip_prefix("0x").ok_or(SignatureError::Malformed)?;
        // Checked before decoding, so that a long text costs nothing.
        if digits.len() > 130 {
            return Err(SignatureError::Malformed);
        }
        let bytes = alloy_primitives::hex::decode(digits).map_err(|_| SignatureError::Malformed)?;
        Self::from_bytes(&bytes)
    }
}

impl Serialize for VoucherSignature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for VoucherSignature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            Self::from_bytes(&Vec::<u8>::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

/// A promise with a signature that nobody has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedVoucher {
    /// The promise.
    #[serde(flatten)]
    pub voucher: Voucher,
    /// What stands beside it.
    pub signature: VoucherSignature,
}

impl SignedVoucher {
    /// Checks that the channel's authorized signer signed this promise for exactly this channel and escrow.
    ///
    /// A recovery byte that alone is wrong is put right: the rest proves who signed, and the escrow needs it.
    ///
    /// # Errors
    ///
    /// If there is no signer, or it is another one: which is also how a voucher of another chain, escrow or channel
    /// shows, because each of them changes the digest.
    pub fn verify(self, domain: &Domain, channel: &Channel) -> Result<VerifiedVoucher, SignatureError> {
        self.meet(domain, channel).map(|(voucher, _)| voucher)
    }

    /// The same, and learns the channel for [`SignedVoucher::verify_known`], which costs less.
    ///
    /// # Errors
    ///
    /// As [`SignedVoucher::verify`].
    pub fn meet(self, domain: &Domain, channel: &Channel) -> Result<(VerifiedVoucher, KnownChannel), SignatureError> {
        let voucher = self.of(domain, channel);
        let found = SignerKey::expect(channel.authorized_signer, self.signature, voucher.digest(domain));
        found.map(|(key, signature)| Self { voucher, signature }.met(channel, key))
    }

    /// The same for many, each with its channel: with the feature `lanes`, on a processor that has them, many together
    /// take less time than one by one.
    ///
    /// # Errors
    ///
    /// For each as [`SignedVoucher::verify`].
    pub fn meet_together(
        vouchers: &[(Self, &Channel)],
        domain: &Domain,
    ) -> Vec<Result<(VerifiedVoucher, KnownChannel), SignatureError>> {
        let promises: Vec<Voucher> = vouchers.iter().map(|(signed, channel)| signed.of(domain, channel)).collect();
        let claims = vouchers.iter().zip(&promises);
        let claims = claims
            .map(|((signed, channel), promise)| (channel.authorized_signer, signed.signature, promise.digest(domain)));
        let found = SignerKey::expect_together(&claims.collect::<Vec<_>>());
        let met = vouchers.iter().zip(promises).zip(found);
        met.map(|(((_, channel), voucher), found)| {
            found.map(|(key, signature)| Self { voucher, signature }.met(channel, key))
        })
        .collect()
    }

    /// What is promised if it is this channel: its id in this domain, whatever else the promise says.
    fn of(&self, domain: &Domain, channel: &Channel) -> Voucher {
        Voucher { channel_id: channel.id(domain.deployment()), ..self.voucher }
    }

    /// Of a channel whose signer has this key, and did sign.
    fn met(self, channel: &Channel, key: SignerKey) -> (VerifiedVoucher, KnownChannel) {
        let (id, account_id) = (self.voucher.channel_id, channel.account().id());
        let verified = VerifiedVoucher { signed: self, channel: *channel, account_id };
        (verified, KnownChannel { id, account_id, channel: *channel, key })
    }

    /// The same for a channel that a voucher has been [met](SignedVoucher::meet) of. The recovery byte is not looked at:
    /// whoever redeems the voucher [verifies](SignedVoucher::verify) it again.
    ///
    /// # Errors
    ///
    /// [`SignatureError::NotByChannelsSigner`]: who it is by instead is not worth finding out.
    pub fn verify_known(self, domain: &Domain, known: &KnownChannel) -> Result<VerifiedVoucher, SignatureError> {
        known.verified(self, known.key.has_signed(&self.signature, known.digest(&self, domain)))
    }

    /// The same for many, each with its channel: with the feature `lanes`, on a processor that has them, many together
    /// take less time than one by one.
    ///
    /// # Errors
    ///
    /// For each as [`SignedVoucher::verify_known`].
    pub fn verify_known_together(
        vouchers: &[(Self, &KnownChannel)],
        domain: &Domain,
    ) -> Vec<Result<VerifiedVoucher, SignatureError>> {
        let claims =
            vouchers.iter().map(|(signed, known)| (&known.key, &signed.signature, known.digest(signed, domain)));
        let claims: Vec<_> = claims.collect();
        let found = SignerKey::have_signed(&claims);
        vouchers.iter().zip(found).map(|((signed, known), has_signed)| known.verified(*signed, has_signed)).collect()
    }
}

/// A channel whose signer's key is known, because a voucher of it was verified; with its ids, which take hashes to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownChannel {
    id: ChannelId,
    account_id: AccountId,
    channel: Channel,
    key: SignerKey,
}

impl KnownChannel {
    /// The channel's id.
    #[must_use]
    pub const fn id(&self) -> ChannelId {
        self.id
    }

    /// The id of the account behind it.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        self.account_id
    }

    /// The channel's terms.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A channel of another escrow or chain has another id, so nobody signs it in this domain.
    fn digest(&self, signed: &SignedVoucher, domain: &Domain) -> B256 {
        Voucher { channel_id: self.id, ..signed.voucher }.digest(domain)
    }

    fn verified(&self, signed: SignedVoucher, has_signed: bool) -> Result<VerifiedVoucher, SignatureError> {
        if !has_signed {
            return Err(SignatureError::NotByChannelsSigner { expected: self.key.address() });
        }
        let voucher = Voucher { channel_id: self.id, ..signed.voucher };
        let signed = SignedVoucher { voucher, ..signed };
        Ok(VerifiedVoucher { signed, channel: self.channel, account_id: self.account_id })
    }
}

/// A promise that its channel's authorized signer did sign. Whether it is worth anything, the ledger decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedVoucher {
    signed: SignedVoucher,
    channel: Channel,
    account_id: AccountId,
}

impl VerifiedVoucher {
    /// The promise.
    #[must_use]
    pub const fn voucher(&self) -> Voucher {
        self.signed.voucher
    }

    /// The signature beside it.
    #[must_use]
    pub const fn signature(&self) -> VoucherSignature {
        self.signed.signature
    }

    /// The terms of the channel it is of.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The id of the account behind the channel.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        self.account_id
    }

    /// Only the ledger decides that a voucher counts.
    pub(crate) const fn into_accepted(self) -> AcceptedVoucher {
        AcceptedVoucher(self)
    }
}

/// A promise that the ledger has taken: items are charged against it and it can be redeemed. It is a verified one, and
/// reads like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedVoucher(VerifiedVoucher);

impl std::ops::Deref for AcceptedVoucher {
    type Target = VerifiedVoucher;

    fn deref(&self) -> &VerifiedVoucher {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_hashes_are_those_of_the_type_strings() {
        assert_eq!(VOUCHER_TYPE_HASH, keccak256(VOUCHER_TYPE));
        let domain = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
        assert_eq!(DOMAIN_TYPE_HASH, keccak256(domain));
    }
}
