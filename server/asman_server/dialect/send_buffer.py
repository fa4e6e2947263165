"""Buffers the frames for one socket of the dialect, with a bound, and lists only in their newest form.

The native send buffer joins messages into frames. Here each message is a frame of its own, encoded once for all
sockets. A reader that is behind gets no changes. Once it has caught up, one message has the current state of
every job that changed meanwhile. Log lines for it are dropped, because it can fetch them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..delivery.send_buffer import BOUND, Writer


class TextSendBuffer:
    """The send buffer of one socket.

    Args:
        writer: The connection.
        overflow: Called once when the reader is too slow; it must close the connection.
        level: Called when the reader has caught up.
    """

    def __init__(self, writer: Writer, overflow: Callable[[], None], level: Callable[[], None]) -> None:
        self.written = 0
        self._writer = writer
        self._overflow: Callable[[], None] | None = overflow
        self._level = level
        self._pending: deque[bytes] = deque()
        self._bytes = 0
        writer.on_drain = self._drained

    @property
    def congested(self) -> bool:
        """Whether the reader is behind, so that messages which can be sent later in a newer form should wait."""
        return bool(self._pending) or not self._writer.room

    def push(self, frame: bytes) -> None:
        """Sends a finished frame after all earlier ones."""
        if self._overflow is None or not self._writer.open:
            return
        if not self.congested:
            self._write(frame)
            return
        self._pending.append(frame)
        self._bytes += len(frame)
        # A single frame may be larger than the bound: it can't be divided.
        if self._bytes > BOUND and len(self._pending) > 1:
            overflow = self._overflow
            self.close()
            overflow()

    def close(self) -> None:
        """Drops all waiting frames and accepts no more."""
        self._overflow = None
        self._pending.clear()
        self._bytes = 0

    def _write(self, frame: bytes) -> None:
        self.written += len(frame)
        self._writer.write(frame)

    def _drained(self) -> None:
        while self._pending and self._writer.open and self._writer.room:
            frame = self._pending.popleft()
            self._bytes -= len(frame)
            self._write(frame)
        if self._overflow is not None and not self.congested:
            self._level()
