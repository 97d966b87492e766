//! What is asked of the escrow, before it is encoded.

use crate::bindings::Escrow;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::SolCall;
use farthing_core::{Account, Channel};
use std::fmt;

/// One transaction to the escrow.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who sends it.
    pub caller: Address,
    /// The native coin sent along.
    pub value: U256,
    /// Whether the caller leaves too little gas for a refund to be tried safely.
    pub is_scant_of_gas: bool,
    /// What it asks for.
    pub action: Action,
}

/// A signature of which it is known how it was made, so that nobody has to recover its signer.
#[derive(Clone)]
pub struct Signature {
    /// What is sent.
    pub bytes: Vec<u8>,
    /// Which key signed which digest; none if these are no signature, or nobody's.
    pub signed: Option<(Address, B256)>,
    /// Whether it has the one form that the escrow takes: low `s`, 64 bytes, or 65 with 27 or 28 at the end.
    pub is_canonical: bool,
}

/// Where the money of a funding call comes from.
#[derive(Clone, Debug)]
pub enum Funding {
    /// The caller, who sends the native coin or has approved the escrow.
    Caller,
    /// The caller, with a permit (EIP-2612).
    Permit {
        /// Its last second.
        deadline: U256,
        /// The caller's, if it is good.
        signature: Signature,
    },
    /// The payer, with an authorization (EIP-3009).
    Authorization {
        /// It is good after this second.
        valid_after: U256,
        /// It is good before this second.
        valid_before: U256,
        /// Goes into its nonce.
        salt: B256,
        /// The payer's, if it is good.
        signature: Signature,
    },
}

/// One row of a batch.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose channel with the batch's payee and token it is.
    pub payer: Address,
    /// The channel's authorized signer.
    pub authorized_signer: Address,
    /// The channel's salt.
    pub salt: B256,
    /// What is promised; 104 bits.
    pub cumulative_amount: u128,
    /// 64 bytes (EIP-2098).
    pub signature: Signature,
    /// Spells out the signer and the salt although they are as usual.
    pub is_verbose: bool,
}

/// A function of the escrow with its arguments.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "IEscrow.sol documents them")]
pub enum Action {
    Deposit { account: Account, amount: U256, funding: Funding },
    Open { channel: Channel, amount: U256, funding: Funding },
    Reserve { channel: Channel, amount: U256 },
    Redeem { channel: Channel, cumulative_amount: u128, signature: Signature },
    RedeemTo { channel: Channel, cumulative_amount: u128, signature: Signature, to: Address },
    RedeemBatch { payee: Address, token: Address, rows: Vec<Row>, tail: Vec<u8> },
    Close { channel: Channel, cumulative_amount: u128, signature: Signature },
    SetOperator { operator: Address, is_allowed: bool },
    RequestClose { channel: Channel },
    FinalizeClose { channel: Channel },
    Withdraw { account: Account, amount: U256, to: Address },
    WithdrawFor { account: Account, amount: U256, to: Address, deadline: U256, signature: Signature },
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, signed, is_canonical } = self;
        write!(formatter, "{} (signed {signed:?}, canonical {is_canonical})", hex::encode_prefixed(bytes))
    }
}

impl Signature {
    /// Whether the escrow has to take it as this key's over this digest.
    #[must_use]
    pub fn is_by(&self, signer: Address, digest: B256) -> bool {
        self.is_canonical && self.signed == Some((signer, digest))
    }

    /// `v`, `r` and `s`, as tokens take them; 65 bytes only.
    fn split(&self) -> (u8, B256, B256) {
        (self.bytes[64], B256::from_slice(&self.bytes[..32]), B256::from_slice(&self.bytes[32..64]))
    }
}

impl Row {
    /// `flags | payer | cumulativeAmount | authorizedSigner? | salt? | signature`, as IEscrow.sol lays it out, or
    /// without the signature, as `BatchRedeemed` does.
    #[must_use]
    pub fn encode(&self, cumulative_amount: u128, with_signature: bool) -> Vec<u8> {
        let has_signer = self.is_verbose || self.authorized_signer != self.payer;
        let has_salt = self.is_verbose || !self.salt.is_zero();
        let mut bytes = vec![u8::from(has_signer) | (u8::from(has_salt) << 1)];
        bytes.extend_from_slice(self.payer.as_slice());
        bytes.extend_from_slice(&cumulative_amount.to_be_bytes()[3..]);
        if has_signer {
            bytes.extend_from_slice(self.authorized_signer.as_slice());
        }
        if has_salt {
            bytes.extend_from_slice(self.salt.as_slice());
        }
        if with_signature {
            bytes.extend_from_slice(&self.signature.bytes);
        }
        bytes
    }
}

/// All rows one after the other.
#[must_use]
pub fn encode_rows(rows: &[Row]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.encode(row.cumulative_amount, true)).collect()
}

impl Action {
    /// The function's name in the ABI.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deposit { funding: Funding::Caller, .. } => "deposit",
            Self::Deposit { funding: Funding::Permit { .. }, .. } => "depositWithPermit",
            Self::Deposit { funding: Funding::Authorization { .. }, .. } => "depositWithAuthorization",
            Self::Open { funding: Funding::Caller, .. } => "open",
            Self::Open { funding: Funding::Permit { .. }, .. } => "openWithPermit",
            Self::Open { funding: Funding::Authorization { .. }, .. } => "openWithAuthorization",
            Self::Reserve { .. } => "reserve",
            Self::Redeem { .. } => "redeem",
            Self::RedeemTo { .. } => "redeemTo",
            Self::RedeemBatch { .. } => "redeemBatch",
            Self::Close { .. } => "close",
            Self::SetOperator { .. } => "setOperator",
            Self::RequestClose { .. } => "requestClose",
            Self::FinalizeClose { .. } => "finalizeClose",
            Self::Withdraw { .. } => "withdraw",
            Self::WithdrawFor { .. } => "withdrawFor",
        }
    }

    /// Whether the native coin may be sent along.
    #[must_use]
    pub const fn is_payable(&self) -> bool {
        matches!(self, Self::Deposit { funding: Funding::Caller, .. } | Self::Open { funding: Funding::Caller, .. })
    }

    /// The transaction's data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Deposit { account, amount, funding } => encode_deposit(abi_account(account), *amount, funding),
            Self::Open { channel, amount, funding } => encode_open(abi_channel(channel), *amount, funding),
            Self::Reserve { channel, amount } => {
                Escrow::reserveCall { channel: abi_channel(channel), amount: *amount }.abi_encode()
            }
            Self::Redeem { channel, cumulative_amount, signature } => Escrow::redeemCall {
                channel: abi_channel(channel),
                cumulativeAmount: *cumulative_amount,
                signature: Bytes::copy_from_slice(&signature.bytes),
            }
            .abi_encode(),
            Self::RedeemTo { channel, cumulative_amount, signature, to } => Escrow::redeemToCall {
                channel: abi_channel(channel),
                cumulativeAmount: *cumulative_amount,
                signature: Bytes::copy_from_slice(&signature.bytes),
                to: *to,
            }
            .abi_encode(),
            Self::RedeemBatch { payee, token, rows, tail } => {
                let rows = [encode_rows(rows), tail.clone()].concat().into();
                Escrow::redeemBatchCall { payee: *payee, token: *token, rows }.abi_encode()
            }
            Self::Close { channel, cumulative_amount, signature } => Escrow::closeCall {
                channel: abi_channel(channel),
                cumulativeAmount: *cumulative_amount,
                signature: Bytes::copy_from_slice(&signature.bytes),
            }
            .abi_encode(),
            Self::SetOperator { operator, is_allowed } => {
                Escrow::setOperatorCall { operator: *operator, allowed: *is_allowed }.abi_encode()
            }
            Self::RequestClose { channel } => Escrow::requestCloseCall { channel: abi_channel(channel) }.abi_encode(),
            Self::FinalizeClose { channel } => Escrow::finalizeCloseCall { channel: abi_channel(channel) }.abi_encode(),
            Self::Withdraw { account, amount, to } => {
                Escrow::withdrawCall { account: abi_account(account), amount: *amount, to: *to }.abi_encode()
            }
            Self::WithdrawFor { account, amount, to, deadline, signature } => Escrow::withdrawForCall {
                account: abi_account(account),
                amount: *amount,
                to: *to,
                deadline: *deadline,
                signature: Bytes::copy_from_slice(&signature.bytes),
            }
            .abi_encode(),
        }
    }
}

fn encode_deposit(account: Escrow::Account, amount: U256, funding: &Funding) -> Vec<u8> {
    match funding {
        Funding::Caller => Escrow::depositCall { account, amount }.abi_encode(),
        Funding::Permit { deadline, signature } => {
            Escrow::depositWithPermitCall { account, amount, permit: abi_permit(*deadline, signature) }.abi_encode()
        }
        Funding::Authorization { valid_after, valid_before, salt, signature } => {
            let authorization = abi_authorization(*valid_after, *valid_before, *salt, signature);
            Escrow::depositWithAuthorizationCall { account, amount, authorization }.abi_encode()
        }
    }
}

fn encode_open(channel: Escrow::Channel, amount: U256, funding: &Funding) -> Vec<u8> {
    match funding {
        Funding::Caller => Escrow::openCall { channel, amount }.abi_encode(),
        Funding::Permit { deadline, signature } => {
            Escrow::openWithPermitCall { channel, amount, permit: abi_permit(*deadline, signature) }.abi_encode()
        }
        Funding::Authorization { valid_after, valid_before, salt, signature } => {
            let authorization = abi_authorization(*valid_after, *valid_before, *salt, signature);
            Escrow::openWithAuthorizationCall { channel, amount, authorization }.abi_encode()
        }
    }
}

/// The account as the ABI has it.
#[must_use]
pub const fn abi_account(account: &Account) -> Escrow::Account {
    Escrow::Account { payer: account.payer, authorizedSigner: account.authorized_signer, token: account.token }
}

/// The channel as the ABI has it.
#[must_use]
pub const fn abi_channel(channel: &Channel) -> Escrow::Channel {
    Escrow::Channel {
        payer: channel.payer,
        payee: channel.payee,
        token: channel.token,
        salt: channel.salt,
        authorizedSigner: channel.authorized_signer,
    }
}

fn abi_permit(deadline: U256, signature: &Signature) -> Escrow::Permit {
    let (v, r, s) = signature.split();
    Escrow::Permit { deadline, v, r, s }
}

fn abi_authorization(
    valid_after: U256,
    valid_before: U256,
    salt: B256,
    signature: &Signature,
) -> Escrow::Authorization {
    let (v, r, s) = signature.split();
    Escrow::Authorization { validAfter: valid_after, validBefore: valid_before, salt, v, r, s }
}
