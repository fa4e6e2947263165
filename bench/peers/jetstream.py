"""NATS JetStream: jobs in a work-queue stream, results in a second stream that the client is pushed."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, run

JOBS, RESULTS = "JOBS", "RESULTS"
KEPT = 3600.0
"""Seconds that results are kept."""
PENDING = 1_000_000
"""Messages and bytes that a subscription may hold: it must not drop any."""


async def _streams(stream: Any) -> None:
    file = StorageType.FILE
    await stream.add_stream(
        StreamConfig(name=JOBS, subjects=["jobs.>"], storage=file, retention=RetentionPolicy.WORK_QUEUE)
    )
    await stream.add_stream(StreamConfig(name=RESULTS, subjects=["results.>"], storage=file, max_age=KEPT))


class Client(AsyncClient):
    """NATS JetStream: jobs in a work-queue stream, results in a second stream that the client is pushed."""

    submitting = 1000

    async def open(self, address: str) -> None:
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._connection = await nats.connect(address)
        self._stream = self._connection.jetstream()
        await _streams(self._stream)
        await self._stream.subscribe(
            "results.>",
            cb=self._told,
            ordered_consumer=True,
            pending_msgs_limit=PENDING,
            pending_bytes_limit=PENDING * 100,
        )

    async def _told(self, message: Any) -> None:
        future = self._waiting.pop(message.subject.partition(".")[2], None)
        if future is not None and not future.done():
            future.set_result(int(message.data))

    async def submit(self, payload: str) -> asyncio.Future[int]:
        future = self._waiting[payload] = asyncio.get_running_loop().create_future()
        await self._stream.publish(f"jobs.{payload}", b"", timeout=60)
        return future

    async def result(self, handle: asyncio.Future[int]) -> int:
        return await handle

    async def close(self) -> None:
        await self._connection.close()


async def work(address: str) -> None:
    connection = await nats.connect(address)
    stream = connection.jetstream()
    await _streams(stream)
    busy: set[asyncio.Task[None]] = set()

    async def do(message: Any) -> None:
        payload = message.subject.partition(".")[2]
        stored = b"%d" % job.began(payload)
        try:
            await stream.publish(f"results.{payload}", stored, timeout=60)
        except NatsTimeout:
            return  # not acknowledged, so it comes again
        await message.ack()

    async def take(message: Any) -> None:
        task = asyncio.create_task(do(message))
        busy.add(task)
        task.add_done_callback(busy.discard)

    await stream.subscribe(
        "jobs.>",
        queue="workers",
        cb=take,
        manual_ack=True,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=CONCURRENT),
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(work, Client)
