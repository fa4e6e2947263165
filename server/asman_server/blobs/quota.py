"""The quota for blobs: counts stored and promised bytes, and checks them against the limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asman_shared.errors import Overloaded, QuotaExceeded
from asman_shared.units import format_size

UPLOADS: Final = 200_000
"""Recorded uploads in progress at most."""


class Quota:
    """Counts what is stored and promised, and refuses what is over the quota.

    Attributes:
        limit: Bytes that may be stored; None for as many as there are.
        blobs: Number of stored blobs.
        bytes: Total size of the stored blobs, in bytes.
        uploads: Recorded and in progress: how many bytes each may come to have, by its place.
        promised: Bytes of all those uploads.
        arriving: Bytes that are being received now, outside of recorded uploads.
        collected: Blobs removed since the hub began.
        collected_bytes: Total size of these, in bytes.
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
        """Checks that so many more bytes may be stored.

        Raises:
            QuotaExceeded: They may not.
        """
        if self.limit is None:
            return
        taken = self.bytes + self.promised + self.arriving
        if size and taken + size > self.limit:
            left = max(0, self.limit - taken)
            raise QuotaExceeded(
                f"the hub's quota for blobs is {format_size(self.limit)} and {format_size(left)} are left, too little "
                f"for {format_size(size)}; blobs that nobody uses are removed after a while, or its operator can raise "
                f"--blob-quota"
            )

    def need_uploads(self, count: int) -> None:
        """Checks that so many more uploads may be in progress.

        Raises:
            Overloaded: They may not.
        """
        if len(self.uploads) + count > UPLOADS:
            raise Overloaded(f"this hub has {UPLOADS} uploads in progress; try again later")

    @contextmanager
    def receiving(self, size: int) -> Iterator[None]:
        """Keeps room for bytes as long as they are being received.

        Raises:
            QuotaExceeded: There is none.
        """
        self.need(size)
        self.arriving += size
        try:
            yield
        finally:
            self.arriving -= size

    def stored(self, size: int) -> None:
        """Counts a blob that was added."""
        self.blobs += 1
        self.bytes += size

    def removed(self, size: int) -> None:
        """Counts a blob that was collected."""
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
        """Removes an upload that is over from the count; repeated calls have no effect."""
        self.promised -= self.uploads.pop(place, 0)
