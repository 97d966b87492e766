//! A connection to a chain, and sending transactions over it.

mod connecting;
mod data_fee;
pub mod fee_history;
mod fees;
mod gas_price;
mod websocket;

pub use connecting::ConnectOptions;
pub use data_fee::{DataFees, GAS_PRICE_ORACLE};
pub use fees::Fees;
pub(crate) use fees::wei;

use alloy::consensus::Transaction;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, TxHash, U256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::TransportError;
use farthing_core::{Amount, Timestamp, VoucherSignature};
use std::time::Duration;
use tokio::sync::watch;
use url::Url;

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
    /// The node wants more for the gas: its least, or clearly more than the transaction that this one is to replace.
    #[error("the node takes only a transaction that pays more for its gas: {reason}")]
    Underpriced {
        /// The node's words.
        reason: String,
    },
    /// The sender has another transaction with the same nonce in a block.
    #[error("another transaction of the sender has taken its place: {reason}")]
    NonceTaken {
        /// The node's words.
        reason: String,
    },
    /// More gas than fits a block, or than one transaction may use.
    #[error("the transaction would use more gas than it may: {reason}")]
    TooMuchGas {
        /// The node's words.
        reason: String,
    },
    /// Gas costs more than the sender pays.
    #[error("gas costs {price} wei now, and at most {maximum} is paid")]
    TooDear {
        /// What a unit costs now, in wei.
        price: u128,
        /// What is paid at most.
        maximum: u128,
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
    /// The key did not sign.
    #[error("the key did not sign: {0}")]
    Signer(String),
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

impl From<TransactionReceipt> for Mined {
    fn from(receipt: TransactionReceipt) -> Self {
        Self {
            hash: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
        }
    }
}

/// A transaction's place in its sender's order, and what has to be outbid for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sender's nonce.
    pub nonce: u64,
    /// What the dearest transaction offers that may still wait for this nonce.
    pub rival: Option<Fees>,
    /// The most that is offered for a unit of gas, in wei, whatever has to be outbid.
    pub fee_max: u128,
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

    /// What it offers for its gas.
    #[must_use]
    pub fn fees(&self) -> Fees {
        Fees {
            max_fee_per_gas: self.envelope.max_fee_per_gas(),
            max_priority_fee_per_gas: self.envelope.max_priority_fee_per_gas().unwrap_or_default(),
        }
    }

    /// The most gas that it can use.
    #[must_use]
    pub fn gas_limit(&self) -> u64 {
        self.envelope.gas_limit()
    }

    /// The most that its gas can cost, in wei.
    #[must_use]
    pub fn cost_max(&self) -> Amount {
        let gas = u128::from(self.gas_limit());
        Amount::new(gas.saturating_mul(self.envelope.max_fee_per_gas()))
    }
}

/// A connection to one chain, with or without a key to send with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    provider: DynProvider,
    sender: Option<Sender>,
    url: String,
    chain_id: u64,
    heads: Option<watch::Receiver<u64>>,
    mined_within: Duration,
}

#[derive(Clone, Debug)]
struct Sender {
    address: Address,
    key: PrivateKeySigner,
    wallet: EthereumWallet,
}

impl Chain {
    /// How long [`Chain::send`] waits for a transaction to be mined, unless told otherwise.
    pub const MINED_WITHIN: Duration = Duration::from_secs(180);

    /// The same connection with another patience: how long a transaction may take to be mined.
    #[must_use]
    pub const fn with_mined_within(mut self, mined_within: Duration) -> Self {
        self.mined_within = mined_within;
        self
    }

    /// Scheme, host and port of the node's URL: what may be shown of it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.url
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

    /// Signs a digest with the key that this connection sends with.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub(crate) fn sign_digest(&self, digest: B256) -> Result<VoucherSignature, ChainError> {
        let sender = self.sender.as_ref().ok_or(ChainError::ReadOnly)?;
        let signature = sender.key.sign_hash_sync(&digest).map_err(|error| ChainError::Signer(error.to_string()))?;
        VoucherSignature::from_bytes(&signature.as_bytes()).map_err(|error| ChainError::Signer(error.to_string()))
    }

    /// How long a transaction may take to be mined.
    #[must_use]
    pub const fn mined_within(&self) -> Duration {
        self.mined_within
    }

    /// What time it is at the head, as whoever made the block says.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn time(&self) -> Result<Timestamp, ChainError> {
        Ok(self.head().await?.at)
    }

    /// The newest block.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn head(&self) -> Result<Block, ChainError> {
        let head = self.block(BlockNumberOrTag::Latest).await?;
        let none = || ChainError::Unreachable { url: self.url.clone(), reason: "it has no latest block".to_owned() };
        head.ok_or_else(none)
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

    /// The same, with those that the node holds and no block has yet: the next nonce behind them all.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn next_nonce_of(&self, address: Address) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(address).pending().await.map_err(|error| self.error(&error))
    }

    /// How many of an address's transactions are final.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or names no final block.
    pub async fn final_transactions_of(&self, address: Address) -> Result<u64, ChainError> {
        let count = self.provider.get_transaction_count(address).finalized();
        count.await.map_err(|error| self.error(&error))
    }

    /// What became of a transaction; `None` while no block has it.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn receipt(&self, hash: TxHash) -> Result<Option<TransactionReceipt>, ChainError> {
        self.provider.get_transaction_receipt(hash).await.map_err(|error| self.error(&error))
    }

    /// Whether the node holds a transaction, mined or not.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn holds(&self, hash: TxHash) -> Result<bool, ChainError> {
        let found = self.provider.get_transaction_by_hash(hash).await.map_err(|error| self.error(&error))?;
        Ok(found.is_some())
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

    /// The last block that can no longer be undone; `None` if the node names none.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn final_block(&self) -> Result<Option<Block>, ChainError> {
        match self.block(BlockNumberOrTag::Finalized).await {
            // Nodes without a notion of it, or with none yet, word it as they like; a load balancer's refusal does not.
            Err(ChainError::Unreachable { reason, .. }) if is_about_final(&reason) => Ok(None),
            answer => answer,
        }
    }

    /// Events.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub(crate) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ChainError> {
        self.provider.get_logs(filter).await.map_err(|error| self.error(&error))
    }

    /// What a call would return, or why it would revert.
    ///
    /// # Errors
    ///
    /// If it would revert, or the chain does not answer.
    pub async fn call(&self, request: TransactionRequest, block: BlockNumberOrTag) -> Result<Bytes, ChainError> {
        self.call_at(request, block.into()).await
    }

    /// The same at a block that may be named by its hash.
    ///
    /// # Errors
    ///
    /// If it would revert, or the chain does not answer or does not know the block.
    pub async fn call_at(&self, request: TransactionRequest, block: BlockId) -> Result<Bytes, ChainError> {
        let request = match self.sender() {
            Some(sender) if request.from.is_none() => request.with_from(sender),
            _ => request,
        };
        self.provider.call(request).block(block).await.map_err(|error| self.error(&error))
    }

    /// Fills and signs a transaction without sending it. Gas is estimated, which is also a simulation: what would
    /// revert is never sent.
    ///
    /// # Errors
    ///
    /// If it would revert, the sender can't pay the gas, or the chain does not answer.
    pub async fn sign(&self, request: TransactionRequest) -> Result<SignedTransaction, ChainError> {
        let sender = self.sender().ok_or(ChainError::ReadOnly)?;
        let nonce = self.next_nonce_of(sender).await?;
        self.sign_at(request, Place { nonce, rival: None, fee_max: u128::MAX }).await
    }

    /// The same, at a place of the caller's choice: a transaction that waits there is outbid, not queued behind.
    ///
    /// # Errors
    ///
    /// As [`Chain::sign`].
    pub async fn sign_at(&self, request: TransactionRequest, place: Place) -> Result<SignedTransaction, ChainError> {
        let sender = self.sender.as_ref().ok_or(ChainError::ReadOnly)?;
        let request = request.with_from(sender.address).with_chain_id(self.chain_id);
        // On top of the last block: what waits may be what this is to replace.
        let estimate = self.provider.estimate_gas(request.clone()).block(BlockNumberOrTag::Latest.into());
        let estimate = estimate.await.map_err(|error| self.error(&error))?;
        let asked = self.fees_asked().await?;
        if asked.price() > place.fee_max {
            return Err(ChainError::TooDear { price: asked.price(), maximum: place.fee_max });
        }
        let fees = asked.outbidding(place.rival).at_most(place.fee_max);
        let request = request
            // A quarter more: a refund's fall-back costs more gas than the refund the estimate saw.
            .with_gas_limit(estimate.saturating_add(estimate / 4))
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas)
            .with_nonce(place.nonce);
        let envelope = request.build(&sender.wallet).await.map_err(|error| ChainError::Unreachable {
            url: self.url.clone(),
            reason: format!("the transaction can't be signed: {error}"),
        })?;
        Ok(SignedTransaction { hash: *envelope.tx_hash(), envelope })
    }

    /// Hands a signed transaction to the node. Handing in what it has already is no error.
    ///
    /// # Errors
    ///
    /// If the node refuses it or does not answer. Without an answer it may have it all the same.
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<(), ChainError> {
        // What it returns polls for the receipt every seven seconds; `wait_for_any` is quicker.
        match self.provider.send_tx_envelope(transaction.envelope.clone()).await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, &["already known", "already imported", "alreadyknown"]) => Ok(()),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Sends a signed transaction and waits until it is mined.
    ///
    /// # Errors
    ///
    /// If it reverts, is not mined in time, or the chain does not answer.
    pub async fn broadcast(&self, transaction: SignedTransaction) -> Result<TransactionReceipt, ChainError> {
        self.submit(&transaction).await?;
        let receipt = self.wait_for_any(&[transaction.hash]).await?;
        succeeded(&receipt)?;
        Ok(receipt)
    }

    /// Signs, sends and waits until it is mined.
    ///
    /// # Errors
    ///
    /// As [`Chain::sign`] and [`Chain::broadcast`].
    pub async fn send(&self, request: TransactionRequest) -> Result<Mined, ChainError> {
        let signed = self.sign(request).await?;
        Ok(self.broadcast(signed).await?.into())
    }

    /// Waits until one of several transactions is mined; the last is the one that is talked about if none is.
    ///
    /// # Errors
    ///
    /// If none is mined in time, or the chain does not answer.
    pub async fn wait_for_any(&self, hashes: &[TxHash]) -> Result<TransactionReceipt, ChainError> {
        let deadline = tokio::time::Instant::now() + self.mined_within;
        let mut pause = Duration::from_millis(50);
        loop {
            for hash in hashes {
                if let Some(receipt) = self.receipt(*hash).await? {
                    return Ok(receipt);
                }
            }
            if tokio::time::Instant::now() >= deadline {
                let hash = hashes.last().copied().unwrap_or_default();
                return Err(ChainError::NotMined { hash, seconds: self.mined_within.as_secs() });
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
            if says(error, &["underpriced", "replacementnotallowed"]) {
                return ChainError::Underpriced { reason: message };
            }
            if says(error, &["nonce too low", "noncetoolow", "nonce is too low"]) {
                return ChainError::NonceTaken { reason: message };
            }
            if says(error, &["exceeds block gas limit", "gas required exceeds", "gas limit too high", "out of gas"]) {
                return ChainError::TooMuchGas { reason: message };
            }
            if message.contains("revert") {
                return ChainError::Reverted { reason: message, data: Bytes::new() };
            }
            return ChainError::Unreachable { url: self.url.clone(), reason: message };
        }
        ChainError::Unreachable { url: self.url.clone(), reason: without_url(error) }
    }
}

/// Whether the node's own words have one of these, in lower case, in them.
fn says(error: &TransportError, words: &[&str]) -> bool {
    let message = error.as_error_resp().map(|response| response.message.to_ascii_lowercase());
    message.is_some_and(|message| words.iter().any(|word| message.contains(word)))
}

/// Whether a refusal says that there is no final block, or no such thing.
fn is_about_final(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["finalized", "unknown block", "block not found", "invalid block tag", "unsupported block"]
        .iter()
        .any(|words| reason.contains(words))
}

/// A mined transaction may have reverted all the same.
pub(crate) fn succeeded(receipt: &TransactionReceipt) -> Result<(), ChainError> {
    if receipt.status() {
        return Ok(());
    }
    let reason = format!("transaction {} was mined and reverted", receipt.transaction_hash);
    Err(ChainError::Reverted { reason, data: Bytes::new() })
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

    #[test]
    fn a_rival_is_outbid_by_an_eighth_and_never_beyond_reason() {
        let fees = |max_fee_per_gas, max_priority_fee_per_gas| Fees { max_fee_per_gas, max_priority_fee_per_gas };
        assert_eq!(fees(100, 2).outbidding(None), fees(100, 2));
        assert_eq!(fees(100, 2).outbidding(Some(fees(80, 0))), fees(100, 2), "what the chain asks for is more already");
        assert_eq!(fees(100, 2).outbidding(Some(fees(99, 17))), fees(112, 20), "an eighth more, rounded up");
        assert_eq!(fees(100, 2).outbidding(Some(fees(10_000, 10_000))), fees(800, 100), "bounded");
        assert_eq!(fees(1, 0).raised(), fees(2, 1));
    }
}
