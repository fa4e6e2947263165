"""A fake hub for workers: a real socket and real blobs, but the test makes all decisions."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import WSMsgType, web

from asman_shared import limits
from asman_shared.codec import WORKER_FRAMES, Broken, encode
from asman_shared.definition import DataRef, Definition
from asman_shared.encoded import Language
from asman_shared.errors import QuotaExceeded
from asman_shared.messages import (
    Acknowledged,
    Assign,
    BlobLink,
    BlobLinks,
    BlobTicket,
    BlobTickets,
    Error,
    Finished,
    GetBlobs,
    Kept,
    LogBatch,
    LogLine,
    Message,
    Ping,
    Pong,
    PutBlobs,
    Register,
    Registered,
)
from devtools.patience import PATIENCE

M = TypeVar("M", bound=Message)

QUEUE = "a-queue-for-tests"


def job(text: str) -> str:
    """Returns a job's id."""
    return hashlib.sha256(text.encode()).hexdigest()


class Line:
    """One connection of a worker, as the hub sees it."""

    def __init__(self, hub: FakeHub, socket: web.WebSocketResponse) -> None:
        self._hub = hub
        self._socket = socket
        self._arrived = asyncio.Condition()
        self.messages: list[Message] = []
        self.frames: list[list[Message]] = []
        self.closed = asyncio.Event()

    @property
    def register(self) -> Register:
        """Returns the first message."""
        first = self.messages[0]
        assert isinstance(first, Register)
        return first

    async def answer(self, keep: list[Kept] | None = None, *also: Message, **more: object) -> None:
        """Registers the worker; aborts the attempts that are not kept."""
        kept = {(item.job, item.attempt) for item in keep or ()}
        abort = [held for held in self.register.holding if (held.job, held.attempt) not in kept]
        answer = Registered(1, "fake", "w1", 0, keep=keep or [], abort=abort, **more)  # type: ignore[arg-type]
        await self.send(answer, *also)

    async def send(self, *messages: Message) -> None:
        """Sends messages in one frame."""
        await self._socket.send_bytes(encode(messages))

    async def assign(
        self, name: str, attempt: int = 1, *, log_next: int = 0, time_limit: int = 0, **fields: object
    ) -> str:
        """Assigns a job by a name; returns its id."""
        made = job(name)
        await self.send(Assign(made, attempt, Definition(**fields), time_limit, log_next))  # type: ignore[arg-type]
        return made

    async def acknowledge(self, finished: Finished) -> None:
        """Acknowledges a result."""
        await self.send(Acknowledged(finished.job, finished.attempt))

    async def close(self, code: int = 1012) -> None:
        """Closes politely."""
        await self._socket.close(code=code)

    def cut(self) -> None:
        """Cuts the wire."""
        transport = self._socket._req and self._socket._req.transport
        assert transport
        transport.abort()

    async def expect(self, kind: type[M], when: Callable[[M], bool] = lambda message: True) -> M:
        """Returns the first message of a kind, once it comes."""

        def found() -> M | None:
            return next((m for m in self.messages if isinstance(m, kind) and when(m)), None)

        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: found() is not None)
            message = found()
            assert message is not None
            return message

    def lines(self, name: str) -> list[LogLine]:
        """Returns the log lines of a job that came so far."""
        return [
            line
            for message in self.messages
            if isinstance(message, LogBatch) and message.job == job(name)
            for line in message.lines
        ]

    def texts(self, name: str, stream: int | None = None) -> list[str]:
        """Returns the texts of a job's log lines."""
        return [line.text for line in self.lines(name) if stream in (None, line.stream)]

    async def serve(self) -> None:
        """Reads until the connection ends; answers pings and requests for blobs."""
        try:
            async for item in self._socket:
                assert item.type is WSMsgType.BINARY
                decoded = WORKER_FRAMES.decode(item.data, Language.MSGPACK)
                messages: list[Message] = []
                for message in decoded:
                    assert not isinstance(message, Broken), message
                    messages.append(message)
                async with self._arrived:
                    self.messages += messages
                    self.frames.append(messages)
                    self._arrived.notify_all()
                if isinstance(messages[0], Register):
                    self._hub.lines.put_nowait(self)
                for each in messages:
                    if (answer := self._hub.reply(each)) is not None:
                        await self.send(answer)
        finally:
            self.closed.set()


class FakeHub:
    """A hub that does what a test tells it.

    Attributes:
        lines: Connections on which a worker has registered.
        blobs: The stored blobs.
        mute: Whether the hub answers nothing at all.
        quota: Bytes that the blobs may take together; None for any.
        refuse_puts: Number of uploads that are refused with a 503 before they work.
        get_statuses: Statuses that answer the next downloads, instead of the blob.
        cut_gets: Number of downloads that end halfway.
        open: While it is cleared, transfers of blobs wait.
        held_up: Released by each transfer that waits for ``open``.
        storage: Base address of its links, if it is not this hub.
        redirects: Target of ``/redirect/{name}``.
        named_storage: Origin that redirects name as the hub's own storage.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.lines: asyncio.Queue[Line] = asyncio.Queue()
        self.blobs: dict[str, bytes] = {}
        self.asked: list[list[str]] = []
        self.mute = False
        self.quota: int | None = None
        self.refuse_puts = 0
        self.puts = 0
        self.get_statuses: list[int] = []
        self.cut_gets = 0
        self.open = asyncio.Event()
        self.open.set()
        self.held_up = asyncio.Semaphore(0)
        self.storage = ""
        self.redirects: dict[str, str] = {}
        self.named_storage = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        """Returns the hub's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Returns the queue's address."""
        return f"{self.base}/q/{QUEUE}"

    async def start(self) -> None:
        """Listens; after a stop, on the same port as before."""
        app = web.Application(client_max_size=2**30)
        app.router.add_get(f"/q/{QUEUE}/worker", self._worker)
        app.router.add_get("/blobs/{sha}", self._get)
        app.router.add_put("/blobs/{sha}", self._put)
        app.router.add_get("/redirect/{name}", self._redirect)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening and drops all connections without a close frame."""
        for socket in list(self._sockets):
            transport = socket._req and socket._req.transport
            if transport:
                transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def line(self) -> Line:
        """Returns the next connection that has registered."""
        async with asyncio.timeout(PATIENCE):
            return await self.lines.get()

    def store(self, data: bytes) -> str:
        """Stores a blob; returns its sha256."""
        sha = hashlib.sha256(data).hexdigest()
        self.blobs[sha] = data
        return sha

    def output(self, finished: Finished, name: str) -> bytes:
        """Returns the bytes of an output."""
        ref = finished.outcome.result.outputs[name].ref
        assert isinstance(ref, DataRef)
        return self.blobs[ref.value]

    def reply(self, message: Message) -> Message | None:
        """Returns the answer to a request that needs no decision."""
        if self.mute:
            return None
        match message:
            case Ping(ref=ref):
                return Pong(ref)
            case PutBlobs(ref=ref, blobs=blobs):
                self.asked.append([sha for sha, _ in blobs])
                missing = sum(size for sha, size in blobs if sha not in self.blobs)
                if self.quota is not None and sum(map(len, self.blobs.values())) + missing > self.quota:
                    return Error.of(QuotaExceeded(f"the quota has no room for {missing} bytes"), ref)
                return BlobTickets(
                    ref,
                    [
                        BlobTicket(sha, exists=True)
                        if sha in self.blobs
                        else BlobTicket(sha, url=f"/blobs/{sha}?signed", headers={"X-Size": str(size)})
                        for sha, size in blobs
                    ],
                )
            case GetBlobs(ref=ref, keys=keys):
                return BlobLinks(
                    ref,
                    [
                        BlobLink(key, f"{self.storage}/blobs/{key}", len(self.blobs[key]))
                        if key in self.blobs
                        else BlobLink(key)
                        for key in keys
                    ],
                )
        return None

    async def _worker(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(limits.SUBPROTOCOL_MSGPACK,), compress=False, timeout=0.1)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await Line(self, socket).serve()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _gate(self) -> None:
        if not self.open.is_set():
            self.held_up.release()
            await self.open.wait()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        await self._gate()
        data = self.blobs.get(request.match_info["sha"])
        if self.get_statuses:
            return web.Response(status=self.get_statuses.pop(0), text="said the store")
        if data is not None and self.cut_gets > 0:
            self.cut_gets -= 1
            return await _cut(request, data)
        return web.Response(body=data) if data is not None else web.Response(status=404)

    async def _redirect(self, request: web.Request) -> web.Response:
        headers = {"Location": self.redirects[request.match_info["name"]]}
        if self.named_storage:
            headers["Asman-Storage"] = self.named_storage
        return web.Response(status=302, headers=headers)

    async def _put(self, request: web.Request) -> web.Response:
        await self._gate()
        try:
            body = await request.read()
        except ConnectionResetError:
            return web.Response(status=400)  # the sender has left
        self.puts += 1
        if self.refuse_puts > 0:
            self.refuse_puts -= 1
            return web.Response(status=503)
        assert request.headers["X-Size"] == str(len(body))
        sha = hashlib.sha256(body).hexdigest()
        if sha != request.match_info["sha"]:
            return web.Response(status=422)
        self.blobs[sha] = body
        return web.Response(status=201)


async def _cut(request: web.Request, data: bytes) -> web.StreamResponse:
    """Answers with half of the data, then cuts the connection."""
    response = web.StreamResponse()
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    assert request.transport
    request.transport.close()
    return response


@asynccontextmanager
async def fake_hub() -> AsyncIterator[FakeHub]:
    """Yields a hub on a free port."""
    hub = FakeHub()
    await hub.start()
    try:
        yield hub
    finally:
        hub.open.set()
        await hub.stop()
