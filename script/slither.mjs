#!/usr/bin/env node
// Runs slither over contracts/ and holds its findings of medium impact and above to script/slither.json, which gives
// the reason why each is none. A finding that is not listed fails, and so does a listed one that slither no longer
// makes. With --control a contract with a real mistake is put beside the others, in a copy, and must be found.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const SEEDED = `// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

contract Seeded {
    mapping(address holder => uint256) public balanceOf;

    receive() external payable {
        balanceOf[msg.sender] += msg.value;
    }

    function withdraw() external {
        (bool sent,) = msg.sender.call{value: balanceOf[msg.sender]}("");
        require(sent);
        balanceOf[msg.sender] = 0;
    }
}
`;

function findingsIn(folder) {
  const path = [join(root, "node_modules/.bin"), join(root, ".venv/bin"), process.env.PATH].join(delimiter);
  const report = join(folder, "slither-report.json");
  rmSync(report, { force: true });
  const run = spawnSync(join(root, ".venv/bin/slither"), [".", "--fail-medium", "--json", report], {
    cwd: folder,
    env: { ...process.env, PATH: path, FOUNDRY_LINT_LINT_ON_BUILD: "false" },
    encoding: "utf8",
  });
  let text;
  try {
    text = readFileSync(report, "utf8");
  } catch {
    console.error(`error: slither did not run\n${run.error?.message ?? run.stderr.trim().split("\n").at(-1)}`);
    process.exit(1);
  }
  const { success, error, results } = JSON.parse(text);
  if (!success) {
    console.error(`error: slither did not finish: ${error}`);
    process.exit(1);
  }
  return (results.detectors ?? [])
    .filter(({ impact }) => impact === "High" || impact === "Medium")
    .map(nameOf)
    .filter((finding, place, all) => all.findIndex(same(finding)) === place);
}

const same = (a) => (b) => a.check === b.check && a.where === b.where;

/** The kind of finding, and the function that it is about. */
function nameOf({ check, elements }) {
  const element = elements[0];
  const inside = element.type === "function" ? element : (element.type_specific_fields?.parent ?? element);
  const contract = inside.type_specific_fields?.parent?.name ?? "";
  return { check, where: `${contract}.${inside.name}`.replace(/^\./, "") };
}

/** A copy, so that slither's build does not get in the way of forge's. */
function copy(seed) {
  const folder = mkdtempSync(join(tmpdir(), "farthing-slither-"));
  for (const name of ["contracts", "script/solc.mjs", "foundry.toml", "slither.config.json", "package.json"]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  if (seed) writeFileSync(join(folder, "contracts/Seeded.sol"), SEEDED);
  return folder;
}

function analyse(seed) {
  const folder = copy(seed);
  try {
    return findingsIn(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const accepted = JSON.parse(readFileSync(join(root, "script/slither.json"), "utf8"));
const control = process.argv.includes("--control");
const findings = analyse(control);
const problems = findings
  .filter((finding) => !accepted.some(same(finding)))
  .map(({ check, where }) => `${check} in ${where}`);
if (control) {
  const seeded = problems.filter((problem) => problem.includes("Seeded."));
  if (seeded.length === 0) {
    console.error("error: not noticed: a withdrawal that calls before it writes");
    process.exit(1);
  }
  console.log(`noticed: a withdrawal that calls before it writes (${seeded.join(", ")})`);
} else {
  for (const entry of accepted) {
    if (!findings.some(same(entry)))
      problems.push(`${entry.check} in ${entry.where} is no longer found: strike it from script/slither.json`);
  }
  for (const problem of problems) console.error(`error: ${problem}`);
  if (problems.length > 0) process.exit(1);
  console.log(`slither: nothing of medium impact or above, but for ${findings.length} findings with a reason`);
}
