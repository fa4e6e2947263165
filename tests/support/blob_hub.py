"""The part of a hub that keeps blobs, on a real database and a real store, with a clock that a test sets."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route

from asman_server.blobs import BlobService, BlobStore, Catalogue, Collector, FolderStore, Quota, S3Settings, S3Store
from asman_server.blobs.named_files import NamedFiles
from asman_server.blobs.signing import Signer
from asman_server.limiting import unlimited
from asman_server.rest import base as rest
from asman_server.rest import blobs as rest_blobs
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_shared.messages import BlobPart, BlobTicket
from asman_shared.units import MIB
from devtools.patience import PATIENCE
from devtools.ports import free_port
from tests.support.direct_writer import DirectWriter

DAY = 24 * 3_600_000
RETENTION = 7 * DAY
QUEUE = "blob-tests"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class BlobHub:
    """The part of a hub that keeps blobs, on a real database and a real store, with a clock that a test sets.

    Made by `open_blob_hub`; it stands for the hub of the endpoints of `rest.blobs`.
    """

    def __init__(
        self, store: BlobStore, clock: TestClock, signer: Signer, quota: Quota, folder: Path, reserve: int = 0
    ) -> None:
        self.clock = clock
        self.signer = signer
        self.blobs = BlobService(store, clock, quota, RETENTION)
        self.files = NamedFiles(self.blobs, folder, clock, reserve=reserve)
        self.private_files = NamedFiles(self.blobs, folder, clock, reserve=reserve, private=True)
        self.collector = Collector(self.blobs, clock, RETENTION)
        self.limiter = unlimited()
        self.committer: GroupCommitter
        self.http: aiohttp.ClientSession
        self.url = ""

    def sender(self, _connection: HTTPConnection) -> str:
        """Nobody has limits here."""
        return ""

    @property
    def store(self) -> BlobStore:
        return self.blobs.store

    async def ask(self, *bodies: bytes, queue: str = QUEUE) -> list[BlobTicket]:
        return await self.blobs.tickets(queue, [(sha256(body), len(body)) for body in bodies])

    async def settled(self, key: str, size: int, queue: str = QUEUE) -> BlobTicket:
        """The ticket of a blob, asked for until it is not pending."""
        async with asyncio.timeout(PATIENCE):
            while True:
                (ticket,) = await self.blobs.tickets(queue, [(key, size)])
                if not ticket.pending:
                    return ticket

    async def send(self, ticket: BlobTicket, body: bytes, **more: Any) -> int:
        """Does what a ticket says, and returns the last status."""
        if not ticket.parts:
            return await self.put(ticket.url, body, headers=ticket.headers, **more)
        status = 0
        for part in ticket.parts:
            status = await self.send_part(ticket, part, body)
        return status

    async def send_part(self, ticket: BlobTicket, part: BlobPart, body: bytes) -> int:
        return await self.put(part.url, body[part.offset : part.offset + part.size], headers=ticket.headers)

    def absolute(self, url: str) -> str:
        return self.url + url if url.startswith("/") else url

    async def put(self, url: str, body: Any, **more: Any) -> int:
        if isinstance(body, bytes) and len(body) > MIB:
            body = io.BytesIO(body)
        async with self.http.put(self.absolute(url), data=body, **more) as answer:
            await answer.read()
            return answer.status

    async def get(self, url: str, **more: Any) -> tuple[int, bytes]:
        async with self.http.get(self.absolute(url), **more) as answer:
            return answer.status, await answer.read()

    async def upload(self, *bodies: bytes, queue: str = QUEUE) -> None:
        """Stores blobs as an uploader does: ask, send, ask again."""
        for _ in range(1000):
            tickets = await self.ask(*bodies, queue=queue)
            for ticket, body in zip(tickets, bodies, strict=True):
                assert not ticket.refused
                if not (ticket.exists or ticket.pending):
                    status = await self.send(ticket, body)
                    # Somebody else was faster, or the storage stumbled over that: an uploader asks again.
                    assert status in (200, 201, 404, 409) or status >= 500, status
            if all(ticket.exists for ticket in tickets):
                return
        raise AssertionError("it is never stored")

    async def read(self, key: str, **more: Any) -> bytes | None:
        """The bytes of a blob; None if the hub says that it is not stored."""
        (link,) = await self.blobs.links(QUEUE, [key])
        if not link.url:
            return None
        status, body = await self.get(link.url, **more)
        assert status in (200, 206), body
        return body


class S3Behind(Protocol):
    """Whatever says how a bucket is reached."""

    def settings(self, bucket: str, prefix: str = ...) -> S3Settings:
        """How."""


class TestClock:
    """A clock that a test can move."""

    __test__ = False

    def __init__(self, now: int) -> None:
        self.began = now
        self.now = now

    def __call__(self) -> int:
        return self.now

    def forward(self, milliseconds: int) -> None:
        self.now += milliseconds


@asynccontextmanager
async def open_blob_hub(
    database: str,
    folder: Path,
    s3: S3Behind | None = None,
    *,
    bucket: str = "",
    quota: Quota | None = None,
    clock: TestClock | None = None,
    reserve: int = 0,
) -> AsyncIterator[BlobHub]:
    """A hub's blobs with their HTTP side.

    Args:
        database: Its URL.
        folder: Of the folder store, or of what is on its way.
        s3: Where blobs are instead.
        bucket: In it.
        quota: How much may be stored.
        clock: Now.
        reserve: Bytes to leave free on the disk.
    """
    clock = clock or TestClock(int(time.time() * 1000))
    signer = Signer(b"secret")
    local = FolderStore(folder, signer, clock, reserve=reserve)
    store: BlobStore = local if s3 is None else S3Store(s3.settings(bucket), clock)
    hub = BlobHub(store, clock, signer, quota or Quota(), folder / "incoming", reserve)
    engine, writer = make_engine(database), make_engine(database, pool=1)
    await migrate(engine)
    hub.committer = GroupCommitter(DirectWriter(writer))
    writing = asyncio.create_task(hub.committer.run())
    try:
        async with hub.blobs.open(Catalogue(engine, hub.committer)), aiohttp.ClientSession() as hub.http, _served(hub):
            await hub.blobs.adopt()
            yield hub
    finally:
        hub.committer.close()
        await asyncio.wait([writing], timeout=PATIENCE)
        writing.cancel()
        await engine.dispose()
        await writer.dispose()


class _Server(uvicorn.Server):
    """A server that leaves the test's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(hub: BlobHub) -> AsyncIterator[None]:
    routes = [
        Route("/b/{sha256}", rest.answers(rest_blobs.get_blob), methods=["GET"]),
        Route("/b/{sha256}", rest.answers(rest_blobs.put_blob), methods=["PUT"]),
        Route("/f/{name}", rest.answers(rest_blobs.get_file), methods=["GET"]),
        Route("/f/{name}", rest.answers(rest_blobs.put_file), methods=["PUT"]),
        Route("/f/{name}/exists", rest.answers(rest_blobs.file_exists), methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    app.state.hub = hub
    port = free_port()
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve())
    hub.url = f"http://127.0.0.1:{port}"
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await serving
