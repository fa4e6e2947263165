"""Moving bytes between this machine and where the hub keeps them: streamed, verified by sha256, tried again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.errors import AsmanError, Conflict, ConnectionFailed, NotFound, Unauthentic
from asman_shared.units import MIB

from .backoff import delays
from .connection import Connection
from .inputs import Blob

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

CHUNK: Final = MIB
ATTEMPTS: Final = 4
AT_ONCE: Final = 8
_STALLED_SECONDS: Final = 60.0

Progress = Callable[[int], None]
"""Is told of each piece of bytes that was moved."""


T = TypeVar("T")


class _AgainError(Exception):
    """This transfer failed in a way that may not happen again."""


class Blobs:
    """The blob store behind a hub, as one client sees it.

    Args:
        connection: The queue's; it is asked for tickets and links.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http: ClientSession | None = None
        self._places = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Ends the HTTP connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    def _session(self) -> ClientSession:
        if self._http is None:
            from aiohttp import ClientSession, ClientTimeout

            timeout = ClientTimeout(total=None, sock_connect=_STALLED_SECONDS, sock_read=_STALLED_SECONDS)
            self._http = ClientSession(timeout=timeout, auto_decompress=False)
        return self._http

    # ------------------------------------------------------------------------------------------------------ storing

    async def store(self, blobs: Iterable[Blob], progress: Progress | None = None) -> int:
        """Stores those blobs that the hub does not have.

        Returns:
            How many bytes were sent.

        Raises:
            Conflict: A file changed while it was sent.
            ConnectionFailed: The store can't be reached, after several attempts.
        """
        waiting = {blob.sha256: blob for blob in blobs}
        sent = 0
        last: Exception | None = None
        for attempt, delay in zip(range(ATTEMPTS), delays(), strict=False):
            if not waiting:
                return sent
            if attempt:
                await asyncio.sleep(delay)
            everything = list(waiting.values())
            for start in range(0, len(everything), limits.BLOBS_PER_REQUEST):
                part = everything[start : start + limits.BLOBS_PER_REQUEST]
                for blob, outcome in zip(part, await self._store(part, progress), strict=True):
                    if isinstance(outcome, _AgainError):
                        last = outcome
                    else:
                        sent += outcome
                        del waiting[blob.sha256]
        if waiting:
            raise ConnectionFailed(f"{len(waiting)} files could not be uploaded: {last}")
        return sent

    async def _store(self, blobs: Sequence[Blob], progress: Progress | None) -> list[int | _AgainError]:
        asked = m.PutBlobs(ref=0, blobs=[(blob.sha256, blob.size) for blob in blobs])
        answer = await self._connection.request(asked, m.BlobTickets)
        tickets = {ticket.sha256: ticket for ticket in answer.tickets}

        async def one(blob: Blob) -> int:
            ticket = tickets.get(blob.sha256)
            if ticket is None:
                raise _AgainError("the hub gave no ticket")
            if ticket.exists:
                return 0
            async with self._places:
                await self._put(blob, ticket, progress)
            return blob.size

        return await _each([one(blob) for blob in blobs])

    async def _put(self, blob: Blob, ticket: m.BlobTicket, progress: Progress | None) -> None:
        from aiohttp import ClientError

        headers = {"Content-Type": "application/octet-stream", **ticket.headers, "Content-Length": str(blob.size)}
        url = self._connection.address.absolute(ticket.url)
        try:
            async with self._session().request(
                ticket.method, url, data=_pieces(blob, progress), headers=headers, allow_redirects=False
            ) as response:
                await _check(response, "an upload")
        except (ClientError, TimeoutError, ConnectionError) as error:
            if isinstance(error.__cause__, AsmanError):
                raise error.__cause__ from None
            raise _AgainError(f"the upload broke off ({error})") from error

    # ---------------------------------------------------------------------------------------------------- fetching

    async def links(self, keys: Iterable[str]) -> dict[str, str]:
        """Where blobs can be read.

        Raises:
            NotFound: One of them is not stored.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, str] = {}
        for start in range(0, len(wanted), limits.BLOBS_PER_REQUEST):
            asked = m.GetBlobs(ref=0, keys=wanted[start : start + limits.BLOBS_PER_REQUEST])
            answer = await self._connection.request(asked, m.BlobLinks)
            for link in answer.links:
                if not link.url:
                    raise NotFound(f"the blob {link.sha256[:12]} is no longer stored")
                found[link.sha256] = self._connection.address.absolute(link.url)
        return found

    async def read(self, url: Callable[[], Awaitable[str]], sha256: str) -> bytes:
        """All bytes of a blob, verified.

        Args:
            url: Makes its URL, anew for each attempt: links expire.
            sha256: Of the bytes.

        Raises:
            Unauthentic: The bytes are not what their name says.
            NotFound: They are gone.
            ConnectionFailed: They can't be read, after several attempts.
        """

        async def attempt() -> bytes:
            data = bytearray()
            async for chunk in self._get(await url()):
                data += chunk
            _verify(hashlib.sha256(data).hexdigest(), sha256)
            return bytes(data)

        return await _again(attempt)

    async def save(
        self, url: Callable[[], Awaitable[str]], sha256: str, to: Path, progress: Progress | None = None
    ) -> None:
        """Streams a blob into a file: under another name first, renamed when its bytes are verified.

        Raises:
            Unauthentic: The bytes are not what their name says.
            NotFound: They are gone.
            ConnectionFailed: They can't be read, after several attempts.
            OSError: The file can't be written.
        """

        async def attempt() -> None:
            part = to.with_name(f".{secrets.token_hex(8)}.part")
            try:
                digest = hashlib.sha256()
                with await asyncio.to_thread(part.open, "xb") as file:
                    async for chunk in self._get(await url()):
                        digest.update(chunk)
                        await asyncio.to_thread(file.write, chunk)
                        if progress is not None:
                            progress(len(chunk))
                _verify(digest.hexdigest(), sha256)
                await asyncio.to_thread(os.replace, part, to)
            finally:
                part.unlink(missing_ok=True)

        async with self._places:
            await _again(attempt)

    async def _get(self, url: str) -> AsyncIterator[bytes]:
        from aiohttp import ClientError

        try:
            async with self._session().get(url, headers={"Accept-Encoding": "identity"}) as response:
                await _check(response, "a download")
                async for chunk in response.content.iter_chunked(CHUNK):
                    yield chunk
        except (ClientError, TimeoutError, ConnectionError) as error:
            raise _AgainError(f"the download broke off ({error})") from error


def _verify(found: str, wanted: str) -> None:
    if found != wanted:
        raise Unauthentic(f"downloaded bytes have the sha256 {found[:12]}… and should have {wanted[:12]}…")


async def _check(response: ClientResponse, what: str) -> None:
    if response.status < 300:
        return
    said = (await response.content.read(300)).decode(errors="replace").strip()
    sentence = f"{what} was answered with HTTP status {response.status}" + (f" ({said})" if said else "")
    if response.status == 404:
        raise NotFound(sentence)
    if response.status in (401, 403, 408, 409, 425, 429) or response.status >= 500:
        raise _AgainError(sentence)
    raise AsmanError(sentence)


async def _pieces(blob: Blob, progress: Progress | None) -> AsyncIterator[bytes]:
    left = blob.size
    if isinstance(blob.source, bytes):
        for start in range(0, left, CHUNK):
            yield blob.source[start : start + CHUNK]
            if progress is not None:
                progress(min(CHUNK, left - start))
        return
    with await asyncio.to_thread(blob.source.open, "rb") as file:
        while left:
            chunk = await asyncio.to_thread(file.read, min(CHUNK, left))
            if not chunk:
                raise Conflict(f"'{blob.source}' became shorter while it was uploaded")
            left -= len(chunk)
            yield chunk
            if progress is not None:
                progress(len(chunk))


async def _each(works: Sequence[Awaitable[int]]) -> list[int | _AgainError]:
    """Does all of it at once; the first error that is not worth another attempt ends the rest."""

    async def one(work: Awaitable[int]) -> int | _AgainError:
        try:
            return await work
        except _AgainError as error:
            return error

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(work)) for work in works]
    except* AsmanError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _again(attempt: Callable[[], Awaitable[T]]) -> T:
    last: Exception | None = None
    for number, delay in zip(range(ATTEMPTS), delays(), strict=False):
        if number:
            await asyncio.sleep(delay)
        try:
            return await attempt()
        except _AgainError as error:
            last = error
    raise ConnectionFailed(str(last))
