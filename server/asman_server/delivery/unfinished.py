"""Bounds what unfinished messages of all websockets hold in memory, and how long each may take.

A message counts from its first byte until it is whole. Without these bounds a thousand connections that each send most
of a message, and then nothing, would hold gigabytes.
"""

from __future__ import annotations

from typing import Final

from asman_shared.units import KIB, MIB

UNFINISHED_BYTES: Final = 256 * MIB
"""Most bytes of unfinished messages in memory, of all connections together."""
SMALL_BYTES: Final = 64 * KIB
"""Size up to which an unfinished message is always let in, in bytes."""
PIECES: Final = 10_000
"""Most pieces (fragments) of one message."""
PIECE_BYTES: Final = 64
"""Memory that a piece takes besides its data, in bytes."""
GRACE_SECONDS: Final = 60.0
"""Time in which a message may always take to arrive, in seconds."""
RATE: Final = 16 * KIB
"""Least pace at which a message arrives after that, in bytes per second."""


class Unfinished:
    """Counts the bytes of unfinished messages.

    Args:
        limit: Most of those bytes.

    Attributes:
        bytes: Their number now.
    """

    __slots__ = ("bytes", "limit")

    def __init__(self, limit: int = UNFINISHED_BYTES) -> None:
        self.limit = limit
        self.bytes = 0

    def change(self, before: int, now: int) -> bool:
        """Counts a connection that held ``before`` bytes and holds ``now``; returns whether it may hold them."""
        self.bytes += now - before
        return now <= max(before, SMALL_BYTES) or self.bytes <= self.limit


def weight(buffered: int, finished_pieces: int, pieces: int) -> int:
    """Returns what an unfinished message takes, in bytes.

    Args:
        buffered: Bytes of a frame that is not whole.
        finished_pieces: Bytes of the message's whole pieces.
        pieces: Number of those pieces.
    """
    return buffered + finished_pieces + PIECE_BYTES * pieces


def allowed_seconds(held: int) -> float:
    """Returns how long a message of which ``held`` bytes have arrived may have taken so far, in seconds."""
    return GRACE_SECONDS + held / RATE
