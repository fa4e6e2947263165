"""Downloads blobs and other addresses: streamed, resumed by range, verified."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asman_shared.errors import AsmanError, ConnectionFailed, TimedOut, TooLarge, Unauthentic
from asman_shared.units import format_size

from .http import Http, check
from .retry import Retries, RetryPolicy
from .sink import Sink
from .source import Progress

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob to download.

    Attributes:
        link: Returns the address; called for each try, because addresses expire.
        sha256: The expected sha256; None if it is not known.
        size: The expected size, in bytes; None if it is not known.
        most: Largest allowed size, in bytes; None for no limit.
        renewable: Whether ``link`` can give a fresh address when one is refused.
        foreign: Whether a stranger has named the address.
    """

    link: Callable[[], Awaitable[str]]
    sha256: str | None = None
    size: int | None = None
    most: int | None = None
    renewable: bool = True
    foreign: bool = False


class Downloader:
    """Downloads blobs, several at a time.

    Args:
        http: Reaches the addresses.
        places: Limits the concurrent transfers of this client or worker.
        retry_policy: The limits of each download.
    """

    def __init__(self, http: Http, places: asyncio.Semaphore, retry_policy: RetryPolicy | None = None) -> None:
        self._http = http
        self._places = places
        self._retry_policy = retry_policy or RetryPolicy()

    async def fetch(self, wanted: Wanted, sink: Sink, progress: Progress | None = None) -> int:
        """Downloads a blob into a sink, and verifies it.

        Args:
            wanted: The blob.
            sink: The destination, which must be empty.
            progress: Called with the number of bytes that arrived.

        Returns:
            The size of the blob, in bytes.

        Raises:
            Unauthentic: The bytes have another sha256 or size.
            TooLarge: There are too many bytes.
            NotFound: The blob does not exist any more.
            TimedOut: The download took longer than allowed.
            OSError: The sink can't write the bytes.
            AsmanError: The blob can't be read, even after several tries.
        """
        try:
            async with asyncio.timeout(self._retry_policy.total) as scope:
                return await _Fetch(self._http, self._places, self._retry_policy, wanted, sink, progress).run()
        except TimeoutError:
            if scope.expired():
                raise TimedOut(f"it took longer than {self._retry_policy.total:g} seconds") from None
            raise


class _Fetch:
    """One running download.

    Attributes:
        came: Number of bytes in the sink.
        furthest: Largest number of bytes that were in the sink; only more than that counts as progress.
        whole: Size of the whole blob, in bytes, once it is known.
        mark: The version of the bytes, if the server names one that a range request can be bound to.
        pieced: True if the bytes arrived in more than one answer.
    """

    def __init__(
        self,
        http: Http,
        places: asyncio.Semaphore,
        retry_policy: RetryPolicy,
        wanted: Wanted,
        sink: Sink,
        progress: Progress | None,
    ) -> None:
        self._http = http
        self._places = places
        self._retry_policy = retry_policy
        self._persistence = Retries(retry_policy)
        self._wanted = wanted
        self._sink = sink
        self._progress = progress
        self.came = self.furthest = 0
        self.whole = wanted.size
        self.mark = ""
        self.pieced = False

    async def run(self) -> int:
        while True:
            try:
                # The place is free for other transfers between two tries.
                async with self._places:
                    await self._once()
            except AsmanError as error:
                await self._persistence.failed(error)
                continue
            digest = await self._sink.settle()
            sha256 = self._wanted.sha256
            if sha256 is None or digest == sha256:
                return self.came
            if not self.pieced:
                raise Unauthentic(f"the received bytes have the sha256 {digest[:12]}…, but should have {sha256[:12]}…")
            # The pieces may be of two versions of the blob.
            await self._restart()

    async def _once(self) -> None:
        wanted = self._wanted
        if self.came and self.came == self.whole:
            return  # The connection broke after the last byte.
        url = await wanted.link()
        headers: dict[str, str] = {}
        if self.came and (self.mark or wanted.sha256 is not None):
            headers["Range"] = f"bytes={self.came}-"
            if self.mark:
                headers["If-Range"] = self.mark
        async with self._http.get(url, headers, self._retry_policy.stall) as response:
            if response.status == 416 and self.came:
                # The server has other bytes now, or fewer than have arrived.
                await self._restart()
                raise ConnectionFailed("the bytes changed while they were read")
            await check(response, fresh=wanted.renewable)
            await self._begin(response, ranged="Range" in headers)
            async for chunk in response.content.iter_any():
                await self._take(chunk)
        if self.whole is not None and self.came < self.whole:
            raise ConnectionFailed(f"only {self.came} of {self.whole} bytes arrived")

    async def _begin(self, response: ClientResponse, *, ranged: bool) -> None:
        """Checks whether the rest follows, or everything once more."""
        start, whole = 0, response.content_length  # in answer to a range request, this is the length of the range
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        # Some storages send a range with status 200: what they send is as long as the range, and not the whole.
        is_range = ranged and found is not None and whole == int(found[2]) - int(found[1]) + 1
        if response.status == 206 or is_range:
            if not ranged or found is None:
                await self._restart()
                raise ConnectionFailed("the server sent a range that was not asked for")
            start = int(found[1])
            whole = None if found[3] == "*" else int(found[3])
        if start != self.came or (start and self.whole is not None and whole not in (None, self.whole)):
            await self._restart()
            if start:
                raise ConnectionFailed("the bytes changed while they were read")
        self.pieced = start > 0
        if encoding := response.headers.get("Content-Encoding", "").replace("identity", ""):
            raise AsmanError(f"{response.url.host} sends it compressed ({encoding}) although it was asked not to")
        etag = response.headers.get("ETag", "")
        self.mark = etag if etag.startswith('"') else self.mark if start else ""
        if self._wanted.size is None and not start:
            self.whole = whole
        if self.whole is not None and whole not in (None, self.whole):
            raise Unauthentic(f"there are {whole} bytes of it, but there should be {self.whole}")
        for size in (whole, self.whole):
            if size is not None and self._wanted.most is not None and size > self._wanted.most:
                raise TooLarge(f"it has {format_size(size)}; the maximum is {format_size(self._wanted.most)}")

    async def _take(self, chunk: bytes) -> None:
        came = self.came + len(chunk)
        if self._wanted.most is not None and came > self._wanted.most:
            raise TooLarge(f"it has more than {format_size(self._wanted.most)}")
        if self._wanted.size is not None and came > self._wanted.size:
            raise Unauthentic(f"more than {self._wanted.size} bytes arrived")
        await self._sink.feed(chunk)
        self.came = came
        if came > self.furthest:
            self.furthest = came
            self._persistence.moved()
        if self._progress is not None:
            self._progress(len(chunk))

    async def _restart(self) -> None:
        if self.came:
            if self._progress is not None:
                self._progress(-self.came)
            self.came = 0
            self.pieced = False
            await self._sink.restart()
