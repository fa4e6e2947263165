"""A blob store over real HTTP with a locator of its own, which fails the way a test says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from asman_shared.messages import BlobLink, BlobPart, BlobTicket

PART = 256 * 1024
"""Bytes of a part here, so that tests need no large files."""


@dataclass
class Seen:
    """One request that came."""

    method: str
    name: str
    headers: dict[str, str]
    came: int = 0


@dataclass
class Upload:
    """A blob that comes in parts."""

    size: int
    parts: dict[int, bytes] = field(default_factory=dict)


class FakeStore:
    """A blob store over real HTTP with a locator of its own, which fails the way a test says.

    `tickets`, `links` and `absolute` make it a `Locator`.

    Attributes:
        blobs: What is stored.
        seen: Requests in order.
        asked: Blobs in each question for tickets.
        break_puts: For each of the next uploads, after how many bytes its connection is cut; -1 lets it pass.
        break_gets: For each of the next downloads the same.
        answers: Answers to the next requests, whatever they are: status and text.
        forged: Addresses are refused however fresh they are.
        etag: The version that downloads name.
        ranges: Whether ranges are understood.
        range_status: The status with which a range is sent.
        length: Whether answers say how long they are.
        pending: How often an arrived blob is first reported as being verified.
        deaf: Uploads are neither read nor answered.
        amnesia: What was sent is forgotten.
        most_at_once: Uploads and downloads that went on at a time.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self.seen: list[Seen] = []
        self.asked: list[list[str]] = []
        self.linked: list[list[str]] = []
        self.break_puts: list[int] = []
        self.break_gets: list[int] = []
        self.answers: list[tuple[int, str]] = []
        self.refusals: dict[str, str] = {}
        self.forged = False
        self.etag: str | None = '"one"'
        self.ranges = True
        self.range_status = 206
        self.length = True
        self.encoding = ""
        self.pending = 0
        self.deaf = False
        self.amnesia = False
        self.most_at_once = 0
        self.served = asyncio.Event()
        self.base = ""
        self._now = 0
        self._serial = 0

    def store(self, data: bytes, name: str | None = None) -> str:
        """Puts a blob there, under its own name or a wrong one."""
        key = name or hashlib.sha256(data).hexdigest()
        self.blobs[key] = data
        return key

    # --------------------------------------------------------------------------------------------------- the locator

    def absolute(self, url: str) -> str:
        return url if "://" in url else f"{self.base}{url}"

    def _address(self, name: str) -> str:
        self._serial += 1
        signature = "forged" if self.forged else "good"
        return f"/{name}?signature={signature}&serial={self._serial}"

    async def tickets(self, blobs: list[tuple[str, int]]) -> list[BlobTicket]:
        self.asked.append([sha256 for sha256, _ in blobs])
        return [self._ticket(sha256, size) for sha256, size in blobs]

    def _ticket(self, sha256: str, size: int) -> BlobTicket:
        headers = {"X-Ticket": sha256[:8]}
        if sha256 in self.blobs:
            if self.pending:
                self.pending -= 1
                return BlobTicket(sha256, pending=True)
            return BlobTicket(sha256, exists=True)
        refused = self.refusals.pop(sha256, "")
        if size <= PART:
            return BlobTicket(sha256, url=self.absolute(self._address(sha256)), headers=headers, refused=refused)
        upload = self.uploads.setdefault(sha256, Upload(size))
        parts = [
            BlobPart(at // PART + 1, at, min(PART, size - at), self._address(f"{sha256}-{at}"))
            for at in range(0, size, PART)
            if at not in upload.parts
        ]
        missing = sum(part.size for part in parts)
        return BlobTicket(sha256, parts=parts[:4], missing=missing, headers=headers, refused=refused)

    async def links(self, keys: list[str]) -> list[BlobLink]:
        self.linked.append(keys)
        return [
            BlobLink(key, self._address(key) if key in self.blobs else "", len(self.blobs.get(key, b"")))
            for key in keys
        ]

    # ------------------------------------------------------------------------------------------------------ over HTTP

    def _note(self, request: web.Request) -> tuple[Seen, web.Response | None]:
        seen = Seen(request.method, request.match_info["name"], dict(request.headers))
        self.seen.append(seen)
        if self.answers:
            status, text = self.answers.pop(0)
            if status:
                return seen, web.Response(status=status, text=text)
        if request.query.get("signature") == "forged":
            return seen, web.json_response(
                {"error": "the signature of this address is wrong", "code": "forbidden"}, status=403
            )
        return seen, None

    async def put(self, request: web.Request) -> web.StreamResponse:
        seen, refusal = self._note(request)
        if refusal is not None:
            return refusal
        if self.deaf:
            self.served.set()
            await asyncio.Event().wait()
        cut = self.break_puts.pop(0) if self.break_puts else -1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            data = b""
            async for chunk in request.content.iter_any():
                data += chunk
                seen.came += len(chunk)
                if 0 <= cut <= len(data):
                    assert request.transport
                    request.transport.abort()
                    return web.Response()
        finally:
            self._now -= 1
        return self._take(seen.name, data)

    def _take(self, name: str, data: bytes) -> web.Response:
        sha256, _, at = name.partition("-")
        if self.amnesia:
            return web.Response(status=200)
        if not at:
            if hashlib.sha256(data).hexdigest() != sha256:
                return web.json_response({"error": "these are other bytes", "code": "wrong_bytes"}, status=422)
            self.blobs[sha256] = data
            return web.Response(status=201)
        upload = self.uploads[sha256]
        upload.parts[int(at)] = data
        if sum(map(len, upload.parts.values())) == upload.size:
            del self.uploads[sha256]
            whole = b"".join(part for _, part in sorted(upload.parts.items()))
            if hashlib.sha256(whole).hexdigest() == sha256:
                self.blobs[sha256] = whole
            else:
                self.refusals[sha256] = "its parts are not what its name says"
        return web.Response(status=200)

    async def get(self, request: web.Request) -> web.StreamResponse:
        seen, refusal = self._note(request)
        if refusal is not None:
            return refusal
        data = self.blobs.get(seen.name)
        if data is None:
            return web.Response(status=404)
        start = self._start(request)
        if start and start >= len(data):
            return web.Response(status=416)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self._send(request, seen, data, start)
        finally:
            self._now -= 1

    def _start(self, request: web.Request) -> int:
        asked = request.headers.get("Range", "")
        if not asked or not self.ranges or request.headers.get("If-Range", self.etag) != self.etag:
            return 0
        return int(asked.removeprefix("bytes=").partition("-")[0])

    async def _send(self, request: web.Request, seen: Seen, data: bytes, start: int) -> web.StreamResponse:
        response = web.StreamResponse(status=self.range_status if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.etag is not None:
            response.headers["ETag"] = self.etag
        if self.encoding:
            response.headers["Content-Encoding"] = self.encoding
        if self.length:
            response.content_length = len(data) - start
        else:
            response.force_close()
        await response.prepare(request)
        cut = self.break_gets.pop(0) if self.break_gets else -1
        rest = memoryview(data)[start:]
        if cut >= 0:
            rest = rest[:cut]
        for at in range(0, len(rest), 65536):
            await response.write(bytes(rest[at : at + 65536]))
            seen.came += len(rest[at : at + 65536])
        self.served.set()
        if cut >= 0 and self.length:
            assert request.transport
            await asyncio.sleep(0.01)
            request.transport.abort()
        return response


@asynccontextmanager
async def fake_store() -> AsyncIterator[FakeStore]:
    """A store that listens."""
    store = FakeStore()
    app = web.Application(client_max_size=2**30)
    app.router.add_put("/{name}", store.put)
    app.router.add_get("/{name}", store.get)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        store.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield store
    finally:
        await runner.cleanup()
