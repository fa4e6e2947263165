"""Asman as a script uses it: `asman.connect`, `submit`, `wait` and `run_many`."""

from __future__ import annotations

import time
from typing import Any

import asman
from bench.peers.asman_frames import work
from bench.peers.orders import CONCURRENT, AsyncClient, each, payloads, run


class Client(AsyncClient):
    """Asman as a script uses it: `asman.connect`, `submit`, `wait` and `run_many`."""

    async def open(self, address: str) -> None:
        self._queue = asman.connect(address)
        await self._queue.open()

    async def submit(self, payload: str) -> asman.Job:
        return await self._queue.submit(image="a", command=["echo", payload])

    async def result(self, handle: asman.Job) -> Any:
        """The job: the rest of its result is asked for when nothing is timed."""
        verdict = await handle.wait()
        assert verdict.ok
        return handle

    async def began(self, handles: list[Any]) -> list[int]:
        async def ask(job: asman.Job) -> int:
            return int((await job.result()).image_digest)

        return await each(ask, handles, CONCURRENT)

    async def many(self, wanted: list[str]) -> None:
        items = ({"image": "a", "command": ["echo", payload]} for payload in wanted)
        async for job in self._queue.run_many(items):
            assert job.verdict is not None
            assert job.verdict.ok

    async def cached(self, seconds: float) -> dict[str, list[float]]:
        """Submits a finished job again and again: microseconds to the answer that has its result's verdict."""
        [payload] = payloads(1)
        await (await self.submit(payload)).wait()
        taken: list[float] = []
        until = time.monotonic() + seconds
        while not taken or time.monotonic() < until:
            begun = time.perf_counter()
            job = await self.submit(payload)
            taken.append(1e6 * (time.perf_counter() - begun))
            assert job.answer == "cached", job.answer
        return {"results": taken}

    async def close(self) -> None:
        await self._queue.close()


if __name__ == "__main__":
    run(work, Client)
