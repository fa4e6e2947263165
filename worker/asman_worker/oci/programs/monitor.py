"""The part of a program that stays with one container: starts it, keeps its output, and writes down how it ended.

It is a process of its own, so that a container outlives its worker; see `monitors`. It uses one thread.

In its folder, a monitor reads ``plan.json`` and writes ``monitor`` (its process), ``state.json`` (the container's
process), ``log.N`` (the output) and ``exit.json`` (the end). It writes a byte into the pipe ``news`` for whoever
follows, and closes that pipe with its own end.

The container's root is mounted in a mount namespace of the monitor, so nothing stays mounted when it ends in any way.
The monitor of an ordinary user is also the root of a user namespace of its own, in which the container has another one.
Between creation and start it reads the limits in the container's own cgroup, and never starts one without them. Where
an ordinary user has no cgroups, it watches the memory instead.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

from . import memory
from .namespaces import Failed, bind, die_with, libc, overlay, own_mounts, own_users
from .output import CHUNK, Log

SHORT_SECONDS: Final = 60.0
"""Longest time that a runtime may take to create, start or delete a container, in seconds."""
END_SIGNAL: Final = signal.SIGUSR1
"""Asks a monitor to kill its container and to end."""
LIMITS: Final = "limits"
"""Begins the failure of a container whose limits were not set."""

IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
"""Signals that a batch system sends to all processes of an allocation: the worker decides about its containers."""

NETWORK: Final = "network"
"""Begins the failure of a container that could not be connected to its network."""
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
FIRST_KILLED: Final = "1000"
"""Makes the kernel that runs out of memory kill a job before anything else, where no control group limits it."""
_LAST_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.2
"""Time between two looks at the memory of a container without a cgroup, in seconds."""
_MOUNT_SECONDS: Final = 10.0
_PR_SET_CHILD_SUBREAPER: Final = 36
SAID: Final = 4000
"""Longest text of a failure, in characters."""


class Asked(Exception):
    """Somebody asked for the end."""


def start_time(pid: int) -> int:
    """Returns the start time of a process in ticks since the machine's start; 0 if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as about:
            fields = about.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


class Monitor:
    """One container from its creation to its removal.

    Args:
        plan: The content of ``plan.json``.
        news: The pipe that wakes whoever follows.

    Attributes:
        pid: The child of this process with whose end the container ends; 0 before it is there.
        first: The first process of the container.
    """

    def __init__(self, plan: dict[str, Any], news: int) -> None:
        self._plan = plan
        self._runtime: list[str] = [*plan["runtime"], "--root", plan["root"]]
        self._log = Log(int(plan["log_bytes"]))
        self._poll = select.poll()
        self._pipes: dict[int, int] = {}
        self._news = news
        self._wake, waking = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        self._poll.register(self._wake, select.POLLIN)
        self._asked = False
        self._outgrew = False
        self.pid = self.first = 0

    def ask_for_end(self, number: int, frame: object) -> None:
        """Takes the signal that asks for the end."""
        del number, frame
        self._asked = True

    def run(self) -> dict[str, Any]:
        """Runs the container to its end.

        Raises:
            Failed: It could not be started.
            Asked: Somebody asked for the end.
        """
        self._make_root()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._begin()
        state = {"pid": self.first, "start": start_time(self.first), "began": time.time_ns() // 1_000_000}
        write("state.json", {**state, "inner": self.first != self.pid})
        self.tell()
        code = self._follow()
        self.pid = self.first = 0  # their numbers may be others' from now on
        self._drain()
        return {"code": code, "oom": self._outgrew or self._killed_for_memory()}

    def _begin(self) -> None:
        """Creates the container, and starts it once its limits are in force."""
        ends = self._open_pipes()
        try:
            creating = self._spawn("create", "--bundle", ".", "--pid-file", "pid", self._plan["id"], ends=ends)
        finally:
            for end in ends:
                os.close(end)
        self._finish(creating, "create")
        with open("pid", encoding="ascii") as noted:
            self.pid = self.first = int(noted.read())
        self._check_limits()
        if network := self._plan["network"]:
            self._connect(network)
        self._finish(self._spawn("start", self._plan["id"]), "start")

    def tell(self) -> None:
        """Wakes whoever follows."""
        try:
            os.write(self._news, b".")
        except OSError:
            pass

    def clear(self) -> None:
        """Kills what is left and removes the container."""
        self._asked = False
        if self.pid and os.path.exists(f"/proc/{self.pid}"):
            try:
                os.kill(self.pid, signal.SIGKILL)
                self._wait(self.pid, time.monotonic() + SHORT_SECONDS)
            except (OSError, TimeoutError, Asked):
                pass
        try:
            self._finish(self._spawn("delete", "--force", self._plan["id"]), "delete")
        except (Failed, Asked, OSError):
            pass

    def _make_root(self) -> None:
        """Makes the container's root in ``merged``, where this process alone and the container see it."""
        plan, ordinary = self._plan, bool(self._plan["ids"])
        if ordinary:
            own_users(plan["ids"])
        own_mounts(plan["hidden"], ordinary=ordinary)
        if plan["root_by"] == "copy":
            bind("upper", "merged")
        elif plan["root_by"] == "fuse":
            self._mount_by_program()
        else:
            overlay(plan["lower"], "upper", "work", "merged", ordinary=ordinary)

    def _mount_by_program(self) -> None:
        """Mounts the writable layer by a program of this user, which ends with this process."""
        before, parent = os.stat("merged").st_dev, os.getpid()
        options = f"lowerdir={self._plan['lower']},upperdir=upper,workdir=work"
        program = os.fork()
        if program == 0:
            try:
                die_with(parent)
                os.execv(self._plan["fuse"], [self._plan["fuse"], "-f", "-o", options, "merged"])  # noqa: S606
            finally:
                os._exit(127)
        deadline = time.monotonic() + _MOUNT_SECONDS
        while os.stat("merged").st_dev == before:
            if os.waitpid(program, os.WNOHANG)[0] or time.monotonic() > deadline:
                raise Failed("fuse-overlayfs did not mount the root of the container")
            time.sleep(0.005)

    def _follow(self) -> int:
        """Waits for the container's end, and ends it if its memory grows beyond what is watched; returns its code."""
        most = int(self._plan["watched"])
        if not most:
            return self._wait(self.pid, None)
        while True:
            try:
                return self._wait(self.pid, time.monotonic() + _WATCH_SECONDS)
            except TimeoutError:
                if not self._outgrew and memory.use(self.first) > most:
                    self._outgrew = True
                    os.kill(self.first, signal.SIGKILL)

    def _open_pipes(self) -> list[int]:
        ends: list[int] = []
        for stream in (1, 2):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reading, False)
            self._pipes[reading] = stream
            self._poll.register(reading, select.POLLIN)
            ends.append(writing)
        return ends

    def _spawn(self, *words: str, ends: list[int] | None = None) -> int:
        """Starts the runtime; its own words go to a file, because its streams are those of the container."""
        argv = [*self._runtime, "--log", "runtime.log", "--log-format", "json", *words]
        if ends is not None and (self._plan["enter"] or self._plan["processes"]):
            return self._confined(argv, ends)
        out, err = ends or (-1, -1)
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        for number, end in ((1, out), (2, err)):
            if end >= 0:
                actions.append((os.POSIX_SPAWN_DUP2, end, number))
            else:
                actions.append((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0))
        return self._run(argv, actions)

    def _confined(self, argv: list[str], ends: list[int], kept: tuple[int, ...] = ()) -> int:
        """Starts a program that is within the limits of the container from its first moment.

        Args:
            argv: Its command.
            ends: Its standard output and standard error.
            kept: Further files that it gets.
        """
        child = os.fork()
        if child:
            return child
        try:
            for place in self._plan["enter"]:
                with open(place, "w", encoding="ascii") as group:
                    group.write("0")
            if most := int(self._plan["processes"]):
                # The kernel counts all processes below a user namespace for its maker; one more is this monitor.
                hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
                most = most + 1 if hard == resource.RLIM_INFINITY else min(most + 1, hard)
                resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            if self._plan["light"]:
                with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
                    score.write(FIRST_KILLED)
            for name, value in self._plan["rlimits"].items():
                resource.setrlimit(getattr(resource, name), (value, value))
            for file in kept:
                os.set_inheritable(file, True)
            for number, file in enumerate((os.open("/dev/null", os.O_RDONLY), *ends)):
                os.dup2(file, number)
            for each in (*IGNORED, signal.SIGXFSZ):
                signal.signal(each, signal.SIG_DFL)
            os.execve(argv[0], argv, {"PATH": _PATH})  # noqa: S606
        except OSError as error:
            with open("runtime.log", "a", encoding="utf-8") as log:
                log.write(f"{error.filename or argv[0]}: {error.strerror}\n")
        finally:
            os._exit(127)

    def _run(self, argv: list[str], actions: list[Any] | None = None) -> int:
        """Starts a program; returns its process id."""
        if actions is None:
            nothing = os.O_RDWR
            actions = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", nothing, 0) for number in (0, 1, 2)]
        # What this process ignores would be ignored by the job, too.
        heard = (*IGNORED, signal.SIGXFSZ)
        return os.posix_spawn(argv[0], argv, {"PATH": _PATH}, file_actions=actions, setsigdef=heard)

    def _finish(self, pid: int, what: str) -> None:
        """Waits for a call of the runtime.

        Raises:
            Failed: It fails, or does not end in time.
        """
        try:
            code = self._wait(pid, time.monotonic() + SHORT_SECONDS)
        except (TimeoutError, Asked) as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if isinstance(error, Asked):
                raise
            raise Failed(f"the runtime did not {what} the container within {SHORT_SECONDS:g} s") from error
        if code != 0:
            raise Failed(_last_words() or f"the runtime could not {what} the container (exit code {code})")

    def _wait(self, pid: int, deadline: float | None) -> int:
        """Waits for a child, and keeps the output meanwhile; returns its exit code as a shell counts it."""
        ended = os.pidfd_open(pid)
        self._poll.register(ended, select.POLLIN)
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
                found = self._poll.poll(left)
                if self._asked:
                    raise Asked
                for file, _ in found:
                    self._take(file)
                if any(file == ended for file, _ in found):
                    status = os.waitpid(pid, 0)[1]
                    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError
        finally:
            self._poll.unregister(ended)
            os.close(ended)

    def _take(self, file: int) -> bool:
        """Takes output from a pipe; returns whether there was some."""
        if file == self._wake:
            os.read(file, 100)
            return False
        stream = self._pipes.get(file)
        if stream is None:
            return False
        try:
            data = os.read(file, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._poll.unregister(file)
            os.close(file)
            del self._pipes[file]
            return False
        self._keep(stream, data)
        self.tell()
        return True

    def _keep(self, stream: int, data: bytes) -> None:
        """Keeps output of a stream."""
        self._log.add(stream, data)

    def _drain(self) -> None:
        """Takes the rest of the output; all processes of the container are dead by now."""
        deadline = time.monotonic() + _LAST_SECONDS
        while self._pipes and time.monotonic() < deadline:
            for file, _ in self._poll.poll(100):
                self._take(file)

    def _connect(self, network: dict[str, Any]) -> None:
        """Gives the container its interface, before anything runs in it.

        Raises:
            Failed: It can't be set up.
        """
        ip, nsenter = network["ip"], network["nsenter"]
        own = [nsenter, f"--net=/proc/{self.pid}/ns/net", ip]
        for name, program in (("outside", [ip]), ("inside", own)):
            with open(name, "w", encoding="ascii") as commands:
                commands.write("".join(f"{each}\n" for each in network[name]).replace("{pid}", str(self.pid)))
            try:
                self._finish(self._run([*program, "-batch", name]), "connect")
            except Failed as error:
                raise Failed(f"{NETWORK}: `ip` refused its commands ({name})") from error

    def _check_limits(self) -> None:
        """Looks at the container's own cgroup: no runtime is trusted to have set what it was told.

        Raises:
            Failed: A limit is not in force.
        """
        for each in self._plan["checks"]:
            folder, name, wanted, what = each["folder"], each["file"], each["accepted"], each["what"]
            try:
                inside = any(str(self.pid) in text.split() for text in _read_all(folder, "cgroup.procs"))
                with open(f"{folder}/{name}", encoding="ascii") as said:
                    found = said.read().strip()
            except OSError as error:
                raise Failed(f"{LIMITS}: {what} ({name}: {error.strerror})") from error
            if not inside or found not in wanted:
                raise Failed(f"{LIMITS}: {what} ({name} is {found[:40]}, not {wanted[0]})")

    def _killed_for_memory(self) -> bool:
        """Returns whether the kernel killed a process of the container because its memory was used up."""
        folder, _, name = self._plan["oom"].rpartition("/")
        for text in _read_all(folder, name):
            counted = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
            if int(counted.get("oom_kill", 0)) > 0:
                return True
        return False


def _read_all(folder: str, name: str) -> Iterator[str]:
    """Yields a file of a cgroup and of those inside it, which a runtime may have made."""
    for place, _, names in os.walk(folder):
        if name in names:
            try:
                with open(f"{place}/{name}", encoding="ascii") as file:
                    yield file.read()
            except OSError:
                pass


def _last_words() -> str:
    """Returns the last thing that the runtime said of itself; empty for nothing."""
    try:
        with open("runtime.log", encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log.read()[-SAID:].splitlines() if line.strip()]
    except OSError:
        return ""
    try:
        return str(json.loads(lines[-1])["msg"])
    except (IndexError, ValueError, KeyError, TypeError):
        return lines[-1] if lines else ""


def write(name: str, content: dict[str, Any]) -> None:
    """Writes a file that is either missing or whole."""
    file = os.open(f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(content).encode())
    finally:
        os.close(file)
    os.rename(f"{name}.new", name)
