import assert from "node:assert/strict";
import { test } from "node:test";
import { againstBars, keyOf, median, parse, summaries, worse } from "./figures.mjs";

const said = (round, measurement, value, unit = "/s") => ({ round, measurement, value, unit, of: {} });
const line = (fields) => JSON.stringify({ measurement: "a", value: 1, unit: "/s", of: {}, ...fields });

test("a figure's name does not depend on the order of its parameters", () => {
  const one = keyOf({ measurement: "limits.sync", of: { bytes: 200, cores: "all" } });
  assert.equal(one, "limits.sync bytes=200 cores=all");
  assert.equal(keyOf({ measurement: "limits.sync", of: { cores: "all", bytes: 200 } }), one);
  assert.equal(keyOf({ measurement: "limits.sync" }), "limits.sync");
});

test("what a program printed is read line by line", () => {
  const printed = parse(`${line({ value: 7 })}\n\n${line({ measurement: "b" })}\n`);
  assert.deepEqual(printed.map(({ measurement, value }) => [measurement, value]), [["a", 7], ["b", 1]]);
});

test("what is no figure is refused, and not left out", () => {
  const refused = ["", "warming up", "3"];
  refused.push(line({ value: "7" }), line({ value: null }), line({ value: -1 }), line({ value: 0 }));
  for (const output of [...refused, line({ unit: undefined }), line({ measurement: 5 })]) {
    assert.throws(() => parse(output), /^Error: printed/, output);
  }
  assert.throws(() => parse(`${line({})}\n${line({ value: 2 })}`), /two figures of a in round 0$/);
  assert.equal(parse(`${line({ round: 1 })}\n${line({ round: 2 })}`).length, 2);
});

test("the median of an even number of values lies between the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([9, 1, 5, 100]), 7);
});

test("a figure is the median of its rounds, with the least and the most", () => {
  const [figure, other] = summaries([said(0, "a", 10), said(0, "b", 1), said(1, "a", 30), said(2, "a", 11)]);
  assert.deepEqual([figure.key, figure.median, figure.least, figure.most, figure.rounds], ["a", 11, 10, 30, 3]);
  assert.deepEqual([other.key, other.median, other.rounds], ["b", 1, 1]);
});

const held = (bars, lines) => againstBars(bars, summaries(lines), lines);

test("a ratio is taken round by round: a slow minute that both were in does not change it", () => {
  const lines = [100, 10, 90].flatMap((value, round) => [said(round, "a", value), said(round, "b", value / 5)]);
  const [bar] = held([{ name: "a to b", over: "a", under: "b", least: 5 }], lines);
  assert.deepEqual([bar.value, bar.lowest, bar.highest, bar.met], [5, 5, 5, true]);
});

test("figures of different rounds are compared by their medians", () => {
  const lines = [said(0, "a", 100), said(1, "a", 300), said(2, "a", 200), said(0, "b", 50)];
  assert.equal(held([{ name: "a to b", over: "a", under: "b", least: 5 }], lines)[0].value, 4);
});

test("a bar is met at its bound, and not beyond it", () => {
  const lines = [said(0, "a", 100), said(0, "b", 20), said(0, "memory", 1_024, "B")];
  const met = (bar) => held([{ name: "bar", ...bar }], lines)[0].met;
  assert.equal(met({ over: "a", under: "b", least: 5 }), true);
  assert.equal(met({ over: "a", under: "b", least: 5.001 }), false);
  assert.equal(met({ over: "memory", most: 1_024 }), true);
  assert.equal(met({ over: "memory", most: 1_023 }), false);
});

test("a bar whose figures were not measured says nothing", () => {
  assert.deepEqual(held([{ name: "a to b", over: "a", under: "b", least: 5 }], [said(0, "a", 100)]), []);
});

const report = (values, changes = {}) => ({
  cpu: "one",
  cores: 2,
  figures: Object.entries(values).map(([key, [value, unit]]) => ({ key, unit, median: value })),
  bars: [],
  ...changes,
});

test("a rate that fell by more than a tenth is worse, and so is a time that grew", () => {
  const before = report({ rate: [100, "/s"], time: [100, "ms"] });
  assert.deepEqual(worse(before, report({ rate: [90, "/s"], time: [109, "ms"] })).complaints, []);
  assert.deepEqual(worse(before, report({ rate: [500, "/s"], time: [10, "ms"] })).complaints, []);
  const { complaints } = worse(before, report({ rate: [80, "/s"], time: [120, "ms"] }));
  assert.deepEqual(complaints, ["rate by 20 %", "time by 20 %"]);
});

test("figures of another machine are not compared; ratios are", () => {
  const bar = (value, met) => [{ name: "a to b", value, least: 5, met }];
  const before = report({ rate: [100, "/s"] }, { bars: bar(6, true) });
  const now = report({ rate: [1, "/s"] }, { cpu: "another", bars: bar(4.9, false) });
  const { same, complaints } = worse(before, now);
  assert.equal(same, false);
  assert.deepEqual(complaints, ["a to b by 18 %", "a to b: the bar was met, and is no longer"]);
});
