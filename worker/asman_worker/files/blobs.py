"""Transfers files between a worker, the hub's store and other addresses, by `asman_shared.transfer`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from asman_shared import limits
from asman_shared.address import Address
from asman_shared.errors import AsmanError, ExecutionError, NotFound
from asman_shared.messages import BlobLink, BlobTicket
from asman_shared.transfer import Blob, Downloader, Http, HubLocator, Progress, RetryPolicy, Uploader, Wanted
from asman_shared.transfer.address_guard import NEVER, AddressGuard
from asman_shared.transfer.http import AT_ONCE
from asman_shared.transfer.locator import BlobRequests
from asman_shared.transfer.retry import UNKNOWN_TRIES, Retries
from asman_shared.transfer.sink import FileSink

Place = TypeVar("Place", BlobLink, BlobTicket)

READING: Final = RetryPolicy(most=10.0, patience=120.0)
"""Limits of downloads: a job waits for them as patiently as people do, and the bytes may never arrive."""
SENDING: Final = RetryPolicy(tries=None, most=10.0)
"""Limits of uploads: results wait for a slow or absent hub until the limit of the phase."""


class BlobConnection(BlobRequests, Protocol):
    """The part of the connection that gives the addresses of blobs."""

    async def registered(self) -> None:
        """Waits until the hub can answer."""
        ...


class _TrustingLocator(HubLocator):
    """Asks once there is a connection: time while the hub is away is no failure of a transfer."""

    def __init__(self, connection: BlobConnection, target: Address, guard: AddressGuard) -> None:
        super().__init__(connection, target)
        self._registered = connection.registered
        self._guard = guard

    async def tickets(self, blobs: list[tuple[str, int]]) -> list[BlobTicket]:
        await self._registered()
        return self._trusting(await super().tickets(blobs))

    async def links(self, keys: list[str]) -> list[BlobLink]:
        await self._registered()
        return self._trusting(await super().links(keys))

    def _trusting(self, places: list[Place]) -> list[Place]:
        """Notes the address of the hub's storage: the hub redirects requests for outputs to it."""
        for place in places:
            if "://" in place.url:
                self._guard.trust(place.url)
        return places


class Blobs:
    """Downloads and uploads blobs of a queue, and fetches other addresses that jobs name.

    Args:
        locator: Asks the hub for the addresses of blobs.
        target: The hub, for relative addresses.
        allowed: Patterns of private hosts that jobs may name.
        reading: Limits of each download.
        sending: Limits of each upload.
    """

    def __init__(
        self,
        locator: BlobConnection,
        target: Address,
        *,
        allowed: Sequence[str] = (),
        reading: RetryPolicy = READING,
        sending: RetryPolicy = SENDING,
    ) -> None:
        hub = AddressGuard(refused=NEVER)
        self._http = Http(guard=hub.check, resolver=hub.resolver)
        self._reading = reading
        places = asyncio.Semaphore(AT_ONCE)
        self._downloader = Downloader(self._http, places, reading)
        # Jobs may name other jobs' outputs on the hub; nothing else private is fetched for them.
        others = AddressGuard(allowed)
        others.trust_hub(target.hub)
        self._locator = _TrustingLocator(locator, target, others)
        self._foreign = others.http()
        # Servers that jobs name may be slow or dead; they delay only each other.
        self._hub_host = urlsplit(target.hub).hostname
        foreign = asyncio.Semaphore(AT_ONCE)
        self._at_hub = Downloader(self._foreign, foreign, reading)
        # A name that a job mistyped stays unknown; that of the hub may only be away.
        self._elsewhere = Downloader(self._foreign, foreign, replace(reading, unknown=UNKNOWN_TRIES))
        self._uploader = Uploader(self._locator, self._http, places, sending)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()
        await self._foreign.close()

    async def links(self, keys: Iterable[str]) -> dict[str, BlobLink]:
        """Asks for the addresses at which blobs can be read; repeats the request while the hub is away.

        Raises:
            NotFound: A blob is not stored.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, BlobLink] = {}
        for start in range(0, len(wanted), limits.BLOBS_PER_REQUEST):
            for link in await self._ask(wanted[start : start + limits.BLOBS_PER_REQUEST]):
                found[link.sha256] = link
        for key in wanted:
            if key not in found or not found[key].url:
                raise NotFound(f"the blob {key} is not stored on the hub; upload it again")
        return found

    async def _ask(self, keys: list[str]) -> list[BlobLink]:
        retries = Retries(self._reading)
        while True:
            try:
                return await self._locator.links(keys)
            except AsmanError as error:
                await retries.failed(error)

    async def fetch(
        self,
        url: str,
        to: Path,
        *,
        sha256: str | None = None,
        most: int,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Streams an address into a new file; returns its size.

        Args:
            url: The address, absolute or relative to the hub.
            to: Path of the new file, which must not exist; a failure leaves no file.
            sha256: The expected sha256, if known. The bytes are then a blob's, and the hub is asked for a fresh address
                if this one fails.
            most: Largest size, in bytes.
            size: The expected size in bytes, if known.
            progress: Called with the number of bytes that arrived.

        Raises:
            Unauthentic: The bytes have another sha256.
            TooLarge: There are more than ``most`` bytes.
            ExecutionError: The disk can't store the file, or the address must not be reached.
            AsmanError: The address can't be read, even after several tries.
        """
        given = [url]

        async def where() -> str:
            if sha256 is None:
                return self._locator.absolute(url)
            return self._locator.absolute(given.pop() if given else (await self.links([sha256]))[sha256].url)

        sink = FileSink(to)
        try:
            wanted = Wanted(where, sha256=sha256, size=size, most=most, renewable=sha256 is not None)
            downloader = self._downloader if sha256 is not None else self._foreign_to(url)
            came = await downloader.fetch(wanted, sink, progress)
            await sink.rename(to)
        except OSError as error:
            raise ExecutionError(
                f"the worker can't write it to its disk: {error.strerror or error}", fault="worker"
            ) from error
        finally:
            await sink.discard()
        return came

    def _foreign_to(self, url: str) -> Downloader:
        """Returns what fetches an address that a job names."""
        with suppress(ValueError):
            if urlsplit(self._locator.absolute(url)).hostname == self._hub_host:
                return self._at_hub
        return self._elsewhere

    async def stored(self, keys: Iterable[str]) -> set[str]:
        """Asks once which of some blobs are stored.

        Raises:
            AsmanError: The hub can't answer now.
        """
        wanted = list(dict.fromkeys(keys))
        found: set[str] = set()
        for start in range(0, len(wanted), limits.BLOBS_PER_REQUEST):
            links = await self._locator.links(wanted[start : start + limits.BLOBS_PER_REQUEST])
            found.update(link.sha256 for link in links if link.url)
        return found

    async def send(
        self,
        files: Iterable[Blob],
        progress: Callable[[int], None],
        there: Callable[[int], None] | None = None,
        stored: Callable[[str], None] | None = None,
    ) -> int:
        """Stores the files that the hub does not have; tries for as long as the caller waits.

        Args:
            files: The files.
            progress: Called with the number of bytes that were sent.
            there: Called with the number of bytes that the hub has already.
            stored: Called with the sha256 of each file that is stored and verified, also before a failure.

        Returns:
            The number of bytes that were sent.

        Raises:
            AsmanError: The hub refuses a file, or a file changed meanwhile.
        """
        return await self._uploader.send(files, progress, there, stored)
