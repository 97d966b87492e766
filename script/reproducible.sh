#!/usr/bin/env bash
# Clones this repository into two folders whose paths differ in length, builds the contracts in each, and compares the
# bytes with each other and with those that the SDK deploys. As a control, one clone is then built with another setting,
# which must change them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# build CLONE
build() {
  (cd "$1" && FOUNDRY_LINT_LINT_ON_BUILD=false node_modules/.bin/forge build --skip test script >/dev/null)
}

# bytes ARTIFACT
bytes() {
  node -p 'const { bytecode } = JSON.parse(require("fs").readFileSync(process.argv[1]));
    (bytecode.object ?? bytecode).replace(/^0x/, "")' "$1"
}

first="$folder/a"
second="$folder/another clone in a longer path"
for clone in "$first" "$second"; do
  git clone --quiet . "$clone"
  ln -s "$PWD/node_modules" "$clone/node_modules"
  build "$clone"
done
for contract in Escrow RevenueSplit RevenueSplitFactory; do
  if [ "$(bytes "$first/out/$contract.sol/$contract.json")" != "$(bytes "$second/out/$contract.sol/$contract.json")" ]; then
    echo "error: two clones build different bytes of $contract" >&2
    exit 1
  fi
  echo "$contract: $(bytes "$first/out/$contract.sol/$contract.json" | sha256sum | cut -c 1-16), in both clones"
done
escrow=out/Escrow.sol/Escrow.json
if [ "$(bytes crates/farthing/abi/Escrow.json)" != "$(bytes "$first/$escrow")" ]; then
  echo "error: what the SDK deploys is not what the last commit builds" >&2
  exit 1
fi
sed -i 's/^cbor_metadata = .*/cbor_metadata = true/; s/^bytecode_hash = .*/bytecode_hash = "ipfs"/' "$second/foundry.toml"
build "$second"
if [ "$(bytes "$first/$escrow")" = "$(bytes "$second/$escrow")" ]; then
  echo "error: not noticed: metadata in the bytecode" >&2
  exit 1
fi
echo "noticed: metadata in the bytecode"
