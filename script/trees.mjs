#!/usr/bin/env node
// Holds test/*.tree and the tests to each other: every branch of a tree is one test of the contract that the tree is
// named after, and every test of that contract, inherited ones too, belongs to one branch ("_deposit" at its end tells
// the tests of one branch apart). If a test's name says Revert, its branch says so too. With --control the check makes
// sure of itself: it forgets a test, a branch, a leaf and a tree, and must notice each.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../test/", import.meta.url));

/** The losses of others have no trees: test/README.md lists them by number. */
const WITHOUT_TREE = ["losses.t.sol"];

/** "RevertWhen_CallerNotPayee" and "When caller not payee" come down to the same words. */
const wordsOf = (title) => title.replace(/[^A-Za-z0-9]/g, "").toLowerCase();

/** Contracts by name: what they inherit, and their tests as `words → says that it reverts`. */
function contractsOf(sources) {
  const contracts = new Map();
  for (const source of Object.values(sources)) {
    for (const [, name, parents = "", body] of source.matchAll(
      /^(?:abstract )?contract (\w+)(?: is ([^{]+))? \{([^]*?)^\}/gm,
    )) {
      const tests = new Map();
      for (const [, , revert, when] of body.matchAll(/function test(Fuzz)?_(Revert)?((?:When|Given)_?[^_(]+)/g))
        tests.set(wordsOf(when), revert !== undefined);
      contracts.set(name, { parents: parents.split(",").map((parent) => parent.trim()), tests });
    }
  }
  return contracts;
}

function testsOf(contracts, name) {
  const contract = contracts.get(name);
  if (!contract) return new Map();
  return new Map([...contract.parents.flatMap((parent) => [...testsOf(contracts, parent)]), ...contract.tests]);
}

/**
 * The first line names the contract. A line without a bar before its branch is a condition; below it is what it should
 * do.
 */
function readTree(text) {
  const [contract, ...lines] = text.trimEnd().split("\n");
  const branches = new Map();
  let current;
  for (const line of lines) {
    const [, bars, title] = line.match(/^([│ ]*)[├└]── (.*)$/) ?? [];
    if (title === undefined) throw new Error(`"${line}" is not a branch`);
    if (/^It should /.test(title)) current.leaves.push(title);
    else if (bars === "") branches.set(wordsOf(title), (current = { title, leaves: [] }));
    else throw new Error(`"${title}" lies below another condition: give it a branch of its own`);
  }
  return { contract: contract.trim(), branches };
}

function* compare(file, tree, contracts) {
  const tests = testsOf(contracts, tree.contract);
  if (!contracts.has(tree.contract)) yield `${file}: there is no contract ${tree.contract}`;
  for (const [words, { title, leaves }] of tree.branches) {
    if (leaves.length === 0) yield `${file}: "${title}" should do nothing`;
    if (!tests.has(words)) yield `${file}: no test of ${tree.contract} is called "${title}"`;
    else if (tests.get(words) && !leaves.some((leaf) => /^It should (revert|be refused)\b/.test(leaf)))
      yield `${file}: "${title}" does not say that it reverts`;
  }
  for (const words of tests.keys()) {
    if (!tree.branches.has(words)) yield `${file}: a test of ${tree.contract} has no branch: ${words}`;
  }
}

function problemsOf(sources, trees) {
  const contracts = contractsOf(sources);
  const problems = Object.entries(trees).flatMap(([file, text]) => [...compare(file, readTree(text), contracts)]);
  // A verb's tests without a tree would be held to nothing.
  const planned = new Set(Object.values(trees).map((text) => readTree(text).contract));
  for (const [file, source] of Object.entries(sources)) {
    for (const [, name] of source.matchAll(/^contract (\w+)/gm)) {
      if (!WITHOUT_TREE.includes(file) && testsOf(contracts, name).size > 0 && !planned.has(name))
        problems.push(`${file}: ${name} has no tree`);
    }
  }
  return problems;
}

const read = (ending) =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.endsWith(ending))
      .map((name) => [name, readFileSync(folder + name, "utf8")]),
  );

const sources = read(".t.sol");
const trees = read(".tree");
const problems = problemsOf(sources, trees);
for (const problem of problems) console.error(`error: ${problem}`);
if (problems.length > 0) process.exit(1);

const count = Object.values(trees).reduce((sum, text) => sum + readTree(text).branches.size, 0);
console.log(`${count} branches of ${Object.keys(trees).length} trees, each with its test`);

if (process.argv.includes("--control")) {
  const controls = {
    "a test is gone": [
      { ...sources, "close.t.sol": sources["close.t.sol"].replace("test_GivenCloseRequested", "GivenCloseRequested") },
      trees,
    ],
    "a branch is gone": [sources, { ...trees, "open.tree": trees["open.tree"].replace(/├──[^\n]*\n│[^\n]*\n/, "") }],
    "a leaf is gone": [
      sources,
      { ...trees, "close.tree": trees["close.tree"].replace("It should revert with NotPayee.", "It should close.") },
    ],
    "a tree is gone": [sources, Object.fromEntries(Object.entries(trees).filter(([file]) => file !== "redeem.tree"))],
  };
  for (const [name, seeded] of Object.entries(controls)) {
    const noticed = problemsOf(...seeded);
    if (noticed.length === 0) {
      console.error(`error: not noticed: ${name}`);
      process.exit(1);
    }
    console.log(`noticed: ${name} (${noticed[0]})`);
  }
}
