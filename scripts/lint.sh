#!/usr/bin/env bash
# Run every check of the source that does not run it, then report the failed ones.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

failed=()

check() {
  local name="$1"
  shift
  say "$name"
  if ! "$@"; then failed+=("$name"); fi
}

rooms=()
for room in shared server worker client tests bench scripts devtools build_tools; do
  if [ -d "$room" ]; then rooms+=("$room"); fi
done

check "ruff check" "$PYTHON" -m ruff check .
check "ruff format" "$PYTHON" -m ruff format --check .
check "mypy" "$PYTHON" -m mypy "${rooms[@]}"
check "import-linter" "$VENV/bin/lint-imports" --no-logo
check "docstrings, modules and folders" "$PYTHON" -m scripts.source_rules
if [ -e .git ]; then check "no registry hosts" "$PYTHON" -m scripts.registry_hosts; fi
if [ -f web/package.json ]; then check "the page's lint" npm --prefix web run --silent lint; fi

if [ "${#failed[@]}" -gt 0 ]; then die "lint failed: ${failed[*]}"; fi
say "Lint is clean."
