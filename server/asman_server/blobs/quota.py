"""The quota of stored blobs, and counts of stored and promised bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asman_shared.errors import Overloaded, QuotaExceeded
from asman_shared.units import format_size

UPLOADS: Final = 200_000
"""Largest number of recorded uploads in progress."""


class Quota:
    """Counts stored and promised bytes, and refuses uploads over the quota.

    Attributes:
        limit: Largest size of all blobs, in bytes; None for no limit.
        blobs: Number of stored blobs.
        bytes: Size of the stored blobs, in bytes.
        uploads: Announced size of each recorded upload in progress, in bytes, by its place.
        promised: Announced size of all those uploads, in bytes.
        arriving: Size of blobs that are being received now outside of recorded uploads, in bytes.
        collected: Number of blobs removed since the hub started.
        collected_bytes: Size of those blobs, in bytes.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.blobs = 0
        self.bytes = 0
        self.uploads: dict[str, int] = {}
        self.promised = 0
        self.arriving = 0
        self.collected = 0
        self.collected_bytes = 0

    def need(self, size: int) -> None:
        """Checks that ``size`` more bytes may be stored.

        Raises:
            QuotaExceeded: The quota has too little space.
        """
        if self.limit is None:
            return
        taken = self.bytes + self.promised + self.arriving
        if size and taken + size > self.limit:
            left = max(0, self.limit - taken)
            raise QuotaExceeded(
                f"the hub's quota for blobs is {format_size(self.limit)} with {format_size(left)} left, too little "
                f"for {format_size(size)}; unused blobs are removed after a while, or the hub's operator can raise "
                f"--blob-quota"
            )

    def need_uploads(self, count: int) -> None:
        """Checks that ``count`` more uploads may be in progress.

        Raises:
            Overloaded: Too many uploads are in progress.
        """
        if len(self.uploads) + count > UPLOADS:
            raise Overloaded(f"this hub has {UPLOADS} uploads in progress; try again later")

    @contextmanager
    def receiving(self, size: int) -> Iterator[None]:
        """Reserves space for bytes while they are being received.

        Raises:
            QuotaExceeded: The quota has too little space.
        """
        self.need(size)
        self.arriving += size
        try:
            yield
        finally:
            self.arriving -= size

    def stored(self, size: int) -> None:
        """Counts an added blob."""
        self.blobs += 1
        self.bytes += size

    def removed(self, size: int) -> None:
        """Counts a collected blob."""
        self.blobs -= 1
        self.bytes -= size
        self.collected += 1
        self.collected_bytes += size

    def open(self, place: str, size: int) -> None:
        """Counts a recorded upload."""
        if place not in self.uploads:
            self.uploads[place] = size
            self.promised += size

    def end(self, place: str) -> None:
        """Removes an upload that is over from the counts. Calling it again does no harm."""
        self.promised -= self.uploads.pop(place, 0)
