#!/usr/bin/env bash
# Compares the embedded stores that the payee's ledger could be kept in: what becomes of acknowledged charges when files
# are damaged, processes killed and the power cut, and how fast they are. docs/adr/0016 is decided on these tables.
#
#   ./script/stores.sh [TABLE]
#
# TABLE: damage, kills, power, full, speed, starts. `power` needs /dev/fuse and root or fusermount3, `full` needs root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/stores}
cargo build --release --quiet --locked --manifest-path benches/stores/Cargo.toml
stores=$CARGO_TARGET_DIR/release/stores
# On a disk: in memory, a sync costs nothing.
folder=$(mktemp -d "$CARGO_TARGET_DIR/run.XXXXXX")
trap 'rm -rf "$folder"' EXIT

say() {
  printf '\n=== %s (%s s)\n' "$*" "$SECONDS"
}

damage() {
  local end store
  for end in closed killed; do
    say "damage: one bit flipped at random, every bit of a header, files cut or removed; $end"
    for store in redb redb-verified redb-2pc-verified fjall; do
      "$stores" flip "$folder" "$store" 300 100 "$end"
    done
    # With trees on disk, and not the journal alone.
    STORES_MEMTABLE_KIB=64 "$stores" flip "$folder" fjall 300 400 "$end"
    for store in redb redb-2pc redb-2pc-verified fjall; do
      "$stores" aim "$folder" "$store" 40 "$end"
    done
    for store in redb-2pc-verified fjall; do
      "$stores" cut "$folder" "$store" 100 "$end"
    done
  done
}

kills() {
  local store
  say "kills: SIGKILL while batches are written"
  for store in redb redb-2pc redb-2pc-verified fjall; do
    "$stores" kill "$folder" "$store" 200
  done
}

power() {
  local store
  say "power: what was not synced is lost; controls: the folder is not synced, the disk lies"
  for store in redb-2pc-verified fjall; do
    "$stores" power "$folder" "$store" 100 ext4
    "$stores" power "$folder" "$store" 100 posix
    echo "control, the folder is not synced:"
    STORES_NO_FOLDER_SYNC=1 "$stores" power "$folder" "$store" 50 posix
    echo "control, the disk lies:"
    "$stores" power "$folder" "$store" 50 lying
    echo "one sync fails, and the kernel takes what it had for clean:"
    "$stores" power "$folder" "$store" 20 failing
    echo "the same, and the store is opened again in place:"
    STORES_REOPEN=1 "$stores" power "$folder" "$store" 20 failing
  done
}

full() {
  local store disk=$folder/disk
  if [ "$(id -u)" != 0 ]; then
    echo "left out, because only root mounts a small disk: full" >&2
    return
  fi
  say "full: a disk of 4 MB, 1 MB of it freed later"
  mkdir -p "$disk"
  for store in redb-2pc-verified fjall; do
    mount -t tmpfs -o size=4m tmpfs "$disk"
    head -c 1000000 /dev/zero >"$disk/filler"
    echo "## $store"
    "$stores" script "$disk/ledger" "$store" "$disk/filler" || true
    umount "$disk"
  done
}

speed() {
  say "speed: the stores in turn; compare within one number of waiting writers only"
  "$stores" bench "$folder" redb,redb-2pc,fjall 5 1.5 10000
}

starts() {
  say "starts: opening with a cold page cache"
  "$stores" starts "$folder" redb-2pc,redb-2pc-verified,redb-quick,fjall 1000,100000
  "$stores" starts "$folder" redb-2pc-verified,fjall 1000000
}

tables=(damage kills power full speed starts)
if [ $# -eq 0 ]; then
  for table in "${tables[@]}"; do "$table"; done
  exit
fi
for table in "${tables[@]}"; do
  if [ "$table" = "$1" ]; then
    "$table"
    exit
  fi
done
echo "error: there is no table $1; there are: ${tables[*]}" >&2
exit 2
