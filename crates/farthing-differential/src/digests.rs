//! What is signed, in the chain's present domain: the live chain id, whatever the escrow was deployed on.

use crate::bindings::{Permit, ReceiveWithAuthorization, Withdrawal};
use crate::money::Money;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue, eip712_domain};
use farthing_core::voucher::Domain;
use farthing_core::{Account, Amount, ChannelId, Deployment, Voucher};

/// The domain in which an escrow reads what is signed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signing {
    escrow: Address,
    chain_id: u64,
    domain: Domain,
    /// The dollars' separators, worked out once.
    dollars: [(Address, B256); 2],
}

impl Signing {
    /// The domain of an escrow on a chain that calls itself `chain_id` now.
    #[must_use]
    pub fn new(escrow: Address, chain_id: u64) -> Self {
        let dollars = Money::dollars().map(|token| (token, separator(token, chain_id)));
        Self { escrow, chain_id, domain: Domain::new(Deployment { chain_id, escrow }), dollars }
    }

    /// What a chain calls itself now.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// A voucher's digest.
    #[must_use]
    pub fn voucher(&self, channel_id: ChannelId, cumulative_amount: u128) -> B256 {
        Voucher { channel_id, cumulative_amount: Amount::new(cumulative_amount) }.digest(&self.domain)
    }

    /// A relayed withdrawal's digest.
    #[must_use]
    pub fn withdrawal(&self, account: &Account, amount: U256, to: Address, nonce: u64, deadline: U256) -> B256 {
        let withdrawal = Withdrawal {
            payer: account.payer,
            authorizedSigner: account.authorized_signer,
            token: account.token,
            amount,
            to,
            nonce: U256::from(nonce),
            deadline,
        };
        self.domain.digest_of_struct(withdrawal.eip712_hash_struct())
    }

    /// The digest of a permit for the escrow, at a demo dollar (EIP-2612).
    #[must_use]
    pub fn permit(&self, token: Address, owner: Address, value: U256, nonce: U256, deadline: U256) -> B256 {
        let permit = Permit { owner, spender: self.escrow, value, nonce, deadline };
        self.at_token(token, &permit)
    }

    /// The digest of an authorization for the escrow, at a demo dollar (EIP-3009).
    #[must_use]
    pub fn authorization(
        &self,
        token: Address,
        from: Address,
        value: U256,
        (valid_after, valid_before): (U256, U256),
        nonce: B256,
    ) -> B256 {
        let authorization = ReceiveWithAuthorization {
            from,
            to: self.escrow,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
        };
        self.at_token(token, &authorization)
    }

    fn at_token(&self, token: Address, message: &impl SolStruct) -> B256 {
        let known = self.dollars.iter().find(|(dollar, _)| *dollar == token);
        let separator = known.map_or_else(|| separator(token, self.chain_id), |(_, separator)| *separator);
        keccak256([&[0x19, 0x01], separator.as_slice(), message.eip712_hash_struct().as_slice()].concat())
    }
}

/// The EIP-712 separator of a demo dollar.
fn separator(token: Address, chain_id: u64) -> B256 {
    let domain = eip712_domain! {
        name: "Demo Dollar",
        version: "1",
        chain_id: chain_id,
        verifying_contract: token,
    };
    domain.separator()
}

/// The nonce of an authorization that funds this account or channel.
#[must_use]
pub fn authorization_nonce(id: B256, salt: B256) -> B256 {
    keccak256((id, salt).abi_encode())
}
