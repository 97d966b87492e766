#!/usr/bin/env node
// Measures with forge which lines and branches of contracts/ the unit tests reach, and fails on one that they don't
// reach unless test/coverage.json gives the reason; a reason for what is reached fails as well. An `if` without `else`
// must have been taken and skipped. With --without FILE[,FILE...] it leaves out test/FILE.t.sol; with --control it
// leaves out some that alone reach something, and must notice.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { compiler, root } from "./compile.mjs";

const ESCROW = "contracts/Escrow.sol";
const LISTED = "test/coverage.json";

/**
 * Only the old code generator without the optimizer tells where each line of assembly went, and it runs out of stack in
 * one function of the escrow. Two braces end the lives of two variables earlier there, in a copy, and move no line. As
 * the escrow is built to ship, the copy compiles to the very bytes that ship; `demandSameCode` makes sure.
 */
const BRACES = [
  ["(uint256 slotAfter, bool isAllowed) = slot.res", "{ (uint256 slotAfter, bool isAllowed) = slot.res"],
  ["_at(id).slot = slotAfter;\n        if (slot != 0) {", "_at(id).slot = slotAfter; }\n        if (slot != 0) {"],
];

/** Each alone has tests of something: the factory's refusals, and a funding that is nested in another. */
const CONTROL = { create: "contracts/RevenueSplitFactory.sol", reentrancy: ESCROW };

function fail(problems) {
  for (const problem of problems) console.error(`error: ${problem}`);
  process.exit(1);
}

const linesOf = (file) => readFileSync(join(root, file), "utf8").split("\n");

function braced() {
  return BRACES.reduce((source, [from, to]) => {
    if (source.split(from).length !== 2) fail([`${ESCROW}: "${from}" is not there once: adapt script/coverage.mjs`]);
    return source.replace(from, to);
  }, readFileSync(join(root, ESCROW), "utf8"));
}

function demandSameCode() {
  const { bytecode } = JSON.parse(readFileSync(join(root, "crates/farthing/abi/Escrow.json"), "utf8"));
  const object = compiler({ optimized: true })("Escrow", { [ESCROW]: braced() })?.bytecode.object;
  if (bytecode !== `0x${object}`)
    fail(["the copy that is measured is not the escrow that ships: write bindings (just bindings), or adapt BRACES"]);
}

/** A copy, so that nothing of this build gets in the way of forge's own. */
function copy() {
  const folder = mkdtempSync(join(tmpdir(), "farthing-coverage-"));
  for (const name of ["contracts", "test", "script/solc.mjs", "foundry.toml", "package.json"]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, ESCROW), braced());
  return folder;
}

/** Runs the tests and gives what forge writes about them. A test that fails has not tested what it reaches. */
function measure(without) {
  const folder = copy();
  try {
    const filter = without.length === 0 ? [] : ["--no-match-path", `test/{${without.join(",")}}.t.sol`];
    const options = ["coverage", "--report", "lcov", "--exclude-tests", ...filter];
    const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/forge"), options, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, FOUNDRY_PROFILE: "coverage" },
      maxBuffer: 1 << 28,
    });
    const [, passed, failed] = stdout?.match(/(\d+) tests passed, (\d+) failed/) ?? [];
    if (status !== 0 || passed === undefined || failed !== "0") {
      console.error(stderr, stdout?.slice(-3000));
      fail([failed > 0 ? `${failed} tests fail` : `forge coverage ended with ${status}`]);
    }
    return { passed: Number(passed), trace: readFileSync(join(folder, "lcov.info"), "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By file: how often each line ran, and of each branching its line and how often each of its paths was taken. */
function read(trace) {
  const files = new Map();
  let file;
  for (const line of trace.split("\n")) {
    const [, kind, rest] = line.match(/^(\w+):(.*)$/) ?? [];
    if (kind === "SF") files.set(rest, (file = { lines: new Map(), branchings: new Map() }));
    if (kind === "DA") {
      const [number, hits] = rest.split(",").map(Number);
      file.lines.set(number, hits);
    }
    if (kind === "BRDA") {
      const [number, block, , hits] = rest.split(",");
      const branching = file.branchings.get(block) ?? { number: Number(number), paths: [] };
      branching.paths.push(hits === "-" ? 0 : Number(hits));
      file.branchings.set(block, branching);
    }
  }
  return new Map([...files].filter(([name]) => name.startsWith("contracts/")));
}

/**
 * Whether an `if` without `else` was ever skipped, which forge does not count: its line, or the next statement beside
 * it, then ran more often than its branch.
 */
function isSkipped({ number, paths: [taken] }, lines, source) {
  if (lines.get(number) > taken) return true;
  const depth = (text) => text.search(/\S/);
  const own = depth(source[number - 1]);
  for (let next = number + 1; next <= source.length; next++) {
    const found = depth(source[next - 1]);
    if (found !== -1 && found < own) return false;
    if (found === own && lines.has(next)) return lines.get(next) > taken;
  }
  return false;
}

/** Everything that there is to reach, and whether it was. */
function* reachable(files) {
  for (const [file, { lines, branchings }] of files) {
    const source = linesOf(file);
    const at = (number) => ({ file, number, source: source[number - 1].trim() });
    for (const [number, hits] of lines) yield { ...at(number), what: "runs the line", isReached: hits > 0 };
    for (const branching of branchings.values()) {
      for (const [path, hits] of branching.paths.entries())
        yield { ...at(branching.number), what: `takes branch ${path + 1}`, isReached: hits > 0 };
      if (branching.paths.length === 1)
        yield { ...at(branching.number), what: "skips the branch", isReached: isSkipped(branching, lines, source) };
    }
  }
}

const same = (a) => (b) => a.file === b.file && a.source === b.source && a.what === b.what;

/** forge leaves out in silence what it can't map to its source. */
function* leftOut(files) {
  for (const name of readdirSync(join(root, "contracts"), { recursive: true })) {
    const file = `contracts/${name}`;
    if (!file.endsWith(".sol") || files.has(file)) continue;
    if (linesOf(file).some((line) => /^(abstract )?(contract|library) /.test(line))) yield `${file} was not measured`;
  }
}

function* problemsOf(files, all, listed) {
  yield* leftOut(files);
  for (const item of all) {
    if (!item.isReached && !listed.some(same(item)))
      yield `${item.file}:${item.number}: no test ${item.what}: ${item.source}`;
  }
  for (const entry of listed) {
    if (!all.some((item) => !item.isReached && same(entry)(item)))
      yield `${entry.file}: a test ${entry.what} "${entry.source}", or it is gone: strike it from ${LISTED}`;
  }
}

function countOf(all, kind) {
  const items = all.filter(({ what }) => what.startsWith(kind));
  return `${items.filter(({ isReached }) => isReached).length} of ${items.length}`;
}

function optionsOf(given) {
  if (given.length === 0) return { control: false, without: [] };
  if (given.length === 1 && given[0] === "--control") return { control: true, without: Object.keys(CONTROL) };
  const without = given.length === 2 && given[0] === "--without" ? given[1].split(",") : [];
  if (without.length === 0) fail(["usage: coverage.mjs [--without FILE[,FILE...] | --control]"]);
  for (const name of without) {
    if (!existsSync(join(root, `test/${name}.t.sol`))) fail([`there is no test/${name}.t.sol`]);
  }
  return { control: false, without };
}

const { control, without } = optionsOf(process.argv.slice(2));
demandSameCode();
const { passed, trace } = measure(without);
const files = read(trace);
const all = [...reachable(files)];
const listed = JSON.parse(readFileSync(join(root, LISTED), "utf8"));
const problems = [...problemsOf(files, all, listed)];
if (control) {
  for (const [name, file] of Object.entries(CONTROL)) {
    if (!problems.some((problem) => problem.startsWith(file))) fail([`not noticed: test/${name}.t.sol is left out`]);
  }
  for (const problem of problems) console.log(`noticed without ${without.join(" and ")}: ${problem}`);
} else {
  console.log(
    `coverage: ${passed} tests run ${countOf(all, "runs")} lines of ${files.size} files, ` +
      `take ${countOf(all, "takes")} branches and skip ${countOf(all, "skips")}; ` +
      `${listed.length} are listed with a reason`,
  );
  if (problems.length > 0) fail(problems);
}
