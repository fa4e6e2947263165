#!/usr/bin/env bash
# Remove everything that make put into this clone; a private engine that still runs is stopped first.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

python="$PYTHON"
[ -x "$python" ] || python=python3
if [ -d "$RUN_DIR/engine" ]; then
  "$python" -m devtools.engine stop
  if [ -f "$RUN_DIR/engine/state.json" ]; then die "A private engine is in use here; end what uses it first."; fi
fi
"$python" -m build_tools.compiled remove
say "Removing .venv, .run, .asman, bench/.peers, caches, the built page and documentation, and web/node_modules"
rm -rf "$VENV" "$RUN_DIR" "$ROOT/.asman" "$ROOT/.asman-dev" "$PAGE_DIR" "$SITE_DIR" "$ROOT/web/node_modules" "$ROOT/dist" "$ROOT/build" \
  "$ROOT/bench/.peers" \
  "$ROOT"/.{pytest,mypy,ruff,import_linter}_cache "$ROOT/.hypothesis"
find "$ROOT" -name __pycache__ -type d -prune -exec rm -rf {} +
