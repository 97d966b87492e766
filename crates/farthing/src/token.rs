//! ERC-20 tokens: what they are called, who holds them, and letting the escrow pull them: by an approval, or by a
//! signature, of tokens that take one.

use crate::chain::{Chain, ChainError, Mined, to_amount};
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol;
use alloy::sol_types::SolCall;
use farthing_core::funding::{Permit, TokenDomain};
use farthing_core::{Amount, Timestamp, Token, VoucherSignature};

sol! {
    /// What is used of ERC-20.
    interface IERC20 {
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function balanceOf(address holder) external view returns (uint256);
        function allowance(address holder, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

sol! {
    /// What is used of tokens that take their holders' signatures: EIP-2612, EIP-3009 and EIP-5267.
    interface ISigned {
        function name() external view returns (string);
        function version() external view returns (string);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function eip712Domain() external view returns (bytes1 fields, string name, string version, uint256 chainId,
            address verifyingContract, bytes32 salt, uint256[] extensions);
        function nonces(address owner) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }
}

/// The parts of a domain that are a name, a version, a chain and a contract (EIP-5267), and those without the version.
const FIELDS: u8 = 0x0f;
const FIELDS_WITHOUT_VERSION: u8 = 0x0d;

/// What tokens use whose `version` nobody can ask for.
const USUAL_VERSIONS: [&str; 2] = ["1", "2"];

/// How long a permit is good: it is sent at once.
const PERMIT_SECONDS: u64 = 1_200;

/// Thrown when nothing can be signed for a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It has no function for it.
    #[error(
        "{token} takes no signed transfers (EIP-3009), so it can be deposited only by its holder's own transaction"
    )]
    Unsupported {
        /// The token.
        token: Address,
    },
    /// Its domain is not one that its own name, its version and this chain make. A signature in a domain that nobody
    /// worked out might be good for another token.
    #[error("{token} signs in the domain {separator}, which is not made of its name, its version and chain {chain_id}")]
    UnknownDomain {
        /// The token.
        token: Address,
        /// What it says its separator is.
        separator: B256,
        /// The chain.
        chain_id: u64,
    },
}

/// A signed permit, ready to be shown to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedPermit {
    /// The last second in which it is good.
    pub deadline: Timestamp,
    /// The holder's signature.
    pub signature: VoucherSignature,
}

async fn read<C: SolCall>(chain: &Chain, token: Address, call: C) -> Result<C::Return, ChainError> {
    let request = TransactionRequest::default().with_to(token).with_input(call.abi_encode());
    let answer = chain.call(request, BlockNumberOrTag::Latest).await?;
    C::abi_decode_returns(&answer).map_err(|_| ChainError::Reverted {
        reason: format!("{token} is not an ERC-20 token on chain {}", chain.chain_id()),
        data: answer,
    })
}

/// Asks the chain what a token is called; the zero address is the native coin.
///
/// Whether it is worth a dollar nobody can ask a contract: `dollar` is the caller's own declaration.
///
/// # Errors
///
/// If it is no ERC-20, or the chain does not answer.
pub async fn describe(chain: &Chain, address: Address, dollar: bool) -> Result<Token, ChainError> {
    if address.is_zero() {
        return Ok(Token { address, symbol: "ETH".to_owned(), decimals: 18, dollar: false });
    }
    let symbol = read(chain, address, IERC20::symbolCall {}).await?;
    // Shown to people: a token may call itself anything.
    let symbol: String = symbol.chars().filter(|character| character.is_ascii_graphic()).take(12).collect();
    let decimals = read(chain, address, IERC20::decimalsCall {}).await?;
    if decimals > Token::DECIMALS_MAX {
        let reason = format!("{address} has {decimals} decimals, more than the {} supported", Token::DECIMALS_MAX);
        return Err(ChainError::Reverted { reason, data: alloy::primitives::Bytes::new() });
    }
    Ok(Token { address, symbol, decimals, dollar })
}

/// What an address holds of a token (zero: the native coin), at the head.
///
/// # Errors
///
/// If the chain does not answer.
pub async fn balance_of(chain: &Chain, token: Address, holder: Address) -> Result<Amount, ChainError> {
    if token.is_zero() {
        return chain.balance(holder).await;
    }
    to_amount(read(chain, token, IERC20::balanceOfCall { holder }).await?)
}

/// Lets `spender` pull `amount` from the sender, unless it may already. Returns the transactions that were needed:
/// none, one, or two, because some tokens (USDT among them) change an allowance only from zero or to zero.
///
/// Exactly the amount is approved, never everything: what is not approved can't be lost.
///
/// # Errors
///
/// If the token refuses, the sender can't pay the gas, or the chain does not answer.
pub async fn approve_if_needed(
    chain: &Chain,
    token: Address,
    spender: Address,
    amount: Amount,
) -> Result<Vec<Mined>, ChainError> {
    let allowance = allowance(chain, token, spender).await?;
    let amount = U256::from(amount.base_units());
    if allowance >= amount {
        return Ok(Vec::new());
    }
    let mut transactions = Vec::new();
    if !allowance.is_zero() {
        transactions.push(approve(chain, token, spender, U256::ZERO).await?);
    }
    transactions.push(approve(chain, token, spender, amount).await?);
    Ok(transactions)
}

async fn approve(chain: &Chain, token: Address, spender: Address, amount: U256) -> Result<Mined, ChainError> {
    let call = IERC20::approveCall { spender, amount };
    chain.send(TransactionRequest::default().with_to(token).with_input(call.abi_encode())).await
}

/// Asks what a token need not have: nothing if it has no such function.
async fn ask<C: SolCall>(chain: &Chain, token: Address, call: C) -> Result<Option<C::Return>, ChainError> {
    let request = TransactionRequest::default().with_to(token).with_input(call.abi_encode());
    match chain.call(request, BlockNumberOrTag::Latest).await {
        Ok(answer) => Ok(C::abi_decode_returns(&answer).ok()),
        Err(ChainError::Reverted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The domain in which a token's holders sign: the one that its parts make, if its own `DOMAIN_SEPARATOR` agrees.
///
/// # Errors
///
/// [`SigningError::Unsupported`] if it names no separator, [`SigningError::UnknownDomain`] if its parts don't make it,
/// and if the chain does not answer.
pub async fn domain_of(chain: &Chain, token: Address) -> Result<TokenDomain, SigningError> {
    let separator = ask(chain, token, ISigned::DOMAIN_SEPARATORCall {}).await?;
    let separator = separator.ok_or(SigningError::Unsupported { token })?;
    let chain_id = chain.chain_id();
    let agrees = |name: &str, version: Option<&str>| {
        Some(TokenDomain::new(name, version, chain_id, token)).filter(|domain| domain.separator() == separator)
    };
    if let Some(said) = ask(chain, token, ISigned::eip712DomainCall {}).await? {
        // The chain and the contract are ours, whatever it says: the separator shows whether it means them.
        let version = match said.fields.0 {
            [FIELDS] => Some(Some(said.version.as_str())),
            [FIELDS_WITHOUT_VERSION] => Some(None),
            _ => None,
        };
        if let Some(domain) = version.and_then(|version| agrees(&said.name, version)) {
            return Ok(domain);
        }
    }
    if let Some(name) = ask(chain, token, ISigned::nameCall {}).await? {
        let said = ask(chain, token, ISigned::versionCall {}).await?;
        let versions = said.iter().map(String::as_str).chain(USUAL_VERSIONS).map(Some).chain([None]);
        if let Some(domain) = versions.into_iter().find_map(|version| agrees(&name, version)) {
            return Ok(domain);
        }
    }
    Err(SigningError::UnknownDomain { token, separator, chain_id })
}

/// Whether a holder's authorization was used (or cancelled) at the token; nothing if the token knows no authorizations.
///
/// # Errors
///
/// If the chain does not answer.
pub async fn authorization_used(
    chain: &Chain,
    token: Address,
    authorizer: Address,
    nonce: B256,
) -> Result<Option<bool>, ChainError> {
    ask(chain, token, ISigned::authorizationStateCall { authorizer, nonce }).await
}

/// What a spender may take of the sender's tokens already.
///
/// # Errors
///
/// If it is no ERC-20, or the chain does not answer.
pub(crate) async fn allowance(chain: &Chain, token: Address, spender: Address) -> Result<U256, ChainError> {
    let holder = chain.sender().ok_or(ChainError::ReadOnly)?;
    read(chain, token, IERC20::allowanceCall { holder, spender }).await
}

/// Signs the sender's permit for exactly `amount`; nothing if the token takes none, or signs in an unknown domain.
///
/// # Errors
///
/// If the chain does not answer, or this connection has no key.
pub(crate) async fn sign_permit(
    chain: &Chain,
    token: Address,
    spender: Address,
    amount: Amount,
) -> Result<Option<SignedPermit>, ChainError> {
    let owner = chain.sender().ok_or(ChainError::ReadOnly)?;
    let Some(nonce) = ask(chain, token, ISigned::noncesCall { owner }).await? else { return Ok(None) };
    let domain = match domain_of(chain, token).await {
        Ok(domain) => domain,
        Err(SigningError::Chain(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let deadline = chain.time().await?.plus_seconds(PERMIT_SECONDS);
    let permit = Permit { owner, spender, value: amount, nonce, deadline };
    Ok(Some(SignedPermit { deadline, signature: chain.sign_digest(permit.digest(&domain))? }))
}
