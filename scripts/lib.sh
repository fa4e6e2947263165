# Shared by the other scripts: paths, messages, and the installation of packages.
# shellcheck shell=bash

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
RUN_DIR="$ROOT/.run"       # stamps, logs and the private engine: never committed, safe to delete when nothing runs
VENV="$ROOT/.venv"
NODE_NEEDED=20.19           # the page's build tool needs it
# shellcheck disable=SC2034  # these are read by the scripts that source this file
PAGE_DIR="$ROOT/server/asman_server/page" SITE_DIR="$ROOT/server/asman_server/site" PYTHON="$VENV/bin/python"

cd "$ROOT"
export PATH="$VENV/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '==> %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Keep a noisy command's output in a log; show its end only when it fails.
# usage: quietly LOGNAME command...
quietly() {
  local log="$RUN_DIR/logs/$1.log"
  shift
  mkdir -p "$RUN_DIR/logs"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    printf -- '--- the last lines of %s ---\n' "${log#"$ROOT"/}" >&2
    tail -n 30 "$log" >&2
    return 1
  fi
}

# Try a command that talks to the network three times.
with_retries() {
  local attempt
  for attempt in 1 2 3; do
    if "$@"; then return 0; fi
    if [ "$attempt" -lt 3 ]; then sleep $((attempt * 5)); fi
  done
  return 1
}

APT_UPDATED=no

# usage: apt_install "why" package...    Succeeds only if the packages are there afterwards.
apt_install() {
  local why="$1"
  shift
  if ! command -v apt-get >/dev/null; then
    say "$why needs: $*. This machine has no apt-get; install them with its own package manager."
    return 1
  fi
  if ! is_root; then
    say "$why needs the Debian packages: $*. Not root, so not installed; run 'apt-get install $*' as root."
    return 1
  fi
  say "Installing Debian packages for $why: $*"
  export DEBIAN_FRONTEND=noninteractive
  if [ "$APT_UPDATED" = no ]; then
    with_retries quietly apt-update apt-get update -q || say "apt-get update failed; trying with the lists that are here"
    APT_UPDATED=yes
  fi
  # Where no systemd runs, RUNLEVEL=1 keeps a package from starting its daemon.
  local runlevel=()
  if [ ! -d /run/systemd/system ]; then runlevel=(env RUNLEVEL=1); fi
  with_retries quietly apt-install "${runlevel[@]}" apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# A stamp holds a hash of everything that a step reads; the step is skipped while the hash is the same.
stamp_is() { [ "$(cat "$RUN_DIR/stamps/$1" 2>/dev/null)" = "$2" ]; }

set_stamp() {
  mkdir -p "$RUN_DIR/stamps"
  printf '%s\n' "$2" >"$RUN_DIR/stamps/$1"
}

# A hash over the names and contents of files and folders, in a fixed order.
hash_of() {
  find "$@" -type f -not -path '*/node_modules/*' -print0 2>/dev/null | LC_ALL=C sort -z |
    xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}

# Whether a node that can build the page is on the PATH.
node_is_enough() {
  command -v node >/dev/null && command -v npm >/dev/null || return 1
  local version
  version="$(node --version 2>/dev/null)" || return 1
  [ "$(printf '%s\n' "$NODE_NEEDED" "${version#v}" | sort -V | head -n 1)" = "$NODE_NEEDED" ]
}
