//! What a rollup charges for a transaction's bytes, which it publishes elsewhere, apart from the gas.
//!
//! Rollups of the OP stack have a contract that says so, at the same address on each; elsewhere there is no code there,
//! and no such fee: Arbitrum's is part of the gas that it estimates.

use super::{Chain, ChainError, SignedTransaction, to_amount};
use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, TxHash, TxKind, U256, address, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use farthing_core::Amount;

mod bindings {
    alloy::sol! {
        interface GasPriceOracle {
            function getL1Fee(bytes memory unsignedTransaction) external view returns (uint256);
        }
    }
}

use bindings::GasPriceOracle;

/// Where the OP stack has its oracle.
pub const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");

/// The bytes of a batch's usual row.
const ROW_BYTES: usize = 98;

/// The rows of the batch that a row's share is worked out from.
const ROWS: usize = 32;

/// What the bytes of a batch cost, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataFees {
    /// Of the transaction without its rows.
    pub transaction: Amount,
    /// Of one more row.
    pub row: Amount,
}

impl Chain {
    /// What a transaction pays for its bytes, beyond its gas, in wei; zero on a chain without such a fee.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn data_fee(&self, transaction: &SignedTransaction) -> Result<Amount, ChainError> {
        let mut unsigned = Vec::new();
        match &transaction.envelope {
            TxEnvelope::Eip1559(signed) => signed.tx().encode_for_signing(&mut unsigned),
            // Nothing else is signed here.
            _ => return Ok(Amount::ZERO),
        }
        self.data_fee_of(unsigned).await
    }

    /// What the bytes of a batch would cost now.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn data_fees(&self) -> Result<DataFees, ChainError> {
        let transaction = self.data_fee_of(self.batch_of(0)).await?;
        if transaction.is_zero() {
            return Ok(DataFees::default());
        }
        let full = self.data_fee_of(self.batch_of(ROWS)).await?;
        let rows = full.saturating_sub(transaction).base_units();
        let row = Amount::new(rows.div_ceil(u128::try_from(ROWS).unwrap_or(1)));
        Ok(DataFees { transaction, row })
    }

    /// A batch of so many rows, unsigned. Addresses and signatures can't be compressed, and neither can these.
    fn batch_of(&self, rows: usize) -> Vec<u8> {
        let words = (0..rows * ROW_BYTES / 32).map(|word| keccak256(word.to_be_bytes()));
        let input: Vec<u8> = words.flat_map(|word| word.to_vec()).collect();
        let transaction = TxEip1559 {
            chain_id: self.chain_id(),
            nonce: 1_000,
            gas_limit: 10_000_000,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(GAS_PRICE_ORACLE),
            input: input.into(),
            ..TxEip1559::default()
        };
        let mut unsigned = Vec::new();
        transaction.encode_for_signing(&mut unsigned);
        unsigned
    }

    async fn data_fee_of(&self, unsigned: Vec<u8>) -> Result<Amount, ChainError> {
        let call = GasPriceOracle::getL1FeeCall { unsignedTransaction: unsigned.into() };
        let request = TransactionRequest::default().with_to(GAS_PRICE_ORACLE).with_input(call.abi_encode());
        match self.call(request, BlockNumberOrTag::Latest).await {
            // Nobody is there, or somebody else.
            Ok(answer) if answer.len() < 32 => Ok(Amount::ZERO),
            Err(ChainError::Reverted { .. }) => Ok(Amount::ZERO),
            Ok(answer) => to_amount(U256::from_be_slice(answer.get(..32).unwrap_or_default())),
            Err(error) => Err(error),
        }
    }

    /// What a mined transaction has paid for its bytes, as its receipt says on rollups that charge for them.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn data_fee_paid(&self, hash: TxHash) -> Result<Amount, ChainError> {
        let receipt: Option<serde_json::Value> = self
            .provider
            .raw_request("eth_getTransactionReceipt".into(), (hash,))
            .await
            .map_err(|error| self.error(&error))?;
        let fee = receipt.as_ref().and_then(|receipt| receipt.get("l1Fee")).and_then(serde_json::Value::as_str);
        fee.and_then(|fee| fee.parse::<U256>().ok()).map_or(Ok(Amount::ZERO), to_amount)
    }
}
