//! Connecting to a node, over HTTP or a WebSocket.

use super::websocket::WebSocket;
use super::{Chain, ChainError, Sender, shown_url, without_url};
use alloy::network::EthereumWallet;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::TransportError;
use std::time::Duration;
use tokio::sync::watch;
use url::Url;

/// How a connection behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// How long one request may take.
    pub request_within: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { request_within: Duration::from_secs(20) }
    }
}

impl Chain {
    /// Connects over HTTP, or with a `ws` or `wss` URL over a WebSocket, and asks which chain it is.
    ///
    /// # Errors
    ///
    /// If nothing answers.
    pub async fn connect(url: &Url, key: Option<PrivateKeySigner>) -> Result<Self, ChainError> {
        Self::connect_with(url, key, ConnectOptions::default()).await
    }

    /// The same, behaving otherwise.
    ///
    /// # Errors
    ///
    /// If nothing answers.
    pub async fn connect_with(
        url: &Url,
        key: Option<PrivateKeySigner>,
        options: ConnectOptions,
    ) -> Result<Self, ChainError> {
        let unreachable = |error: &TransportError| unreachable(url, without_url(error));
        let (provider, heads) = if is_websocket(url) {
            let websocket = WebSocket::connect(url, options.request_within).await;
            over(websocket.map_err(|error| unreachable(&error))?)
        } else {
            (over_http(url, options)?, None)
        };
        let chain_id = provider.get_chain_id().await.map_err(|error| unreachable(&error))?;
        Ok(Self::over(url, key, provider, heads, chain_id))
    }

    /// The same, and refuses any chain but `expected`.
    ///
    /// # Errors
    ///
    /// If nothing answers, or it is another chain.
    pub async fn connect_to(url: &Url, key: Option<PrivateKeySigner>, expected: u64) -> Result<Self, ChainError> {
        let chain = Self::connect(url, key).await?;
        if chain.chain_id() != expected {
            return Err(ChainError::WrongChain { actual: chain.chain_id(), expected });
        }
        Ok(chain)
    }

    /// A connection to a node that may be down now, said to serve a chain. Nothing is asked yet:
    /// [`Chain::check_chain`] finds out.
    ///
    /// # Errors
    ///
    /// If the URL is none to connect to.
    pub fn connect_later(
        url: &Url,
        key: Option<PrivateKeySigner>,
        chain_id: u64,
        options: ConnectOptions,
    ) -> Result<Self, ChainError> {
        let (provider, heads) = if is_websocket(url) {
            over(WebSocket::connect_later(url, options.request_within))
        } else {
            (over_http(url, options)?, None)
        };
        Ok(Self::over(url, key, provider, heads, chain_id))
    }

    /// Asks whether the node still serves the chain that it did.
    ///
    /// # Errors
    ///
    /// If it does not answer, or serves another one.
    pub async fn check_chain(&self) -> Result<(), ChainError> {
        let actual = self.provider.get_chain_id().await.map_err(|error| self.error(&error))?;
        if actual != self.chain_id {
            return Err(ChainError::WrongChain { actual, expected: self.chain_id });
        }
        Ok(())
    }

    /// Counts up whenever the node announces a new block, if it is connected to in a way that lets it.
    #[must_use]
    pub fn announcements(&self) -> Option<watch::Receiver<u64>> {
        self.heads.clone()
    }

    fn over(
        url: &Url,
        key: Option<PrivateKeySigner>,
        provider: DynProvider,
        heads: Option<watch::Receiver<u64>>,
        chain_id: u64,
    ) -> Self {
        let sender = key.map(|key| Sender { address: key.address(), wallet: EthereumWallet::from(key.clone()), key });
        Self { provider, sender, url: shown_url(url), chain_id, heads, mined_within: Self::MINED_WITHIN }
    }
}

fn is_websocket(url: &Url) -> bool {
    matches!(url.scheme(), "ws" | "wss")
}

fn unreachable(url: &Url, reason: String) -> ChainError {
    ChainError::Unreachable { url: shown_url(url), reason }
}

fn over(websocket: WebSocket) -> (DynProvider, Option<watch::Receiver<u64>>) {
    let heads = websocket.announcements();
    let client = RpcClient::new(websocket, false);
    // The fillers are ours: see `Chain::sign`.
    (ProviderBuilder::default().connect_client(client).erased(), Some(heads))
}

fn over_http(url: &Url, options: ConnectOptions) -> Result<DynProvider, ChainError> {
    let client = reqwest::Client::builder().timeout(options.request_within).build();
    let client = client.map_err(|error| unreachable(url, error.to_string()))?;
    Ok(ProviderBuilder::default().connect_reqwest(client, url.clone()).erased())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chain_that_is_down_is_named_without_its_secrets() {
        for url in ["http://127.0.0.1:1/secret-key", "ws://user:hunter2@127.0.0.1:1/secret-key?token=secret"] {
            let url = Url::parse(url).expect("parses");
            let error = Chain::connect(&url, None).await.expect_err("nothing listens on port 1").to_string();
            assert!(error.contains("127.0.0.1:1"), "{error}");
            assert!(!error.contains("secret") && !error.contains("hunter2"), "{error}");
        }
    }
}
