#!/usr/bin/env bash
# How fast a payee takes vouchers, beside bare libsecp256k1, a server without payments and the published packages of
# others: builds what it needs in release profile, measures in rounds, and prints one table with the bars that are met
# and not. Needs cargo and node, no root; and what script/tools.sh installs for `redeem` and `postgresql`.
#
#   ./script/bench.sh [--quick] [--only NAME…] [--json | --write | --check [FILE]]     (--help says what each does)
#
# The measurements and the bars are listed in benches/speed/measurements.mjs; what a measurement has to do is in
# benches/speed/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for tool in cargo node npm; do
  if ! command -v "$tool" >/dev/null; then
    echo "error: $tool is not installed" >&2
    echo "hint: the measurements need cargo (https://rustup.rs) and Node 20 or later" >&2
    exit 1
  fi
done
# `exec`, so that this script is the run: whoever stops it stops what is being measured.
exec node script/bench.mjs "$@"
