"""taskiq: jobs in a stream of Redis that are acknowledged when done, results as keys that the client polls."""

from __future__ import annotations

import asyncio
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, run

POLL = 0.002
"""Seconds between the client's looks; 0.2 by default."""
KEPT = 3600
"""Seconds that results are kept: they have to end, or Redis fills."""


async def began(payload: str) -> int:
    return job.began(payload)


def _broker(address: str) -> tuple[Any, Any]:
    results = RedisAsyncResultBackend(address, result_ex_time=KEPT)
    broker = RedisStreamBroker(address, xread_count=CONCURRENT).with_result_backend(results)
    return broker, broker.register_task(began, task_name="began")


class Client(AsyncClient):
    """taskiq: jobs in a stream of Redis that are acknowledged when done, results as keys that the client polls."""

    waiting = 10  # each polls

    async def open(self, address: str) -> None:
        self._broker, self._task = _broker(address)
        await self._broker.startup()

    async def submit(self, payload: str) -> Any:
        return await self._task.kiq(payload)

    async def result(self, handle: Any) -> int:
        return int((await handle.wait_result(check_interval=POLL)).return_value)

    async def close(self) -> None:
        await self._broker.shutdown()


async def work(address: str) -> None:
    broker, _ = _broker(address)
    broker.is_worker_process = True
    await run_receiver_task(broker, max_async_tasks=CONCURRENT, max_prefetch=CONCURRENT, run_startup=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(work, Client)
