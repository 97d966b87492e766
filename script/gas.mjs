#!/usr/bin/env node
// Measures what every action costs in gas: receipts on a local anvil, with the contracts that forge built into out/.
//
//   node script/gas.mjs            measures, and writes test/gas/snapshot.json and the tables of docs/gas.md
//   node script/gas.mjs --check    writes nothing; exits 1 naming each figure that is not the snapshot's, is over its
//                                  ceiling, or is not what docs/gas.md says
//   node script/gas.mjs --json     writes nothing; prints the figures as JSON
//   node script/gas.mjs --profile "open" eth
//                                  writes nothing; prints which instructions of one scenario the gas goes to
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Chain } from "../test/gas/chain.mjs";
import { differences, overCeilings, perRow } from "../test/gas/compare.mjs";
import { withTables } from "../test/gas/document.mjs";
import { profile } from "../test/gas/profile.mjs";
import { scenarios } from "../test/gas/scenarios.mjs";
import { World } from "../test/gas/world.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SNAPSHOT = "test/gas/snapshot.json";
const DOCUMENT = "docs/gas.md";

const read = (path) => readFileSync(join(root, path), "utf8");

async function measure(chain) {
  const world = await World.make(root, chain);
  const gas = {};
  for (const { name, ceilings, measure: run } of scenarios) {
    gas[name] = {};
    for (const asset of Object.keys(ceilings)) {
      const receipt = await chain.undoing(() => run(world, asset));
      gas[name][asset] = Number(receipt.gasUsed);
    }
  }
  return { anvil: await chain.version(), hardfork: "osaka", gas };
}

function complaints(measured) {
  const snapshot = JSON.parse(read(SNAPSHOT));
  const found = [...overCeilings(scenarios, measured.gas), ...differences(snapshot.gas, measured.gas)];
  if (snapshot.anvil !== measured.anvil) found.push(`anvil ${measured.anvil}, ${snapshot.anvil} in the snapshot`);
  const document = read(DOCUMENT);
  if (withTables(document, measured) !== document) found.push(`the tables of ${DOCUMENT} are not of these figures`);
  return found;
}

function print(measured) {
  for (const scenario of scenarios) {
    for (const [asset, ceiling] of Object.entries(scenario.ceilings)) {
      const gas = perRow(scenario, measured.gas[scenario.name][asset]);
      const unit = scenario.rows ? "a row" : "";
      const bound = ceiling === null ? "" : `ceiling ${ceiling}`;
      const columns = [scenario.name.padEnd(56), asset.padEnd(6), String(gas).padStart(9), unit.padEnd(6), bound];
      console.log(columns.join(" "));
    }
  }
}

async function printProfile(chain, name, asset) {
  const scenario = scenarios.find((candidate) => candidate.name === name);
  if (!scenario || !(asset in scenario.ceilings)) throw new Error(`there is no scenario "${name}" for ${asset}`);
  const world = await World.make(root, chain);
  const { transactionHash } = await scenario.measure(world, asset);
  const { total, outside, instructions } = await profile(chain, transactionHash);
  console.log(`${total} gas, of which ${outside} are for the transaction and its calldata, less refunds`);
  const sorted = [...instructions].sort(([, a], [, b]) => b.gas - a.gas);
  for (const [op, { count, gas }] of sorted) console.log(`${op.padEnd(16)} ${String(count).padStart(6)} ${gas}`);
}

async function run(options) {
  const profiling = options[0] === "--profile";
  const known = ["--check", "--json", "--profile"];
  if (options.length > 0 && !known.includes(options[0])) throw new Error(`unknown option ${options[0]}`);
  const chain = await Chain.start(root, { tracing: profiling });
  try {
    if (profiling) return await printProfile(chain, options[1], options[2]);
    const measured = await measure(chain);
    if (options[0] === "--json") return console.log(JSON.stringify(measured, null, 2));
    if (options[0] === "--check") {
      const found = complaints(measured);
      for (const complaint of found) console.error(`gas: ${complaint}`);
      if (found.length > 0) {
        console.error("hint: run forge build, then node script/gas.mjs, and look at what changed");
        process.exitCode = 1;
      }
      return;
    }
    writeFileSync(join(root, SNAPSHOT), `${JSON.stringify(measured, null, 2)}\n`);
    writeFileSync(join(root, DOCUMENT), withTables(read(DOCUMENT), measured));
    print(measured);
    for (const complaint of overCeilings(scenarios, measured.gas)) {
      console.error(`gas: ${complaint}`);
      process.exitCode = 1;
    }
  } finally {
    chain.stop();
  }
}

try {
  await run(process.argv.slice(2));
} catch (error) {
  console.error(`gas: ${error.message}`);
  process.exitCode = 1;
}
