"""Broadcasts messages: encodes a frame once and writes it to every socket that has room.

The messages of one turn of the event loop become one frame per language. The frame goes straight to the transports of
ready subscribers: those with an empty send buffer and room in the socket. Each change costs one call per ready
subscriber, without a lookup. A subscriber that has messages of its own, has no room or is closing is suspended. It
gets the same messages through its send buffer, in order with its own. A direct write costs less
than one through a send buffer; docs/performance-history.md has the measurements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from asman_shared.encoded import EncodedMessage, Language, frame

from .transport import framed

FRAME_TARGET = 256 * 1024
"""Size from which a frame is closed and the next one begun, in bytes."""


class Subscriber(Protocol):
    """The interface that a broadcast group needs of a send buffer."""

    language: Language

    @property
    def ready(self) -> bool:
        """Whether the buffer is empty and the socket has room."""

    @property
    def direct(self) -> Callable[[bytes], object]:
        """Writes a finished frame to the socket, which must be open and have room."""

    def push(self, encoded: EncodedMessage) -> None:
        """Adds a message to the buffer."""


class BroadcastGroup:
    """The send buffers that receive every change of one queue."""

    __slots__ = ("_lagging", "_ready", "_sent", "_unsent")

    def __init__(self) -> None:
        self._ready: dict[Language, dict[Subscriber, Callable[[bytes], object]]] = {
            language: {} for language in Language
        }
        self._lagging: dict[Subscriber, int] = {}
        """Suspended subscribers, each with the number of messages of this turn that it has received."""
        self._unsent: list[EncodedMessage] = []
        self._sent = 0
        """Messages already written to ready subscribers; non-zero only during `flush`."""

    def __bool__(self) -> bool:
        """Whether the group has subscribers."""
        return bool(self._lagging) or any(self._ready.values())

    def __contains__(self, subscriber: Subscriber) -> bool:
        """Whether a subscriber is in the group."""
        return subscriber in self._lagging or subscriber in self._ready[subscriber.language]

    def join(self, subscriber: Subscriber) -> None:
        """Adds a subscriber, which receives every later message until it leaves."""
        self._lagging[subscriber] = len(self._unsent)
        self.resume(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Removes a subscriber; it does not receive the unsent messages of this turn either."""
        self._lagging.pop(subscriber, None)
        self._ready[subscriber.language].pop(subscriber, None)

    def send(self, encoded: EncodedMessage) -> None:
        """Sends a message to all subscribers at the end of this turn of the event loop."""
        if not self:
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unsent.append(encoded)

    def suspend(self, subscriber: Subscriber) -> None:
        """Stops direct writes to a subscriber; only its send buffer writes to its socket from now on."""
        if self._ready[subscriber.language].pop(subscriber, None) is not None:
            self._lagging[subscriber] = self._sent

    def resume(self, subscriber: Subscriber) -> None:
        """Allows direct writes to a suspended subscriber again, if it is ready and no message is unsent."""
        if not self._unsent and subscriber in self._lagging and subscriber.ready:
            del self._lagging[subscriber]
            self._ready[subscriber.language][subscriber] = subscriber.direct

    def take_unsent(self, subscriber: Subscriber) -> list[EncodedMessage]:
        """Suspends a subscriber, and returns the messages of this turn that it has not received."""
        self.suspend(subscriber)
        got, self._lagging[subscriber] = self._lagging[subscriber], len(self._unsent)
        return self._unsent[got:]

    def flush(self) -> None:
        """Writes the messages of this turn to all subscribers."""
        unsent = self._unsent
        for language, ready in self._ready.items():
            self._sent = 0
            for whole, end in _frames(unsent, language) if ready else ():
                # A subscriber that this frame fills up is suspended with this number of messages.
                self._sent = end
                for write in list(ready.values()):
                    try:
                        write(whole)
                    except RuntimeError:  # the socket has just broken; its session will be told
                        continue
        self._unsent, self._sent = [], 0
        for subscriber, got in list(self._lagging.items()):
            if subscriber in self._lagging:
                self._lagging[subscriber] = 0
                for encoded in unsent[got:]:
                    subscriber.push(encoded)
                self.resume(subscriber)


def _frames(encoded_messages: list[EncodedMessage], language: Language) -> Iterator[tuple[bytes, int]]:
    """Yields whole websocket frames, each with the number of messages sent once it is written."""
    parts: list[bytes] = []
    size = 0
    for number, encoded in enumerate(encoded_messages, 1):
        part = encoded.bytes_in(language)
        parts.append(part)
        size += len(part)
        if size >= FRAME_TARGET or number == len(encoded_messages):
            yield framed(frame(parts, language), text=language is Language.JSON), number
            parts, size = [], 0
