"""The interface that tells the addresses of blobs."""

from __future__ import annotations

from typing import Protocol

from asman_shared.messages import BlobLink, BlobTicket


class Locator(Protocol):
    """The hub, as far as blobs are concerned. What it raises with ``retry`` is asked again."""

    async def tickets(self, blobs: list[tuple[str, int]]) -> list[BlobTicket]:
        """For each (sha256, size), at most `limits.BLOBS_PER_REQUEST`: what is missing and how to send it."""
        ...

    async def links(self, keys: list[str]) -> list[BlobLink]:
        """For each sha256, at most `limits.BLOBS_PER_REQUEST`: where it can be read."""
        ...

    def absolute(self, url: str) -> str:
        """An address that may be relative to the hub's, in full."""
        ...
