#!/usr/bin/env bash
# Runs the checks that are too long for every test run, or one of them by name, each with its negative control.
#
#   ./script/verify.sh [CHECK [options of that check]]
#
# CHECK: trees, bytecode, slither, coverage, proofs, controls, interleavings, durable, crash, postgres, reorgs,
# faults, exodus, mutation, reproducible
#
# docs/verification.md says what each of them shows and what it printed last.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
  printf '\n=== %s (%s s)\n' "$*" "$SECONDS"
}

analysers() {
  ./script/python.sh || {
    echo "error: slither and halmos can't be had here" >&2
    exit 1
  }
}

trees() {
  say "trees: every branch has its test and every test its branch"
  node script/trees.mjs --control
}

bytecode() {
  say "bytecode: no instruction that lets others act in the escrow's name"
  node script/opcodes.mjs --control
}

slither() {
  analysers
  say "slither: nothing of medium impact or above without a reason"
  node script/slither.mjs
  node script/slither.mjs --control
}

coverage() {
  say "coverage: tests reach every line and branch of contracts/, or a reason is given"
  node script/coverage.mjs "$@"
  if [ $# -eq 0 ]; then node script/coverage.mjs --control; fi
}

proofs() {
  analysers
  say "proofs: the escrow's invariants, from every state, for every call"
  node script/prove.mjs "$@"
}

controls() {
  analysers
  say "proofs: each seeded mistake breaks the proof that it should"
  node script/prove.mjs --controls "$@"
}

interleavings() {
  local schedules=${1:-100000} log
  log=$(mktemp)
  say "interleavings: the payee's workers, writer, first contacts and views in $schedules orders each"
  if ! FARTHING_SCHEDULES=$schedules cargo test --package farthing --test interleavings --locked -- --nocapture \
    --test-threads=1 >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  # Without what the mistakes' panics print, which are wanted.
  grep -oE '[a-z][a-z ,]*: ([0-9]+ schedules, .*|found in schedule .*)' "$log"
  rm "$log"
}

durable() {
  command -v strace >/dev/null || {
    echo "error: strace is not installed" >&2
    return 1
  }
  local log
  log=$(mktemp)
  say "durable: what the gateway has on its disk when it answers, and when every call that writes fails or kills it"
  if ! FARTHING_FAULT_STRIDE=1 cargo test --package farthing-cli --test it --all-features --locked -- --ignored \
    --nocapture --test-threads=1 durable:: >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE '([a-z]+: |without its syncs: )?[0-9]+ answers, .*|[a-z0-9]+:[a-z]+=[A-Z]+, every .*|^test result.*' "$log"
  rm "$log"
}

crash() {
  local log
  log=$(mktemp)
  say "crash: the embedded ledger killed, cut off from power, damaged, and on disks that fail"
  if ! FARTHING_KILLS=${1:-2000} FARTHING_CUTS=${2:-48} FARTHING_FLIPS=${3:-5000} cargo test --package farthing --test it \
    --locked -- --nocapture --test-threads=1 embedded:: >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE '(SIGKILL|power cuts|failing calls|full disks|one bit flipped|every bit|file cut)[,: ].*|killed at any .*|journal, .*|^test result.*' "$log"
  rm "$log"
}

postgres() {
  local log
  log=$(mktemp)
  say "postgres: gateways sell on one ledger, and send for it, for ${1:-600} s each, while things fail at random"
  if ! FARTHING_TEST_SECONDS=${1:-600} cargo test --package farthing --test it --features postgres --locked -- \
    --include-ignored --nocapture --test-threads=1 postgres:: >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE '[0-9]+ s: ([0-9]+ purchases|the lease).*|found out: .*|of [0-9]+ purchases .*|a batch is stored .*|^test result.*' "$log"
  rm "$log"
}

reorgs() {
  local log
  log=$(mktemp)
  say "reorgs: blocks undone at every step of a channel's life, from one to all 64 that are not final"
  if ! FARTHING_REORGS=${1:-all} cargo test --package farthing --test it --locked -- --nocapture --test-threads=1 reorgs:: \
    >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE 'reorganizations: .*|a payee that does not look again: .*|^test result.*' "$log"
  rm "$log"
}

faults() {
  local log
  log=$(mktemp)
  say "faults: every method that a payee asks a node for, and everything that can happen to it"
  if ! FARTHING_FAULTS=all cargo test --package farthing --test it --locked -- --nocapture --test-threads=1 \
    faults::each_ faults::with_ faults::what_a_node >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE 'faults: .*|^test result.*' "$log"
  rm "$log"
}

exodus() {
  local log
  log=$(mktemp)
  say "exodus: ${1:-1000} payers leave in one block while gas costs a hundred times as much"
  if ! FARTHING_EXODUS=${1:-1000} cargo test --package farthing --test it --locked -- --nocapture --test-threads=1 \
    exodus:: >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  grep -oE 'exodus: .*|^test result.*' "$log"
  rm "$log"
}

mutation() {
  say "mutation: every mistake of one token is noticed by a test"
  node script/mutate.mjs "$@"
}

reproducible() {
  say "reproducible: two clones in two folders build the same bytes"
  ./script/reproducible.sh
}

checks=(
  trees bytecode slither coverage proofs controls interleavings durable crash postgres reorgs faults exodus mutation
  reproducible
)
if [ $# -eq 0 ]; then
  ./script/tools.sh
  for check in "${checks[@]}"; do "$check"; done
  say "all passed"
  exit
fi
name=$1
shift
for check in "${checks[@]}"; do
  if [ "$check" = "$name" ]; then
    ./script/tools.sh
    "$check" "$@"
    exit
  fi
done
echo "error: there is no check $name; there are: ${checks[*]}" >&2
exit 2
