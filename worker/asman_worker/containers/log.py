"""Reads a container's output from the engine's log, per stream, and resumes after any interruption.

The engine sends each log entry as one multiplexed frame (Docker Engine API, ContainerAttach: ``[stream, 0, 0, 0,
length]`` and the bytes), here with the entry's time in front: nanoseconds from Docker, whole seconds from Podman,
possibly in another time zone. The times of one stream never decrease. So the position in a stream is its last time and
the number of entries with that time. The order between the two streams may be off by a moment, so reading resumes a
moment earlier.

A followed log may end before its last entries (seen with Docker 20.10 and a container that writes much and ends), so
the end is always read again without following.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.messages import STDERR, STDOUT

from ..execution.interface import Reporter
from ..execution.log_checkpoint import LogCheckpoint

log = logging.getLogger("asman.worker.engine_log")

_STAMP: Final = len("2026-01-02T03:04:05.000000000+00:00 ")
_SECOND: Final = len("2026-01-02T03:04:05")
_QUIET_SECONDS: Final = 5.0
_OVERLAP_SECONDS: Final = 2
_LAST_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.5
_STREAMS: Final = {1: STDOUT, 2: STDERR}


class EngineLog:
    """Reads the log of one container to its end.

    Args:
        docker: The engine.
        container: The container's id.
        report: Receives the output.
        checkpoint: The file that records the position that the hub has reached, for a later process.
    """

    def __init__(self, docker: Docker, container: str, report: Reporter, checkpoint: Path) -> None:
        self._docker = docker
        self._container = container
        self._report = report
        self._checkpoint = LogCheckpoint(checkpoint, report)
        self._seen: dict[int, tuple[bytes, int]] = {}
        self._second = (b"", 0)

    def begin(self) -> None:
        """Records that the container's first line is the next one."""
        self._checkpoint.save([])

    def load(self) -> None:
        """Restores the position that an earlier process recorded."""
        self._seen = self._checkpoint.load(_seen) or self._seen

    async def follow(self, ended: asyncio.Event) -> None:
        """Reports output until the log ends.

        A stream that breaks (the engine restarts) is opened again. When the container has ended (``ended``), the rest
        is read without following, whether the stream has ended or is only silent.
        """
        tries = _LAST_TRIES
        while tries:
            finishing = ended.is_set()
            tries -= finishing
            try:
                whole = await self._stream(ended, follow=not finishing)
            except (DockerError, aiohttp.ClientError, TimeoutError, OSError) as error:
                if isinstance(error, DockerError) and error.status == 404:
                    return
                log.debug("reading the log of %s failed: %s", self._container[:12], error)
                whole = False
            if not finishing:
                # The engine went away, or it ended the stream a moment before it reports the container's end.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_SECONDS):
                        await ended.wait()
            elif whole:
                return
            else:
                await asyncio.sleep(_PAUSE_SECONDS)
        log.warning("the last lines of %s could not be read", self._container[:12])

    async def _stream(self, ended: asyncio.Event, *, follow: bool) -> bool:
        """Reads one response; returns whether the engine ended it."""
        params: dict[str, Any] = {"stdout": True, "stderr": True, "timestamps": True, "follow": follow}
        if self._seen:
            params["since"] = _since(max(stamp for stamp, _ in self._seen.values()))
        again = dict(self._seen)
        buffer = bytearray()
        # aiodocker's own log() merges stdout and stderr, so this one call goes below it.
        async with self._docker._query(
            f"containers/{self._container}/logs",
            params=params,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        ) as response:
            try:
                while True:
                    chunk = await _next_chunk(response.content, ended)
                    if chunk is None:
                        return False
                    if not chunk:
                        return True
                    buffer += chunk
                    for stream, stamp, data in _entries(buffer):
                        last, left = again.get(stream, (b"", 0))
                        if stamp < last:
                            continue
                        if stamp == last and left:
                            again[stream] = (last, left - 1)
                            continue
                        before, count = self._seen.get(stream, (b"", 0))
                        self._seen[stream] = (stamp, count + 1 if stamp == before else 1)
                        self._report.output(stream, data, self._millis(stamp))
                    self._checkpoint.note(self._marks)
                    await self._report.room()
            finally:
                response.close()

    def _millis(self, stamp: bytes) -> int:
        second, fraction = _parts(stamp)
        if second != self._second[0]:
            self._second = (second, _seconds(second) * 1000)
        return self._second[1] + int(fraction[:3])

    def _marks(self) -> list[tuple[int, str, int]]:
        """Returns the position in each stream."""
        return [(stream, stamp.decode(), count) for stream, (stamp, count) in self._seen.items()]


def _seen(marks: Any) -> dict[int, tuple[bytes, int]]:
    return {int(stream): (str(stamp).encode(), int(count)) for stream, stamp, count in marks}


async def _next_chunk(content: aiohttp.StreamReader, ended: asyncio.Event) -> bytes | None:
    """Returns the next bytes, empty at the end; None when the container has ended and no more bytes arrive."""
    reading = asyncio.ensure_future(content.readany())
    ending = asyncio.ensure_future(ended.wait())
    try:
        if not ended.is_set():
            await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await asyncio.wait((reading,), timeout=_QUIET_SECONDS)
        return reading.result() if reading.done() else None
    finally:
        for task in (reading, ending):
            task.cancel()
        await asyncio.gather(reading, ending, return_exceptions=True)


def _entries(buffer: bytearray) -> Iterator[tuple[int, bytes, bytes]]:
    """Takes the complete entries out of a buffer: stream, time and bytes."""
    at = 0
    while len(buffer) - at >= 8:
        length = int.from_bytes(buffer[at + 4 : at + 8], "big")
        if len(buffer) - at - 8 < length:
            break
        entry = bytes(buffer[at + 8 : at + 8 + length])
        stream = _STREAMS.get(buffer[at])
        at += 8 + length
        end = entry.find(b" ", _SECOND, _STAMP)
        if stream is not None and end > 0:
            yield stream, entry[:end], entry[end + 1 :]
    del buffer[:at]


def _parts(stamp: bytes) -> tuple[bytes, bytes]:
    """The whole second of an entry's time with its zone (RFC 3339), and the digits of its fraction."""
    rest = stamp[_SECOND:]
    digits = len(rest) - len(rest[1:].lstrip(b"0123456789")) if rest.startswith(b".") else 0
    return stamp[:_SECOND] + rest[digits:], rest[1:digits].ljust(9, b"0")


def _seconds(second: bytes) -> int:
    """Returns the time in seconds since 1970."""
    return int(datetime.fromisoformat(second.decode()).timestamp())


def _since(stamp: bytes) -> str:
    """Returns a moment before a log entry's time in the form of the engine's ``since``: seconds and nanoseconds."""
    second, fraction = _parts(stamp)
    return f"{_seconds(second) - _OVERLAP_SECONDS}.{fraction.decode()}"
