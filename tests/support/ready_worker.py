"""A worker on the plain wire that takes every job at once, does nothing, and says how it went."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


class ReadyWorker:
    """A worker on the plain wire that takes every job at once, does nothing, and says how it went.

    Attributes:
        go: Jobs wait while this is not set.
        started: The ids of the jobs that were begun.
    """

    def __init__(self, socket: ClientConnection, exit_code: int) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self._socket = socket
        self._exit_code = exit_code

    async def say(self, *messages: dict[str, Any]) -> None:
        await self._socket.send(msgpack.packb(messages))

    async def run(self) -> None:
        with suppress(ConnectionClosed):
            async for frame in self._socket:
                assert isinstance(frame, bytes)
                for message in msgpack.unpackb(frame):
                    if message["type"] == "assign":
                        await self._work({"job": message["job"], "attempt": message["attempt"]})
                    elif message["type"] == "abort":
                        await self.say({"type": "released", "job": message["job"], "attempt": message["attempt"]})

    async def _work(self, attempt: dict[str, Any]) -> None:
        await self.say({"type": "phase", "phase": "running", **attempt})
        self.started.put_nowait(attempt["job"])
        await self.go.wait()
        outcome = {"kind": "exited", "exit_code": self._exit_code}
        await self.say({"type": "finished", "outcome": outcome, **attempt})


@asynccontextmanager
async def ready_worker(queue_url: str, *, exit_code: int = 0) -> AsyncIterator[ReadyWorker]:
    """A worker of a queue while the block lasts."""
    address = queue_url.replace("http", "ws", 1) + "/worker"
    async with connect(address, subprotocols=[Subprotocol("asman.v1.msgpack")], compression=None) as socket:
        worker = ReadyWorker(socket, exit_code)
        await worker.say({"type": "register", "incarnation": secrets.token_hex(8), "name": "ready", "cpus": 100})
        running = asyncio.ensure_future(worker.run())
        try:
            yield worker
        finally:
            running.cancel()
            await asyncio.wait([running])
