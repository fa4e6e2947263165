"""Thousands of jobs from one script, while the hub is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asman
from devtools.asman_processes import HubProcess
from tests.support.ready_worker import ready_worker

JOBS = 3000


def items() -> Iterator[dict[str, Any]]:
    return ({"image": "alpine", "command": ["echo", str(i)]} for i in range(JOBS))


async def test_a_killed_hub_ends_no_stream_and_every_job_is_there_once(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with asman.connect(hub.queue("many")) as queue:
        given: list[str] = []
        async for job in queue.submit_many(items(), window=200, follow=False):
            given.append(job.id)
            if len(given) == 1000:
                await asyncio.to_thread(hub.restart)
        assert len(given) == JOBS
        assert sorted([job.id async for job in queue.jobs()]) == sorted(given)


async def test_jobs_that_run_while_the_hub_is_killed_all_finish(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process, "--grace", "1s")
    seen: set[str] = set()
    async with asman.connect(hub.queue("many")) as queue:
        jobs = queue.run_many(items(), window=300)
        async with ready_worker(hub.queue("many")):
            async for job in jobs:
                seen.add(job.id)
                if len(seen) == 1000:
                    break
            await asyncio.to_thread(hub.restart)
        async with ready_worker(hub.queue("many")):
            async for job in jobs:
                assert job.id not in seen
                assert job.verdict is not None
                assert job.verdict.ok
                seen.add(job.id)
    assert len(seen) == JOBS
