"""Reading blobs and other addresses: streamed, resumed by range, verified."""

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
    """A blob to read.

    Attributes:
        link: Where; asked anew for each try, as addresses expire.
        sha256: What the bytes must be; None when nobody knows.
        size: How many there are; None when nobody knows.
        most: How many there may be at most; None for any number.
        renewable: Whether ``link`` can give a better address when one is refused.
    """

    link: Callable[[], Awaitable[str]]
    sha256: str | None = None
    size: int | None = None
    most: int | None = None
    renewable: bool = True


class Downloader:
    """Reads what is wanted, several at a time.

    Args:
        http: Reaches the addresses.
        places: Bounds the transfers of this client or worker that go on at a time.
        retry_policy: Bounds for each of them.
    """

    def __init__(self, http: Http, places: asyncio.Semaphore, retry_policy: RetryPolicy | None = None) -> None:
        self._http = http
        self._places = places
        self._retry_policy = retry_policy or RetryPolicy()

    async def fetch(self, wanted: Wanted, sink: Sink, progress: Progress | None = None) -> int:
        """Reads all of it into a sink, and verifies it.

        Args:
            wanted: What.
            sink: Where to; empty.
            progress: Is told of bytes as they come.

        Returns:
            How many bytes there are.

        Raises:
            Unauthentic: The bytes are others than wanted.
            TooLarge: There are too many.
            NotFound: They are gone.
            TimedOut: It took longer than allowed.
            OSError: The sink can't take them.
            AsmanError: They can't be read, or not after several tries.
        """
        try:
            async with asyncio.timeout(self._retry_policy.total) as scope:
                return await _Fetch(self._http, self._places, self._retry_policy, wanted, sink, progress).run()
        except TimeoutError:
            if scope.expired():
                raise TimedOut(f"it took longer than {self._retry_policy.total:g} seconds") from None
            raise


class _Fetch:
    """One download on its way.

    Attributes:
        came: Bytes that are in the sink.
        furthest: The most that ever were; only what goes beyond that is progress.
        whole: Bytes there will be, when it was said.
        mark: What names the version of the bytes, when the server gives one that a range can be asked by.
        pieced: The bytes came in more than one answer.
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
                # Between two tries the place is somebody else's.
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
            # The pieces may be of two versions.
            await self._restart()

    async def _once(self) -> None:
        wanted = self._wanted
        if self.came and self.came == self.whole:
            return  # It broke at the very end.
        url = await wanted.link()
        headers: dict[str, str] = {}
        if self.came and (self.mark or wanted.sha256 is not None):
            headers["Range"] = f"bytes={self.came}-"
            if self.mark:
                headers["If-Range"] = self.mark
        async with self._http.get(url, headers, self._retry_policy.stall) as response:
            if response.status == 416 and self.came:
                # Others are there now, or they are fewer than came.
                await self._restart()
                raise ConnectionFailed("the bytes changed while they were read")
            await check(response, fresh=wanted.renewable)
            await self._begin(response, ranged="Range" in headers)
            async for chunk in response.content.iter_any():
                await self._take(chunk)
        if self.whole is not None and self.came < self.whole:
            raise ConnectionFailed(f"only {self.came} of {self.whole} bytes arrived")

    async def _begin(self, response: ClientResponse, *, ranged: bool) -> None:
        """Finds out what follows: what is left, or everything once more."""
        start, whole = 0, response.content_length  # of a range, this is the length of the range
        if response.status == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
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
