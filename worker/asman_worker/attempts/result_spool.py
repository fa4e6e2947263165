"""Stores running attempts and unacknowledged results on disk, so that they survive this process.

The spool is an append-only file. Each record is a length, a CRC-32 and a msgpack body; a torn tail, as a crash leaves
it, is cut off at the next start. Results that arrive together share one write and one ``fsync``. A file that has grown
long is rewritten with its live entries only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from asman_shared.messages import Assign, LogLine, Outcome
from asman_shared.units import MIB

log = logging.getLogger("asman.worker.spool")

Key = tuple[str, int]

_HEADER: Final = struct.Struct("<II")
"""Header of a record: length and CRC-32 of its body."""
_REWRITE_BYTES: Final = 8 * MIB
"""Smallest file that is rewritten while it has live entries, in bytes."""
_RECORD_BYTES: Final = 64 * MIB
"""Longest valid record, in bytes; a longer one counts as damage."""


class Entry(Struct, array_like=True, omit_defaults=True):
    """One record of the spool: an attempt began, ended, or is forgotten."""

    what: Literal["began", "ended", "forgotten"]
    job: str
    attempt: int
    assign: Assign | None = None
    started: int = 0
    outcome: Outcome | None = None
    lines: list[LogLine] = []


class Kept(Struct):
    """The state of one attempt in the spool.

    Attributes:
        assign: The assignment, until the attempt has ended.
        started: Arrival of the assignment, in epoch milliseconds.
        outcome: The outcome, once the attempt has ended.
        lines: Last lines of its log that had not been sent when it ended.
    """

    assign: Assign | None = None
    started: int = 0
    outcome: Outcome | None = None
    lines: list[LogLine] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Spool:
    """The spool of one data folder; use it from one event loop.

    Args:
        path: The spool's file; created if missing.

    Raises:
        OSError: The file can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._live: dict[Key, Kept] = {}
        self._waiting: list[bytes] = []
        self._durable: list[Callable[[], None]] = []
        self._writing: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "spool")
        self._size = self._replay()
        self._rewrite_at = max(_REWRITE_BYTES, self._size)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.broken = ""

    @property
    def kept(self) -> dict[Key, Kept]:
        """All attempts that were not forgotten, oldest first."""
        return dict(self._live)

    def began(self, assign: Assign, started: int) -> None:
        """Records an attempt, so that a later process can resume it; this does not wait for the disk."""
        key = (assign.job, assign.attempt)
        self._live[key] = Kept(assign=assign, started=started)
        self._append(Entry("began", *key, assign=assign, started=started))

    def ended(self, key: Key, outcome: Outcome, lines: list[LogLine], durable: Callable[[], None]) -> None:
        """Records the outcome of an attempt; ``durable`` is called once it is on disk.

        If the write fails, ``durable`` is called anyway and `broken` holds the reason: sending a result that is only
        in memory is better than losing it.
        """
        before = self._live.get(key)
        self._live[key] = Kept(None, before.started if before else 0, outcome, lines)
        self._durable.append(durable)
        self._append(Entry("ended", *key, outcome=outcome, lines=lines))

    def forget(self, key: Key) -> None:
        """Forgets an attempt; the record is written with the next batch."""
        if self._live.pop(key, None) is not None:
            self._waiting.append(_pack(Entry("forgotten", *key)))
            if len(self._waiting) >= 1000 or not self._live:
                self._write()

    async def close(self) -> None:
        """Writes the waiting records and closes the file."""
        self._write()
        while self._writing is not None:
            await asyncio.wait((self._writing,))
            await asyncio.sleep(0)
        self._thread.shutdown()
        os.close(self._file)

    # ------------------------------------------------------------------------------------------------- writing

    def _append(self, entry: Entry) -> None:
        self._waiting.append(_pack(entry))
        self._write()

    def _write(self) -> None:
        """Starts a write, unless one is running; the end of that one starts the next."""
        if self._writing is not None or not (self._waiting or self._durable):
            return
        data = b"".join(self._waiting)
        durable, self._durable = self._durable, []
        self._waiting.clear()
        self._size += len(data)
        snapshot: bytes | None = None
        if self._size > self._rewrite_at or (not self._live and self._size > MIB):
            snapshot = self._snapshot()
            self._size = len(snapshot)
            self._rewrite_at = max(_REWRITE_BYTES, 2 * self._size)
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._commit, data, snapshot, bool(durable))
        self._writing.add_done_callback(lambda done: self._written(done, durable))

    def _written(self, done: asyncio.Future[None], durable: list[Callable[[], None]]) -> None:
        self._writing = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self.broken = str(error)
            # Half a record may be in the file and would hide all later ones, so the next write rewrites the file.
            self._rewrite_at = -1
            log.error("can't write results to disk (%s); they stay in memory until the hub has them", error)
        else:
            self.broken = ""
        for call in durable:
            call()
        self._write()

    def _commit(self, data: bytes, snapshot: bytes | None, sync: bool) -> None:
        """Writes one batch, or a new file from a snapshot; runs in the spool's own thread."""
        if snapshot is not None:
            fresh = self._path.with_suffix(".new")
            made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write_all(made, snapshot)
                os.fsync(made)
                fresh.replace(self._path)
            except OSError:
                os.close(made)
                raise
            os.close(self._file)
            self._file = made
            _sync_folder(self._path.parent)
            return
        _write_all(self._file, data)
        if sync:
            os.fdatasync(self._file)

    def _snapshot(self) -> bytes:
        parts: list[bytes] = []
        for key, kept in self._live.items():
            if kept.assign is not None:
                parts.append(_pack(Entry("began", *key, assign=kept.assign, started=kept.started)))
            if kept.outcome is not None:
                parts.append(_pack(Entry("ended", *key, outcome=kept.outcome, lines=kept.lines)))
        return b"".join(parts)

    # ------------------------------------------------------------------------------------------------- reading

    def _replay(self) -> int:
        """Reads the file, cuts off a torn tail, and returns the remaining length in bytes."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        at = 0
        while at + _HEADER.size <= len(data):
            length, crc = _HEADER.unpack_from(data, at)
            body = data[at + _HEADER.size : at + _HEADER.size + length]
            if length > _RECORD_BYTES or len(body) < length or zlib.crc32(body) != crc:
                break
            try:
                self._apply(_decode(body))
            except msgspec.DecodeError as error:
                log.warning("skipping a record of the spool that can't be decoded: %s", error)
            at += _HEADER.size + length
        if at < len(data):
            log.warning(
                "cutting off the last %d bytes of the spool: an incomplete record, as a crash leaves it", len(data) - at
            )
            os.truncate(self._path, at)
        return at

    def _apply(self, entry: Entry) -> None:
        key = (entry.job, entry.attempt)
        if entry.what == "forgotten":
            self._live.pop(key, None)
        elif entry.what == "began":
            self._live[key] = Kept(assign=entry.assign, started=entry.started)
        else:
            before = self._live.get(key)
            self._live[key] = Kept(None, before.started if before else 0, entry.outcome, entry.lines)


def _pack(entry: Entry) -> bytes:
    body = _encode(entry)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
