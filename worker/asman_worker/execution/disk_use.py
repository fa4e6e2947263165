"""Bounds what jobs and builds write to the disk of this machine, by size, by number of files and by what is left.

Each job and each build is a writer. It measures itself at intervals and asks `DiskGuard` whether it must stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asman_shared.units import format_size

from ..files.tree import walking

log = logging.getLogger("asman.worker.disk_use")

_LOOK_SECONDS: Final = 1.0
"""Time between two looks at what is left, and the shortest one between two measurements, in seconds."""
_SHARE: Final = 20
"""Shortest time between two measurements, as a multiple of the processor time that the last one took."""
_LONGEST_PAUSE: Final = 20.0
"""Longest pause after a measurement that only waited long, for an engine or a busy machine, in seconds."""
_MAKING_ROOM_SECONDS: Final = 10.0
"""Time for the files of a stopped writer to be removed before the next is stopped, in seconds."""
_FEW_FILES: Final = 100
"""A file system with less than one in this number of its files left counts as short."""

_INIT: Final = ("sbin/docker-init", "run/podman-init")
"""Places in a container where engines mount its first process, without telling so."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """The part of the disk that a writer takes.

    Attributes:
        bytes: Its size on disk, in bytes.
        files: Its number of files, folders and links, as far as they can be counted.
        cost: Processor time of this process that measuring it took, in seconds.
    """

    bytes: int = 0
    files: int = 0
    cost: float = field(default=0.0, compare=False)

    def __add__(self, other: DiskUse) -> DiskUse:
        return DiskUse(self.bytes + other.bytes, self.files + other.files, self.cost + other.cost)

    def __sub__(self, other: DiskUse) -> DiskUse:
        return DiskUse(self.bytes - other.bytes, self.files - other.files)


@dataclass(frozen=True, slots=True)
class Excess:
    """The reason why a writer must stop.

    Attributes:
        message: One sentence.
        fault: The part at fault, as in `asman_shared.errors.ExecutionError`.
    """

    message: str
    fault: str = "job"


@dataclass(slots=True)
class Account:
    """The charges of a job that has several commands, one after another, for a folder that it shares with others.

    Attributes:
        use: What the job was charged for the commands that have ended.
    """

    use: DiskUse = DiskUse()


@dataclass(slots=True, eq=False)
class Writer:
    """A job or a build that writes.

    Attributes:
        use: What it has written, as last measured.
    """

    use: DiskUse = DiskUse()


def folder_use(folder: Path) -> DiskUse:
    """Returns the disk use of what is in a folder, without following links or counting unreadable files; blocks."""
    began = time.thread_time()
    size = files = 0
    with walking(folder) as entries:
        for entry in entries:
            if not entry.left:
                files += 1
                size += entry.stat.st_blocks * 512
    return DiskUse(size, files, time.thread_time() - began)


def pause_after(use: DiskUse, waited: float) -> float:
    """Returns the time until the next measurement, in seconds.

    Measuring many files costs much, and is then done seldom. Waiting is cheap: on a busy machine a small folder is
    still measured often, so that whoever fills the disk is noticed.

    Args:
        use: What was measured, with its cost.
        waited: Time that it took in all, in seconds.
    """
    return max(_SHARE * use.cost, min(_SHARE * waited, _LONGEST_PAUSE))


def layer_files(found: Mapping[str, Any]) -> int:
    """Counts the files in a container's own layer; blocks.

    It takes an engine on this machine that keeps the layer in a folder (``overlay2``), and the right to read it, as
    root has. Elsewhere the result is 0.

    Args:
        found: The engine's description of the container. The places of its mounts are not its own files.
    """
    data = (found.get("GraphDriver") or {}).get("Data") or {}
    upper = Path(str(data.get("UpperDir") or "/nowhere"))
    if not os.access(upper, os.R_OK | os.X_OK):
        return 0
    mounted = [str(mount.get("Destination") or "/").lstrip("/") for mount in found.get("Mounts") or ()]
    places: set[Path] = set()
    for place in map(Path, (*mounted, *_INIT)):
        places.update(part for part in (place, *place.parents) if part.parts)
    return max(0, folder_use(upper).files - sum(os.path.lexists(upper / place) for place in places))


class SharedFolder:
    """A folder that several jobs write to at the same time, such as a queue's ``/job-cache``.

    Nobody can tell who wrote a file in it, so what it gains between two measurements counts in equal parts for the jobs
    that run then. A job that runs alone is charged exactly.

    Args:
        folder: The folder.
        look: Measures it; blocks.
    """

    def __init__(self, folder: Path, look: Callable[[Path], DiskUse] = folder_use) -> None:
        self._folder = folder
        self._look = look
        self._writers: dict[Writer, DiskUse] = {}
        self._last: DiskUse | None = None
        self._turn = asyncio.Lock()
        self._again = 0.0

    @asynccontextmanager
    async def charging(self, writer: Writer, account: Account | None = None) -> AsyncIterator[None]:
        """Charges a writer for as long as the block lasts.

        The block has to begin before the writer writes: what is there when it begins is not charged.

        Args:
            writer: The writer.
            account: Its earlier charges, which count with those of the block and are brought up to date at its end.
        """
        await self.measure(force=True)
        self._writers[writer] = DiskUse() if account is None else account.use
        try:
            yield
            if account is not None:
                await self.measure(last=True)
                account.use = self.share(writer)
        finally:
            self._writers.pop(writer, None)
            if not self._writers:
                self._last = None

    def share(self, writer: Writer) -> DiskUse:
        """Returns what a writer is charged."""
        use = self._writers.get(writer, DiskUse())
        return DiskUse(max(0, use.bytes), max(0, use.files))

    async def measure(self, *, force: bool = False, last: bool = False) -> None:
        """Measures the folder, if that was not done a moment ago, and charges what it gained.

        Args:
            force: Measure it in any case if nobody is charged yet.
            last: Measure it in any case, because a writer has ended.
        """
        async with self._turn:
            began = time.monotonic()
            if began < self._again and not last and not (force and self._last is None):
                return
            now = await asyncio.to_thread(self._look, self._folder)
            self._again = time.monotonic() + _SHARE * now.cost
            if self._last is not None and self._writers:
                gained = now - self._last
                each = DiskUse(gained.bytes // len(self._writers), gained.files // len(self._writers))
                for writer in self._writers:
                    self._writers[writer] += each
            self._last = now


class DiskGuard:
    """Decides which writer must stop.

    Args:
        folder: A folder on the disk that must not become full.
        most: Bytes that one writer may write; 0 for any.
        files: Files that one writer may make; 0 for any.
        reserve: Bytes of the disk that stay free. When half of them are used, the largest writer is stopped.

    Attributes:
        look: Measures a folder; blocks. Whoever reaches more files than this process sets another.
    """

    def __init__(self, folder: Path, *, most: int = 0, files: int = 0, reserve: int = 0) -> None:
        self.most = most
        self.files = files
        self.look: Callable[[Path], DiskUse] = folder_use
        self._folder = folder
        self._reserve = reserve
        self._writers: set[Writer] = set()
        self._shared: dict[Path, SharedFolder] = {}
        self._stopped = float("-inf")

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Yields a writer that counts for as long as the block lasts."""
        writer = Writer()
        self._writers.add(writer)
        try:
            yield writer
        finally:
            self._writers.discard(writer)

    def shared(self, folder: Path) -> SharedFolder:
        """Returns the one measurement of a folder that several jobs write to."""
        return self._shared.setdefault(folder, SharedFolder(folder, self.look))

    async def watch(self, writer: Writer, measure: Callable[[], Awaitable[DiskUse]]) -> Excess:
        """Measures a writer until it must stop; returns the reason.

        The pauses grow with the cost of measuring; see `pause_after`.
        """
        if not (self.most or self.files or self._reserve):
            await asyncio.Event().wait()
        again = 0.0
        while True:
            began = time.monotonic()
            if began >= again:
                writer.use = await measure()
                ended = time.monotonic()
                again = ended + pause_after(writer.use, ended - began)
            if (excess := self.excess(writer)) is not None:
                return excess
            await asyncio.sleep(_LOOK_SECONDS)

    def excess(self, writer: Writer) -> Excess | None:
        """Returns the reason why a writer must stop, if there is one."""
        use = writer.use
        if self.most and use.bytes > self.most:
            wrote, most = format_size(use.bytes), format_size(self.most)
            return Excess(f"stopped: it wrote {wrote}, and the maximum is {most} (--disk)")
        if self.files and use.files > self.files:
            return Excess(
                f"stopped: it made {use.files} files, and the maximum is {self.files} (ASMAN_WORKER_DISK_FILES)"
            )
        if not self._reserve or time.monotonic() - self._stopped < _MAKING_ROOM_SECONDS:
            return None
        left = self._left()
        if left < self._reserve // 2:
            if use.bytes and writer is max(self._writers, key=lambda each: each.use.bytes):
                return self._largest(f"it wrote {format_size(use.bytes)}", f"{format_size(left)} of disk")
        elif self._few_files() and use.files and writer is max(self._writers, key=lambda each: each.use.files):
            return self._largest(f"it made {use.files} files", "few further files")
        return None

    def _largest(self, made: str, left: str) -> Excess:
        self._stopped = time.monotonic()
        log.warning("stopping the job that wrote the most: only %s is left", left)
        return Excess(f"stopped: {made}, the most of all jobs here, and the worker has only {left} left", "worker")

    def _left(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _few_files(self) -> bool:
        found = os.statvfs(self._folder)
        return found.f_files > 0 and found.f_favail * _FEW_FILES < found.f_files


def share_of_free(folder: Path, reserve: int) -> int:
    """Returns the bytes that one job may write unless the operator says: half of what is free beyond the reserve."""
    return max(1, (shutil.disk_usage(folder).free - reserve) // 2)
