"""A worker that is nothing but a websocket and msgpack: it does what a test says, when the test says it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from asman_shared import limits
from devtools.patience import PATIENCE

Message = dict[str, Any]


class PlainWorker:
    """A worker that is nothing but a websocket and msgpack: it does what a test says, when the test says it.

    Made by `plain_worker`.

    Attributes:
        registered: What the hub answered to the registration.
        log_next: The seq of the first line of the last attempt that was handed out.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.registered: Message = {}
        self.log_next = 0
        self._waiting: list[Message] = []

    async def send(self, *messages: Message) -> None:
        await self._socket.send(msgpack.packb(messages))

    async def send_frame(self, frame: bytes) -> None:
        """Sends a frame that is made already."""
        await self._socket.send(frame)

    async def next(self, kind: str) -> Message:
        """The next message of a type; others are kept for later."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for message in self._waiting:
                    if message["type"] == kind:
                        self._waiting.remove(message)
                        return message
                frame = await self._socket.recv()
                assert isinstance(frame, bytes)
                self._waiting += msgpack.unpackb(frame)

    async def assigned(self) -> Message:
        """The next attempt that is handed out, as ``{job, attempt}``."""
        message = await self.next("assign")
        self.log_next = message.get("log_next", 0)
        return {"job": message["job"], "attempt": message["attempt"]}

    async def phase(self, about: Message, phase: str = "running") -> None:
        await self.send({"type": "phase", "phase": phase, **about})

    async def log(self, about: Message, first: int, *texts: str, stream: int = 0) -> None:
        lines = [[first + i, 1_000 + i, stream, text] for i, text in enumerate(texts)]
        await self.send({"type": "log_batch", "lines": lines, **about})

    async def finish(self, about: Message, exit_code: int = 0, lines: int = 0, **result: Any) -> None:
        """Reports the end of an attempt; returns when the hub has it durably."""
        outcome = {"kind": "exited", "exit_code": exit_code, "lines": lines, "duration": 5, "result": result}
        await self.send({"type": "finished", "outcome": outcome, **about})
        await self.next("acknowledged")


@asynccontextmanager
async def plain_worker(hub_url: str, queue: str, **more: Any) -> AsyncIterator[PlainWorker]:
    """A registered worker that leaves when the block ends."""
    address = f"{hub_url.replace('http', 'ws')}/q/{queue}/worker"
    spoken = [Subprotocol("asman.v1.msgpack")]
    async with connect(address, subprotocols=spoken, compression=None, max_size=limits.FRAME_BYTES) as socket:
        worker = PlainWorker(socket)
        first = {"type": "register", "incarnation": "plain-worker-0001", "name": "plain", "cpus": 1, **more}
        await worker.send(first)
        worker.registered = await worker.next("registered")
        yield worker
