#!/usr/bin/env node
// Runs halmos over test/proofs, on the bytecode as it ships: for each function, from any state, the rules of
// test/proofs/Rules.sol hold after any call of the escrow's that succeeds, and some call does succeed; and those of
// test/proofs/RevenueSplit.proof.sol of what a split pays.
//
// node script/prove.mjs [--only FUNCTION[.RULE],…|--quick] [--controls]
//   --only      only these functions (Redeem, Close, Release, …), or one rule of them (Redeem.Channel)
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
const ALL = "all";
const HALMOS = [
  "--forge-build-out",
  "out/proofs",
  // State lies at hashes of its own, not where Solidity would put it.
  "--storage-layout",
  "generic",
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

/** What is of variable length: signatures in both encodings; a batch of one row with each set of flags, and of two. */
const SIGNATURES = [64, 65].map((signature) => ({ signature }));
const BATCHES = [98, 118, 130, 150, 196].map((rows) => ({ rows }));
const LENGTHS = {
  Redeem: SIGNATURES,
  RedeemTo: SIGNATURES,
  Close: SIGNATURES,
  WithdrawFor: SIGNATURES,
  RedeemBatch: BATCHES,
};

/** Each length is shown by itself: a solver that is asked about all of them at once is asked too much. */
const lengthsOf = (contract) => LENGTHS[contract] ?? [{}];

const nameOf = (lengths) => Object.entries(lengths).map(([what, bytes]) => `${what} of ${bytes} bytes`)[0];

/** Runs one check of a contract, or all of them. One that comes to no end is undecided. */
function halmos(folder, { contract, check, lengths }, ...more) {
  // Its own, because another run in this folder may write one at the same time.
  const report = join(folder, "out", `halmos-${process.pid}.json`);
  rmSync(report, { force: true });
  const { rows, signature } = { rows: 98, signature: 64, ...lengths };
  const about = [
    ...["--root", folder, "--contract", contract, "--json-output", report],
    ...["--match-test", check === ALL ? "^check_" : `^${check}\\(`],
    ...["--array-lengths", `rows={${rows}},signature={${signature}}`],
  ];
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
      return [{ contract, check, lengths, exitcode: UNDECIDED, seconds: LIMIT_SECONDS }];
    fail(
      `halmos did not run\n${run.error?.message ?? (run.stderr + run.stdout).trim().split("\n").slice(-3).join("\n")}`,
    );
  }
  const results = JSON.parse(readFileSync(report, "utf8")).test_results;
  rmSync(report);
  return Object.values(results)
    .flat()
    .map(({ name, exitcode, num_paths, time }) => ({
      contract,
      check: name.replace("()", ""),
      lengths,
      exitcode,
      paths: num_paths?.[0],
      seconds: time?.[0],
    }));
}

/** The checks of a contract, one by one, so that one that comes to no end does not take the others with it. */
function* checksOf(contract) {
  const source = read("Escrow.proof.sol");
  if (!source.includes(`contract ${contract} is`)) return yield* namesIn(read("RevenueSplit.proof.sol"));
  const [rules, redeeming] = read("Rules.sol").split("abstract contract RedeemingRules");
  yield* namesIn(rules);
  if (source.includes(`contract ${contract} is RedeemingRules`)) yield* namesIn(redeeming);
}

const namesIn = (source) => [...source.matchAll(/function (check_\w+)/g)].map(([, check]) => check);

const read = (file) => readFileSync(join(root, "test/proofs", file), "utf8");

const contracts = () =>
  ["Escrow.proof.sol", "RevenueSplit.proof.sol"].flatMap((file) =>
    [...read(file).matchAll(/^contract (\w+)/gm)].map(([, name]) => name),
  );

/** Every function that can change something has a contract that is about it. */
function checkComplete() {
  const { abi } = JSON.parse(readFileSync(join(root, "crates/farthing/abi/Escrow.json"), "utf8"));
  const source = read("Escrow.proof.sol");
  const changes = abi.filter(({ type, stateMutability }) => type === "function" && !/view|pure/.test(stateMutability));
  const missing = changes.filter(({ name }) => !source.includes(`return selector == IEscrow.${name}.selector;`));
  if (missing.length > 0) fail(`no proof is about ${missing.map(({ name }) => name).join(", ")}`);
  if (abi.some(({ type }) => type === "receive" || type === "fallback")) fail("no proof is about receive or fallback");
}

const isOpen = ({ contract, check, lengths }) =>
  OPEN.some(
    (entry) =>
      entry.contract === contract &&
      entry.check === check &&
      Object.entries(entry.lengths ?? {}).every(([what, bytes]) => lengths[what] === bytes),
  );

/** A rule must be proved; that the function is reached must be refuted, because the check says that it never is. */
function verdict(result) {
  if (result.check === "check_Reach") return result.exitcode === REFUTED ? "reached" : "failed";
  if (result.exitcode === PROVED) return "proved";
  return result.exitcode === UNDECIDED && isOpen(result) ? "undecided" : "failed";
}

const ruleOf = (contract, check) => `${contract}.${check.replace("check_", "")}`;

const isWanted = (only, contract, check) =>
  !only || only.includes(contract) || only.includes(ruleOf(contract, check));

/** All that is to be run: of the quick functions all rules at once, of the others each rule and each length alone. */
function* cases(only) {
  for (const contract of contracts()) {
    if (QUICK.includes(contract) && (!only || only.includes(contract))) yield { contract, check: ALL, lengths: {} };
    else {
      for (const check of [...checksOf(contract)].filter((check) => isWanted(only, contract, check)))
        for (const lengths of lengthsOf(contract)) yield { contract, check, lengths };
    }
  }
}

/** What counts of a rule is its worst case. */
const WORST = ["failed", "undecided", "proved", "reached"];

function prove(only) {
  checkComplete();
  const verdicts = new Map();
  const note = (result) => {
    const found = verdict(result);
    const rule = ruleOf(result.contract, result.check);
    const place = Math.min(WORST.indexOf(found), WORST.indexOf(verdicts.get(rule) ?? "reached"));
    verdicts.set(rule, WORST[place]);
    const effort = result.paths
      ? `${result.paths} paths, ${Math.round(result.seconds)} s`
      : `no end in ${result.seconds} s`;
    console.log(`${found} ${rule} (${[nameOf(result.lengths), effort].filter(Boolean).join(", ")})`);
  };
  for (const one of cases(only)) halmos(root, one).forEach(note);
  const count = (what) => [...verdicts.values()].filter((found) => found === what).length;
  const rules = `${count("proved")} rules proved, ${count("undecided")} undecided`;
  console.log(`${rules}; ${count("reached")} functions reached`);
  if (count("failed") > 0) fail(`${count("failed")} not as they should be`);
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

/** A mistake of a length's own is looked for there, any other one with the first. */
const caseOf = ({ contract, check, lengths }) => ({ contract, check, lengths: lengths ?? lengthsOf(contract)[0] });

function control(only) {
  const mistakes = JSON.parse(readFileSync(join(root, "test/proofs/mistakes.json"), "utf8"));
  const compile = compiler({ optimized: true });
  const folder = copy();
  let missed = 0;
  try {
    for (const mistake of mistakes.filter(({ contract, check }) => isWanted(only, contract, check))) {
      const mistaken = mistake.file === "contracts/RevenueSplit.sol" ? "RevenueSplit" : "Escrow";
      const evm = compile(mistaken, seed(mistake));
      if (!evm) fail(`"${mistake.name}" does not compile`);
      install(folder, mistaken, evm);
      const [result] = halmos(folder, caseOf(mistake), "--early-exit");
      const noticed = result?.exitcode === REFUTED;
      if (!noticed) missed++;
      console.log(
        `${noticed ? "noticed" : "NOT NOTICED"}: ${mistake.name} (${ruleOf(mistake.contract, mistake.check)})`,
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
