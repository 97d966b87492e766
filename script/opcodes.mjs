#!/usr/bin/env node
// Disassembles the runtime bytecode that ships, from the ABI files that the SDK deploys from, and fails on an
// instruction by which somebody else's code could act in the contract's name, or the contract could vanish or trust the
// wrong caller. With --control the same check reads code into which each of them was put, and code that has them only
// as data.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../crates/farthing/abi/", import.meta.url));
const FORBIDDEN = new Map([
  [0x32, "ORIGIN"],
  [0xf2, "CALLCODE"],
  [0xf4, "DELEGATECALL"],
  [0xff, "SELFDESTRUCT"],
]);
const INVALID = 0xfe;
const JUMPDEST = 0x5b;

/** Yields [position, opcode]. What a push carries is not code; nor is what stands behind the last instruction. */
function* instructions(code) {
  for (let position = 0; position < code.length; position++) {
    const opcode = code[position];
    yield [position, opcode];
    if (opcode >= 0x60 && opcode <= 0x7f) position += opcode - 0x5f;
  }
}

/**
 * Forbidden instructions that can be reached. Behind an INVALID only a jump destination can be: solc puts INVALID
 * between code and the data behind it, and whatever can't be entered is data. Tables of constants lie there.
 */
function forbiddenIn(code) {
  const found = [];
  let reachable = true;
  for (const [position, opcode] of instructions(code)) {
    if (opcode === JUMPDEST) reachable = true;
    if (reachable && FORBIDDEN.has(opcode)) found.push(`${FORBIDDEN.get(opcode)} at ${position}`);
    if (opcode === INVALID) reachable = false;
  }
  return found;
}

function runtimeOf(contract) {
  const { deployedBytecode } = JSON.parse(readFileSync(`${folder}${contract}.json`, "utf8"));
  return Buffer.from((deployedBytecode.object ?? deployedBytecode).replace(/^0x/, ""), "hex");
}

const contract = "Escrow";
const code = runtimeOf(contract);
const found = forbiddenIn(code);
for (const instruction of found) console.error(`error: ${contract} has ${instruction}`);
if (found.length > 0) process.exit(1);
console.log(
  `${contract}: ${[...instructions(code)].length} instructions in ${code.length} bytes, none of ${[...FORBIDDEN.values()].join(", ")}`,
);

if (process.argv.includes("--control")) {
  for (const [opcode, name] of FORBIDDEN) {
    // In front of everything else, and behind the end where a jump destination leads to it.
    const seeded = [
      Buffer.concat([Buffer.from([opcode]), code]),
      Buffer.concat([code, Buffer.from([JUMPDEST, opcode])]),
    ];
    if (!seeded.every((bytes) => forbiddenIn(bytes).some((text) => text.startsWith(name)))) {
      console.error(`error: not noticed: ${name}`);
      process.exit(1);
    }
    if (forbiddenIn(Buffer.from([0x60, opcode, 0x00])).length > 0) {
      console.error(`error: taken for an instruction: ${name} as data`);
      process.exit(1);
    }
    console.log(`noticed: ${name}`);
  }
}
