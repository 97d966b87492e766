#!/usr/bin/env node
// Runs halmos over test/proofs, on the escrow's bytecode as it ships: for each function, from any state, the rules of
// test/proofs/Rules.sol hold after any call that succeeds, and some call does succeed.
//
// node script/prove.mjs [--only FUNCTION,…|--quick] [--controls]
//   --only      only these functions of the escrow (Redeem, Close, …)
//   --quick     only those that take seconds each
//   --controls  put each mistake of test/proofs/mistakes.json into a copy, and expect the proof that it names to fail
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { compiler, install, root } from "./compile.mjs";

const PROVED = 0;
const REFUTED = 1;
const UNDECIDED = 2;
const HALMOS = [
  "--forge-build-out",
  "out/proofs",
  // State lies at hashes of its own, not where Solidity would put it.
  "--storage-layout",
  "generic",
  // A batch of one row with each set of flags, and of two rows; signatures in both encodings.
  "--array-lengths",
  "rows={98,118,130,150,196},signature={64,65}",
  "--loop",
  "3",
  "--solver-timeout-assertion",
  "300s",
  "--solver-command",
  `"${join(root, ".venv/bin/python")}" "${join(root, "test/proofs/solve.py")}"`,
  "--no-status",
];

/**
 * What may stay undecided, because the solver does not come to an end in its time; docs/verification.md says so too.
 */
const OPEN = JSON.parse(readFileSync(join(root, "test/proofs/undecided.json"), "utf8"));

const LIMIT_SECONDS = 900;

/** Functions without a loop, without a signature of variable length and without a refund. */
const QUICK = [
  ...["SetOperator", "RequestClose", "Reserve", "Withdraw"],
  ...["Deposit", "DepositWithPermit", "DepositWithAuthorization"],
  ...["Open", "OpenWithPermit", "OpenWithAuthorization"],
];

/** Runs the checks of a contract whose names begin so. One that comes to no end is undecided. */
function halmos(folder, contract, check, ...more) {
  const report = join(folder, "out", "halmos.json");
  rmSync(report, { force: true });
  const about = ["--root", folder, "--contract", contract, "--function", check, "--json-output", report];
  const words = [...HALMOS, ...about, ...more];
  const path = [join(root, "node_modules/.bin"), join(root, ".venv/bin"), process.env.PATH].join(delimiter);
  // `timeout` ends the solvers that halmos has started as well.
  const run = spawnSync("timeout", ["-k", "5", `${LIMIT_SECONDS}`, join(root, ".venv/bin/halmos"), ...words], {
    cwd: folder,
    env: { ...process.env, PATH: path, FOUNDRY_PROFILE: "proofs", FOUNDRY_LINT_LINT_ON_BUILD: "false" },
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (!existsSync(report)) {
    if (run.status === 124 || run.status === 137)
      return [{ contract, check, exitcode: UNDECIDED, seconds: LIMIT_SECONDS }];
    fail(
      `halmos did not run\n${run.error?.message ?? (run.stderr + run.stdout).trim().split("\n").slice(-3).join("\n")}`,
    );
  }
  return Object.values(JSON.parse(readFileSync(report, "utf8")).test_results)
    .flat()
    .map(({ name, exitcode, num_paths, time }) => ({
      contract,
      check: name.replace("()", ""),
      exitcode,
      paths: num_paths?.[0],
      seconds: time?.[0],
    }));
}

/** The checks of a contract, one by one, so that one that comes to no end does not take the others with it. */
function* checksOf(contract) {
  const redeems = read("Escrow.proof.sol").includes(`contract ${contract} is RedeemingRules`);
  const [rules, redeeming] = read("Rules.sol").split("abstract contract RedeemingRules");
  for (const [, check] of `${rules}${redeems ? redeeming : ""}`.matchAll(/function (check_\w+)/g)) yield check;
}

const read = (file) => readFileSync(join(root, "test/proofs", file), "utf8");

const contracts = () => [...read("Escrow.proof.sol").matchAll(/^contract (\w+)/gm)].map(([, name]) => name);

/** Every function that can change something has a contract that is about it. */
function checkComplete() {
  const { abi } = JSON.parse(readFileSync(join(root, "crates/farthing/abi/Escrow.json"), "utf8"));
  const source = read("Escrow.proof.sol");
  const changes = abi.filter(({ type, stateMutability }) => type === "function" && !/view|pure/.test(stateMutability));
  const missing = changes.filter(({ name }) => !source.includes(`return selector == IEscrow.${name}.selector;`));
  if (missing.length > 0) fail(`no proof is about ${missing.map(({ name }) => name).join(", ")}`);
  if (abi.some(({ type }) => type === "receive" || type === "fallback")) fail("no proof is about receive or fallback");
}

/** A rule must be proved; that the function is reached must be refuted, because the check says that it never is. */
function verdict({ contract, check, exitcode }) {
  if (check === "check_Reach") return exitcode === REFUTED ? "reached" : undefined;
  if (exitcode === PROVED) return "proved";
  return exitcode === UNDECIDED && OPEN.some((entry) => entry.contract === contract && entry.check === check)
    ? "undecided"
    : undefined;
}

function prove(only) {
  checkComplete();
  const counts = { reached: 0, proved: 0, undecided: 0, failed: 0 };
  for (const contract of only ?? contracts()) {
    const checks = QUICK.includes(contract) ? ["check_"] : [...checksOf(contract)];
    for (const result of checks.flatMap((check) => halmos(root, contract, check))) {
      const found = verdict(result) ?? "failed";
      counts[found]++;
      const effort = result.paths
        ? `${result.paths} paths, ${Math.round(result.seconds)} s`
        : `no end in ${result.seconds} s`;
      console.log(`${found} ${contract}.${result.check.replace("check_", "")} (${effort})`);
    }
  }
  console.log(`${counts.proved} rules proved, ${counts.undecided} undecided; ${counts.reached} functions reached`);
  if (counts.failed > 0) fail(`${counts.failed} not as they should be`);
}

/* CONTROLS */

function copy() {
  const folder = mkdtempSync(join(tmpdir(), "farthing-proofs-"));
  for (const name of ["contracts", "test/proofs", "script/solc.mjs", "foundry.toml", "out", "cache/proofs"]) {
    if (existsSync(join(root, name)))
      cpSync(join(root, name), join(folder, name), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function seed({ name, file, from, to }) {
  const source = readFileSync(join(root, file), "utf8");
  if (source.split(from).length !== 2)
    fail(`"${name}" no longer fits ${file}: "${from}" stands there ${source.split(from).length - 1} times`);
  return { [file]: source.replace(from, () => to) };
}

function control(only) {
  const mistakes = JSON.parse(readFileSync(join(root, "test/proofs/mistakes.json"), "utf8"));
  const compile = compiler({ optimized: true });
  const folder = copy();
  let missed = 0;
  try {
    for (const mistake of mistakes.filter(({ contract }) => !only || only.includes(contract))) {
      const evm = compile("Escrow", seed(mistake));
      if (!evm) fail(`"${mistake.name}" does not compile`);
      install(folder, "Escrow", evm);
      const [result] = halmos(folder, mistake.contract, mistake.check, "--early-exit");
      const noticed = result?.exitcode === REFUTED;
      if (!noticed) missed++;
      console.log(
        `${noticed ? "noticed" : "NOT NOTICED"}: ${mistake.name} (${mistake.contract}.${mistake.check.replace("check_", "")})`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (missed > 0) fail(`${missed} seeded mistakes were not noticed`);
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

const options = process.argv.slice(2);
const named = options.includes("--only") ? options[options.indexOf("--only") + 1].split(",") : undefined;
const only = options.includes("--quick") ? QUICK : named;
if (options.includes("--controls")) control(only);
else prove(only);
