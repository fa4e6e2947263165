"""Frames that wait to be sent to one socket of the dialect: bounded, and lists only in their newest form.

The native outbox joins messages into frames; here a message is a frame of its own, made once for all sockets that it
goes to. A reader that is behind is sent no changes meanwhile but, when it has caught up, those that it missed in one
message with each job as it is then; log lines are dropped, for they can be fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..delivery.send_buffer import BOUND, Writer


class TextSendBuffer:
    """The way out to one socket.

    Args:
        writer: The connection.
        overflow: Called once, when the reader is too slow; must close the connection.
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
        """Whether the reader is behind: better to hold back what can be sent later in a newer form."""
        return bool(self._pending) or not self._writer.room

    def push(self, frame: bytes) -> None:
        """Sends a finished frame, in its turn."""
        if self._overflow is None or not self._writer.open:
            return
        if not self.congested:
            self._write(frame)
            return
        self._pending.append(frame)
        self._bytes += len(frame)
        # One frame may be larger than the bound: it was made whole and will leave whole.
        if self._bytes > BOUND and len(self._pending) > 1:
            overflow = self._overflow
            self.close()
            overflow()

    def close(self) -> None:
        """Forgets what waits and takes no more."""
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
