// A local anvil, and what is asked of it. Any address may send without a key, since gas does not depend on who signed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { numberToHex } from "viem";

// Kills the program when our end of its standard input closes, however we end, SIGKILL included.
const TETHER = `exec 3<&0
"$@" </dev/null &
child=$!
(cat <&3 >/dev/null; kill -KILL "$child") >/dev/null 2>&1 &
exec 3<&-
wait "$child"`;

const START_WITHIN_MS = 30_000;
const MINE_WITHIN_MS = 10_000;
// The most that one transaction may use (EIP-7825).
const GAS_LIMIT = 16_777_216;
// Fixed, so that nothing measured depends on the day.
const GENESIS_TIME = 1_750_000_000;

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// npm's wrapper is a process of its own; killing it would leave the real anvil running.
function anvilBinary(root) {
  const machine = process.arch === "x64" ? "amd64" : process.arch;
  const path = join(root, `node_modules/@foundry-rs/anvil-${process.platform}-${machine}/bin/anvil`);
  if (!existsSync(path)) throw new Error(`anvil is not at ${path}; ./script/tools.sh installs it`);
  return path;
}

export class Chain {
  #url;
  #process;
  #ended = false;
  #requests = 0;

  static async start(root, { tracing = false } = {}) {
    const chain = new Chain();
    const port = await freePort();
    chain.#url = `http://127.0.0.1:${port}`;
    const options = ["--host", "127.0.0.1", "--port", port, "--hardfork", "osaka", "--timestamp", GENESIS_TIME];
    options.push("--auto-impersonate", "--base-fee", 0, "--gas-price", 0, "--accounts", 0, "--quiet");
    if (tracing) options.push("--steps-tracing");
    chain.#process = spawn("sh", ["-c", TETHER, "tether", anvilBinary(root), ...options.map(String)], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    chain.#process.on("exit", () => (chain.#ended = true));
    await chain.#waitUntilItAnswers();
    return chain;
  }

  stop() {
    this.#process.stdin.end();
  }

  async #waitUntilItAnswers() {
    const deadline = Date.now() + START_WITHIN_MS;
    for (;;) {
      try {
        return await this.rpc("eth_chainId");
      } catch (error) {
        if (this.#ended || Date.now() > deadline) throw new Error(`anvil does not answer: ${error.message}`);
        await sleep(50);
      }
    }
  }

  async rpc(method, ...params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: ++this.#requests, method, params });
    const response = await fetch(this.#url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { result, error } = await response.json();
    if (error) throw new Error(`${method}: ${error.message} ${JSON.stringify(error.data ?? "")}`);
    return result;
  }

  // Sends one transaction, which is one block, and returns its receipt.
  async send({ from, to, value = 0n, data = "0x" }) {
    const request = { from, data, value: numberToHex(value), gas: numberToHex(GAS_LIMIT), gasPrice: "0x0" };
    if (to) request.to = to;
    const hash = await this.rpc("eth_sendTransaction", request);
    const receipt = await this.#receipt(hash);
    if (receipt.status === "0x1") return receipt;
    const why = await this.rpc("eth_call", request, "latest").then(() => "not enough gas", (error) => error.message);
    throw new Error(`a transaction to ${to} failed: ${why}`);
  }

  async #receipt(hash) {
    const deadline = Date.now() + MINE_WITHIN_MS;
    for (;;) {
      const receipt = await this.rpc("eth_getTransactionReceipt", hash);
      if (receipt) return receipt;
      if (Date.now() > deadline) throw new Error(`transaction ${hash} was not mined`);
      await sleep(1);
    }
  }

  // Runs something and undoes what it did to the chain.
  async undoing(action) {
    const snapshot = await this.rpc("evm_snapshot");
    try {
      return await action();
    } finally {
      await this.rpc("evm_revert", snapshot);
    }
  }

  async increaseTime(seconds) {
    await this.rpc("evm_increaseTime", seconds);
    await this.rpc("evm_mine");
  }

  async version() {
    return (await this.rpc("web3_clientVersion")).split("/")[1].split("-")[0].replace(/^v/, "");
  }
}
