"""procrastinate: jobs as rows of Postgres; it keeps no return values, so a client polls for the end of a job."""

from __future__ import annotations

import asyncio
from typing import Any

from procrastinate import App, PsycopgConnector

from bench.peers import job
from bench.peers.orders import CONCURRENT, AsyncClient, run

POLL = 0.005
"""Seconds between the client's looks, one for all that it waits for."""
IN_STATEMENT = 500
"""Jobs that one statement defers."""
DONE = """
SELECT job.id AS id, (extract(epoch FROM event.at) * 1000000000)::bigint AS began
FROM procrastinate_jobs job JOIN procrastinate_events event ON event.job_id = job.id AND event.type = 'started'
WHERE job.id = ANY(%(ids)s) AND job.status = 'succeeded'
"""
LEFT = "SELECT count(*) AS left FROM procrastinate_jobs WHERE id >= %(first)s AND status <> 'succeeded'"


async def began(payload: str) -> None:
    job.began(payload)


def _app(address: str) -> tuple[Any, Any]:
    app = App(connector=PsycopgConnector(conninfo=address, min_size=4, max_size=20))
    return app, app.task(began, name="began")


class Client(AsyncClient):
    """procrastinate: jobs as rows of Postgres; it keeps no return values, so a client polls for the end of a job."""

    async def open(self, address: str) -> None:
        self._app, self._task = _app(address)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._looking: asyncio.Task[None] | None = None
        await self._app.open_async()

    async def submit(self, payload: str) -> int:
        return int(await self._task.defer_async(payload=payload))

    async def result(self, handle: int) -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[handle] = future
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await future

    async def _look(self) -> None:
        while self._waiting:
            for row in await self._app.connector.execute_query_all_async(DONE, ids=list(self._waiting)):
                self._waiting.pop(row["id"]).set_result(row["began"])
            await asyncio.sleep(POLL)

    async def many(self, wanted: list[str]) -> None:
        """Many in a statement; then counts what is left, which is cheaper than to name them."""
        first = 0
        for at in range(0, len(wanted), IN_STATEMENT):
            some = [{"payload": payload} for payload in wanted[at : at + IN_STATEMENT]]
            ids = await self._task.batch_defer_async(*some)
            first = first or min(ids)
        while (await self._app.connector.execute_query_one_async(LEFT, first=first))["left"]:  # noqa: ASYNC110  # Postgres has no event for it
            await asyncio.sleep(POLL)

    async def close(self) -> None:
        await self._app.close_async()


async def work(address: str) -> None:
    app, _ = _app(address)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENT, install_signal_handlers=False)


async def prepare(address: str) -> None:
    """Makes its tables."""
    app, _ = _app(address)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


if __name__ == "__main__":
    run(work, Client, prepare)
