"""Forks ``asman`` commands from a process that has imported them once.

Importing the hub takes a second of processor time, and the tests start hundreds of hubs and workers. Each is a process
of its own all the same, with its own session, environment, working folder and output, and ends as the command ends.

Run as a module it is the server: it takes requests on the socket that it inherits, and ends when that is closed.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

from devtools import as_user

ANSWER_SECONDS: Final = 60
"""Longest time that the server may take for its imports, in seconds."""
REQUEST_BYTES: Final = 128 * 1024
"""Largest request: the words and the environment of a command."""
PRELOADED: Final = (
    "aiobotocore.session",
    "aiodocker",
    "aiohttp",
    "aiosqlite",
    "asman.cli.commands.hub",
    "asman.cli.commands.up",
    "asman.cli.commands.worker",
    "asman.cli.main",
    "asman.cli.tree",
    "asman_server.app",
    "asman_server.hub",
    "asman_server.main",
    "asman_worker.main",
    "asyncpg",
    "httptools",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
)
"""Modules that a hub or a worker needs; those that are not installed are left out."""


class Forked:
    """A command that the server has forked; used like a `subprocess.Popen`.

    Attributes:
        pid: Its process id.
        returncode: Its exit code, negative for a signal; None while it runs, as far as `poll` and `wait` have seen.
    """

    def __init__(self, words: Sequence[str], pid: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._words = list(words)
        self._ended = ended
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    def poll(self) -> int | None:
        """Returns the exit code; None while the command runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after ``timeout`` seconds.
        """
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._words, timeout or 0)
            said = os.read(self._ended, 64)
            if not said:
                raise RuntimeError(f"the fork server ended before {self._words}")
            self.returncode = int(said)
            self.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the command has ended."""
        if self.poll() is None and self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Asks the command to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the command at once."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Closes what watches the process."""
        for one in (self._ended, self._handle):
            if one >= 0:
                os.close(one)
        self._ended = self._handle = -1


class ForkServer:
    """A running fork server; it starts with the first command."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def _started(self) -> socket.socket:
        if self._socket is None or self._process is None or self._process.poll() is not None:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - runs this module
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd=Path(__file__).resolve().parents[1],
                )
            mine.settimeout(ANSWER_SECONDS)
            self._socket = mine
        return self._socket

    def start(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """Starts a command with its output in a file, in this process's folder and with its umask, and returns it.

        Args:
            words: The words after ``asman``; or ``-m``, a module to run in its place, and its words.
            log: The file to which its output is added.
            environment: Its environment.
        """
        control = self._started()
        mask = os.umask(0o077)
        os.umask(mask)
        request = json.dumps([list(words), str(log.absolute()), str(Path.cwd()), mask, dict(environment)]).encode()
        if len(request) > REQUEST_BYTES:
            raise ValueError(f"the environment of {words[0]} has more than {REQUEST_BYTES} bytes")
        ended, tells = os.pipe()
        try:
            socket.send_fds(control, [request], [tells])
            return Forked(words, int(control.recv(64)), ended)
        except BaseException:
            os.close(ended)
            raise
        finally:
            os.close(tells)

    def close(self) -> None:
        """Ends the server; commands that still run go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.wait(ANSWER_SECONDS)
            self._process = None


# ------------------------------------------------------------------------------------------------------- the server


def _preload() -> None:
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            import_module(name)
    import_module("asman.cli.tree").command_tree()  # by name: a bench of an older commit has no need of it
    gc.collect()
    gc.freeze()


def _reap(running: dict[int, int]) -> None:
    """Tells the exit codes of the commands that have ended."""
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            tells = running.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(tells, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(tells)


def _become(log: str, folder: str, mask: int, environment: dict[str, str]) -> None:
    """Makes this fork look like a process that was started for its command."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.chdir(folder)
    os.umask(mask)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    time.tzset()
    random.seed()


def _serve(control: socket.socket) -> list[str] | None:
    """Forks commands until the socket is closed; returns in each fork, too, with the words of its command."""
    wakes, woken = socket.socketpair()
    wakes.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(woken.fileno())
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control, wakes], [], [])
        if wakes in ready:
            with contextlib.suppress(BlockingIOError):
                wakes.recv(4096)
            _reap(running)
        if control not in ready:
            continue
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 1)
        if not request:
            return None
        words, *about = json.loads(request)
        pid = os.fork()
        if not pid:
            for one in (control, wakes, woken):
                one.detach()
            _become(*about)
            return list(words)
        running[pid] = descriptors[0]
        control.send(str(pid).encode())


def _main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    _preload()
    words = _serve(control)
    if words is None:
        raise SystemExit(0)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        raise SystemExit(0)
    if words[0] == as_user.WORD:
        as_user.serve_as_user(*words[1:])
    sys.argv = [str(Path(sys.executable).with_name("asman")), *words]
    import_module("asman.cli.main").main(words)
    raise AssertionError("a command ends by itself")


if __name__ == "__main__":
    _main()
