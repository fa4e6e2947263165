"""Reads the output that a container's monitor keeps, and goes on after any interruption.

The output is in numbered files of records: a header (`programs.output.HEADER`) and bytes. Of these files the newest two
stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from asman_shared.messages import STDERR, STDOUT

from ..execution.interface import Reporter
from ..execution.log_checkpoint import LogCheckpoint
from .container import Container
from .programs.output import HEADER

_READ: Final = 1024 * 1024
_STREAMS: Final = {1: STDOUT, 2: STDERR}

Position = tuple[int, int]
"""Number of a file, and the offset in it."""


class ContainerLog:
    """Reads the output of one container to its end.

    Args:
        container: The container.
        report: Receives the output.
        checkpoint: The file that records the position that the hub has reached, for a later process.
    """

    def __init__(self, container: Container, report: Reporter, checkpoint: Path) -> None:
        self._container = container
        self._folder = container.folder
        self._report = report
        self._checkpoint = LogCheckpoint(checkpoint, report)
        self._at: Position = (0, 0)

    def begin(self) -> None:
        """Records that the container's first line is the next one."""
        self._checkpoint.save(self._at)

    def load(self) -> None:
        """Restores the position that an earlier process recorded."""
        self._at = self._checkpoint.load(_position) or self._at

    async def follow(self) -> None:
        """Reports output until the container has ended and all of it is read."""
        while True:
            changed = self._container.changed
            over = self._container.over
            if await self._read():
                continue
            if over:
                return
            await changed.wait()

    async def _read(self) -> bool:
        """Reports what is there; returns whether that was anything."""
        number, offset = self._at
        # Looked at first: once there is a next file, nothing is added to this one.
        following = (self._folder / f"log.{number + 1}").exists()
        try:
            with (self._folder / f"log.{number}").open("rb") as file:
                file.seek(offset)
                data = file.read(_READ)
        except FileNotFoundError:
            return self._skip()
        taken = self._take(data)
        if taken:
            self._at = (number, offset + taken)
            self._checkpoint.note(lambda: self._at)
            await self._report.room()
            return True
        if following:
            self._at = (number + 1, 0)
            return True
        return False

    def _take(self, data: bytes) -> int:
        """Reports the whole records at the beginning of some bytes; returns their length."""
        at = 0
        while len(data) - at >= HEADER.size:
            stream, when, length = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if end > len(data):
                break
            self._report.output(_STREAMS.get(stream, STDOUT), data[at + HEADER.size : end], when)
            at = end
        return at

    def _skip(self) -> bool:
        """Goes on at the oldest file that is still there; returns whether there is one."""
        numbers = sorted(int(path.suffix[1:]) for path in self._folder.glob("log.*") if path.suffix[1:].isdigit())
        newer = [number for number in numbers if number > self._at[0]]
        if not newer:
            return False
        self._report.say("some of the job's output was lost here: it wrote more than is kept until it can be sent")
        self._at = (newer[0], 0)
        return True


def _position(given: Any) -> Position:
    number, offset = map(int, given)
    return number, offset
