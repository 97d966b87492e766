// What is measured and what it is held to. A measurement's name is its program's; what it prints is in README.md.
import { cargo, node } from "./building.mjs";

const peers = "benches/peers/Cargo.toml";
const limits = cargo({ manifest: peers, package: "limits", bin: "limits" });
const notHelping = (features = []) => cargo({ manifest: peers, package: "not-helping", bin: "not-helping", features });
const own = cargo({ package: "farthing-bench", bin: "farthing-bench", features: ["lanes", "libsecp"] });
const alloy = cargo({ package: "farthing-bench", bin: "farthing-bench-alloy", features: ["recover-with-alloy"] });
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
  { name: "take", set: "durable", about: "the payee without HTTP, its ledger on disk", build: own, args: ["take"] },
  { name: "http", set: "http", about: "items sold, and given away, over HTTP", build: own, args: ["http"] },
  {
    name: "http-alloy",
    set: "http",
    about: "items sold by a gateway that recovers signers with alloy",
    build: alloy,
    args: ["http", "--paid-only"],
  },
  {
    name: "latency",
    set: "latency",
    about: "a paid request beside a free one",
    build: own,
    args: ["latency"],
    rounds: 3,
  },
  {
    name: "postgresql",
    set: "postgresql",
    about: "the payee over PostgreSQL, with one gateway and three",
    build: own,
    args: ["postgres"],
    rounds: 3,
  },
  {
    name: "scale",
    set: "scale",
    about: "1,000 to 1,000,000 channels in one ledger",
    build: own,
    args: ["scale"],
    rounds: 1,
  },
  {
    name: "redeem",
    set: "redeem",
    about: "redeeming 10,000 channels on a local chain",
    build: own,
    args: ["redeem"],
    rounds: 1,
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
  {
    name: "verified and durable, of what libsecp256k1 verifies",
    over: "take.embedded verifier=farthing",
    under: "limits.verify cores=all",
    least: 0.8,
  },
  {
    name: "over HTTP, beside recovering each signer with alloy",
    over: "http.paid verifier=farthing",
    under: "http.paid verifier=alloy",
    least: 3.5,
  },
  {
    name: "over HTTP, of the same without payment",
    over: "http.paid verifier=farthing",
    under: "http.free verifier=farthing",
    least: 0.25,
  },
  {
    name: "1,000,000 channels: rate beside that with 1,000",
    over: "scale.next-vouchers channels=1000000",
    under: "scale.next-vouchers channels=1000",
    least: 0.5,
  },
  {
    name: "1,000,000 channels: start beside that with 100,000",
    over: "scale.opening channels=1000000",
    under: "scale.opening channels=100000",
    most: 10,
  },
  {
    name: "1,000,000 channels: bytes of memory for each",
    over: "scale.memory-each channels=1000000 stage=after vouchers",
    most: 1024,
  },
];
