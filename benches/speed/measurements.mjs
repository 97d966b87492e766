// What is measured and what it is held to. A measurement's name is its program's; what it prints is in README.md.
import { cargo, node } from "./building.mjs";

const peers = "benches/peers/Cargo.toml";
const limits = cargo({ manifest: peers, package: "limits", bin: "limits" });
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
];

// `over` divided by `under`, or `over` alone: at least `least`, or at most `most`.
export const bars = [];
