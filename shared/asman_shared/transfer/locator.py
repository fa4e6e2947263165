"""Locators of blobs: the interface that returns their addresses, and the one that asks the hub."""

from __future__ import annotations

from typing import Protocol, TypeVar

from asman_shared.address import Address
from asman_shared.messages import BlobLink, BlobLinks, BlobTicket, BlobTickets, GetBlobs, PutBlobs

R = TypeVar("R", BlobLinks, BlobTickets)


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


class BlobRequests(Protocol):
    """The part of a connection to the hub that asks for the addresses of blobs."""

    async def request(self, message: PutBlobs | GetBlobs, reply: type[R]) -> R:
        """Sends a request, sets its ``ref``, and waits for the answer."""
        ...


class HubLocator:
    """Asks the hub over a connection; a `Locator`.

    Args:
        connection: The connection to the queue.
        address: The queue, for addresses that are relative to the hub's.
    """

    def __init__(self, connection: BlobRequests, address: Address) -> None:
        self._connection = connection
        self._address = address

    async def tickets(self, blobs: list[tuple[str, int]]) -> list[BlobTicket]:
        """Asks for the tickets of blobs; they name the missing ones."""
        return (await self._connection.request(PutBlobs(ref=0, blobs=blobs), BlobTickets)).tickets

    async def links(self, keys: list[str]) -> list[BlobLink]:
        """Asks for the addresses at which blobs can be read."""
        return (await self._connection.request(GetBlobs(ref=0, keys=keys), BlobLinks)).links

    def absolute(self, url: str) -> str:
        """Returns an address in full."""
        return self._address.absolute(url)
