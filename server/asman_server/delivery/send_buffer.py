"""The send buffer of one connection: bounded, batched, and coalesced when the reader is slow.

The messages of one turn of the event loop leave in one frame, without a task per connection. While the socket has no
room, a newer state of a job replaces the older one. A connection whose buffer still exceeds the bound is closed with a
code that says so. A slow reader therefore costs the hub at most `BOUND` bytes, and delays no other connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asman_shared.encoded import EncodedMessage, Language, frame
from asman_shared.units import MIB

from .broadcast import FRAME_TARGET, BroadcastGroup
from .transport import framed

BOUND = 4 * MIB
"""Largest size of the buffer of one connection, in bytes."""


class Writer(Protocol):
    """The interface that a send buffer needs of a connection; see `asman_server.delivery.transport.FrameWriter`."""

    on_drain: Callable[[], None]
    on_stop: Callable[[], None]

    @property
    def direct(self) -> Callable[[bytes], object]:
        """Hands a whole frame to a socket that is known to be open and to have room."""

    @property
    def open(self) -> bool:
        """Whether frames can still be written."""

    @property
    def room(self) -> bool:
        """Whether the socket has room now."""

    def write(self, frame: bytes) -> bool:
        """Hands a whole frame to the socket."""


class Flusher:
    """Flushes every send buffer with new messages, once per turn of the event loop.

    Attributes:
        dropped: States that were replaced by newer ones before a slow reader took them, over all send buffers.
        overflows: Connections that were closed because they read too slowly.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.overflows = 0
        self._dirty: list[SendBuffer] = []

    def mark(self, send_buffer: SendBuffer) -> None:
        """Schedules a send buffer to be flushed before the event loop waits again."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self.flush)
        self._dirty.append(send_buffer)

    def flush(self) -> None:
        """Flushes all marked send buffers now."""
        dirty, self._dirty = self._dirty, []
        for send_buffer in dirty:
            send_buffer.flush()


class SendBuffer:
    """Buffers the outgoing messages of one connection.

    Args:
        writer: The connection.
        language: The encoding of its messages.
        flusher: Shared by all send buffers of the hub.
        overflow: Called once, when the reader is too slow; must close the connection.
    """

    __slots__ = (
        "_broadcast",
        "_bytes",
        "_flusher",
        "_keyed",
        "_marked",
        "_overflow",
        "_pending",
        "_waiters",
        "_writer",
        "dropped",
        "language",
    )

    def __init__(self, writer: Writer, language: Language, flusher: Flusher, overflow: Callable[[], None]) -> None:
        self.language = language
        self.dropped = 0
        self._writer = writer
        self._flusher = flusher
        self._overflow: Callable[[], None] | None = overflow
        self._pending: list[bytes | None] = []
        self._keyed: dict[str, int] = {}
        self._bytes = 0
        self._marked = False
        self._broadcast: BroadcastGroup | None = None
        self._waiters: list[asyncio.Future[None]] = []
        writer.on_drain = self._drained
        writer.on_stop = self._stopped

    @property
    def congested(self) -> bool:
        """Whether the reader is behind, so that messages it can fetch later should be held back."""
        return not self._writer.room

    @property
    def waiting(self) -> int:
        """Size of the buffered messages, in bytes."""
        return self._bytes

    @property
    def ready(self) -> bool:
        """Whether the buffer is empty and the socket has room."""
        return not self._pending and self._writer.open and self._writer.room

    @property
    def direct(self) -> Callable[[bytes], object]:
        """Writes a finished frame to the socket, which must be open and have room."""
        return self._writer.direct

    def join(self, broadcast: BroadcastGroup) -> None:
        """Sends every later message of a broadcast group, until the buffer is closed."""
        if self._overflow is not None:
            self._broadcast = broadcast
            broadcast.join(self)

    def push(self, encoded: EncodedMessage) -> None:
        """Adds a message; it is sent at the end of this turn, or when the socket has room."""
        if self._broadcast is not None:
            self._take_over()
        self._put(encoded)

    def _take_over(self) -> None:
        """Takes the group's unsent messages into the buffer first, so that messages keep their order."""
        assert self._broadcast is not None  # noqa: S101
        for encoded in self._broadcast.take_unsent(self):
            self._put(encoded)

    def _put(self, encoded: EncodedMessage) -> None:
        if self._overflow is None:
            return
        body = encoded.bytes_in(self.language)
        if encoded.key is not None and not self._writer.room:
            known = self._keyed.get(encoded.key)
            if known is not None:
                self._bytes -= len(self._pending[known] or b"")
                self._pending[known] = None
                self.dropped += 1
                self._flusher.dropped += 1
            self._keyed[encoded.key] = len(self._pending)
        self._pending.append(body)
        self._bytes += len(body)
        if self._bytes > BOUND and not self._writer.room:
            overflow, self._overflow = self._overflow, None
            self._flusher.overflows += 1
            self.close()
            overflow()
        elif not self._marked:
            self._marked = True
            self._flusher.mark(self)

    async def drained(self) -> None:
        """Waits until the buffer is empty and the socket has room, or the connection is closing."""
        while self._overflow is not None and self._writer.open and (self._pending or not self._writer.room):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def close(self) -> None:
        """Drops the buffered messages, accepts no more and wakes all callers of `drained`."""
        self._overflow = None
        if self._broadcast is not None:
            self._broadcast.leave(self)
            self._broadcast = None
        self._forget()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _forget(self) -> None:
        self._pending.clear()
        self._keyed.clear()
        self._bytes = 0

    def flush(self) -> None:
        """Writes the buffered messages, as far as the socket has room."""
        self._marked = False
        if self._broadcast is not None:
            self._take_over()
        self._write()
        if self._broadcast is not None:
            self._broadcast.resume(self)

    def _write(self) -> None:
        if not self._pending:
            return
        if not self._writer.open:
            self.close()
            return
        start = 0
        while start < len(self._pending) and self._writer.room:
            size = 0
            parts: list[bytes] = []
            while start < len(self._pending) and size < FRAME_TARGET:
                part = self._pending[start]
                start += 1
                if part is not None:
                    parts.append(part)
                    size += len(part)
            if parts:
                payload = frame(parts, self.language)
                self._writer.write(framed(payload, text=self.language is Language.JSON))
                self._bytes -= size
        if start >= len(self._pending):
            self._forget()
            if self._waiters and self._writer.room:
                self._wake()
        elif start:
            del self._pending[:start]
            self._keyed = {key: at - start for key, at in self._keyed.items() if at >= start}

    def _drained(self) -> None:
        if not self._pending:
            self._wake()
            if self._broadcast is not None:
                self._broadcast.resume(self)
        elif not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def _stopped(self) -> None:
        if self._broadcast is not None:
            self._broadcast.suspend(self)
