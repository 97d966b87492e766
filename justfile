# Every command of this repository. CI runs one of them: `script/test.sh`.

# List the commands
default:
    @just --list

# Run the main job on a local chain: deposit once, buy, redeem only the last vouchers
demo *arguments:
    ./script/demo.sh {{ arguments }}

# Install what the tests need and run all of them
test:
    ./script/test.sh

# Play random histories against the escrow's bytecode and its reference model: just differential --calls 10000000
differential *arguments:
    cargo run --release -p farthing-differential -- {{ arguments }}

# Measure how fast a payee takes vouchers, beside what bounds it and beside others: just bench --quick
bench *arguments:
    ./script/bench.sh {{ arguments }}

# Compare the stores that the ledger could be kept in: just stores damage
stores *arguments:
    ./script/stores.sh {{ arguments }}

# Install the pinned contract tools into node_modules
tools:
    ./script/tools.sh

# Build the contracts and write their ABI and bytecode for Rust
bindings: tools
    node_modules/.bin/forge build
    node script/bindings.mjs

# Measure the gas of every action: just gas --check
gas *arguments: tools
    node_modules/.bin/forge build
    node script/gas.mjs {{ arguments }}

# Write the vectors that contract and core share
vectors: tools
    node script/vectors.mjs

# Format everything
format: tools
    node_modules/.bin/forge fmt
    cargo fmt --all

# Check licences, bans and sources (needs cargo-deny)
deny:
    cargo deny check bans licenses sources
