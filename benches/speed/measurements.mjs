// What is measured and what it is held to. A measurement's name is its program's; what it prints is in README.md.
import { cargo, node } from "./building.mjs";

const peers = "benches/peers/Cargo.toml";
const limits = cargo({ manifest: peers, package: "limits", bin: "limits" });
const notHelping = (features = []) => cargo({ manifest: peers, package: "not-helping", bin: "not-helping", features });
const npm = (script) => node({ folder: "benches/peers/node", script: `benches/peers/node/${script}` });

// Programs of one set take turns, in this order, in every round: what a ratio is made of belongs into one set.
export const programs = [
  {
    name: "limits-verify",
    set: "durable",
    about: "bare libsecp256k1, on one core and on all",
    build: limits,
    args: ["verify"],
  },
  { name: "limits-sync", set: "durable", about: "bare fdatasync of 200 B and of 50 KB", build: limits, args: ["sync"] },
  {
    name: "x402",
    set: "durable",
    about: "npm @x402/evm: batch settlement, channels in memory",
    build: npm("x402.mjs"),
    args: ["memory"],
  },
  {
    name: "x402-files",
    set: "durable",
    about: "the same, channels in its files",
    build: npm("x402.mjs"),
    args: ["files"],
  },
  { name: "mppx", set: "durable", about: "npm mppx: session, channels in memory", build: npm("mppx.mjs") },
  {
    name: "mpp",
    set: "durable",
    about: "crate mpp: session, channels in memory",
    build: cargo({ manifest: peers, package: "mpp-session", bin: "mpp-session" }),
  },
  {
    name: "tap",
    set: "durable",
    about: "crate tap_core: receipts, in memory",
    build: cargo({ manifest: peers, package: "tap-receipts", bin: "tap-receipts" }),
  },
  {
    name: "payer",
    set: "payer",
    about: "a payer's part of an item: promised durably, signed, bought",
    build: cargo({ package: "farthing", bench: "payer" }),
  },
  {
    name: "timer",
    set: "not-helping",
    about: "waiting before a batch is synced, and not waiting",
    build: notHelping(),
    args: ["timer"],
  },
  {
    name: "workers",
    set: "not-helping",
    about: "more threads that verify than cores",
    build: notHelping(),
    args: ["workers"],
  },
  {
    name: "code",
    set: "not-helping",
    about: "keccak and k256 as every processor can run them",
    build: notHelping(),
    args: ["code", "plain"],
  },
  {
    name: "code-tables",
    set: "not-helping",
    about: "the same with k256's precomputed tables",
    build: notHelping(["tables"]),
    args: ["code", "tables"],
  },
  {
    name: "code-native",
    set: "not-helping",
    about: "the same for this processor (-C target-cpu=native)",
    build: { ...notHelping(), rustflags: "-C target-cpu=native" },
    args: ["code", "native"],
  },
  {
    name: "statements",
    set: "not-helping",
    about: "PostgreSQL: a statement a voucher, and one a batch",
    build: cargo({ package: "farthing", bench: "statements", features: ["postgres"] }),
  },
];

// What the payee takes without HTTP, its ledger on disk.
const taken = "take.embedded verifier=farthing";

// `over` divided by `under`, or `over` alone: at least `least`, or at most `most`.
export const bars = [
  { name: "verified and durable, beside mpp in memory", over: taken, under: "mpp.accept", least: 5 },
  { name: "verified and durable, beside tap_core in memory", over: taken, under: "tap.accept", least: 5 },
  { name: "verified and durable, beside mppx in memory", over: taken, under: "mppx.accept", least: 50 },
  { name: "verified and durable, beside x402 in memory", over: taken, under: "x402.accept store=memory", least: 50 },
];
