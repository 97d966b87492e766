#!/usr/bin/env bash
# Installs what the tests need and runs all of them: contracts, vectors, bindings, Rust, formatting and lints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./script/tools.sh
forge=node_modules/.bin/forge

step() {
  printf '\n=== %s (%s s)\n' "$*" "$SECONDS"
}

step "formatting"
$forge fmt --check
cargo fmt --all --check

step "contracts: build"
$forge build
step "contracts: ABI and bytecode in crates/farthing/abi are those of the Solidity"
node script/bindings.mjs --check
step "contracts: gas is that of the snapshot and under its ceilings"
node --test --test-reporter=dot test/gas/compare.test.mjs
node script/gas.mjs --check
step "contracts: shared vectors are those of viem"
node script/vectors.mjs --check
step "contracts: every loss that others had has its tests"
node script/losses.mjs
if node script/losses.mjs --without test_Loss30_RelayedWithdrawalReplayed 2>/dev/null; then
  echo "error: script/losses.mjs does not notice that a test is missing" >&2
  exit 1
fi
step "contracts: every branch of a test's plan has its test, and every test its branch"
node script/trees.mjs --control
step "contracts: no instruction that lets others act in the escrow's name"
node script/opcodes.mjs --control
step "contracts: unit, fuzz and invariant tests"
$forge test
if ./script/python.sh; then
  step "contracts: slither finds nothing of medium impact or above without a reason"
  node script/slither.mjs
  step "contracts: the invariants proved for the functions that take seconds (./script/verify.sh proves all)"
  node script/prove.mjs --quick
else
  step "left out, because the analysers can't be installed (see above): slither, proofs"
fi

step "speed: how figures are compared, and the tables of docs/performance.md (./script/bench.sh measures them)"
node --test --test-reporter=dot benches/speed/*.test.mjs
./script/bench.sh --help >/dev/null
node script/bench.mjs --document

step "rust: lints"
cargo clippy --workspace --all-targets --all-features --locked --quiet -- --deny warnings
step "rust: the core depends on no runtime, network or storage"
if cargo tree --package farthing-core --edges normal --prefix none --locked |
  grep -E '^(tokio|mio|async-std|hyper|reqwest|axum|redb|rusqlite) '; then
  echo "error: farthing-core must not depend on the crates above" >&2
  exit 1
fi
step "rust: tests"
cargo test --workspace --all-features --locked
if command -v strace >/dev/null; then
  step "rust: the payer killed at every call that writes"
  cargo test --package farthing --test it --all-features --locked -- --ignored kills_at_every
  step "rust: what the gateway has on its disk when it answers, and when the disk fails or the gateway is killed"
  cargo test --package farthing-cli --test it --all-features --locked -- --ignored durable::
else
  step "left out, because strace is not installed: the payer killed at every call, the gateway's disk"
fi
step "rust: documentation"
RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --all-features --locked --quiet

step "the README's commands"
./script/readme.sh
step "the main job"
./script/demo.sh --json

step "all passed"
