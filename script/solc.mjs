#!/usr/bin/env node
// Lets forge run the solc of package-lock.json: the npm package is WebAssembly, forge wants a command that answers
// --version and --standard-json.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const solc = createRequire(import.meta.url)("solc");
const options = process.argv.slice(2);

if (options.includes("--version")) {
  // forge reads the line that begins with "Version:" and accepts no trailing "Emscripten.clang".
  const version = solc.version().replace(".Emscripten.clang", ".Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (options.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error("solc.mjs: only --version and --standard-json are understood");
  process.exit(1);
}
