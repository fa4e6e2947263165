"""Asman's wire without its library: frames made and read by hand, many messages in each. It runs in Asman's own
environment; its worker is also the one beside the library, as Asman's own worker starts a process or container.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, each, payloads, run
from bench.small_jobs import IN_FRAME, WINDOW, encode, read


class _State(msgspec.Struct):
    id: str
    state: str


class _Result(msgspec.Struct):
    image_digest: str = ""


class _FromHub(msgspec.Struct):
    """What this client wants to know of a message."""

    type: str
    ref: int = 0
    job: _State | None = None
    answer: str = ""
    result: _Result | None = None
    message: str = ""


_read: Final = msgspec.msgpack.Decoder(list[_FromHub]).decode


async def _dialled(address: str, side: str, first: dict[str, Any]) -> ClientConnection:
    """A socket of a queue, after the first word."""
    protocol = Subprotocol("asman.v1.msgpack")
    address = f"{address}/{side}".replace("http", "ws", 1)
    socket = await connect(address, subprotocols=[protocol], compression=None, max_size=None)
    await socket.send(encode([first]))
    return socket


async def _frame(socket: ClientConnection) -> bytes:
    frame = await socket.recv()
    assert isinstance(frame, bytes)
    return frame


def _submit(payload: str) -> dict[str, Any]:
    return {"type": "submit", "ref": 0, "definition": {"image": "a", "command": ["echo", payload]}}


class Client(AsyncClient):
    """Asman's wire without its library: frames made and read by hand, many messages in each."""

    async def open(self, address: str) -> None:
        self._socket = await _dialled(address, "client", {"type": "hello"})
        self._refs = 0
        self._asking: dict[int, asyncio.Future[_FromHub]] = {}
        self._ends: dict[str, asyncio.Future[str]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._outbox: list[dict[str, Any]] = []
        self._sending: asyncio.Task[None] | None = None

    async def _send(self) -> None:
        """All that was said in one turn of the loop, as one frame."""
        while self._outbox:
            frame = encode(self._outbox)
            self._outbox.clear()
            await self._socket.send(frame)

    async def _route(self) -> None:
        while True:
            for message in _read(await _frame(self._socket)):
                if message.type == "changed" and message.job is not None:
                    if message.job.state == "Finished" and not (end := self._end(message.job.id)).done():
                        end.set_result(message.job.id)
                elif (future := self._asking.pop(message.ref, None)) is not None:
                    future.set_result(message)

    def _end(self, job_id: str) -> asyncio.Future[str]:
        """Of a job; it may come before anyone asks for it."""
        return self._ends.setdefault(job_id, asyncio.get_running_loop().create_future())

    async def _ask(self, message: dict[str, Any]) -> _FromHub:
        if self._reading is None:
            self._reading = asyncio.create_task(self._route())
        self._refs += 1
        future: asyncio.Future[_FromHub] = asyncio.get_running_loop().create_future()
        self._asking[self._refs] = future
        self._outbox.append({**message, "ref": self._refs})
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        answer = await future
        if answer.type == "error":
            raise RuntimeError(answer.message)
        return answer

    async def submit(self, payload: str) -> str:
        answer = await self._ask(_submit(payload))
        assert answer.job is not None
        return answer.job.id

    async def result(self, handle: str) -> Any:
        """The job's id: the rest of its result is asked for when nothing is timed."""
        job_id = await self._end(handle)
        del self._ends[handle]
        return job_id

    async def began(self, handles: list[Any]) -> list[int]:
        async def ask(job_id: Any) -> int:
            answer = await self._ask({"type": "get", "job": job_id})
            assert answer.result is not None
            return int(answer.result.image_digest)

        return await each(ask, handles, CONCURRENT)

    async def many(self, wanted: list[str]) -> None:
        """Never more than a window ahead. Reads by itself, as futures for each job would cost."""
        await self._stop_reading()
        submitted = finished = 0
        while finished < len(wanted):
            while submitted < len(wanted) and submitted - finished <= WINDOW - IN_FRAME:
                some = wanted[submitted : submitted + IN_FRAME]
                await self._socket.send(encode([_submit(payload) for payload in some]))
                submitted += len(some)
            for message in read(await _frame(self._socket)):
                if message.type == "error":
                    raise RuntimeError(message.message)
                finished += message.tells_end

    async def cached(self, seconds: float) -> dict[str, list[float]]:
        """Submits a finished job again and again: microseconds to the answer, which has how it ended."""
        message = _submit(payloads(1)[0])
        answer = await self._ask(message)
        assert answer.job is not None
        await self.result(answer.job.id)
        taken: list[float] = []
        until = time.monotonic() + seconds
        while not taken or time.monotonic() < until:
            begun = time.perf_counter()
            answer = await self._ask(message)
            taken.append(1e6 * (time.perf_counter() - begun))
            assert answer.answer == "cached", answer
        return {"results": taken}

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None

    async def close(self) -> None:
        await self._stop_reading()
        await self._socket.close()


async def work(address: str) -> None:
    """Finishes every job of a queue at once, with a result that says when it began."""
    first = {"type": "register", "incarnation": secrets.token_hex(8), "name": "w", "cpus": CONCURRENT}
    socket = await _dialled(address, "worker", first)
    while True:
        ended = [
            {
                "type": "finished",
                "job": message.job,
                "attempt": message.attempt,
                "outcome": {"kind": "exited", "exit_code": 0, "result": {"image_digest": str(job.began(""))}},
            }
            for message in read(await _frame(socket))
            if message.type == "assign"
        ]
        if ended:
            await socket.send(encode(ended))


if __name__ == "__main__":
    run(work, Client)
