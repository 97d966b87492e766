#!/usr/bin/env node
// Mutation testing of the contracts: puts one small mistake at a time into the source, compiles it, and runs the forge
// tests, which load the contract from its artifact. A mutant that every test lets through survives; each survivor must
// stand in test/mutation/survivors.json with the reason why it changes nothing that matters.
//
// node script/mutate.mjs [--sample N] [--only TEXT] [--jobs N] [--resume FILE] [--list]
//   --sample N     every so many-th mutant, so that N of them are spread over all files; without it all
//   --only TEXT    only mutants whose "file:line was => is" contains the text
//   --jobs N       how many at once (default 1)
//   --resume FILE  write down in FILE what came of each mutant, and do not run again what it says was killed: tests
//                  that were added since kill no fewer
//   --list         print the mutants and run nothing
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

const TEST_SECONDS = 240;
const BUILD_SECONDS = 3600;

/* TESTING */

/** A copy of what forge needs, in which artifacts may be overwritten. */
function workshop() {
  const folder = mkdtempSync(join(tmpdir(), "farthing-mutants-"));
  // Of the scripts the compiler only: forge would compile the others again before each mutant's tests.
  for (const name of ["contracts", "test", "script/solc.mjs", "foundry.toml", "out", "cache"]) {
    if (existsSync(join(root, name)))
      cpSync(join(root, name), join(folder, name), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  lighten(join(folder, "out"));
  return folder;
}

/** Takes out of the artifacts what no test reads, which is most of them: forge reads all of it before each mutant. */
function lighten(out) {
  for (const file of readdirSync(out, { recursive: true }).filter((name) => name.endsWith(".json"))) {
    const artifact = JSON.parse(readFileSync(join(out, file), "utf8"));
    const { ast, metadata, rawMetadata, ...rest } = artifact;
    writeFileSync(join(out, file), JSON.stringify(rest));
  }
}

/**
 * Few runs of each fuzz test, always the same ones, so that a mutant's fate is not luck. Campaigns do next to nothing:
 * a mistake of one token is to have a test that is about it.
 */
const ENVIRONMENT = {
  ...process.env,
  FOUNDRY_FUZZ_RUNS: "16",
  FOUNDRY_FUZZ_SEED: "7",
  FOUNDRY_INVARIANT_RUNS: "1",
  FOUNDRY_INVARIANT_DEPTH: "50",
  FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT: "0",
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
      // A campaign prints its calls between the verdict and its name.
      const name = output.match(/\[FAIL[^]*?\b((?:test|invariant)\w*_\w+|setUp)\(/)?.[1];
      resolve(name ?? output.trim().split("\n").at(-1));
    });
  });
}

/** All tests at once: told of some only, forge works out anew which those are, for longer than most mutants live. */
const testAll = (folder, seconds) => forge(folder, seconds, "test", "--fail-fast", "--threads", "1");

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

/** Names a mutant by all that is compiled, so that whoever changes a contract begins anew. */
function digestOf(mutant, sources) {
  const hash = createHash("sha256");
  for (const [file, source] of Object.entries(sources)) hash.update(file === mutant.file ? mutant.text : source);
  return hash.digest("hex");
}

/** What came of earlier mutants: a line each, the last one of a mutant counts. */
function bookAt(path) {
  if (!path) return { find: () => undefined, write: () => {} };
  const read = (file) => readFileSync(join(root, file), "utf8");
  const sources = Object.fromEntries(Object.keys(SOURCES).map((file) => [file, read(file)]));
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
  const results = new Map(lines.map((line) => JSON.parse(line)).map(({ digest, ...result }) => [digest, result]));
  return {
    find: (mutant) => results.get(digestOf(mutant, sources)),
    write: (mutant, { outcome, killer }) =>
      appendFileSync(path, `${JSON.stringify({ digest: digestOf(mutant, sources), outcome, killer })}\n`),
  };
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
    else if (word === "--resume") options.resume = words.shift();
    else fail(`${word} is not understood`);
  }
  return options;
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

/** Counts and prints what comes of the mutants, and what is wrong with that. */
class Tally {
  counts = { killed: 0, survived: 0, "same code": 0, stillborn: 0 };
  unexplained = [];
  outlived = [];
  explanations = JSON.parse(readFileSync(join(root, survivorsFile), "utf8"));

  add(mutant, { outcome, killer }) {
    this.counts[outcome]++;
    const listed = this.explanations.some(isListed(mutant));
    if (outcome === "survived" && !listed) this.unexplained.push(mutant);
    if (outcome === "killed" && listed) this.outlived.push(mutant);
    const remark = (killer ? ` by ${killer}` : "") + (outcome === "survived" && listed ? " (explained)" : "");
    console.log(`${outcome}${remark}: ${nameOf(mutant)}`);
  }

  /** Prints the sums and answers whether every survivor is explained, and nothing else. */
  close() {
    const { killed, survived, stillborn } = this.counts;
    const without = this.unexplained.length;
    const sums = `${killed} killed, ${survived - without} survived with a reason, ${without} without`;
    const besides = `${this.counts["same code"]} that are the same code and ${stillborn} that do not compile`;
    console.log(`${killed + survived} mutants: ${sums}; besides ${besides}`);
    for (const mutant of this.outlived)
      console.error(`error: killed, so strike it from ${survivorsFile}: ${nameOf(mutant)}`);
    for (const mutant of this.unexplained) console.error(`error: survived: ${nameOf(mutant)}`);
    return this.outlived.length + without === 0;
  }
}

async function main() {
  const options = parse(process.argv.slice(2));
  const mutants = chosen(options);
  if (mutants.length === 0) fail("there is no such mutant");
  if (options.list) return mutants.forEach((mutant) => console.log(nameOf(mutant)));
  const tally = new Tally();
  const book = bookAt(options.resume);
  const left = [];
  for (const mutant of mutants) {
    const known = book.find(mutant);
    // A survivor is tried again: there may be a test for it by now.
    if (known && known.outcome !== "survived") tally.add(mutant, known);
    else left.push(mutant);
  }
  if (left.length > 0) {
    await run(left, options.jobs, (mutant, result) => {
      book.write(mutant, result);
      tally.add(mutant, result);
    });
  }
  if (!tally.close()) process.exit(1);
}

if (isMainThread) await main();
else await work();
