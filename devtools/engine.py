"""Use the container engine that is here, or start a private one and stop it when its last user leaves.

usage: python -m devtools.engine start|stop|status [--quiet]

An engine that answers at DOCKER_HOST, or at the usual socket, is used and left as it is. Otherwise, with
root and a `dockerd`, a private one is started: it has its own data folder, socket, network bridge and
log. Its users are recorded, so `make run` in one terminal and `make test` in another share it;
it is stopped by process id.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from devtools import bridge, docker_api
from devtools.os_processes import Process, mentioning

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".run" / "engine"
LOG = FOLDER / "dockerd.log"
_STATE = FOLDER / "state.json"
_USERS = FOLDER / "users"
_BY_HAND = "by-hand"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MNT_DETACH = 2
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class NoEngineError(Exception):
    """Raised when there is no container engine and none can be started; the message says why."""


@dataclass(frozen=True)
class Engine:
    """An engine to use.

    Attributes:
        host: For ``DOCKER_HOST``.
        private: Whether these scripts started it.
    """

    host: str
    private: bool


@dataclass(frozen=True)
class _Private:
    """The record of a private engine that is needed to stop it."""

    pid: int
    started: int
    folder: str
    data: str
    bridge: str
    subnet: str
    forward_policy: str

    @property
    def process(self) -> Process:
        return Process(self.pid, self.started)

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"


@contextmanager
def _locked() -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _running() -> _Private | None:
    try:
        state = _Private(**json.loads(_STATE.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state


def _users() -> list[Path]:
    """Return the users of the private engine; drop those that ended without leaving."""
    _USERS.mkdir(parents=True, exist_ok=True)
    living = []
    for user in _USERS.iterdir():
        if user.name != _BY_HAND:
            pid, _, started = user.name.partition("-")
            if not Process(int(pid), int(started)).alive:
                user.unlink(missing_ok=True)
                continue
        living.append(user)
    return living


def find() -> Engine | None:
    """Return the engine that can be used now without starting one: the machine's, else ours if it runs."""
    host = docker_api.reachable()
    if host is not None:
        return Engine(host, private=False)
    state = _running()
    if state is None or os.environ.get("DOCKER_HOST") or not docker_api.answers(state.host):
        return None
    return Engine(state.host, private=True)


@contextmanager
def hold() -> Iterator[Engine]:
    """Yield an engine for as long as the block lasts; a private one stops when its last holder leaves.

    Raises:
        NoEngineError: There is no engine, and none can be started here.
    """
    me = Process.current()
    name = f"{me.pid}-{me.started}"
    engine = join(name)
    try:
        yield engine
    finally:
        leave(name)


def join(user: str) -> Engine:
    """Find or start an engine and, if it is a private one, record that ``user`` uses it."""
    host = docker_api.reachable()
    if host is not None:
        return Engine(host, private=False)
    if named := os.environ.get("DOCKER_HOST"):
        raise NoEngineError(f"DOCKER_HOST names {named}, where no engine answers")
    with _locked():
        _users()
        state = _running()
        if state is not None and not (state.process.alive and docker_api.answers(state.host)):
            _stop(state)
            state = None
        if state is None:
            state = _start()
        (_USERS / user).touch()
        return Engine(state.host, private=True)


def leave(user: str) -> None:
    """Record that ``user`` is done; stop a private engine without users."""
    if not (_USERS / user).exists():
        return
    with _locked():
        (_USERS / user).unlink(missing_ok=True)
        state = _running()
        if state is not None and not _users():
            _stop(state)


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "no container engine answers, and only root can start one"
    if shutil.which("dockerd", path=_PATH) is None:
        return "no container engine answers, and dockerd is not installed (Debian: docker.io)"
    return None


def _start() -> _Private:
    reason = _why_not()
    if reason is not None:
        raise NoEngineError(reason)
    # A socket's path has 107 bytes at most, a clone's may be longer: sockets live in a temporary folder.
    folder = Path(tempfile.mkdtemp(prefix="asman-engine-", dir="/tmp"))
    data = FOLDER / "data"
    if any(character in str(data) for character in ":,\\ "):
        data = folder / "data"  # overlay mounts can't name such a path
    forward = bridge.forward_policy()
    network = f"asman-{folder.name[-8:]}"
    subnet = ""
    options = ["--bridge=none", "--iptables=false"]
    with suppress(OSError):
        subnet = str(bridge.create(network))
        options = [f"--bridge={network}"]
    LOG.write_text("")
    sys.stderr.write(f"==> Starting a private container engine, log in {os.path.relpath(LOG)}\n")
    for attempt in (options, [*options, "--iptables=false"]):
        process = _launch(folder, data, attempt)
        state = _Private(process.pid, process.started, str(folder), str(data), network, subnet, forward)
        _STATE.write_text(json.dumps(asdict(state)))
        deadline = time.monotonic() + _START_SECONDS
        while process.alive and time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
            if docker_api.answers(state.host, timeout=2):
                return state
            time.sleep(0.05)
        process.stop(5)
        if "iptables" not in _last_lines(20).lower():
            break
    last = _last_lines(12)
    _stop(state)
    raise NoEngineError(f"dockerd did not start here and said\n{last}")


def _launch(folder: Path, data: Path, options: list[str]) -> Process:
    command = [
        "dockerd",
        f"--host=unix://{folder}/docker.sock",
        f"--data-root={data}",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/dockerd.pid",
        "--log-level=warn",
        *options,
    ]
    with LOG.open("ab") as log:
        started = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": _PATH},
            start_new_session=True,  # a Ctrl-C at the terminal is meant for the engine's users
        )
    process = Process.of(started.pid)
    started.returncode = 0  # it outlives this object on purpose
    if process is None:
        raise NoEngineError(f"dockerd ended at once and said\n{_last_lines(12)}")
    return process


def _last_lines(count: int) -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-count:])


def _stop(state: _Private) -> None:
    """Stop the engine and remove all it left: its containerd, shims, mounts, bridge, rules and sockets."""
    if state.process.alive:
        docker_api.kill_containers(state.host)  # otherwise each container may take ten seconds to end
    state.process.stop(_STOP_SECONDS)
    folder = Path(state.folder)
    for left in mentioning(folder / "exec"):
        left.stop(5)
    for mounted in _mounts_in(folder, Path(state.data)):
        ctypes.CDLL(None).umount2(os.fsencode(mounted), _MNT_DETACH)
    if state.subnet:
        bridge.forget_rules(state.bridge, state.subnet, state.forward_policy)
        bridge.remove(state.bridge)
    shutil.rmtree(folder, ignore_errors=True)
    _STATE.unlink(missing_ok=True)


def _mounts_in(*folders: Path) -> list[str]:
    """Return the mounts at and below folders, the deepest first; an engine mounts its data folder onto itself."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    inside = [point for point in points if any(f"{point}/".startswith(f"{folder}/") for folder in folders)]
    return sorted(inside, key=len, reverse=True)


def main() -> int:
    """Start, stop or report, by hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "status"])
    parser.add_argument("--quiet", action="store_true", help="status: only the exit code")
    asked = parser.parse_args()
    if asked.action == "start":
        try:
            engine = join(_BY_HAND)
        except NoEngineError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        whose = "started by us" if engine.private else "already here, left as it is"
        sys.stdout.write(f"DOCKER_HOST={engine.host}  # {whose}\n")
        return 0
    if asked.action == "stop":
        leave(_BY_HAND)
        state = _running()
        others = len(_users()) if state else 0
        if state and not others:
            with _locked():
                _stop(state)
        elif state:
            sys.stdout.write(f"The private engine stays: {others} other(s) use it.\n")
        return 0
    found = find()
    if not asked.quiet:
        told = (
            "No container engine."
            if found is None
            else f"{found.host} ({'private' if found.private else 'the machine’s'})"
        )
        sys.stdout.write(f"{told}\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
