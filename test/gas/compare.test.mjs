import assert from "node:assert/strict";
import { test } from "node:test";
import { differences, overCeilings } from "./compare.mjs";

const scenarios = [
  { name: "open", ceilings: { eth: 100, erc20: null } },
  { name: "batch", ceilings: { eth: 50 }, rows: 10 },
];
const gas = { open: { eth: 100, erc20: 7_000 }, batch: { eth: 500 } };

test("gas at its ceiling is accepted, and one more is not", () => {
  assert.deepEqual(overCeilings(scenarios, gas), []);
  assert.deepEqual(overCeilings(scenarios, { ...gas, open: { eth: 101, erc20: 0 } }), [
    "open (eth): 101 gas is over its ceiling of 100",
  ]);
});

test("a batch is held to its ceiling per row", () => {
  assert.deepEqual(overCeilings(scenarios, { ...gas, batch: { eth: 501 } }), [
    "batch (eth): 50.1 gas is over its ceiling of 50",
  ]);
});

test("a figure that is missing is over its ceiling", () => {
  assert.equal(overCeilings(scenarios, { ...gas, batch: {} }).length, 1);
});

test("one gas more or less than the snapshot is a difference", () => {
  assert.deepEqual(differences(gas, gas), []);
  assert.deepEqual(differences(gas, { ...gas, batch: { eth: 499 } }), ["batch (eth): 499 gas, 500 in the snapshot"]);
});

test("a scenario that comes or goes is a difference", () => {
  const { batch, ...rest } = gas;
  assert.deepEqual(differences(rest, gas), ["batch (eth): 500 gas, and not in the snapshot"]);
  assert.deepEqual(differences(gas, rest), ["batch (eth): in the snapshot, and no longer measured"]);
});
