import assert from "node:assert/strict";
import { test } from "node:test";
import { withTables } from "./document.mjs";
import { bars, programs } from "./measurements.mjs";
import { help, parse } from "./options.mjs";
import { count, table } from "./table.mjs";

const report = {
  commit: "0123456789 with changes",
  date: "2026-11-23",
  cpu: "A processor with a name",
  cores: 2,
  rounds: 5,
  seconds: 2,
  quick: true,
  figures: [
    { key: "limits.verify cores=all", unit: "/s", median: 61_234.5, least: 59_999, most: 1_234_567 },
    {
      key: "a.measurement.with.a.rather.long.name and=with many=parameters of=its own=and one=more",
      unit: "µs",
      median: 7.125,
      least: 7,
      most: 7.5,
    },
  ],
  bars: [
    { name: "durable to bare libsecp256k1", value: 0.81, lowest: 0.79, highest: 0.83, least: 0.8, met: true },
    { name: "bytes a channel", value: 1_100, lowest: 1_000, highest: 1_200, most: 1_024, met: false },
  ],
};

test("no line of the table is longer than 80 columns, and none loses a figure", () => {
  const text = table(report);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  for (const part of ["0123456789 with changes", "2 cores", "1,234,567", "7.13", "≥ 0.80", "≤ 1024", "NOT MET"]) {
    assert.ok(text.includes(part), part);
  }
  for (const word of report.figures[1].key.split(" ")) assert.ok(text.includes(word), word);
});

test("a figure has three digits or more", () => {
  assert.deepEqual([0.0123, 7.125, 31.26, 123.4, 99_999, 1_234_567].map(count), [
    "0.012",
    "7.13",
    "31.3",
    "123",
    "99999",
    "1,234,567",
  ]);
});

test("the document's tables are those of the figures", () => {
  const place = (name) => `<!-- ${name} -->\n\n<!-- end of ${name} -->`;
  const empty = ["circumstances", "bars", "figures"].map(place).join("\n");
  const filled = withTables(`# Title\n${empty}\nrest`, report);
  assert.equal(withTables(filled, report), filled);
  assert.match(filled, /\*\*not met\*\*/);
  assert.match(filled, /`limits.verify cores=all` \| 61235 \|/);
  assert.throws(() => withTables("# Title", report), /no place for circumstances/);
});

test("every measurement has a name of its own, and help names them all within 80 columns", () => {
  const names = programs.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const text = help(programs);
  for (const name of names) assert.ok(text.includes(name), name);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
});

test("every bar has one bound and a figure", () => {
  for (const bar of bars) {
    assert.equal((bar.least === undefined) !== (bar.most === undefined), true, bar.name);
    assert.equal(typeof bar.over, "string", bar.name);
  }
});

const FEW = [
  { name: "a", set: "one" },
  { name: "b", set: "one" },
  { name: "c", set: "two", onRequest: true },
];
const named = (...words) => parse(words, FEW, "committed").chosen.map(({ name }) => name);

test("what is measured is everything, a measurement, or a set", () => {
  assert.deepEqual(named(), ["a", "b"]);
  assert.deepEqual(named("--only", "b", "c"), ["b", "c"]);
  assert.deepEqual(named("--quick", "--only", "one", "--json"), ["a", "b"]);
  assert.throws(() => named("--only", "d"), /no measurement d/);
  assert.throws(() => named("--only"), /needs the name/);
  assert.throws(() => named("--fast"), /unknown option --fast/);
});

test("only a whole run is kept", () => {
  assert.equal(parse(["--write"], FEW, "committed").write, true);
  assert.throws(() => parse(["--write", "--quick"], FEW, "committed"), /whole run/);
  assert.throws(() => parse(["--write", "--only", "a"], FEW, "committed"), /whole run/);
});

test("figures are compared with those committed, or with those of a file", () => {
  assert.equal(parse(["--check"], FEW, "committed").check, "committed");
  assert.equal(parse(["--check", "old.json", "--quick"], FEW, "committed").check, "old.json");
  assert.equal(parse(["--check", "--json"], FEW, "committed").check, "committed");
});
