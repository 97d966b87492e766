//! What a payer signs besides vouchers so that somebody else can send it: a withdrawal from an account, and of tokens
//! that know them a permit (EIP-2612) and an authorization (EIP-3009).
//!
//! Each digest names who pays, how much, to whom and until when. Whoever relays it can send it or not; it can change
//! nothing in it.

use crate::voucher::Domain;
use crate::{Account, Address, Amount, B256, Timestamp};
use alloy_primitives::{U256, keccak256};
use serde::{Deserialize, Serialize};

/// The EIP-712 type of a relayed withdrawal, exactly as it is hashed.
pub const WITHDRAWAL_TYPE: &str = "Withdrawal(address payer,address authorizedSigner,address token,uint256 amount,\
    address to,uint256 nonce,uint256 deadline)";

/// The EIP-712 type of a permit (EIP-2612).
pub const PERMIT_TYPE: &str = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";

/// The EIP-712 type of an authorization that only its receiver can use (EIP-3009).
pub const AUTHORIZATION_TYPE: &str = "ReceiveWithAuthorization(address from,address to,uint256 value,\
    uint256 validAfter,uint256 validBefore,bytes32 nonce)";

/// A payer's order to send money out of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdrawal {
    /// The account it comes from; its payer signs.
    pub account: Account,
    /// How much.
    pub amount: Amount,
    /// Who gets it.
    pub to: Address,
    /// The account's nonce on the chain: each is good for one withdrawal.
    pub nonce: u64,
    /// The last second in which it is good.
    pub deadline: Timestamp,
}

impl Withdrawal {
    /// The EIP-712 digest that the account's payer signs, in the escrow's domain.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let account = &self.account;
        domain.digest_of_struct(hash_words([
            keccak256(WITHDRAWAL_TYPE),
            account.payer.into_word(),
            account.authorized_signer.into_word(),
            account.token.into_word(),
            amount_word(self.amount),
            self.to.into_word(),
            B256::from(U256::from(self.nonce)),
            time_word(self.deadline),
        ]))
    }
}

/// The nonce of an authorization that funds the account or channel with this id and no other:
/// `keccak256(abi.encode(id, salt))`.
#[must_use]
pub fn authorization_nonce(id: B256, salt: B256) -> B256 {
    hash_words([id, salt])
}

/// The EIP-712 domain of a token, worked out from its parts.
///
/// It is never taken from the token's word alone: a token that answers with the separator of another one would have its
/// holders sign transfers of that other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenDomain {
    separator: B256,
}

impl TokenDomain {
    /// The domain of a token with this name and version; a few old tokens have no version in it.
    #[must_use]
    pub fn new(name: &str, version: Option<&str>, chain_id: u64, token: Address) -> Self {
        let (name, chain_id) = (keccak256(name), B256::from(U256::from(chain_id)));
        let separator = match version {
            Some(version) => hash_words([
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                name,
                keccak256(version),
                chain_id,
                token.into_word(),
            ]),
            None => hash_words([
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                name,
                chain_id,
                token.into_word(),
            ]),
        };
        Self { separator }
    }

    /// What the token should say that its separator is.
    #[must_use]
    pub const fn separator(&self) -> B256 {
        self.separator
    }

    fn digest_of_struct(&self, struct_hash: B256) -> B256 {
        keccak256([&[0x19, 0x01], self.separator.as_slice(), struct_hash.as_slice()].concat())
    }
}

/// A holder's leave for a spender to take an amount once (EIP-2612).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permit {
    /// Whose tokens; it signs.
    pub owner: Address,
    /// Who may take them.
    pub spender: Address,
    /// How much.
    pub value: Amount,
    /// The owner's nonce at the token.
    pub nonce: U256,
    /// The last second in which it is good.
    pub deadline: Timestamp,
}

impl Permit {
    /// The digest that the owner signs.
    #[must_use]
    pub fn digest(&self, domain: &TokenDomain) -> B256 {
        domain.digest_of_struct(hash_words([
            keccak256(PERMIT_TYPE),
            self.owner.into_word(),
            self.spender.into_word(),
            amount_word(self.value),
            B256::from(self.nonce),
            time_word(self.deadline),
        ]))
    }
}

/// A holder's order for a transfer that only its receiver can carry out (EIP-3009).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Authorization {
    /// Whose tokens; it signs.
    pub from: Address,
    /// Who gets them and has to ask for them: the escrow.
    pub to: Address,
    /// How much.
    pub value: Amount,
    /// The last second in which it is not good yet.
    pub valid_after: Timestamp,
    /// The first second in which it is not good any more.
    pub valid_before: Timestamp,
    /// What the money is for; see [`authorization_nonce`].
    pub nonce: B256,
}

impl Authorization {
    /// The digest that the holder signs.
    #[must_use]
    pub fn digest(&self, domain: &TokenDomain) -> B256 {
        domain.digest_of_struct(hash_words([
            keccak256(AUTHORIZATION_TYPE),
            self.from.into_word(),
            self.to.into_word(),
            amount_word(self.value),
            time_word(self.valid_after),
            time_word(self.valid_before),
            self.nonce,
        ]))
    }
}

fn amount_word(amount: Amount) -> B256 {
    B256::from(U256::from(amount.base_units()))
}

fn time_word(time: Timestamp) -> B256 {
    B256::from(U256::from(time.unix_seconds()))
}

/// The ABI encoding of static words is the words, one after the other.
fn hash_words<const N: usize>(words: [B256; N]) -> B256 {
    keccak256(words.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    /// As the token itself answers on the main chain.
    #[test]
    fn the_domain_of_usdc_has_version_two() {
        let usdc = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
        let expected = b256!("06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335");
        assert_eq!(TokenDomain::new("USD Coin", Some("2"), 1, usdc).separator(), expected);
        assert_ne!(TokenDomain::new("USD Coin", Some("1"), 1, usdc).separator(), expected);
    }

    #[test]
    fn the_types_are_spelled_as_their_standards_spell_them() {
        // The hashes that EIP-2612 and EIP-3009 print.
        let permit = b256!("6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9");
        assert_eq!(keccak256(PERMIT_TYPE), permit);
        let authorization = b256!("d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8");
        assert_eq!(keccak256(AUTHORIZATION_TYPE), authorization);
    }
}
