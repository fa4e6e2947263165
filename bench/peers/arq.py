"""arq: jobs in a sorted set of Redis, an asyncio worker that polls."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, run

POLL = 0.005
"""Seconds between looks, of the worker and of the client; half a second by default, which no user would keep who
cares for latency."""


async def began(context: dict[str, Any], payload: str) -> int:
    """arq hands each job its context."""
    return job.began(payload)


class Client(AsyncClient):
    """arq: jobs in a sorted set of Redis, an asyncio worker that polls."""

    waiting = 10  # each polls

    async def open(self, address: str) -> None:
        self._pool = await create_pool(RedisSettings.from_dsn(address))

    async def submit(self, payload: str) -> Any:
        return await self._pool.enqueue_job("began", payload)

    async def result(self, handle: Any) -> int:
        return int(await handle.result(poll_delay=POLL))

    async def close(self) -> None:
        await self._pool.aclose()


async def work(address: str) -> None:
    worker = Worker(
        [func(began, name="began")],
        redis_settings=RedisSettings.from_dsn(address),
        max_jobs=CONCURRENT,
        poll_delay=POLL,
        handle_signals=False,
    )
    await worker.async_run()


if __name__ == "__main__":
    run(work, Client)
