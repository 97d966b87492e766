#!/usr/bin/env node
// Builds, measures and compares: see benches/speed/README.md. ./script/bench.sh calls it.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Builder } from "../benches/speed/building.mjs";
import { withTables } from "../benches/speed/document.mjs";
import { againstBars, summaries, worse } from "../benches/speed/figures.mjs";
import { bars, programs } from "../benches/speed/measurements.mjs";
import { help, parse } from "../benches/speed/options.mjs";
import { circumstances, Runner } from "../benches/speed/running.mjs";
import { table } from "../benches/speed/table.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const FIGURES = "docs/performance.json";
const DOCUMENT = "docs/performance.md";

const read = (path) => readFileSync(join(root, path), "utf8");
const say = (line) => console.error(line);

// Load that others cause is in every figure; a run on a busy machine says so.
const BUSY = 0.5;

async function measure(options, chosen) {
  const builder = new Builder(root, say);
  const built = new Map();
  for (const program of chosen) built.set(program, await builder.build(program));
  const before = loadavg()[0];
  const runner = new Runner(root, options, say);
  const { lines, failed } = await runner.run(built);
  const figures = summaries(lines);
  const report = {
    ...circumstances(root),
    load: { before },
    rounds: options.rounds,
    seconds: options.seconds,
    quick: options.quick,
    figures,
    bars: againstBars(bars, figures, lines),
  };
  return { report, failed };
}

function compare(report, path) {
  const { same, complaints } = worse(JSON.parse(readFileSync(path, "utf8")), report);
  if (!same) say(`note: ${path} is of another machine, so that only the ratios are compared`);
  for (const complaint of complaints) say(`worse: ${complaint}`);
  return complaints.length > 0;
}

function write(report) {
  mkdirSync(join(root, "docs"), { recursive: true });
  writeFileSync(join(root, FIGURES), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(root, DOCUMENT), withTables(read(DOCUMENT), report));
}

function checkDocument() {
  const document = read(DOCUMENT);
  if (withTables(document, JSON.parse(read(FIGURES))) === document) return;
  throw new Error(`the tables of ${DOCUMENT} are not those of ${FIGURES}`);
}

async function run(options) {
  if (options.help) return console.log(help(programs));
  if (options.document) return checkDocument();
  const { report, failed } = await measure(options, options.chosen);
  const busy = report.load.before > BUSY;
  if (options.json) console.log(JSON.stringify(report, null, 2));
  else console.log(table(report));
  if (busy) say(`note: the machine was busy before the first round (load average ${report.load.before.toFixed(2)})`);
  for (const { name, reason } of failed) say(`error: ${name} was not measured: ${reason}`);
  // A bar that nobody looks at any more would be met for ever.
  const silent = options.whole ? bars.filter(({ name }) => !report.bars.some((bar) => bar.name === name)) : [];
  for (const { name } of silent) say(`error: nothing was measured for the bar "${name}"`);
  if (failed.length + silent.length > 0) process.exitCode = 1;
  if (options.check && compare(report, options.check)) process.exitCode = 1;
  if (options.write && process.exitCode === undefined) write(report);
}

try {
  await run(parse(process.argv.slice(2), programs, join(root, FIGURES)));
} catch (error) {
  say(`error: ${error.message}`);
  if (error.hint) say(`hint: ${error.hint}`);
  process.exitCode = error.exitCode ?? 1;
}
