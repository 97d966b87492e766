#!/usr/bin/env node
// Holds test/README.md to the tests: every loss from the first to the last has tests, every test that is named exists, and
// every test and comment with a number has its row. Names what is wrong and exits 1.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const without = process.argv[2] === "--without" ? process.argv[3] : undefined;

const LOSSES = 35;

function filesIn(folder, ending) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((name) => name.endsWith(ending) && !name.includes("/target/"))
    .map((name) => join(folder, name));
}

const read = (path) => readFileSync(join(root, path), "utf8");
const solidity = filesIn("test", ".sol");
const rust = filesIn("crates", ".rs");

// A test of Rust is a function with an attribute of that name above it; one of Solidity is known by its own name.
const SOLIDITY_TEST = /function ((?:test|invariant)\w*)\(/g;
const RUST_TEST = /#\[(?:tokio::)?test[^\]]*\](?:\s*#\[[^\]]*\])*\s*(?:async )?fn (\w+)/g;
const PROPERTY = /proptest! \{[\s\S]*?\n\}/g;
const RUST_PROPERTY = /#\[test\][\s\S]*?fn (\w+)/g;

const tests = new Set();
const numbered = [];
for (const path of solidity) {
  const text = read(path);
  for (const [, name] of text.matchAll(SOLIDITY_TEST)) tests.add(name);
  for (const [, number] of text.matchAll(/Loss(?:es)? (\d+)/gi)) {
    numbered.push({ where: `a comment in ${path}`, number: Number(number) });
  }
  for (const [, name, number] of text.matchAll(/function (test_Loss(\d+)_\w+)\(/g)) {
    numbered.push({ where: name, number: Number(number), name });
  }
}
for (const path of rust) {
  const text = read(path);
  for (const [, name] of text.matchAll(RUST_TEST)) tests.add(name);
  for (const [block] of text.matchAll(PROPERTY)) {
    for (const [, name] of block.matchAll(RUST_PROPERTY)) tests.add(name);
  }
}
tests.delete(without);

const wrong = [];
const rows = new Map();
const table = read("test/README.md");
for (const [, number, , cell] of table.matchAll(/^\| (\d+) \| (.+?) \| (.+) \|$/gm)) {
  rows.set(Number(number), [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
}
for (let number = 1; number <= LOSSES; number += 1) {
  if (!rows.get(number)?.length) wrong.push(`loss ${number} has no test`);
}
const named = [...table.matchAll(/`((?:test|invariant)\w+|[a-z0-9]+(?:_[a-z0-9]+)+)`/g)].map(([, name]) => name);
for (const name of named) {
  if (!tests.has(name)) wrong.push(`${name} is named and is no test`);
}
for (const { where, number, name } of numbered) {
  if (!rows.has(number)) wrong.push(`${where} has the number ${number}, which no row has`);
  else if (name && !rows.get(number).includes(name)) wrong.push(`${name} is not in row ${number}`);
}
for (const [, file] of table.matchAll(/`(\w+\.t\.sol)`/g)) {
  if (!solidity.includes(join("test", file))) wrong.push(`test/${file} is named and not there`);
}

for (const line of wrong) console.error(`test/README.md: ${line}`);
if (wrong.length > 0) process.exitCode = 1;
else console.log(`${rows.size} losses, ${new Set(named).size} tests named, ${tests.size} tests known`);
