#!/usr/bin/env bash
# Runs the commands of README.md's "Try it by hand" in a temporary copy of what they need. Two things are changed:
# `cargo install` is left out, the command was built already; and ports are free ones.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
cleanup() {
  # Whatever the commands left running, if they stopped half-way. That a job has ended meanwhile is no failure.
  jobs -p | xargs -r kill 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT

commands="$folder/commands.sh"
awk '/^## Try it by hand/ { part = 1 } /^\*\*An integrator/ { part = 0 }
     /^```/ { block = !block && part && /^```sh$/; next } part && block' "$here/README.md" |
  grep -v '^cargo install' > "$commands"
[ "$(grep -c '^farthing' "$commands")" -ge 10 ] || { echo "error: README.md's commands were not found" >&2; exit 1; }

cd "$folder"
mkdir script && printf '#!/bin/sh\n' > script/tools.sh && chmod +x script/tools.sh
ln -s "$here/node_modules" node_modules
export HOME="$folder" PATH="$here/${CARGO_TARGET_DIR:-target}/debug:$PATH"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
chain_port=$(free_port) shop_port=$(free_port)
export ETH_RPC_URL="http://127.0.0.1:$chain_port"
sed -i "s/^anvil /anvil --port $chain_port /; s/serve shop/serve shop --listen 127.0.0.1:$shop_port/; s/8402/$shop_port/" \
  "$commands"
# A person types slower than a server starts.
sed -i 's/ &$/ \&\nsleep 2/' "$commands"
set -m
# shellcheck disable=SC1090
source "$commands"
