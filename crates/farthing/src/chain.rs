//! A connection to a chain, and sending transactions over it.

use alloy::consensus::Transaction;
use alloy::eips::BlockNumberOrTag;
use alloy::network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, TxHash, U256};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::TransportError;
use farthing_core::{Amount, Timestamp};
use std::time::Duration;
use url::Url;

/// How long one RPC request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Thrown when a chain can't be reached, refuses, or reverts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No answer, or one that makes no sense.
    #[error("the chain at {url} does not answer: {reason}")]
    Unreachable {
        /// The RPC URL, without its path and query: they often hold a key.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Another chain than expected.
    #[error("the RPC serves chain {actual}, not chain {expected}")]
    WrongChain {
        /// What it serves.
        actual: u64,
        /// What was asked for.
        expected: u64,
    },
    /// The contract refused; `reason` is its error with the values in it.
    #[error("the contract refuses: {reason}")]
    Reverted {
        /// The decoded error.
        reason: String,
        /// The raw revert data.
        data: Bytes,
    },
    /// The sender can't pay the gas.
    #[error("{sender} has too little of the native coin to pay for gas: {reason}")]
    NoGas {
        /// Who sends.
        sender: Address,
        /// The node's words.
        reason: String,
    },
    /// Sent, but not mined in time. It may still be.
    #[error("transaction {hash} was sent but not mined within {seconds} s; it may still be")]
    NotMined {
        /// Its hash.
        hash: TxHash,
        /// How long was waited.
        seconds: u64,
    },
    /// This connection has no key to send with.
    #[error("this connection can only read; sending needs a key")]
    ReadOnly,
    /// An amount on the chain does not fit.
    #[error("the chain returned {0}, which is no amount")]
    Amount(U256),
}

/// A block of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, as whoever made it says.
    pub at: Timestamp,
}

/// A mined transaction that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub hash: TxHash,
    /// The block it is in.
    pub block: u64,
    /// The gas it used.
    pub gas_used: u64,
    /// Wei paid per unit of gas.
    pub gas_price: u128,
}

/// A transaction that is signed and not sent yet, so that its hash can be written down first.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    /// Its hash.
    pub hash: TxHash,
    envelope: alloy::consensus::TxEnvelope,
}

impl SignedTransaction {
    /// The sender's nonce in it.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }
}

/// A connection to one chain, with or without a key to send with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    provider: DynProvider,
    sender: Option<Sender>,
    url: String,
    chain_id: u64,
}

#[derive(Clone, Debug)]
struct Sender {
    address: Address,
    wallet: EthereumWallet,
}

impl Chain {
    /// How long [`Chain::send`] waits for a transaction to be mined.
    pub const MINED_WITHIN: Duration = Duration::from_secs(180);

    /// Connects over HTTP and asks which chain it is.
    ///
    /// # Errors
    ///
    /// If nothing answers.
    pub async fn connect(url: &Url, key: Option<PrivateKeySigner>) -> Result<Self, ChainError> {
        let shown = shown_url(url);
        let unreachable = |reason: String| ChainError::Unreachable { url: shown.clone(), reason };
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        // The fillers are ours: see `sign`.
        let provider = ProviderBuilder::default().connect_reqwest(client, url.clone()).erased();
        let chain_id = provider.get_chain_id().await.map_err(|error| unreachable(without_url(&error)))?;
        let sender = key.map(|key| Sender { address: key.address(), wallet: EthereumWallet::from(key) });
        Ok(Self { provider, sender, url: shown, chain_id })
    }

    /// The same, and refuses any chain but `expected`.
    ///
    /// # Errors
    ///
    /// If nothing answers, or it is another chain.
    pub async fn connect_to(url: &Url, key: Option<PrivateKeySigner>, expected: u64) -> Result<Self, ChainError> {
        let chain = Self::connect(url, key).await?;
        if chain.chain_id != expected {
            return Err(ChainError::WrongChain { actual: chain.chain_id, expected });
        }
        Ok(chain)
    }

    /// The chain's id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Who sends, if this connection can.
    #[must_use]
    pub fn sender(&self) -> Option<Address> {
        self.sender.as_ref().map(|sender| sender.address)
    }

    /// The connection underneath, for reads that this library has no method for.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// An account's native coin at the head.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn balance(&self, address: Address) -> Result<Amount, ChainError> {
        let balance = self.provider.get_balance(address).await.map_err(|error| self.error(&error))?;
        to_amount(balance)
    }

    /// How many transactions an address has sent, at the head.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn transactions_of(&self, address: Address) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(address).await.map_err(|error| self.error(&error))
    }

    /// Whether there is code at an address. Money sent to a right but empty address is gone.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn has_code(&self, address: Address) -> Result<bool, ChainError> {
        let code = self.provider.get_code_at(address).await.map_err(|error| self.error(&error))?;
        Ok(!code.is_empty())
    }

    /// A block, by tag or number; `None` if the chain has none there yet.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn block(&self, block: BlockNumberOrTag) -> Result<Option<Block>, ChainError> {
        let found = self.provider.get_block_by_number(block).await.map_err(|error| self.error(&error))?;
        Ok(found.map(|block| Block {
            number: block.header.number,
            hash: block.header.hash,
            at: Timestamp::from_unix_seconds(block.header.timestamp),
        }))
    }

    /// What a call would return, or why it would revert.
    ///
    /// # Errors
    ///
    /// If it would revert, or the chain does not answer.
    pub async fn call(&self, request: TransactionRequest, block: BlockNumberOrTag) -> Result<Bytes, ChainError> {
        let request = match self.sender() {
            Some(sender) if request.from.is_none() => request.with_from(sender),
            _ => request,
        };
        self.provider.call(request).block(block.into()).await.map_err(|error| self.error(&error))
    }

    /// Fills and signs a transaction without sending it. Gas is estimated, which is also a simulation: what would
    /// revert is never sent.
    ///
    /// # Errors
    ///
    /// If it would revert, the sender can't pay the gas, or the chain does not answer.
    pub async fn sign(&self, request: TransactionRequest) -> Result<SignedTransaction, ChainError> {
        let sender = self.sender.as_ref().ok_or(ChainError::ReadOnly)?;
        let request = request.with_from(sender.address).with_chain_id(self.chain_id);
        let estimate = self.provider.estimate_gas(request.clone()).await.map_err(|error| self.error(&error))?;
        let fees = self.provider.estimate_eip1559_fees().await.map_err(|error| self.error(&error))?;
        let nonce =
            self.provider.get_transaction_count(sender.address).pending().await.map_err(|error| self.error(&error))?;
        let request = request
            // A quarter more: a refund's fall-back costs more gas than the refund the estimate saw.
            .with_gas_limit(estimate.saturating_add(estimate / 4))
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas)
            .with_nonce(nonce);
        let envelope = request.build(&sender.wallet).await.map_err(|error| ChainError::Unreachable {
            url: self.url.clone(),
            reason: format!("the transaction can't be signed: {error}"),
        })?;
        Ok(SignedTransaction { hash: *envelope.tx_hash(), envelope })
    }

    /// Sends a signed transaction and waits until it is mined.
    ///
    /// # Errors
    ///
    /// If it reverts, is not mined in time, or the chain does not answer.
    pub async fn broadcast(&self, transaction: SignedTransaction) -> Result<TransactionReceipt, ChainError> {
        let hash = transaction.hash;
        // What it returns polls for the receipt every seven seconds; `wait_for` is quicker.
        let _ = self.provider.send_tx_envelope(transaction.envelope).await.map_err(|error| self.error(&error))?;
        let receipt = self.wait_for(hash).await?;
        if !receipt.status() {
            let reason = format!("transaction {hash} was mined and reverted");
            return Err(ChainError::Reverted { reason, data: Bytes::new() });
        }
        Ok(receipt)
    }

    /// Signs, sends and waits until it is mined.
    ///
    /// # Errors
    ///
    /// As [`Chain::sign`] and [`Chain::broadcast`].
    pub async fn send(&self, request: TransactionRequest) -> Result<Mined, ChainError> {
        let signed = self.sign(request).await?;
        let receipt = self.broadcast(signed).await?;
        Ok(Mined {
            hash: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
        })
    }

    async fn wait_for(&self, hash: TxHash) -> Result<TransactionReceipt, ChainError> {
        let deadline = tokio::time::Instant::now() + Self::MINED_WITHIN;
        let mut pause = Duration::from_millis(50);
        loop {
            let receipt = self.provider.get_transaction_receipt(hash).await.map_err(|error| self.error(&error))?;
            if let Some(receipt) = receipt {
                return Ok(receipt);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ChainError::NotMined { hash, seconds: Self::MINED_WITHIN.as_secs() });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Turns a transport's error into ours: a revert, an empty purse, or a chain that does not answer.
    pub(crate) fn error(&self, error: &TransportError) -> ChainError {
        if let Some(response) = error.as_error_resp() {
            if let Some(data) = response.as_revert_data() {
                return ChainError::Reverted { reason: crate::escrow::explain_revert(&data), data };
            }
            let message = response.message.to_string();
            if message.to_ascii_lowercase().contains("insufficient funds") {
                return ChainError::NoGas { sender: self.sender().unwrap_or_default(), reason: message };
            }
            if message.contains("revert") {
                return ChainError::Reverted { reason: message, data: Bytes::new() };
            }
            return ChainError::Unreachable { url: self.url.clone(), reason: message };
        }
        ChainError::Unreachable { url: self.url.clone(), reason: without_url(error) }
    }
}

/// An RPC URL's path, query and user often hold a key; what is shown of it is scheme, host and port.
fn shown_url(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Transport errors carry the URL they failed on; it may hold a key.
fn without_url(error: &TransportError) -> String {
    let text = error.to_string();
    text.split(" for url (").next().unwrap_or("no connection").to_owned()
}

/// An amount from a word of the chain.
pub(crate) fn to_amount(word: U256) -> Result<Amount, ChainError> {
    u128::try_from(word).map(Amount::new).map_err(|_| ChainError::Amount(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_in_an_rpc_url_is_never_shown() {
        let url = Url::parse("https://user:hunter2@rpc.example:8545/v3/secret-key?token=secret").expect("parses");
        assert_eq!(shown_url(&url), "https://rpc.example:8545");
    }

    #[tokio::test]
    async fn a_chain_that_is_down_is_named_without_its_secrets() {
        let url = Url::parse("http://127.0.0.1:1/secret-key").expect("parses");
        let error = Chain::connect(&url, None).await.expect_err("nothing listens on port 1").to_string();
        assert!(error.contains("http://127.0.0.1:1"), "{error}");
        assert!(!error.contains("secret-key"), "{error}");
    }
}
