"""Keeps the output of a container, in the folder of its monitor."""

from __future__ import annotations

import os
import struct
import time
from typing import Final

CHUNK: Final = 64 * 1024
"""Bytes read from a stream at once."""
HEADER: Final = struct.Struct("<BQI")
"""Begins each record of the log: stream (1 or 2), time in milliseconds since 1970, number of bytes that follow."""


class Log:
    """The container's output in numbered files, of which the newest two stay."""

    def __init__(self, most: int) -> None:
        self._each = max(most // 2, CHUNK)
        self._number = -1
        self._file = -1
        self._size = 0
        self._next()

    def _next(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(f"log.{self._number}", flags, 0o600)
        self._size = 0
        if self._number >= 2:
            try:
                os.unlink(f"log.{self._number - 2}")
            except OSError:
                pass

    def add(self, stream: int, data: bytes) -> None:
        """Adds bytes of a stream."""
        record = HEADER.pack(stream, time.time_ns() // 1_000_000, len(data)) + data
        try:
            whole = os.write(self._file, record) == len(record)
        except OSError:
            whole = False
        if not whole:
            # A full disk loses output, but neither stops the job nor leaves half a record.
            os.ftruncate(self._file, self._size)
            return
        self._size += len(record)
        if self._size >= self._each:
            self._next()
