//! A local anvil chain for demos and tests, with a dollar-like token. Never for anything else: its keys are public.

use crate::chain::{Chain, ChainError, Mined};
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use farthing_core::{Amount, Token};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use url::Url;

mod bindings {
    alloy::sol!(DemoDollar, "abi/DemoDollar.json");
}

use bindings::DemoDollar;

/// The chain id of every local chain. Nothing here talks to any other.
pub const CHAIN_ID: u64 = 31_337;

/// How long anvil may take to answer; a busy machine needs seconds.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Runs a program that dies with its parent, SIGKILL included: the shell's standard input is a pipe that only the
/// parent holds, and when it closes, for whatever reason, the program is killed.
const TETHER: &str = r#"exec 3<&0
"$@" </dev/null &
child=$!
(cat <&3 >/dev/null; kill -KILL "$child") >/dev/null 2>&1 &
exec 3<&-
wait "$child""#;

/// Builds a command that runs `program` tethered to this process: it does not outlive it, however it ends.
///
/// Keep the child's standard input: dropping it ends the program.
#[must_use]
pub fn tethered(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", TETHER, "tether"]).arg(program).stdin(Stdio::piped()).kill_on_drop(true);
    command
}

/// Thrown when no local chain can be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalChainError {
    /// No anvil was found.
    #[error("anvil is not at {path}; `npm ci` in the repository installs it")]
    NoAnvil {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It could not be started.
    #[error("anvil can't be started: {0}")]
    Start(#[from] std::io::Error),
    /// It ended or never answered.
    #[error("anvil did not answer within {} s: {reason}", START_WITHIN.as_secs())]
    Silent {
        /// What the last attempt said.
        reason: String,
    },
    /// It answered with an error.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// How a local chain makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalChainOptions {
    /// A block is mined for every transaction, and every so many seconds besides.
    pub block_seconds: Option<u64>,
    /// A block is final when twice as many blocks are on top of it: 32 on a chain like Ethereum.
    pub slots_in_an_epoch: u64,
    /// The states of how many blocks are kept in memory. Unless told, anvil keeps some hundreds and moves the others to
    /// disk, without the contracts' code: whoever undoes blocks among thousands needs them kept.
    pub states_kept: Option<u64>,
}

impl Default for LocalChainOptions {
    /// A block for every transaction, final under two more.
    fn default() -> Self {
        Self { block_seconds: None, slots_in_an_epoch: 1, states_kept: None }
    }
}

/// A running anvil. It dies when this is dropped, and when this process dies in any other way.
#[derive(Debug)]
pub struct LocalChain {
    url: Url,
    process: Child,
}

impl LocalChain {
    /// Where npm puts the platform's own anvil binary, under a folder with `node_modules`. Not the wrapper beside it:
    /// killing that one leaves the real one running.
    #[must_use]
    pub fn anvil_in(root: &Path) -> PathBuf {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        root.join(format!("node_modules/@foundry-rs/anvil-{system}-{machine}/bin/anvil"))
    }

    /// Starts anvil on a free port of the loopback interface. A block is mined for every transaction, and every
    /// `block_seconds` if given; with one slot an epoch, a block is final when two more are on top of it.
    ///
    /// # Errors
    ///
    /// If there is no anvil, or it does not answer.
    pub async fn start(anvil: &Path, block_seconds: Option<u64>) -> Result<Self, LocalChainError> {
        Self::start_with(anvil, LocalChainOptions { block_seconds, ..LocalChainOptions::default() }).await
    }

    /// The same, with blocks made as one likes.
    ///
    /// # Errors
    ///
    /// If there is no anvil, or it does not answer.
    pub async fn start_with(anvil: &Path, options: LocalChainOptions) -> Result<Self, LocalChainError> {
        if !anvil.is_file() {
            return Err(LocalChainError::NoAnvil { path: anvil.to_owned() });
        }
        // Another process may take the port between here and anvil's own bind; then anvil ends, and the caller is told.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = tethered(anvil);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--chain-id", &CHAIN_ID.to_string(), "--quiet"]);
        command.args(["--slots-in-an-epoch", &options.slots_in_an_epoch.to_string()]);
        if let Some(blocks) = options.states_kept {
            command.args(["--prune-history", &blocks.to_string()]);
        }
        if let Some(seconds) = options.block_seconds {
            command.args(["--block-time", &seconds.to_string(), "--mixed-mining"]);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        let url = Url::parse(&url).map_err(|error| LocalChainError::Silent { reason: error.to_string() })?;
        let mut chain = Self { url, process };
        chain.wait_until_it_answers().await?;
        Ok(chain)
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), LocalChainError> {
        let deadline = tokio::time::Instant::now() + START_WITHIN;
        loop {
            let reason = match Chain::connect_to(&self.url, None, CHAIN_ID).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if let Some(status) = self.process.try_wait()? {
                return Err(LocalChainError::Silent { reason: format!("it ended with {status}") });
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(LocalChainError::Silent { reason });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its RPC URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Connects, with a key to send with.
    ///
    /// # Errors
    ///
    /// If it does not answer any more.
    pub async fn connect(&self, key: PrivateKeySigner) -> Result<Chain, ChainError> {
        Chain::connect_to(&self.url, Some(key), CHAIN_ID).await
    }

    /// One of the ten well-known test keys that anvil funds with ether. They are public: never use them elsewhere.
    ///
    /// # Panics
    ///
    /// If `index` is above 9.
    #[must_use]
    pub fn test_key(index: usize) -> PrivateKeySigner {
        const TEST_KEYS: [&str; 10] = [
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
            "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
            "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
            "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
            "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
            "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
            "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
            "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
            "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
        ];
        #[expect(clippy::expect_used, reason = "the keys above are well formed")]
        TEST_KEYS[index].parse().expect("a well-known test key")
    }

    /// Gives an address ether, out of nothing.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn give_ether(&self, chain: &Chain, to: Address, amount: Amount) -> Result<(), ChainError> {
        let amount = U256::from(amount.base_units());
        self.request(chain, "anvil_setBalance", (to, amount)).await
    }

    /// Mines empty blocks, so that what lies below them becomes final.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn mine(&self, chain: &Chain, blocks: u64) -> Result<(), ChainError> {
        self.request(chain, "anvil_mine", (U256::from(blocks),)).await
    }

    /// Lets time pass and mines a block.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn pass_time(&self, chain: &Chain, seconds: u64) -> Result<(), ChainError> {
        chain
            .provider()
            .raw_request::<_, serde_json::Value>("evm_increaseTime".into(), (U256::from(seconds),))
            .await
            .map_err(|error| chain.error(&error))?;
        self.mine(chain, 1).await
    }

    async fn request<P: serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin>(
        &self,
        chain: &Chain,
        method: &'static str,
        parameters: P,
    ) -> Result<(), ChainError> {
        let answer = chain.provider().raw_request::<_, serde_json::Value>(method.into(), parameters).await;
        answer.map(drop).map_err(|error| chain.error(&error))
    }

    /// Stops anvil and waits until it is gone.
    pub async fn stop(mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait().await;
    }
}

/// Deploys the demo's dollar-like token. Its constructor refuses every chain but [`CHAIN_ID`].
///
/// # Errors
///
/// If the transaction fails.
pub async fn deploy_demo_dollar(chain: &Chain) -> Result<(Token, Mined), ChainError> {
    let sender = chain.sender().ok_or(ChainError::ReadOnly)?;
    let request = TransactionRequest::default().with_deploy_code(DemoDollar::BYTECODE.clone());
    let signed = chain.sign(request).await?;
    let address = sender.create(signed.nonce());
    let receipt = chain.broadcast(signed).await?;
    let mined = Mined {
        hash: receipt.transaction_hash,
        block: receipt.block_number.unwrap_or_default(),
        gas_used: receipt.gas_used,
        gas_price: receipt.effective_gas_price,
    };
    let token = Token { address, symbol: "dUSD".to_owned(), decimals: 6, dollar: true };
    Ok((token, mined))
}

/// Gives an address demo dollars, out of nothing.
///
/// # Errors
///
/// If the transaction fails.
pub async fn mint_demo_dollars(
    chain: &Chain,
    token: Address,
    to: Address,
    amount: Amount,
) -> Result<Mined, ChainError> {
    let call = DemoDollar::mintCall { to, amount: U256::from(amount.base_units()) };
    chain.send(TransactionRequest::default().with_to(token).with_input(call.abi_encode())).await
}
