// What is measured and what it is held to. A measurement's name is its program's; what it prints is in README.md.
import { cargo, node } from "./building.mjs";

const limits = cargo({ manifest: "benches/peers/Cargo.toml", package: "limits", bin: "limits" });

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
];

// `over` divided by `under`, or `over` alone: at least `least`, or at most `most`.
export const bars = [];
