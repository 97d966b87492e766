//! Who pays whom: accounts, channels and the escrow they live in.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One escrow contract on one chain: what every id and digest is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The chain's id (EIP-155).
    pub chain_id: u64,
    /// The escrow's address.
    pub escrow: Address,
}

impl fmt::Display for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "escrow {} on chain {}", self.escrow, self.chain_id)
    }
}

/// A payer's prepaid purse for one authorized signer and one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Who may withdraw and reserve.
    pub payer: Address,
    /// The key whose vouchers are paid from this account; often the payer itself.
    pub authorized_signer: Address,
    /// The ERC-20, or zero for the native coin.
    pub token: Address,
}

/// The terms of a payment channel; its id proves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Whose money it is until it is redeemed.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// The ERC-20, or zero for the native coin.
    pub token: Address,
    /// Tells channels between the same two parties apart.
    pub salt: B256,
    /// The key whose vouchers are good.
    pub authorized_signer: Address,
}

/// An account's id: `keccak256(abi.encode(payer, authorizedSigner, token))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub B256);

/// A channel's id:
/// `keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, escrow, chainIdAtDeployment))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub B256);

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Account {
    /// The account's id, the same in every escrow.
    #[must_use]
    pub fn id(&self) -> AccountId {
        let words = [self.payer.into_word(), self.authorized_signer.into_word(), self.token.into_word()];
        AccountId(hash_words(words))
    }
}

impl Channel {
    /// The channel's id inside one escrow.
    #[must_use]
    pub fn id(&self, deployment: &Deployment) -> ChannelId {
        let words = [
            self.payer.into_word(),
            self.payee.into_word(),
            self.token.into_word(),
            self.salt,
            self.authorized_signer.into_word(),
            deployment.escrow.into_word(),
            B256::from(U256::from(deployment.chain_id)),
        ];
        ChannelId(hash_words(words))
    }

    /// The account that pays once the channel's reservation is used up.
    #[must_use]
    pub const fn account(&self) -> Account {
        Account { payer: self.payer, authorized_signer: self.authorized_signer, token: self.token }
    }
}

/// The ABI encoding of static words is the words, one after the other.
fn hash_words<const N: usize>(words: [B256; N]) -> B256 {
    let bytes: Vec<u8> = words.iter().flatten().copied().collect();
    keccak256(bytes)
}
