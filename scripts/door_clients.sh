#!/usr/bin/env bash
# Set up the clients of the doors (MCP, TES) that the tests run against the hub, and the workflow engines of
# `make engines`, if they are missing.
#
# Each gets a virtual environment of its own, .run/DOOR-clients/NAME, from tests/data/DOOR_clients/NAME.txt, because they
# exclude each other's versions and none may touch Asman's. The packages of tests/data/DOOR_clients/NAME/package.json,
# if there is one, are installed into it, too.
#
# usage: scripts/door_clients.sh DOOR [NAME...]
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DOOR="${1:?the door, mcp or tes, or engines}"
shift
FOLDER="$RUN_DIR/$DOOR-clients"
REQUIREMENTS="$ROOT/tests/data/${DOOR}_clients"
[ -d "$REQUIREMENTS" ] || die "There is no door '$DOOR'."

make_packages() {
  if [ ! -d "$REQUIREMENTS/$1" ]; then return; fi
  cp "$REQUIREMENTS/$1"/package*.json "$FOLDER/$1/"
  with_retries quietly "$DOOR-client-$1-npm" npm --prefix "$FOLDER/$1" ci --no-audit --no-fund --loglevel=error
}

make_environment() {
  local name="$1" wanted
  local sources=("$REQUIREMENTS/$name.txt")
  if [ -d "$REQUIREMENTS/$name" ]; then sources+=("$REQUIREMENTS/$name"); fi
  wanted="$FOLDER/$name $(hash_of "${sources[@]}")"
  if [ -x "$FOLDER/$name/bin/python" ] && stamp_is "$DOOR-client-$name" "$wanted"; then return; fi
  say "Installing the client $name, which the tests run, into .run/$DOOR-clients/$name"
  if "$PYTHON" -m venv --clear "$FOLDER/$name" &&
    with_retries quietly "$DOOR-client-$name" "$FOLDER/$name/bin/python" -m pip install -q --only-binary :all: \
      --no-deps -r "$REQUIREMENTS/$name.txt" && make_packages "$name"; then
    set_stamp "$DOOR-client-$name" "$wanted"
  else
    # Half an environment would only fail later, with a worse reason.
    rm -rf "${FOLDER:?}/$name"
    die "The client $name could not be installed; is a package index in reach?"
  fi
}

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
  for file in "$REQUIREMENTS"/*.txt; do names+=("$(basename "$file" .txt)"); done
fi
mkdir -p "$FOLDER"
for name in "${names[@]}"; do
  [ -f "$REQUIREMENTS/$name.txt" ] || die "There is no client '$name'."
  make_environment "$name"
done
