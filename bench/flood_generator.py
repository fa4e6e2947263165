"""A stranger who floods a hub at a fixed rate from one core, for the scenario `flood`.

Run as a program: ``python -m bench.flood_generator URL RATE KINDS``. Each tick of the rate does one thing, by turns of
the kinds; those that are not answered yet don't slow it down, up to `PENDING` of them. With the kind ``idle`` it keeps
the same time and sends nothing. It ends when its standard input does, and then prints what it did as JSON.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

KINDS: Final = ("submits", "queues", "sockets", "bodies", "blobs", "logs")
PENDING: Final = 500
"""Largest number of things that are not answered yet."""
SENDER: Final = {"X-Forwarded-For": "203.0.113.7"}
BODY: Final = b'{"definition": "' + b"x" * 256 * 1024
"""A body that is no submission, which only its end shows."""
BLOB: Final = 64 * 1024
LINES: Final = 50
"""Lines of one batch of a log, of a hundred characters each."""
QUEUE: Final = "the-queue-of-the-flood"


class Flood:
    """The stranger.

    Args:
        url: The hub.
        http: Its requests.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.done: Counter[str] = Counter()
        self._url = url
        self._http = http
        self._number = 0
        self._client: ClientConnection | None = None
        self._worker: ClientConnection | None = None
        self._assigned: dict[str, Any] | None = None
        self._seq = 0

    async def idle(self) -> None:
        """Does nothing."""

    async def submits(self) -> None:
        """Sends a submission over a websocket, whose answers it does not read."""
        if self._client is None or self._client.close_code is not None:
            self._client = await self._socket("client", {"type": "hello"})
        self._number += 1
        definition = {"image": "alpine", "command": f"echo {self._number} {secrets.token_hex(4)}"}
        await self._client.send(_packed({"type": "submit", "ref": 1, "definition": definition, "follow": False}))

    async def queues(self) -> None:
        """Submits a job to a queue that does not exist yet."""
        body = {"definition": {"image": "alpine", "command": "echo"}}
        await self._post(f"/q/{secrets.token_hex(8)}/jobs", json.dumps(body).encode())

    async def sockets(self) -> None:
        """Opens a websocket, and leaves it when the hub has answered."""
        socket = await self._socket("client", {"type": "hello"})
        await socket.recv()
        await socket.close()

    async def bodies(self) -> None:
        """Sends a large body that means nothing."""
        await self._post(f"/q/{QUEUE}/jobs", BODY)

    async def blobs(self) -> None:
        """Sends a file."""
        name = f"{secrets.token_hex(8)}.bin"
        async with self._http.put(f"{self._url}/f/{name}", data=secrets.token_bytes(BLOB), headers=SENDER) as answer:
            self.done[f"blobs {answer.status}"] += 1
            await answer.read()

    async def logs(self) -> None:
        """Sends lines of a job of its own."""
        if self._worker is None or self._worker.close_code is not None:
            register = {"type": "register", "incarnation": secrets.token_hex(8), "name": "flood", "cpus": 1000}
            self._worker, self._assigned = await self._socket("worker", register), None
        if self._assigned is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    for message in msgpack.unpackb(await self._worker.recv(decode=False)):
                        if message["type"] == "assign":
                            self._assigned = message
            return
        lines = [[self._seq + at, 0, 0, "x" * 100] for at in range(LINES)]
        self._seq += LINES
        about = {"job": self._assigned["job"], "attempt": self._assigned["attempt"]}
        await self._worker.send(_packed({"type": "log_batch", **about, "lines": lines}))

    async def _post(self, path: str, body: bytes) -> None:
        async with self._http.post(f"{self._url}{path}", data=body, headers=SENDER) as answer:
            self.done[f"post {answer.status}"] += 1
            await answer.read()

    async def _socket(self, end: str, first: dict[str, Any]) -> ClientConnection:
        socket = await connect(
            f"{self._url.replace('http', 'ws')}/q/{QUEUE}/{end}",
            subprotocols=[Subprotocol("asman.v1.msgpack")],
            compression=None,
            additional_headers=SENDER,
            max_queue=None,
        )
        await socket.send(_packed(first))
        return socket


def _packed(message: dict[str, Any]) -> bytes:
    return bytes(msgpack.packb([message]))


async def flood(url: str, rate: float, kinds: list[str], over: asyncio.Event) -> dict[str, float]:
    """Floods a hub until it is over; returns what was done."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as http:
        stranger = Flood(url, http)
        pending: set[asyncio.Task[None]] = set()

        async def one(kind: str, act: Callable[[], Awaitable[None]]) -> None:
            try:
                await act()
                stranger.done[kind] += 1
            except (WebSocketException, aiohttp.ClientError, OSError, TimeoutError):
                stranger.done[f"{kind} cut off"] += 1

        begun, number = time.monotonic(), 0
        while not over.is_set():
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            kind = kinds[number % len(kinds)]
            number += 1
            if len(pending) >= PENDING:
                stranger.done["held back"] += 1
                continue
            task = asyncio.create_task(one(kind, getattr(stranger, kind)))
            pending.add(task)
            task.add_done_callback(pending.discard)
        seconds = time.monotonic() - begun
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return {"seconds": seconds, "sent": number, **stranger.done}


async def main() -> None:
    """Runs the program."""
    url, rate, kinds = sys.argv[1:4]
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    ended.add_done_callback(lambda _: over.set())
    print(json.dumps(await flood(url, float(rate), kinds.split(","), over)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
