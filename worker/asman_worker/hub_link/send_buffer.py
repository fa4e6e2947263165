"""Buffer of messages that wait to be sent to the hub, cut into frames, in the order that the protocol promises.

Phases coalesce to the newest of each attempt. Log lines stay with their attempt (`logs`) until a frame has room for
them. An attempt's last lines always leave before its `Finished`. Everything else keeps its order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from asman_shared.encoded import EncodedMessage, Language, frame
from asman_shared.messages import Finished, LogBatch, LogLine, Message, PhaseReport
from asman_shared.units import KIB

Key = tuple[str, int]

_FRAME_BYTES: Final = 512 * KIB
_FRAME_MESSAGES: Final = 2000


class LineSource(Protocol):
    """The place where the log lines of an attempt wait."""

    def take(self) -> list[LogLine]:
        """Returns the next lines to send; empty if there are none."""
        ...


class SendBuffer:
    """The messages that wait to be sent; closed while there is no registered connection.

    A closed send buffer drops new messages: after each registration its owner sends everything again.
    """

    def __init__(self) -> None:
        self._filled = asyncio.Event()
        self._open = False
        self._phases: dict[Key, PhaseReport] = {}
        self._messages: list[Message] = []
        self._lines: dict[Key, LineSource] = {}

    def open(self) -> None:
        """Opens the buffer once a connection is registered: from now on messages are sent."""
        self._open = True

    def close(self) -> None:
        """Closes the buffer when the connection is lost, and drops everything."""
        self._open = False
        self._phases.clear()
        self._messages.clear()
        self._lines.clear()

    @property
    def is_open(self) -> bool:
        """Whether messages are sent now."""
        return self._open

    async def wait(self) -> None:
        """Waits until something was put in since the last call."""
        await self._filled.wait()
        self._filled.clear()

    def __bool__(self) -> bool:
        return bool(self._messages or self._phases or self._lines)

    def put(self, message: Message) -> None:
        """Sends a message after all others of its kind."""
        if not self._open:
            return
        if isinstance(message, PhaseReport):
            self._phases[message.job, message.attempt] = message
        else:
            self._messages.append(message)
        self._filled.set()

    def put_lines(self, key: Key, source: LineSource) -> None:
        """Sends the log lines of an attempt when a frame has room."""
        if self._open:
            self._lines[key] = source
            self._filled.set()

    def drop(self, key: Key) -> None:
        """Forgets an attempt: its phase and log lines need not be sent."""
        self._phases.pop(key, None)
        self._lines.pop(key, None)

    def frames(self) -> Iterator[bytes]:
        """Yields everything that waits, as frames within the protocol's bounds.

        Messages that are put in between two frames are included.
        """
        parts: list[bytes] = []
        size = 0
        for message in self._take():
            part = EncodedMessage(message).bytes_in(Language.MSGPACK)
            if parts and (size + len(part) > _FRAME_BYTES or len(parts) >= _FRAME_MESSAGES):
                yield frame(parts, Language.MSGPACK)
                parts, size = [], 0
            parts.append(part)
            size += len(part)
        if parts:
            yield frame(parts, Language.MSGPACK)

    def _take(self) -> Iterator[Message]:
        while self:
            phases, self._phases = self._phases, {}
            yield from phases.values()
            messages, self._messages = self._messages, []
            for message in messages:
                if isinstance(message, Finished):
                    key = (message.job, message.attempt)
                    if (source := self._lines.pop(key, None)) is not None:
                        while lines := source.take():
                            yield LogBatch(*key, lines)
                yield message
            # One batch of each attempt in turn, so that a flood of lines delays nothing else.
            for key, source in list(self._lines.items()):
                if lines := source.take():
                    yield LogBatch(*key, lines)
                else:
                    self._lines.pop(key, None)
