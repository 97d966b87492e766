#!/usr/bin/env bash
# Installs the pinned analysers of script/requirements.txt (halmos, slither) into .venv, and nothing anywhere else. Says
# in one line why it can't, with exit code 3, so that a caller may leave out what needs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# absent REASON
absent() {
  echo "$1" >&2
  exit 3
}

stamp=.venv/.farthing-requirements
if cmp -s script/requirements.txt "$stamp"; then exit 0; fi
command -v python3 >/dev/null || absent "python3 is not installed"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || absent "python3 is older than 3.11"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
  absent "python3 has no virtual environments (install python3-venv)"
echo "installing the analysers of script/requirements.txt into .venv" >&2
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --requirement script/requirements.txt >&2 ||
  absent "pip can't install script/requirements.txt"
cp script/requirements.txt "$stamp"
