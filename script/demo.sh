#!/usr/bin/env bash
# The main job on a local chain, end to end: two creators, one of them a band of three, one listener, one deposit, one
# voucher per item, and only the last vouchers redeemed. Touches no chain but a local anvil (31337). `--json` prints one
# JSON object last.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
./script/tools.sh
echo "building the farthing command (the first time takes a few minutes)" >&2
cargo build --quiet --locked --package farthing-cli
# `exec`, so that this script is the demo: whoever kills it kills the demo, and with it anvil and the gateways.
exec "${CARGO_TARGET_DIR:-target}/debug/farthing" demo --tools "$here" "$@"
