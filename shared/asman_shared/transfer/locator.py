"""The interface that tells the addresses of blobs."""

from __future__ import annotations

from typing import Protocol

from asman_shared.messages import BlobLink, BlobTicket


class Locator(Protocol):
    """Finds the addresses of blobs. After an error with ``retry`` the call is repeated."""

    async def tickets(self, blobs: list[tuple[str, int]]) -> list[BlobTicket]:
        """Returns a ticket for sending each (sha256, size); at most `limits.BLOBS_PER_REQUEST`."""
        ...

    async def links(self, keys: list[str]) -> list[BlobLink]:
        """Returns a link for reading each sha256; at most `limits.BLOBS_PER_REQUEST`."""
        ...

    def absolute(self, url: str) -> str:
        """Returns the absolute form of an address that may be relative to the hub's."""
        ...
