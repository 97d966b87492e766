//! A node that is some blocks behind: every answer is the one that the node gave then, and what is younger is unknown.

use super::{Shared, result};
use serde_json::{Value, json};

/// The parameter that says as of which block, for the methods that have one.
fn block_parameter(method: &str) -> Option<usize> {
    match method {
        "eth_getBlockByNumber" => Some(0),
        "eth_call"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getTransactionCount"
        | "eth_estimateGas"
        | "eth_feeHistory" => Some(1),
        "eth_getStorageAt" => Some(2),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

pub(super) async fn answer(node: &Shared, call: &Value, behind: u64) -> Value {
    let stale = Stale { node, head: node.number_of("latest").await.saturating_sub(behind), behind };
    let method = call["method"].as_str().unwrap_or_default();
    match method {
        "eth_blockNumber" => result(call, &json!(format!("{:#x}", stale.head))),
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => stale.only_known(call, "blockNumber").await,
        "eth_getBlockByHash" => stale.only_known(call, "number").await,
        "eth_getLogs" => stale.logs(call).await,
        _ => match block_parameter(method) {
            Some(position) => stale.at_block(call, position).await,
            None => node.ask(call).await,
        },
    }
}

struct Stale<'a> {
    node: &'a Shared,
    /// The newest block that it knows.
    head: u64,
    behind: u64,
}

impl Stale<'_> {
    /// What the node says of something that is in a block, if that block is known here.
    async fn only_known(&self, call: &Value, number_field: &str) -> Value {
        let answer = self.node.ask(call).await;
        let is_known = number(&answer["result"][number_field]).is_some_and(|number| number <= self.head);
        if is_known { answer } else { result(call, &Value::Null) }
    }

    async fn logs(&self, call: &Value) -> Value {
        let mut call = call.clone();
        let filter = &mut call["params"][0];
        if let Some(hash) = filter.get("blockHash").cloned() {
            return match self.node.number_of_hash(&hash).await {
                Some(number) if number <= self.head => self.node.ask(&call).await,
                _ => unknown(&call),
            };
        }
        for (end, default) in [("fromBlock", "latest"), ("toBlock", "latest")] {
            let block = filter.get(end).cloned().unwrap_or_else(|| json!(default));
            // Beyond its head there is nothing to find, which is no error.
            filter[end] = self.block(&block).await.unwrap_or_else(|| json!(format!("{:#x}", self.head)));
        }
        let from_beyond = number(&call["params"][0]["fromBlock"]) > number(&call["params"][0]["toBlock"]);
        if from_beyond { result(&call, &json!([])) } else { self.node.ask(&call).await }
    }

    async fn at_block(&self, call: &Value, position: usize) -> Value {
        let mut call = call.clone();
        let block = call["params"].get(position).cloned().unwrap_or_else(|| json!("latest"));
        let Some(block) = self.block(&block).await else {
            return if call["method"] == "eth_getBlockByNumber" { result(&call, &Value::Null) } else { unknown(&call) };
        };
        if let Value::Array(parameters) = &mut call["params"] {
            parameters.resize(parameters.len().max(position + 1), Value::Null);
            parameters[position] = block;
        }
        self.node.ask(&call).await
    }

    /// The block that was meant, as of then; `None` if it was not there yet.
    async fn block(&self, block: &Value) -> Option<Value> {
        let known = |number: u64| (number <= self.head).then(|| block.clone());
        if let Some(hash) = block.get("blockHash") {
            return known(self.node.number_of_hash(hash).await?);
        }
        let named = block.get("blockNumber").unwrap_or(block);
        match named.as_str() {
            Some("earliest") => Some(json!("earliest")),
            Some("latest" | "pending") | None => Some(json!(format!("{:#x}", self.head))),
            Some(tag @ ("safe" | "finalized")) => {
                let number = self.node.number_of(tag).await.saturating_sub(self.behind);
                Some(json!(format!("{number:#x}")))
            }
            Some(_) => known(number(named)?),
        }
    }
}

fn unknown(call: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32_000, "message": "header not found" } })
}

impl Shared {
    async fn number_of(&self, tag: &str) -> u64 {
        let call = json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByNumber", "params": [tag, false] });
        number(&self.ask(&call).await["result"]["number"]).unwrap_or_default()
    }

    async fn number_of_hash(&self, hash: &Value) -> Option<u64> {
        let call = json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByHash", "params": [hash, false] });
        number(&self.ask(&call).await["result"]["number"])
    }
}
