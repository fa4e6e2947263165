"""Knows where the control groups of containers are on this machine, and what must stand in them.

There are two kinds: version 1 with a folder for each controller, and version 2 with one folder for all. A hybrid
machine is of version 1; it also has a mount of version 2, which is hidden from the runtime, because some runtimes
refuse to work beside it.

An ordinary user has the groups that were handed to it (delegated), and often none. Then this module makes the groups of
containers itself, because runtimes that lack a right leave limits out without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import Unavailable

PARENT: Final = "asman"
"""The group of all workers on this machine; each worker has one inside, and each container one in that."""
PERIOD: Final = 100_000
"""The time in which a container may use its cpus, in microseconds."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ROOT: Final = Path("/sys/fs/cgroup")
_MOUNTS: Final = Path("/proc/self/mounts")
_NEEDED: Final = ("memory", "pids", "cpu")
_OWN: Final = Path("/proc/self/cgroup")
_LEAF: Final = "asman-worker"
"""The group of this process itself, where groups of version 2 are handed to it: one with processes has none inside."""
_KILL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one container.

    Attributes:
        memory: Memory with swap, in bytes; 0 for no limit.
        cpus: Cpus, in thousandths.
        pids: Largest number of processes.
    """

    memory: int
    cpus: int
    pids: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The control groups of this machine.

    Attributes:
        version: 1 or 2; 0 where this user has no groups, so that nothing is limited by them.
        folders: The folder of each controller; for version 2 the same one for all.
        hidden: Mounts that a runtime must not see.
        swap: Whether memory and swap can be limited together.
        handed: Whether the groups were handed to an ordinary user, so that the runtime makes none.
    """

    version: int
    folders: dict[str, Path] = field(hash=False)
    hidden: tuple[str, ...] = ()
    swap: bool = True
    handed: bool = False

    @classmethod
    def find(cls, mounts: Path = _MOUNTS) -> Layout:
        """Looks at the mounts of this machine.

        Raises:
            Unavailable: A controller that every container needs is missing.
        """
        folders: dict[str, Path] = {}
        unified: list[Path] = []
        for line in mounts.read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            if kind == "cgroup":
                folders.update((each, Path(place)) for each in options.split(",") if each in _NEEDED)
            elif kind == "cgroup2":
                unified.append(Path(place))
        if folders:
            missing = [each for each in _NEEDED if each not in folders]
            hidden = tuple(str(place) for place in unified)
            swap = (folders.get("memory", _ROOT) / "memory.memsw.limit_in_bytes").exists()
            found = cls(1, folders, hidden, swap)
        elif unified:
            there = (unified[0] / "cgroup.controllers").read_text().split()
            missing = [each for each in _NEEDED if each not in there]
            found = cls(2, dict.fromkeys(_NEEDED, unified[0]))
        else:
            raise Unavailable("this machine has no control groups, so a container's memory and cpus can't be limited")
        if missing:
            raise Unavailable(
                f"this machine's control groups lack {', '.join(missing)}: turn them on in the kernel's settings"
            )
        return found

    @classmethod
    def of_user(cls, mounts: Path = _MOUNTS, own: Path = _OWN) -> Layout:
        """Looks for the groups that were handed to this user, which is not root; of version 0 if that is none."""
        places = [line.split()[1:3] for line in mounts.read_text().splitlines()]
        both = {kind for _, kind in places} >= {"cgroup", "cgroup2"}
        hidden = tuple(place for place, kind in places if kind == "cgroup2") if both else ()
        nothing = cls(0, {}, hidden)
        try:
            machine = cls.find(mounts)
            paths = _own_groups(own)
            own_paths = {each: paths[each if machine.version == 1 else ""] for each in _NEEDED}
            folders = {each: machine.folders[each] / own_paths[each].lstrip("/") for each in _NEEDED}
            if not all(_may_use(folder) for folder in folders.values()):
                return nothing
            if machine.version == 2:
                _make_room(folders["memory"])
        except (Unavailable, OSError, KeyError):
            return nothing
        return cls(machine.version, folders, machine.hidden, machine.swap, handed=True)

    def folder(self, controller: str, path: str) -> Path:
        """Returns the folder of a group.

        Args:
            controller: ``memory``, ``pids`` or ``cpu``.
            path: The group's path, beginning with a slash.
        """
        return self.folders[controller] / path.lstrip("/")

    def resources(self, limits: Limits) -> dict[str, Any]:
        """Returns the limits in the runtime's form (OCI runtime specification, ``linux.resources``)."""
        if self.handed or not self.version:
            return {}
        made: dict[str, Any] = {
            "devices": [{"allow": False, "access": "rwm"}],
            "pids": {"limit": limits.pids},
            "cpu": {"quota": limits.cpus * PERIOD // 1000, "period": PERIOD},
        }
        if limits.memory:
            made["memory"] = {"limit": limits.memory}
            if self.swap:
                made["memory"]["swap"] = limits.memory
        return made

    def checks(self, limits: Limits, path: str) -> list[dict[str, Any]]:
        """Lists the files of a container's group with the texts that must stand in them, for the monitor."""
        quota = str(limits.cpus * PERIOD // 1000)
        memory = str(limits.memory // _PAGE * _PAGE)
        if self.version == 1:
            wanted = [
                ("pids", "pids.max", str(limits.pids), "processes"),
                ("cpu", "cpu.cfs_quota_us", quota, "cpus"),
                ("memory", "memory.limit_in_bytes", memory, "memory"),
            ]
        else:
            wanted = [
                ("pids", "pids.max", str(limits.pids), "processes"),
                ("cpu", "cpu.max", f"{quota} {PERIOD}", "cpus"),
                ("memory", "memory.max", memory, "memory"),
            ]
        return [
            {"folder": str(self.folder(controller, path)), "file": name, "accepted": [text], "what": f"the {what}"}
            for controller, name, text, what in wanted
            if self.version and (controller != "memory" or limits.memory)
        ]

    def make(self, limits: Limits, path: str) -> list[str]:
        """Makes a container's group with its limits, if that is not the runtime's part; blocks.

        Returns:
            The files by which a process enters the group.

        Raises:
            OSError: It can't be made.
        """
        if not self.handed:
            return []
        folders = self._everywhere(path)
        for folder in folders:
            if self.version == 2:
                _hand_down(self.folders["memory"], path)
            folder.mkdir(parents=True, exist_ok=True)
        for each in self.checks(limits, path):
            _set(Path(each["folder"], each["file"]), each["accepted"][0])
        memory = self.folder("memory", path)
        if limits.memory and self.version == 2:
            _set(memory / "memory.swap.max", "0")
        elif limits.memory and self.swap:
            _set(memory / "memory.memsw.limit_in_bytes", str(limits.memory // _PAGE * _PAGE))
        return [str(folder / "cgroup.procs") for folder in folders]

    def killed_for_memory(self, path: str) -> Path:
        """Returns the file in which the kernel counts the processes that it killed for lack of memory."""
        if not self.version:
            return Path("/nowhere/none")
        return self.folder("memory", path) / ("memory.oom_control" if self.version == 1 else "memory.events")

    def members(self, path: str) -> Iterator[str]:
        """Yields the names of the groups in a group, over all controllers."""
        names: set[str] = set()
        for parent in self._everywhere(path):
            with contextlib.suppress(OSError):
                names.update(each.name for each in parent.iterdir() if each.is_dir())
        yield from sorted(names)

    def clear(self, path: str) -> None:
        """Kills all processes of a group and removes the group; blocks up to some seconds.

        Raises:
            OSError: The group can't be removed, because a process does not die.
        """
        deadline = time.monotonic() + _KILL_SECONDS
        for folder in self._everywhere(path):
            # A runtime may have made groups inside.
            for inner in [Path(place) for place, _, _ in os.walk(folder, topdown=False)]:
                _clear(inner, deadline)

    def drop(self, path: str) -> None:
        """Removes a group that holds no other group and no process; any other one stays."""
        for folder in self._everywhere(path):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _everywhere(self, path: str) -> list[Path]:
        """Returns the folders of a group in all hierarchies, also in those of controllers that this module sets not."""
        if self.version == 2 or self.handed:
            return sorted({self.folder(each, path) for each in self.folders})
        if not self.version:
            return []
        places = {line.split()[1] for line in _MOUNTS.read_text().splitlines() if line.split()[2] == "cgroup"}
        places.update(self.hidden)
        return [Path(place) / path.lstrip("/") for place in sorted(places)]


def _clear(folder: Path, deadline: float) -> None:
    """Kills all processes of a group without groups inside, and removes it."""
    while folder.is_dir():
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _own_groups(own: Path) -> dict[str, str]:
    """Returns the paths of this process's groups by controller; that of version 2 has the empty name."""
    found: dict[str, str] = {}
    for line in own.read_text().splitlines():
        _, names, path = line.split(":", 2)
        found.update((name, path.removesuffix(f"/{_LEAF}")) for name in names.split(","))
    return found


def _may_use(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _make_room(folder: Path) -> None:
    """Moves the processes of a group of version 2 into one inside it, because only then it may have further ones."""
    leaf = folder / _LEAF
    leaf.mkdir(exist_ok=True)
    for pid in (folder / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            _set(leaf / "cgroup.procs", pid)
    _hand_down(folder, "/x")


def _hand_down(folder: Path, path: str) -> None:
    """Makes the controllers of a group of version 2 usable in the groups on the way to one inside it."""
    for part in ("", *path.strip("/").split("/")[:-1]):
        folder = folder / part
        folder.mkdir(exist_ok=True)
        _set(folder / "cgroup.subtree_control", " ".join(f"+{each}" for each in _NEEDED))


def _set(file: Path, text: str) -> None:
    # Opened without making it: in a group, a file that is not there can't be made.
    with file.open("r+") as opened:
        opened.write(text)
