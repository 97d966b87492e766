#!/usr/bin/env node
// Copies ABI and bytecode from forge's output into the Rust SDK, so that `cargo build` needs neither forge nor node.
// Run `forge build` first. With --check it writes nothing and exits 1 naming each file that drifted.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const check = process.argv.includes("--check");

const bindings = {
  "crates/farthing/abi/Escrow.json": "out/Escrow.sol/Escrow.json",
  "crates/farthing/abi/RevenueSplit.json": "out/RevenueSplit.sol/RevenueSplit.json",
  "crates/farthing/abi/RevenueSplitFactory.json": "out/RevenueSplitFactory.sol/RevenueSplitFactory.json",
  "crates/farthing/abi/DemoDollar.json": "out/DemoDollar.sol/DemoDollar.json",
  "crates/farthing/tests/abi/DomainDollar.json": "out/DomainDollar.sol/DomainDollar.json",
  "crates/farthing/tests/abi/TestFeed.json": "out/TestFeed.sol/TestFeed.json",
};

// forge lists the ABI in the order of its own maps; sorted, the same contract always gives the same file.
const order = (item) => `${item.type} ${item.name ?? ""} ${(item.inputs ?? []).map((input) => input.type).join()}`;

function render(artifactPath) {
  const artifact = JSON.parse(readFileSync(join(root, artifactPath), "utf8"));
  const binding = {
    abi: artifact.abi.toSorted((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0)),
    bytecode: artifact.bytecode.object,
    deployedBytecode: artifact.deployedBytecode.object,
  };
  for (const code of [binding.bytecode, binding.deployedBytecode]) {
    // A library that is not linked leaves a placeholder, which is not hex.
    if (!/^0x[0-9a-f]+$/.test(code)) throw new Error(`${artifactPath}: bytecode is not plain hex`);
  }
  return `${JSON.stringify(binding, null, 2)}\n`;
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

let drifted = false;
for (const [bindingPath, artifactPath] of Object.entries(bindings)) {
  const path = join(root, bindingPath);
  const fresh = render(artifactPath);
  if (!check) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, fresh);
  } else if (readOrEmpty(path) !== fresh) {
    console.error(`${bindingPath} differs from ${artifactPath}: run forge build, then script/bindings.mjs`);
    drifted = true;
  }
}
process.exitCode = drifted ? 1 : 0;
