"""Access of a client to the blob store of a hub; `asman_shared.transfer` moves the bytes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.errors import AsmanError, ConnectionFailed, ExecutionError, Forbidden, NotFound
from asman_shared.transfer import Blob, Downloader, Http, HubLocator, Progress, RetryPolicy, Uploader, Wanted
from asman_shared.transfer.http import AT_ONCE
from asman_shared.transfer.retry import UNKNOWN_TRIES
from asman_shared.transfer.sink import FileSink, MemorySink, Sink

from .connection import Connection

RETRY_POLICY: Final = RetryPolicy(patience=120.0)
"""Default policy for each transfer, in both directions; the connection has its own limit for a hub that is away."""

_NOT_FOLLOWED: Final = "is not fetched, because a worker has named it; download it yourself if you trust it"


class Blobs:
    """Stores blobs on a hub and reads them from it.

    Args:
        connection: The connection to the queue, for tickets and links.
        retry_policy: Limits for the retries of each transfer.
    """

    def __init__(self, connection: Connection, retry_policy: RetryPolicy | None = None) -> None:
        self._connection = connection
        self._locator = HubLocator(connection, connection.address)
        self._http = Http()
        self._retry_policy = retry_policy or RETRY_POLICY
        places = asyncio.Semaphore(AT_ONCE)
        self._uploader = Uploader(self._locator, self._http, places, self._retry_policy)
        self._downloader = Downloader(self._http, places, self._retry_policy)
        self._places = places
        self._foreign: Http | None = None

    async def close(self) -> None:
        """Closes the HTTP connections."""
        await self._http.close()
        if self._foreign is not None:
            await self._foreign.close()

    async def _fetch(self, wanted: Wanted, sink: Sink, progress: Progress | None = None) -> None:
        """Fetches a blob; for an address that a stranger has named, checks where it leads.

        Raises:
            Forbidden: It leads to the network of this machine.
            AsmanError: As `read`.
        """
        self._connection.check_open()  # a transfer would try again and again
        if not wanted.foreign:
            await self._downloader.fetch(wanted, sink, progress)
            return
        if self._foreign is None:
            from asman_shared.transfer.address_guard import AddressGuard  # it takes long to load

            guard = AddressGuard(why=_NOT_FOLLOWED)
            guard.trust_hub(self._connection.address.hub)
            self._foreign = guard.http()
        try:
            policy = replace(self._retry_policy, unknown=UNKNOWN_TRIES)
            await Downloader(self._foreign, self._places, policy).fetch(wanted, sink, progress)
        except ExecutionError as error:
            raise Forbidden(error.message) from None

    async def store(self, blobs: Iterable[Blob], progress: Progress | None = None) -> int:
        """Stores the blobs that the hub does not have.

        Args:
            blobs: All blobs that are needed.
            progress: Called with the number of bytes sent since the last call; negative when some have to be sent
                again.

        Returns:
            Number of bytes sent.

        Raises:
            Conflict: A file changed while it was sent.
            ConnectionFailed: The store can't be reached, after several attempts.
            AsmanError: The hub or the store refuses a blob.
        """
        self._connection.check_open()
        try:
            return await self._uploader.send(blobs, progress)
        except ConnectionFailed as error:
            raise ConnectionFailed(f"not everything could be uploaded: {error.message}") from error

    async def links(self, keys: Iterable[str]) -> dict[str, m.BlobLink]:
        """Fetches the download links of blobs, with absolute addresses.

        Raises:
            NotFound: A blob is not stored.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, m.BlobLink] = {}
        for start in range(0, len(wanted), limits.BLOBS_PER_REQUEST):
            for link in await self._locator.links(wanted[start : start + limits.BLOBS_PER_REQUEST]):
                if not link.url:
                    raise NotFound(f"the blob {link.sha256[:12]} is no longer stored")
                found[link.sha256] = m.BlobLink(link.sha256, self._locator.absolute(link.url), link.size, link.expires)
        return found

    async def read(self, wanted: Wanted) -> bytes:
        """Reads a whole blob and verifies it.

        Raises:
            Unauthentic: The bytes do not match their sha256.
            NotFound: The blob is no longer stored.
            ConnectionFailed: The blob can't be read, after several attempts.
        """
        sink = MemorySink()
        await self._fetch(wanted, sink)
        return bytes(sink.data)

    async def save(self, wanted: Wanted, to: Path, progress: Progress | None = None, *, executable: bool) -> None:
        """Streams a blob into a file: under a temporary name first, renamed when its bytes are verified.

        Args:
            wanted: The blob.
            to: The file; an existing file is replaced.
            progress: Called with the number of bytes received since the last call; negative when some have to be
                received again.
            executable: Whether the file is a program.

        Raises:
            Unauthentic: The bytes do not match their sha256.
            NotFound: The blob is no longer stored.
            ConnectionFailed: The blob can't be read, after several attempts.
            OSError: The file can't be written.
        """
        sink = FileSink(to.with_name(f".{secrets.token_hex(8)}.part"), 0o777 if executable else 0o666)
        try:
            await self._fetch(wanted, sink, progress)
            await sink.rename(to)
        except OSError as error:
            raise about(error, to) from error
        finally:
            await sink.discard()

    def wanted(self, key: str, *, size: int | None = None, link: m.BlobLink | None = None) -> Wanted:
        """Describes a blob of the hub's own store for a download.

        Args:
            key: The sha256.
            size: In bytes, if known.
            link: A download link, for the first attempt.
        """
        given = [] if link is None else [link.url]

        async def where() -> str:
            return given.pop() if given else (await self.links([key]))[key].url

        return Wanted(where, sha256=key, size=size)

    def named_by_a_result(self, url: str, sha256: str | None, size: int | None) -> Wanted:
        """Describes a file at an address that a worker has named; it may be on the hub or on the public internet.

        Args:
            url: The address; one that begins with a slash is on the hub.
            sha256: Of its bytes, if known.
            size: In bytes, if known.
        """

        async def where() -> str:
            return self._locator.absolute(url)

        return Wanted(where, sha256=sha256, size=size, renewable=False, foreign=True)


def about(error: OSError, path: Path) -> OSError:
    """Returns the same error with a file's path, which the error of a full disk lacks."""
    return type(error)(error.errno, error.strerror or str(error), str(path))


def named(error: AsmanError, label: str) -> AsmanError:
    """Returns an error of the same class whose message names the item that could not be read."""
    made = type(error)(f"{label} can't be read: {error.message}", field=error.field)
    made.__cause__ = error
    return made
