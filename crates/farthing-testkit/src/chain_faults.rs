//! What a chain does to those who rely on it: it reorganizes, forgets transactions, gets dearer, stands still.

use farthing::core::{Address, Amount, B256};
use farthing::local_chain::LocalChain;
use serde_json::{Value, json};
use url::Url;

/// The means to make an anvil misbehave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChainFaults {
    node: Url,
    client: reqwest::Client,
}

/// A state of the whole chain, to go back to once.
#[derive(Debug)]
#[must_use = "it is there to be gone back to"]
pub struct Snapshot(Value);

impl ChainFaults {
    /// Those of a local chain.
    #[must_use]
    pub fn of(chain: &LocalChain) -> Self {
        Self::at(chain.url())
    }

    /// Those of the anvil at, or behind, an RPC URL.
    #[must_use]
    pub fn at(node: &Url) -> Self {
        Self { node: node.clone(), client: reqwest::Client::new() }
    }

    /// Asks the node anything.
    pub async fn ask(&self, method: &str, parameters: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let asked = self.client.post(self.node.clone()).header("content-type", "application/json");
        let answer = asked.body(call.to_string()).send().await.expect("the node answers");
        let answer: Value = serde_json::from_slice(&answer.bytes().await.expect("reads")).expect("it is JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Replaces the newest `depth` blocks with as many others. They hold nothing but these signed transactions, each in
    /// the block at its offset, of which 0 is the lowest; what the old ones held is gone from the node altogether.
    pub async fn reorganize(&self, depth: u64, transactions: &[(String, u64)]) {
        self.ask("anvil_reorg", json!([depth, transactions])).await;
    }

    /// Takes the newest `depth` blocks away: the head is lower than it was.
    pub async fn roll_back(&self, depth: u64) {
        self.ask("anvil_rollback", json!([depth])).await;
    }

    /// A transaction as it was signed, for [`ChainFaults::reorganize`] to bring back.
    pub async fn signed(&self, transaction: B256) -> String {
        let signed = self.ask("eth_getRawTransactionByHash", json!([transaction])).await;
        signed.as_str().expect("the node has the transaction").to_owned()
    }

    /// Takes a transaction that waits out of the node.
    pub async fn drop_transaction(&self, transaction: B256) {
        let dropped = self.ask("anvil_dropTransaction", json!([transaction])).await;
        assert!(!dropped.is_null(), "{transaction} does not wait");
    }

    /// With `false`, no block is made until [`ChainFaults::mine`].
    pub async fn automine(&self, on: bool) {
        self.ask("evm_setAutomine", json!([on])).await;
    }

    /// Makes so many blocks, with what waits in the first of them.
    pub async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Lets time pass and makes a block.
    pub async fn pass_time(&self, seconds: u64) {
        self.ask("evm_increaseTime", json!([seconds])).await;
        self.mine(1).await;
    }

    /// The base fee of the newest block, in wei per unit of gas.
    pub async fn base_fee(&self) -> u128 {
        let block = self.ask("eth_getBlockByNumber", json!(["latest", false])).await;
        quantity(&block["baseFeePerGas"])
    }

    /// Makes the base fee of the next block this many wei per unit of gas.
    pub async fn set_next_base_fee(&self, wei: u128) {
        self.ask("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await;
    }

    /// Makes room for this much gas in each block from now on.
    pub async fn set_block_gas_limit(&self, gas: u64) {
        self.ask("evm_setBlockGasLimit", json!([format!("{gas:#x}")])).await;
    }

    /// The number of the newest block.
    pub async fn head(&self) -> u64 {
        u64::try_from(quantity(&self.ask("eth_blockNumber", json!([])).await)).expect("a block's number")
    }

    /// Gives an address ether, out of nothing.
    pub async fn set_balance(&self, address: Address, wei: Amount) {
        self.ask("anvil_setBalance", json!([address, format!("{:#x}", wei.base_units())])).await;
    }

    /// Lets anybody send without a signature, by [`ChainFaults::send_as`].
    pub async fn impersonate_everybody(&self) {
        self.ask("anvil_autoImpersonateAccount", json!([true])).await;
    }

    /// Sends a call in somebody's name, for any price of gas and without a tip, and returns its transaction's hash.
    pub async fn send_as(&self, from: Address, to: Address, input: &[u8], gas: u64) -> B256 {
        let input = format!("0x{}", input.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut sent = json!({ "from": from, "to": to, "data": input, "gas": format!("{gas:#x}") });
        sent["maxFeePerGas"] = json!("0xe8d4a51000");
        sent["maxPriorityFeePerGas"] = json!("0x1");
        let hash = self.ask("eth_sendTransaction", json!([sent])).await;
        serde_json::from_value(hash).expect("a transaction's hash")
    }

    /// Keeps the state of the whole chain.
    pub async fn snapshot(&self) -> Snapshot {
        Snapshot(self.ask("evm_snapshot", json!([])).await)
    }

    /// Puts the whole chain back to a state. States that were kept after it are lost.
    pub async fn go_back(&self, to: Snapshot) {
        let done = self.ask("evm_revert", json!([to.0])).await;
        assert_eq!(done, json!(true), "the state is still kept");
    }
}

fn quantity(value: &Value) -> u128 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("a quantity");
    u128::from_str_radix(digits, 16).expect("a quantity")
}
