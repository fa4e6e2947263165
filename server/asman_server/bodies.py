"""Bounds the bodies of requests: how slowly one may arrive, and the bytes of all that are in memory at once.

A sender that stalls, or trickles, would otherwise hold its part of the hub's memory for as long as it likes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from asman_shared.errors import Overloaded, TooSlow, Unavailable
from asman_shared.units import KIB, MIB, format_size

BODIES_BYTES: Final = 128 * MIB
"""Largest size of all bodies in memory, in bytes."""
SENDERS: Final = 8
"""Number of senders that have to send large bodies at the same time to use up the memory for them: a sender that has
limits may use its part, and no more."""
SMALL_BYTES: Final = 64 * KIB
"""Size up to which a body is small, in bytes: a quarter of the memory for bodies is for small ones alone."""


class Pace(Struct, frozen=True):
    """The slowest pace at which a body may arrive. Only time spent waiting for the sender counts.

    Attributes:
        idle: Longest time without a byte, in seconds.
        grace: Time in which the rate does not matter, in seconds.
        rate: Least average rate after the grace, in bytes per second.
    """

    idle: float
    grace: float
    rate: int


BUFFERED: Final = Pace(idle=20, grace=30, rate=8 * KIB)
"""For a body that is read into memory, which is small."""
STREAMED: Final = Pace(idle=60, grace=120, rate=KIB)
"""For a body that is written to a file as it arrives, over any kind of line."""


async def timely(body: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """Passes a body on while it arrives at a pace.

    Raises:
        TooSlow: It stalls, or is too slow on the whole.
    """
    waited = 0.0
    received = 0
    while True:
        allowed = pace.grace + received / pace.rate - waited
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(pace.idle, allowed))):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            how = f"nothing of it came for {pace.idle:g} s" if allowed >= pace.idle else "it comes too slowly"
            raise TooSlow(
                f"the body of this request stopped after {format_size(received)}: {how}, and it must come at "
                f"{format_size(pace.rate)} per second on average after the first {pace.grace:g} s; send it again"
            ) from None
        waited += time.monotonic() - began
        received += len(chunk)
        yield chunk


class Held:
    """The part of the memory for bodies that one body holds."""

    def __init__(self, bodies: Bodies, sender: str) -> None:
        self.bytes = 0
        self.sender = sender
        self._bodies = bodies

    def add(self, size: int) -> None:
        """Counts ``size`` more bytes.

        Raises:
            Unavailable: All bodies together would hold too many.
            Overloaded: Those of the sender would.
        """
        bodies = self._bodies
        share = bodies.limit // SENDERS
        if self.sender and bodies.of.get(self.sender, 0) + size > share:
            raise Overloaded(
                f"this hub reads {format_size(share)} of bodies from one address at the same time; try again when it "
                "has read those",
                retry_after=1,
            )
        limit = bodies.limit if self.bytes + size <= SMALL_BYTES else bodies.limit - bodies.limit // 4
        if bodies.bytes + size > limit:
            raise Unavailable(
                f"the bodies of requests that this hub is reading take {format_size(bodies.bytes)}, and together they "
                f"may take {format_size(bodies.limit)}; try again"
            )
        self.bytes += size
        bodies.bytes += size
        if self.sender:
            bodies.of[self.sender] = bodies.of.get(self.sender, 0) + size


class Bodies:
    """Counts the bytes of bodies in memory.

    Args:
        limit: Largest number of those bytes. The last quarter is for small bodies alone, so that large ones that
            trickle in don't keep out everybody else.

    Attributes:
        bytes: Number of those bytes now.
        of: Number of those bytes of each sender that has limits.
    """

    def __init__(self, limit: int = BODIES_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self.of: dict[str, int] = {}

    @contextmanager
    def holding(self, sender: str = "") -> Iterator[Held]:
        """Counts one body, until the end of the block.

        Args:
            sender: The party that sends it, if it has limits.
        """
        held = Held(self, sender)
        try:
            yield held
        finally:
            self.bytes -= held.bytes
            if sender and not self._spare(sender, held.bytes):
                del self.of[sender]

    def _spare(self, sender: str, size: int) -> int:
        """Gives back bytes of a sender; returns how many it has left."""
        left = self.of[sender] = self.of.get(sender, 0) - size
        return left
