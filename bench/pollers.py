"""Clients of TES that ask for the states of their tasks, in one process, as cheap as Python can have them.

``python -m bench.pollers ADDRESS CLIENTS PER_SECOND`` reads the ids of tasks from its standard input, as a list in JSON
in one line, and deals them out. Each client has one connection and asks for each of its tasks so often, in the smallest
view, one after another; the clients are evenly out of step. It prints a line when all are connected. At a second line
of its input it ends, and prints the number of answers and the longest time that one took, in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

PATIENCE = 60.0
"""Seconds in which all must be connected, and an answer must come."""


class Poller(asyncio.Protocol):
    """One connection, with one question at a time."""

    def __init__(self) -> None:
        self.answers = 0
        self.longest = 0.0
        self._heard = b""
        self._answered: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Takes a piece of an answer."""
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self._heard = b""
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a task was answered with {head[:100]!r} {body[:200]!r}")
        self.answers += 1
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Ends the wait for an answer."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(RuntimeError("the hub closed a connection"))

    async def run(self, requests: Sequence[bytes], per_second: float, phase: float) -> None:
        """Asks for each of the tasks so often, until it is cancelled.

        Args:
            requests: The request for each task.
            per_second: How often each is sent.
            phase: The share of the pause between two requests after which the first is sent.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        pause = 1 / per_second / len(requests)
        due = loop.time() + pause * phase
        await asyncio.sleep(pause * phase)
        while True:
            for request in requests:
                begun = time.perf_counter()
                self._answered = loop.create_future()
                self._transport.write(request)
                async with asyncio.timeout(PATIENCE):
                    await self._answered
                self.longest = max(self.longest, time.perf_counter() - begun)
                due = max(due + pause, loop.time() - pause)
                await asyncio.sleep(max(0.0, due - loop.time()))


async def main(address: str, clients: int, per_second: float) -> None:
    """Runs the clients."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    tasks = json.loads(await asyncio.to_thread(sys.stdin.readline))
    loop = asyncio.get_running_loop()
    pollers: list[Poller] = []
    async with asyncio.timeout(PATIENCE):
        for _ in range(clients):
            pollers.append((await loop.create_connection(Poller, parts.hostname, parts.port))[1])
    print("connected", flush=True)
    running = []
    for number, poller in enumerate(pollers):
        own = tasks[number::clients]
        requests = [
            f"GET {parts.path}/v1/tasks/{task}?view=MINIMAL HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
            for task in own
        ]
        running.append(asyncio.create_task(poller.run(requests, per_second, number / clients)))
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    done, _ = await asyncio.wait((ended, *running), return_when=asyncio.FIRST_COMPLETED)
    for each in done:
        each.result()
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    longest = max(poller.longest for poller in pollers) * 1000
    print(json.dumps({"answers": sum(poller.answers for poller in pollers), "longest": longest}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
