"""A hub without sockets: real sessions, shell, core, group commit and database in this process, fed with whole frames.

The peers are as small as they can be and their time is counted apart, so that what is left is the hub's. A run is the
same each time but for how the commits fall.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from starlette.websockets import WebSocket, WebSocketDisconnect

from asman_server.access import access
from asman_server.config import HubConfig
from asman_server.delivery.transport import EXTENSION
from asman_server.hub import Hub
from asman_server.sessions.client import ClientSession
from asman_server.sessions.worker import WorkerSession
from asman_shared.encoded import Language
from bench.small_jobs import IN_FRAME, WINDOW, encode, finishes, read, registration, submits

QUEUE = "bench-profile"
PATIENCE = 120.0


class _Stopwatch:
    """Processor time of this thread that the peers took, in seconds."""

    def __init__(self) -> None:
        self.taken = 0.0


class _Peer:
    """The other end of a session's websocket: frames in by a queue, frames out by a call."""

    def __init__(self, heard: Callable[[bytes], None], watch: _Stopwatch) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.open = True
        self.room = True
        self.scope = {"extensions": {EXTENSION: self}}
        self._heard = heard
        self._watch = watch
        self._in: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, frame: bytes | None) -> None:
        """Sends a frame to the hub; None ends the connection."""
        self._in.put_nowait(frame)

    def write(self, frame: bytes) -> bool:
        """What the send buffer calls."""
        begun = time.thread_time()
        self._heard(_payload(frame))
        self._watch.taken += time.thread_time() - begun
        return True

    async def accept(self, subprotocol: str) -> None:
        del subprotocol

    async def receive(self) -> dict[str, Any]:
        frame = await self._in.get()
        if frame is None:
            raise WebSocketDisconnect(1000)
        return {"type": "websocket.receive", "bytes": frame}

    async def close(self, code: int, reason: str) -> None:
        self.open = False
        if code not in (1000, 1001, 1012):
            raise RuntimeError(f"the hub closed with {code}: {reason}")


def _payload(frame: bytes) -> bytes:
    """What an unmasked frame holds (RFC 6455, 5.2)."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def _written() -> int:
    return int(psutil.Process().io_counters().write_chars)


@dataclass
class Cost:
    """What a run took.

    Attributes:
        wall: Seconds by the clock.
        loop: Seconds of processor time of the event loop's thread, without the peers.
        writer: Of all other threads.
        commits: Transactions.
        written: Bytes that were written to files, as the kernel counts them.
    """

    wall: float
    loop: float
    writer: float
    commits: int
    written: int


class HubInProcess:
    """An open hub with one worker; see the module."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._watch = _Stopwatch()
        self._worker = _Peer(self._worker_heard, self._watch)
        self._client = _Peer(self._client_heard, self._watch)
        self._frames: list[bytes] = []
        self._sent = self._finished = self._wanted = 0
        self._over = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[HubInProcess]:
        """A hub on a fresh database, its two peers connected."""
        hub = Hub(HubConfig(data_dir=folder))
        async with hub.open(), hub.registry.using(QUEUE) as shell:
            self = cls(hub)
            args = (Language.MSGPACK, access(QUEUE), shell, hub.services)
            async with asyncio.TaskGroup() as tasks:
                for peer, kind, first in (
                    (self._worker, WorkerSession, registration()),
                    (self._client, ClientSession, encode([{"type": "hello"}])),
                ):
                    session = kind(cast(WebSocket, peer), *args)
                    running: Coroutine[Any, Any, None] = session.run()
                    tasks.create_task(running)
                    peer.put(first)
                try:
                    yield self
                finally:
                    self._worker.put(None)
                    self._client.put(None)

    async def run(self, jobs: int, run: int) -> Cost:
        """Submits jobs and returns when the client knows that all have finished."""
        self._frames = [submits(at, min(IN_FRAME, jobs - at), run) for at in range(0, jobs, IN_FRAME)]
        self._sent = self._finished = 0
        self._wanted = jobs
        self._over.clear()
        commits = sum(self._hub.committer.seconds.counts)
        written = _written()
        self._watch.taken = 0.0
        wall, loop, all_threads = time.perf_counter(), time.thread_time(), time.process_time()
        self._submit_more()
        async with asyncio.timeout(PATIENCE):
            await self._over.wait()
        loop = time.thread_time() - loop
        return Cost(
            wall=time.perf_counter() - wall,
            loop=loop - self._watch.taken,
            writer=time.process_time() - all_threads - loop,
            commits=sum(self._hub.committer.seconds.counts) - commits,
            written=_written() - written,
        )

    def _submit_more(self) -> None:
        while self._frames and self._sent - self._finished <= WINDOW - IN_FRAME:
            self._client.put(self._frames.pop(0))
            self._sent += IN_FRAME

    def _client_heard(self, payload: bytes) -> None:
        for message in read(payload):
            if message.type == "error":
                raise RuntimeError(message.message)
            self._finished += message.tells_end
        self._submit_more()
        if self._finished >= self._wanted:
            self._over.set()

    def _worker_heard(self, payload: bytes) -> None:
        ended = finishes(read(payload))
        if ended:
            self._worker.put(ended)
