"""The send buffer of one connection: bounded, batched, and coalesced when the reader is slow.

Everything said in one turn of the event loop leaves in one frame, without a task per connection. While the socket has
no room, states of the same job replace each other; a reader that still does not keep up within the bound is closed
with a code that says so. So a slow reader costs the hub at most `BOUND` bytes, and nobody else any time.
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
"""Bytes that may wait for one connection."""


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
        """Whether the socket takes more now."""

    def write(self, frame: bytes) -> bool:
        """Hands a whole frame to the socket."""


class Flusher:
    """Flushes every outbox that something was put into, once per turn of the event loop.

    Attributes:
        dropped: States that were replaced by newer ones before a slow reader took them, over all outboxes.
        overflows: Connections that were closed because they read too slowly.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.overflows = 0
        self._dirty: list[SendBuffer] = []

    def mark(self, send_buffer: SendBuffer) -> None:
        """The outbox is to be flushed before the loop waits again."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self.flush)
        self._dirty.append(send_buffer)

    def flush(self) -> None:
        """Flushes now."""
        dirty, self._dirty = self._dirty, []
        for send_buffer in dirty:
            send_buffer.flush()


class SendBuffer:
    """The way out to one connection.

    Args:
        writer: The connection.
        language: How its messages are written.
        flusher: Shared by all outboxes of the hub.
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
        """Whether the reader is behind: better to hold back what it can fetch later."""
        return not self._writer.room

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def ready(self) -> bool:
        """Whether nothing waits and the socket takes more."""
        return not self._pending and self._writer.open and self._writer.room

    @property
    def direct(self) -> Callable[[bytes], object]:
        """Writes a finished frame to the socket, which must be open and have room."""
        return self._writer.direct

    def join(self, broadcast: BroadcastGroup) -> None:
        """Sends all that is said to a chorus from now on, until this is closed."""
        if self._overflow is not None:
            self._broadcast = broadcast
            broadcast.join(self)

    def push(self, encoded: EncodedMessage) -> None:
        """Puts a message in; it leaves at the end of this turn, or when there is room."""
        if self._broadcast is not None:
            self._take_over()
        self._put(encoded)

    def _take_over(self) -> None:
        """Takes over what the chorus was told before, so that all keeps its order."""
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
        """Returns when nothing waits and the socket has room, or the connection is going away."""
        while self._overflow is not None and self._writer.open and (self._pending or not self._writer.room):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def close(self) -> None:
        """Forgets what waits, takes no more and lets everybody go who waits for room."""
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
        """Writes what waits, as far as there is room."""
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
