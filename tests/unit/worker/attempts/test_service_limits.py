"""Tests of the limits of a worker's service: number of jobs, and time without any."""

from __future__ import annotations

import asyncio

from asman_worker.attempts.service_limits import ServiceLimits
from devtools.patience import PATIENCE


async def test_the_last_allowed_job_drains_the_worker_and_no_more_begin() -> None:
    drain = asyncio.Event()
    limits = ServiceLimits(drain, max_jobs=2)
    assert limits.take()
    assert not drain.is_set()
    assert limits.take()
    assert drain.is_set()
    assert not limits.take()
    assert (limits.begun, limits.held) == (2, 2)


async def test_a_job_that_survived_a_restart_does_not_count_as_begun() -> None:
    limits = ServiceLimits(asyncio.Event(), max_jobs=1)
    limits.hold()
    assert (limits.begun, limits.held) == (0, 1)
    assert limits.take()


async def test_idle_time_drains_the_worker() -> None:
    drain = asyncio.Event()
    ServiceLimits(drain, idle=0.01).start()
    async with asyncio.timeout(PATIENCE):
        await drain.wait()


async def test_idle_time_begins_when_the_last_job_is_let_go() -> None:
    drain = asyncio.Event()
    limits = ServiceLimits(drain, idle=0.01)
    limits.start()
    assert limits.take()
    await asyncio.sleep(0.05)
    assert not drain.is_set()
    limits.let_go()
    async with asyncio.timeout(PATIENCE):
        await drain.wait()
