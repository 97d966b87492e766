#!/usr/bin/env node
// Mutation testing of the contracts: puts one small mistake at a time into the source, compiles it, and runs the forge
// tests, which load the contract from its artifact. A mutant that every test lets through survives; each survivor must
// stand in test/mutation/survivors.json with the reason why it changes nothing that matters.
//
// node script/mutate.mjs [--sample N] [--only TEXT] [--jobs N] [--list]
//   --sample N   every so many-th mutant, so that N of them are spread over all files; without it all
//   --only TEXT  only mutants whose "file:line was => is" contains the text
//   --jobs N     how many at once (default 1)
//   --list       print the mutants and run nothing
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

import { compiler, install, root } from "./compile.mjs";
import { mutantsOf } from "./mutants.mjs";

const survivorsFile = "test/mutation/survivors.json";

/** What is mutated, and the contracts into which it is compiled. */
const SOURCES = {
  "contracts/Escrow.sol": ["Escrow"],
  "contracts/libraries/Rows.sol": ["Escrow"],
  "contracts/libraries/Slots.sol": ["Escrow"],
  "contracts/libraries/Vouchers.sol": ["Escrow"],
  "contracts/libraries/Terms.sol": ["Escrow"],
  "contracts/RevenueSplit.sol": ["RevenueSplit", "RevenueSplitFactory"],
  "contracts/RevenueSplitFactory.sol": ["RevenueSplitFactory"],
};

/** The quick tests first: most mutants fall to them. Names follow the verbs, so that new tests are found. */
const SLOW = "test/{zoo,reentrancy,invariants/*}*.sol";
const STAGES = [
  ["--no-match-path", SLOW],
  ["--match-path", SLOW],
];
const TEST_SECONDS = 240;
const BUILD_SECONDS = 3600;

/* TESTING */

/** A copy of what forge needs, in which artifacts may be overwritten. */
function workshop() {
  const folder = mkdtempSync(join(tmpdir(), "farthing-mutants-"));
  for (const name of ["contracts", "test", "script", "foundry.toml", "out", "cache"]) {
    if (existsSync(join(root, name)))
      cpSync(join(root, name), join(folder, name), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Few runs of each fuzz test, always the same ones, so that a mutant's fate is not luck. */
const ENVIRONMENT = {
  ...process.env,
  FOUNDRY_FUZZ_RUNS: "16",
  FOUNDRY_FUZZ_SEED: "7",
  FOUNDRY_INVARIANT_RUNS: "2",
  FOUNDRY_INVARIANT_DEPTH: "150",
  FOUNDRY_LINT_LINT_ON_BUILD: "false",
};

/** Runs forge, and says how it failed; undefined if it did not. */
function forge(folder, seconds, ...words) {
  const child = spawn(join(root, "node_modules/.bin/forge"), words, { cwd: folder, env: ENVIRONMENT });
  let output = "";
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (output += data));
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal) return resolve(`no answer in ${seconds} s`);
      if (code === 0) return resolve(undefined);
      resolve(output.match(/\[FAIL[^\n]*\] (\w+)\(/)?.[1] ?? output.trim().split("\n").at(-1));
    });
  });
}

async function testAll(folder, seconds) {
  for (const filter of STAGES) {
    const failed = await forge(folder, seconds, "test", "--fail-fast", "--threads", "1", ...filter);
    if (failed !== undefined) return failed;
  }
  return undefined;
}

/** One worker: its own compiler and its own workshop. */
async function work() {
  // Without the optimizer: a mutant is a mistake in the source, and the tests hold with either.
  const compile = compiler({ optimized: false });
  const folder = workshop();
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const contracts = [...new Set(Object.values(SOURCES).flat())];
  const originals = Object.fromEntries(contracts.map((contract) => [contract, compile(contract, {})]));
  const reset = () => contracts.forEach((contract) => install(folder, contract, originals[contract]));
  // Whatever forge has to compile, it compiles now, and not over the first mutant.
  const failed = (await testAll(folder, BUILD_SECONDS)) ?? (reset(), await testAll(folder, TEST_SECONDS));
  if (failed !== undefined) throw new Error(`the tests fail without any mutant: ${failed}`);
  parentPort.postMessage({ ready: true });
  parentPort.on("message", async ({ number, mutant }) => {
    const compiled = SOURCES[mutant.file].map((contract) => [
      contract,
      compile(contract, { [mutant.file]: mutant.text }),
    ]);
    let result;
    if (compiled.some(([, evm]) => evm === undefined)) result = { outcome: "stillborn" };
    else if (compiled.every(([contract, evm]) => evm.bytecode.object === originals[contract].bytecode.object))
      result = { outcome: "same code" };
    else {
      compiled.forEach(([contract, evm]) => install(folder, contract, evm));
      const killer = await testAll(folder, TEST_SECONDS);
      result = killer === undefined ? { outcome: "survived" } : { outcome: "killed", killer };
      reset();
    }
    parentPort.postMessage({ number, ...result });
  });
}

/* REPORTING */

const nameOf = ({ file, line, was, is }) => `${file}:${line} ${was} => ${is}`;
const isListed = (mutant) => (entry) =>
  entry.file === mutant.file && entry.was === mutant.was && entry.is === mutant.is;

function chosen(options) {
  let mutants = Object.keys(SOURCES).flatMap((file) => mutantsOf(file, readFileSync(join(root, file), "utf8")));
  if (options.only) mutants = mutants.filter((mutant) => nameOf(mutant).includes(options.only));
  const sample = Math.min(options.sample ?? mutants.length, mutants.length);
  // Spread over all files by the golden ratio, so that a run that is stopped early has seen a bit of everything.
  const order = (index) => (index * 0.618033988749895) % 1;
  return Array.from({ length: sample }, (_, index) => mutants[Math.floor((index * mutants.length) / sample)])
    .map((mutant, index) => [order(index), mutant])
    .sort(([a], [b]) => a - b)
    .map(([, mutant]) => mutant);
}

function run(mutants, jobs, report) {
  let next = 0;
  let running = Math.min(jobs, mutants.length);
  return new Promise((resolve, reject) => {
    for (let job = 0; job < Math.min(jobs, mutants.length); job++) {
      const worker = new Worker(fileURLToPath(import.meta.url));
      worker.on("error", reject);
      worker.on("message", (message) => {
        if (message.number !== undefined) report(mutants[message.number], message);
        if (next < mutants.length) return worker.postMessage({ number: next, mutant: mutants[next++] });
        worker.terminate();
        if (--running === 0) resolve();
      });
    }
  });
}

function parse(words) {
  const options = { jobs: 1 };
  while (words.length > 0) {
    const word = words.shift();
    if (word === "--list") options.list = true;
    else if (word === "--only") options.only = words.shift();
    else if (word === "--sample") options.sample = Number(words.shift());
    else if (word === "--jobs") options.jobs = Number(words.shift());
    else fail(`${word} is not understood`);
  }
  return options;
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

async function main() {
  const options = parse(process.argv.slice(2));
  const mutants = chosen(options);
  if (mutants.length === 0) fail("there is no such mutant");
  if (options.list) return mutants.forEach((mutant) => console.log(nameOf(mutant)));
  const survivors = JSON.parse(readFileSync(join(root, survivorsFile), "utf8"));
  const counts = { killed: 0, survived: 0, "same code": 0, stillborn: 0 };
  const unexplained = [];
  const outlived = [];
  await run(mutants, options.jobs, (mutant, { outcome, killer }) => {
    counts[outcome]++;
    const listed = survivors.some(isListed(mutant));
    if (outcome === "survived" && !listed) unexplained.push(mutant);
    if (outcome === "killed" && listed) outlived.push(mutant);
    console.log(
      `${outcome}${killer ? ` by ${killer}` : ""}${outcome === "survived" && listed ? " (explained)" : ""}: ${nameOf(mutant)}`,
    );
  });
  const made = counts.killed + counts.survived;
  console.log(
    `${made} mutants: ${counts.killed} killed, ${counts.survived - unexplained.length} survived with a reason, ${unexplained.length} without; besides ${counts["same code"]} that are the same code and ${counts.stillborn} that do not compile`,
  );
  for (const mutant of outlived) console.error(`error: killed, so strike it from ${survivorsFile}: ${nameOf(mutant)}`);
  for (const mutant of unexplained) console.error(`error: survived: ${nameOf(mutant)}`);
  if (outlived.length + unexplained.length > 0) process.exit(1);
}

if (isMainThread) await main();
else await work();
