"""One container as its worker sees it: a folder, and a monitor process that outlives the worker.

All that the two tell each other is in the folder, so a worker that starts again finds the container as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .monitor_starter import MonitorStarter
from .programs.monitor import END_SIGNAL, start_time
from .rootless.bubblewrap import options_of
from .rootless.kept_files import Files

log = logging.getLogger("asman.worker.oci")

ABOUT: Final = "attempt.json"
"""The file that says which attempt a container is of."""
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_END_SECONDS: Final = 15.0
"""Longest wait for a monitor that was asked to end, in seconds."""
_RUNTIME_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_COMPLAINT: Final = 2000


class MonitorLost(Exception):
    """The monitor of a container is gone and has not said how the container ended."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a monitor needs to know.

    Attributes:
        runtime: The runtime's program and its own options.
        root: The folder in which the runtime keeps its notes.
        name: The container's name.
        lower: The image's root.
        hold: The file whose lock keeps the image.
        hidden: Mounts that the runtime must not see.
        checks: The limits that must be in force before the start; see `cgroups.Layout.checks`.
        oom: The file in which the kernel counts what it killed for lack of memory.
        log_bytes: Largest size of the output that is kept, in bytes.
        network: The programs and commands that give it a network; see `network.Lease`. Empty for none.
        ids: The ids of an ordinary user's containers, as `rootless.ids.Ids.written` returns them; empty for root's.
        root_by: The way in which its root is made: ``overlay``, ``fuse`` (by a program) or ``copy``.
        fuse: That program, as a path.
        enter: The files by which it enters a control group that the runtime does not make.
        processes: Largest number of its processes, where no control group bounds it; 0 for no bound of this kind.
        watched: Memory beyond which the monitor kills it, in bytes, where no control group bounds it; 0 for none.
        light: The command and the filter of system calls, for bubblewrap; empty for a runtime.
        rlimits: Limits of each process by name, where no runtime sets them.
    """

    runtime: tuple[str, ...]
    root: Path
    name: str
    lower: Path
    hold: Path
    hidden: tuple[str, ...] = ()
    checks: list[dict[str, Any]] = field(default_factory=list)
    oom: Path = Path("/nowhere")
    log_bytes: int = 0
    network: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)
    root_by: str = "overlay"
    fuse: str = ""
    enter: tuple[str, ...] = ()
    processes: int = 0
    watched: int = 0
    light: dict[str, Any] = field(default_factory=dict)
    rlimits: dict[str, int] = field(default_factory=dict)

    def written(self) -> str:
        """Returns the plan in the monitor's form."""
        return json.dumps(
            {
                "runtime": list(self.runtime),
                "root": str(self.root),
                "id": self.name,
                "lower": str(self.lower),
                "hold": str(self.hold),
                "hidden": list(self.hidden),
                "checks": self.checks,
                "oom": str(self.oom),
                "log_bytes": self.log_bytes,
                "network": self.network,
                "ids": self.ids,
                "root_by": self.root_by,
                "fuse": self.fuse,
                "enter": list(self.enter),
                "processes": self.processes,
                "watched": self.watched,
                "light": self.light,
                "rlimits": self.rlimits,
            }
        )


class Container:
    """A container's folder, and whoever is alive behind it.

    Args:
        folder: The folder.
        files: Removes it with all that is in it.

    Attributes:
        folder: The folder.
        changed: Set once something has changed; each change makes a new one.
    """

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self.folder = folder
        self._files = files or Files()
        self.changed = asyncio.Event()
        self._news = -1
        self._begun = False
        self._alone = False

    # ------------------------------------------------------------------------------------------------ beginning

    def lay_out(self, config: dict[str, Any], plan: Plan, about: dict[str, Any], volumes: tuple[Path, ...]) -> None:
        """Makes the folder with all that the monitor reads; blocks.

        Raises:
            OSError: It can't be written.
        """
        self._files.remove(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        for name in ("upper", "work", "merged"):
            (self.folder / name).mkdir()
        upper = self.folder / "upper"
        # The upper folder's own owner and mode are those of the container's root.
        model = plan.lower.stat()
        with contextlib.suppress(PermissionError):  # an ordinary user's is the container's root
            os.chown(upper, model.st_uid, model.st_gid)
        upper.chmod(model.st_mode & 0o7777)
        if plan.root_by == "copy":
            copied = self._files.copy(plan.lower, upper)
            about = {**about, "copied": [copied.bytes, copied.files]}
        for volume in volumes:
            volume.mkdir(parents=True)
            volume.chmod(0o755)
        os.mkfifo(self.folder / "news", 0o600)
        (self.folder / "config.json").write_text(json.dumps(config))
        if plan.light:
            (self.folder / "options").write_text("".join(f"{each}\0" for each in options_of(config, self.folder)))
        (self.folder / "plan.json").write_text(plan.written())
        (self.folder / ABOUT).write_text(json.dumps(about))

    def start(self, starter: MonitorStarter) -> None:
        """Starts the monitor.

        Raises:
            OSError: It can't be started.
        """
        self._listen()
        self._begun = True
        starter.start(self.folder)

    def attach(self) -> None:
        """Listens to a monitor that an earlier process started.

        Raises:
            OSError: There is no container in the folder.
        """
        self._listen()
        if not _alive(self._read("monitor")):
            self._alone = True

    def close(self) -> None:
        """Stops listening; monitor and container go on."""
        if self._news >= 0:
            asyncio.get_running_loop().remove_reader(self._news)
            os.close(self._news)
            self._news = -1

    # ---------------------------------------------------------------------------------------------------- states

    @property
    def about(self) -> dict[str, Any]:
        """The attempt that the container is of; empty if that was never written."""
        return self._read(ABOUT)

    @property
    def started(self) -> dict[str, Any]:
        """The container's process; empty before its start."""
        return self._read("state.json")

    @property
    def end(self) -> dict[str, Any]:
        """The container's end; empty before."""
        return self._read("exit.json")

    @property
    def over(self) -> bool:
        """Whether nothing more will come: the end is there, or the monitor is gone."""
        return self._alone or (self.folder / "exit.json").exists()

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Waits until something holds, or the monitor is gone."""
        while True:
            changed = self.changed
            if wanted() or self._alone:
                return
            await changed.wait()

    async def ended(self) -> dict[str, Any]:
        """Waits for the end.

        Raises:
            MonitorLost: Nobody has written it down, and nobody will.
        """
        await self.until(lambda: self.over)
        if not (end := self.end):
            raise MonitorLost
        return end

    # --------------------------------------------------------------------------------------------------- the end

    def signal(self, number: int) -> None:
        """Sends a signal to the container's first process, if it still lives; bubblewrap's hands it to the command."""
        state = self.started
        if state.get("inner") and number != signal.SIGKILL:
            state = _child_of(state) or state
        _send(state, number)

    async def remove(self, plan_runtime: tuple[str, ...], root: Path, clear: Callable[[], None]) -> None:
        """Kills the container, waits for its monitor's end and removes the folder.

        Args:
            plan_runtime: The runtime, for a container whose monitor is gone.
            root: The folder in which the runtime keeps its notes.
            clear: Removes the container's control group; blocks.

        Raises:
            OSError: Something can't be removed.
        """
        monitor = self._read("monitor")
        if not self.end and self._begun and not monitor:
            # It has only just begun, and is about to say who it is.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self.until(lambda: bool(self._read("monitor")) or self.over)
            monitor = self._read("monitor")
        if _alive(monitor):
            if not self.end:
                _send(monitor, END_SIGNAL)
            await _gone(monitor, _END_SECONDS)
            if _alive(monitor):
                log.warning("the monitor of %s does not end; killing it", self.folder.name)
                _send(monitor, signal.SIGKILL)
                await _gone(monitor, _END_SECONDS)
        self.close()
        _send(self.started, signal.SIGKILL)
        if (root / self.folder.name).exists():
            await asyncio.to_thread(_delete, plan_runtime, root, self.folder.name)
        await asyncio.to_thread(clear)
        await asyncio.to_thread(self._files.remove, self.folder)

    @property
    def complaint(self) -> str:
        """The words of a monitor that failed in a way of its own; empty for none."""
        try:
            return (self.folder / "monitor.err").read_text(errors="replace")[-_COMPLAINT:].strip()
        except OSError:
            return ""

    # ------------------------------------------------------------------------------------------------- the parts

    def _listen(self) -> None:
        self._news = os.open(self.folder / "news", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._news, self._heard)

    def _heard(self) -> None:
        try:
            data = os.read(self._news, 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._news)
            self._alone = True
        self._tell()

    def _tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _alive(process: dict[str, Any]) -> bool:
    """Whether a process that was noted is the same one, and lives."""
    pid, began = int(process.get("pid", 0)), int(process.get("start", 0))
    return bool(pid and began) and start_time(pid) == began


def _child_of(process: dict[str, Any]) -> dict[str, Any]:
    """Returns the oldest child of a process that was noted, as it would be noted; empty if there is none."""
    pid = int(process.get("pid", 0))
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return {}
    return {"pid": int(children[0]), "start": start_time(int(children[0]))} if children and _alive(process) else {}


def _send(process: dict[str, Any], number: int) -> None:
    """Sends a signal to a process that was noted; never to another one that has its number by now."""
    pid = int(process.get("pid", 0))
    if not pid:
        return
    with contextlib.suppress(OSError):
        file = os.pidfd_open(pid)
        try:
            if _alive(process):
                signal.pidfd_send_signal(file, number)
        finally:
            os.close(file)


async def _gone(process: dict[str, Any], seconds: float) -> None:
    """Waits for the end of a process that was noted, with a time limit."""
    try:
        file = os.pidfd_open(int(process["pid"]))
    except OSError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        if not _alive(process) or select.select([file], [], [], 0)[0]:
            return
        loop.add_reader(file, gone.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await gone.wait()
    finally:
        loop.remove_reader(file)
        os.close(file)


def _delete(runtime: tuple[str, ...], root: Path, name: str) -> None:
    """Removes a runtime's notes of a container whose monitor is gone; blocks up to a minute."""
    words = [*runtime, "--root", str(root), "delete", "--force", name]
    try:
        subprocess.run(  # noqa: S603 - a runtime that was found at the start
            words,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_RUNTIME_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the runtime can't remove the container %s: %s", name, error)
