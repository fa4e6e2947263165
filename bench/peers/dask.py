"""Dask distributed: tasks in the scheduler's memory, results in the worker's, told to the client as they are done."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from distributed import Client as DaskClient
from distributed import Scheduler, Worker

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, run


class Client(AsyncClient):
    """Dask distributed: tasks in the scheduler's memory, results in the worker's, pushed to the client."""

    async def open(self, address: str) -> None:
        self._client = await DaskClient(address, asynchronous=True, set_as_default=False)
        await self._client.wait_for_workers(1)

    async def submit(self, payload: str) -> Any:
        return self._client.submit(job.began, payload, pure=False)

    async def result(self, handle: Any) -> int:
        return int(await handle)

    async def many(self, wanted: list[str]) -> None:
        """A map is sent as one graph, and results are gathered together."""
        await self._client.gather(self._client.map(job.began, wanted, pure=False))

    async def close(self) -> None:
        await self._client.close()


async def serve(address: str) -> None:
    """The scheduler, in a process of its own as in a cluster."""
    at = urlsplit(address)
    async with Scheduler(host=at.hostname, port=at.port, dashboard=False) as scheduler:
        await scheduler.finished()


async def work(address: str) -> None:
    async with Worker(address, nthreads=CONCURRENT, dashboard=False) as worker:
        await worker.finished()


if __name__ == "__main__":
    run(work, Client, serve)
