//! ERC-20 tokens: what they are called, who holds them, and letting the escrow pull them.

use crate::chain::{Chain, ChainError, Mined, to_amount};
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol;
use alloy::sol_types::SolCall;
use farthing_core::{Amount, Token};

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

/// Lets `spender` pull `amount` from the sender, unless it may already. Returns the transactions that were needed: none,
/// one, or two, because some tokens (USDT among them) change an allowance only from zero or to zero.
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
    let holder = chain.sender().ok_or(ChainError::ReadOnly)?;
    let allowance = read(chain, token, IERC20::allowanceCall { holder, spender }).await?;
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
