#!/usr/bin/env bash
# Make this machine able to run Asman; quick if it already is.
#
# usage: scripts/setup.sh run|dev
#   run   for `make run`: Python packages, a container engine, the built page and documentation
#   dev   the same, and for `make test`: test tools, a browser, Postgres, and the hub compiled
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LEVEL="${1:-dev}"
case "$LEVEL" in run | dev) ;; *) die "usage: scripts/setup.sh run|dev" ;; esac
BASE_PYTHON="${BASE_PYTHON:-python3}"

setup_python() {
  if ! command -v "$BASE_PYTHON" >/dev/null || ! "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "Python and its virtual environments" python3 python3-venv ca-certificates ||
      die "Asman needs Python 3.11 or newer with its venv module."
  fi
  "$BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Asman needs Python 3.11 or newer; this is $("$BASE_PYTHON" --version). Set BASE_PYTHON to a newer one."
  # The programs in a virtual environment hold its path, so one that was moved is recreated.
  if [ "$(cat "$VENV/made-for" 2>/dev/null)" != "$VENV" ] || ! "$PYTHON" -c 'import pip' 2>/dev/null; then
    say "Making the virtual environment .venv"
    "$BASE_PYTHON" -m venv --clear "$VENV"
    printf '%s\n' "$VENV" >"$VENV/made-for"
    rm -f "$RUN_DIR/stamps/"python-*
  fi
  local extras='hub,worker' want
  want="$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | sha256sum)"
  if stamp_is python-dev "$want" || { [ "$LEVEL" = run ] && stamp_is python-run "$want"; }; then return; fi
  if [ "$LEVEL" = dev ]; then extras="$extras,dev"; fi
  say "Installing Python packages into .venv (extras: $extras)"
  with_retries quietly pip "$PYTHON" -m pip install -q -c "$ROOT/constraints.txt" -e "${ROOT}[$extras]" ||
    die "The Python packages could not be installed; is a package index in reach?"
  set_stamp "python-$LEVEL" "$want"
}

setup_engine() {
  if ! "$PYTHON" -m devtools.engine status --quiet && ! command -v dockerd >/dev/null; then
    apt_install "a container engine" docker.io ||
      say "No container engine: jobs can only run as plain processes (executor 'process')."
  fi
  # The image that needs no registry is made from this one static program.
  if ! "$PYTHON" -m devtools.base_image --check; then
    apt_install "the base image" busybox-static || say "Without busybox-static there is no local base image."
  fi
}

setup_containers() {
  # Containers without an engine (executor 'oci'): a runtime, and a static program as their first process.
  local init
  init="$(command -v tini-static || command -v catatonit || command -v docker-init || true)"
  if ! command -v crun >/dev/null || ! command -v ip >/dev/null || [ -z "$init" ]; then
    apt_install "containers without an engine" crun tini iproute2 || say "Without crun and tini the tests of executor 'oci' fail."
  fi
  # The same as an ordinary user: further ids, and another way to make a root.
  if ! command -v newuidmap >/dev/null || ! command -v fuse-overlayfs >/dev/null || ! command -v bwrap >/dev/null; then
    apt_install "containers of ordinary users" uidmap fuse-overlayfs bubblewrap ||
      say "Without uidmap, fuse-overlayfs and bubblewrap the tests of containers of ordinary users fail."
  fi
}

setup_compiled() {
  # The modules that every job passes through, compiled: not needed, but the hub does a third more jobs with them.
  local state
  state="$("$PYTHON" -m build_tools.compiled check)"
  if [ "$state" = fresh ] || [ "$state,$LEVEL" = none,run ]; then setup_simulation; return; fi
  if [ "$LEVEL" = run ]; then
    say "The compiled modules were older than their sources and were removed. 'make compile' rebuilds them."
    "$PYTHON" -m build_tools.compiled remove
    return
  fi
  if ! "$PYTHON" -m build_tools.compiled compiler >/dev/null; then
    apt_install "compiling the hub" gcc libc6-dev python3-dev || true
  fi
  if ! "$PYTHON" -m build_tools.compiled compiler; then
    "$PYTHON" -m build_tools.compiled remove
    return
  fi
  say "Compiling the hub's inner modules"
  quietly compiled "$PYTHON" -m build_tools.compiled build || die "The hub's modules could not be compiled."
  setup_simulation
}

setup_simulation() {
  # The simulation's loop, network and judges, compiled: not needed, but it plays a fifth more seeds with them.
  if [ "$LEVEL" = run ] || ! "$PYTHON" -m build_tools.compiled compiler >/dev/null 2>&1; then return; fi
  if [ "$("$PYTHON" -m build_tools.fast_simulation check)" = fresh ]; then return; fi
  say "Compiling the simulation's inner modules"
  quietly simulation "$PYTHON" -m build_tools.fast_simulation build || die "The simulation could not be compiled."
}

setup_browser() {
  # Playwright brings its own node, which on a bare Debian lacks one library.
  local driver
  driver="$("$PYTHON" -c 'import pathlib, playwright; print(pathlib.Path(playwright.__file__).parent / "driver/node")')"
  if ! command -v chromium >/dev/null || ! "$driver" --version >/dev/null 2>&1; then
    apt_install "the browser tests" chromium fonts-dejavu-core libatomic1 ||
      say "Without chromium the browser tests fail."
  fi
}

setup_firefox() {
  if ! command -v firefox-esr >/dev/null && ! command -v firefox >/dev/null; then
    apt_install "the browser tests in Firefox" firefox-esr || say "Without firefox-esr those tests fail."
  fi
}

setup_front() {
  # What stands before a hub: a proxy (Caddy and Traefik come in wheels), its units, and the eyes of an operator.
  if [ ! -x /usr/sbin/nginx ] || ! command -v promtool >/dev/null || ! command -v systemd-analyze >/dev/null; then
    apt_install "the tests of what stands before a hub" nginx-light prometheus systemd curl openssl ||
      say "Without nginx, promtool and systemd-analyze those tests fail."
  fi
}

setup_git() {
  if ! command -v git >/dev/null; then
    apt_install "the tests that build from a repository" git || say "Without git those tests fail."
  fi
}

setup_postgres() {
  if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
    apt_install "the database tests" postgresql pgbouncer || say "Without Postgres the tests on it fail."
  fi
}

setup_site() {
  # The documentation as a hub serves it.
  local wanted
  wanted="$(hash_of "$ROOT/README.md" "$ROOT/docs" "$ROOT/build_tools/site" "$ROOT/web/src/style" "$ROOT/pyproject.toml")"
  if [ -f "$SITE_DIR/site.json" ] && stamp_is site "$wanted"; then return; fi
  say "Writing the documentation into ${SITE_DIR#"$ROOT"/}"
  quietly site "$PYTHON" -m build_tools.site || die "The documentation could not be written."
  set_stamp site "$wanted"
}

setup_examples() {
  # After the page, which brings a Node.js where there is none.
  local example folder wanted
  for example in json-dialect metapage; do
    folder="$ROOT/examples/$example"
    wanted="$(hash_of "$folder/package.json" "$folder/package-lock.json")"
    if [ -d "$folder/node_modules" ] && stamp_is "example-$example" "$wanted"; then continue; fi
    say "Installing the packages of an example into examples/$example/node_modules"
    with_retries quietly "npm-$example" npm --prefix "$folder" ci --no-audit --no-fund --loglevel=error ||
      die "The packages of examples/$example could not be installed."
    set_stamp "example-$example" "$wanted"
  done
}

setup_python
setup_engine
if [ "$LEVEL" = dev ]; then setup_containers; fi
if [ "$LEVEL" = dev ]; then
  setup_git
  setup_front
  setup_postgres
  setup_browser
  setup_firefox
fi
setup_compiled
bash "$ROOT/scripts/web.sh" "$LEVEL"
setup_site
if [ "$LEVEL" = dev ]; then
  setup_examples
  bash "$ROOT/scripts/door_clients.sh" mcp
  bash "$ROOT/scripts/door_clients.sh" tes
fi
say "Ready."
