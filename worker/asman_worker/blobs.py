"""Bytes to and from the hub's store: streamed, verified, sent only when missing, tried again when it may help."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from asman_shared import limits
from asman_shared.errors import AsmanError, ExecutionError, NotFound, TooLarge, Unauthentic, Unavailable
from asman_shared.messages import BlobLink, BlobLinks, BlobTicket, BlobTickets
from asman_shared.units import MIB, format_size

from .backoff import Backoff
from .target import QueueTarget

log = logging.getLogger("asman.worker.blobs")

T = TypeVar("T")

_CHUNK: Final = MIB
_AT_ONCE: Final = 8
_TRIES: Final = 8
_REDIRECTS: Final = 6
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)


class BlobDesk(Protocol):
    """Who knows where blobs are: the connection."""

    async def registered(self) -> None:
        """Waits until it can be asked."""
        ...

    async def put_blobs(self, blobs: list[tuple[str, int]]) -> BlobTickets:
        """Asks which blobs are missing and how to send them."""
        ...

    async def get_blobs(self, keys: list[str]) -> BlobLinks:
        """Asks where blobs can be read."""
        ...


class Blobs:
    """The hub's store as a worker uses it.

    Args:
        desk: Who knows where blobs are.
        target: The hub, for relative addresses.
    """

    def __init__(self, desk: BlobDesk, target: QueueTarget) -> None:
        self._desk = desk
        self._target = target
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, connector=aiohttp.TCPConnector(resolver=_OutwardResolver())
            )
        return self._session

    # ------------------------------------------------------------------------------------------------- bringing

    async def links(self, keys: Iterable[str]) -> dict[str, BlobLink]:
        """Where blobs can be read; asked again while the hub is away.

        Raises:
            NotFound: One is not stored.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, BlobLink] = {}
        for start in range(0, len(wanted), limits.BLOBS_PER_REQUEST):
            batch = wanted[start : start + limits.BLOBS_PER_REQUEST]
            answer = await self._persist(lambda batch=batch: self._desk.get_blobs(batch))  # type: ignore[misc]
            found.update((link.sha256, link) for link in answer.links)
        for key in wanted:
            if key not in found or not found[key].url:
                raise NotFound(f"the blob {key} is not stored on the hub; upload it again")
        return found

    async def fetch(self, url: str, to: Path, *, sha256: str | None = None, most: int) -> int:
        """Streams an address into a new file; returns its size.

        Args:
            url: Absolute, or relative to the hub.
            to: A path where nothing is yet; nothing is left there on failure.
            sha256: What the bytes must be.
            most: Most bytes.

        Raises:
            ExecutionError: The server refuses it.
            Unavailable: It did not work after several tries.
            Unauthentic: The bytes are others.
            TooLarge: There are more than ``most``.
        """

        async def once() -> int:
            async with self._slots, self._opened(self._target.join(url)) as response:
                _check_status(response, "read")
                file = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
                try:
                    return await _receive(response, file, sha256, most)
                except BaseException:
                    await asyncio.to_thread(to.unlink, missing_ok=True)
                    raise
                finally:
                    os.close(file)

        return await self._persist(once)

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response after redirects, none of which may lead where jobs must not look."""
        where = URL(url)
        for _ in range(_REDIRECTS):
            _check_host(where)
            async with self._http().get(where, allow_redirects=False) as response:
                to = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or to is None:
                    yield response
                    return
                where = response.url.join(URL(to))
        raise ExecutionError(f"{where.host} redirects without end")

    # -------------------------------------------------------------------------------------------------- sending

    async def send(self, files: Sequence[tuple[str, int, Callable[[], int]]], progress: Callable[[int], None]) -> None:
        """Stores the files that the hub does not have.

        Args:
            files: Of each the sha256, the size, and how to open it (a file descriptor, closed here).
            progress: Called with the bytes that are done with.

        Raises:
            ExecutionError: The hub refuses one.
            Unavailable: It did not work after several tries.
        """
        unique = {sha256: (size, opener) for sha256, size, opener in files}
        names = list(unique)
        for start in range(0, len(names), limits.BLOBS_PER_REQUEST):
            batch = [(sha256, unique[sha256][0]) for sha256 in names[start : start + limits.BLOBS_PER_REQUEST]]
            answer = await self._persist(lambda batch=batch: self._desk.put_blobs(batch))  # type: ignore[misc]
            async with asyncio.TaskGroup() as tasks:
                for ticket, (_, size) in zip(answer.tickets, batch, strict=True):
                    if ticket.exists:
                        progress(size)
                    else:
                        tasks.create_task(self._send(ticket, size, unique[ticket.sha256][1], progress))

    async def _send(
        self, ticket: BlobTicket, size: int, opener: Callable[[], int], progress: Callable[[int], None]
    ) -> None:
        """Stores one blob; asks for a new ticket each time it did not work."""
        tickets = [ticket]

        async def once() -> None:
            if not tickets:
                tickets.extend((await self._desk.put_blobs([(ticket.sha256, size)])).tickets)
            use = tickets.pop()
            if use.exists:
                return
            async with self._slots:
                file = await asyncio.to_thread(opener)
                try:
                    async with self._http().request(
                        use.method,
                        self._target.join(use.url),
                        data=_chunks(file) if size else b"",
                        headers={"Content-Length": str(size), **use.headers},
                        allow_redirects=False,
                    ) as response:
                        _check_status(response, "stored")
                finally:
                    os.close(file)

        await self._persist(once)
        progress(size)

    async def _persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Does something until it works, fails for good, or failed often enough.

        Time while the hub is away does not count as tries; the phase's own limit bounds it.
        """
        backoff = Backoff(first=0.2, most=10)
        for left in range(_TRIES - 1, -1, -1):
            await self._desk.registered()
            try:
                return await action()
            except AsmanError as error:
                if not error.retry or not left:
                    raise
                log.info("%s; trying again", error.message)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not left:
                    raise Unavailable(f"bytes could not be moved: {str(error) or type(error).__name__}") from error
                log.info("moving bytes failed (%s); trying again", str(error) or type(error).__name__)
            await asyncio.sleep(backoff.next())
        raise Unavailable("bytes could not be moved")


def _check_host(url: URL) -> None:
    """Refuses what only this machine should see: a cloud's metadata service answers on a link-local address.

    Raises:
        ExecutionError: The address is of that kind, or no web address.
    """
    if url.scheme not in ("http", "https") or not url.host:
        raise ExecutionError(f"'{url}' is not an http address")
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(url.host)
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
            raise ExecutionError(f"{url.host} is a link-local or special address, and is not fetched for jobs")


class _OutwardResolver(ThreadedResolver):
    """Looks names up, and leaves out the addresses that `_check_host` refuses."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            ExecutionError: It has none but refused ones.
        """
        found = await super().resolve(host, port, family)
        for item in found:
            _check_host(URL.build(scheme="http", host=item["host"]))
        return found


def _check_status(response: aiohttp.ClientResponse, what: str) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    where = f"{response.url.host}{response.url.path}"
    if status >= 500 or status in (408, 425, 429):
        raise Unavailable(f"{where} answered {status}")
    raise ExecutionError(f"{where} could not be {what}: it answered {status} {response.reason or ''}".rstrip())


async def _receive(response: aiohttp.ClientResponse, file: int, sha256: str | None, most: int) -> int:
    digest = hashlib.sha256()
    size = 0
    if response.content_length is not None and response.content_length > most:
        raise TooLarge(f"it has {format_size(response.content_length)} and may have {format_size(most)}")

    def write(data: bytes) -> None:
        digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]

    buffer = bytearray()
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            raise TooLarge(f"it has more than {format_size(most)}")
        buffer += chunk
        if len(buffer) >= _CHUNK:
            await asyncio.to_thread(write, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(write, bytes(buffer))
    if sha256 is not None and digest.hexdigest() != sha256:
        raise Unauthentic(f"the bytes that came have the sha256 {digest.hexdigest()}, not {sha256}")
    return size


async def _chunks(file: int) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(os.read, file, _CHUNK):
        yield data
