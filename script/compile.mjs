// Compiles single contracts with a solc that stays loaded, for the scripts that compile many variants of them.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** As foundry.toml has it; what is deployed comes from these settings. */
const SHIPPED = { enabled: true, runs: 1_000_000 };

const OUTPUTS = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"];

/**
 * Gives a function (contract, replaced) that compiles contracts/<contract>.sol with some files replaced by other text,
 * and answers its code, or undefined if it does not compile.
 */
export function compiler({ optimized }) {
  const solc = createRequire(join(root, "package.json"))("solc");
  const read = (path) =>
    readFileSync(
      join(root, path.startsWith("solady/") ? path.replace("solady", "node_modules/solady/src") : path),
      "utf8",
    );
  return (contract, replaced = {}) => {
    const path = `contracts/${contract}.sol`;
    const load = (file) => replaced[file] ?? read(file);
    const input = {
      language: "Solidity",
      sources: { [path]: { content: load(path) } },
      settings: {
        viaIR: true,
        optimizer: optimized ? SHIPPED : { enabled: false },
        evmVersion: "cancun",
        metadata: { bytecodeHash: "none", appendCBOR: false },
        remappings: ["solady/=solady/"],
        outputSelection: { [path]: { [contract]: OUTPUTS } },
      },
    };
    const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (file) => ({ contents: load(file) }) }));
    return output.contracts?.[path]?.[contract]?.evm;
  };
}

/** Puts code where forge's tests and halmos look for it, in the artifacts of another folder than this repository. */
export function install(folder, contract, evm) {
  const path = join(folder, "out", `${contract}.sol`, `${contract}.json`);
  const artifact = JSON.parse(readFileSync(path, "utf8"));
  artifact.bytecode.object = `0x${evm.bytecode.object}`;
  artifact.deployedBytecode.object = `0x${evm.deployedBytecode.object}`;
  artifact.deployedBytecode.immutableReferences = evm.deployedBytecode.immutableReferences;
  writeFileSync(path, JSON.stringify(artifact));
}
