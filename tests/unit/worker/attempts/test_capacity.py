from __future__ import annotations

import asyncio

import pytest

from asman_shared.definition import Shape
from asman_shared.errors import ExecutionError
from asman_worker.attempts.capacity import Capacity


async def test_a_gpu_belongs_to_one_job_at_a_time() -> None:
    capacity = Capacity(4000, 0, ["g0", "g1", "g2"])
    first = await capacity.take(Shape(gpus=2))
    second = asyncio.create_task(capacity.take(Shape(gpus=2)))
    await asyncio.sleep(0)
    assert first.gpus == ("g0", "g1")
    assert not second.done()
    capacity.give_back(first)
    assert set((await second).gpus) == {"g2", "g0"}


async def test_queues_together_never_get_more_than_there_is_and_nobody_is_overtaken() -> None:
    capacity = Capacity(2000, 100, shared=True)
    held = await capacity.take(Shape(cpus=1000, memory=60))
    large = asyncio.create_task(capacity.take(Shape(cpus=1000, memory=50)))
    small = asyncio.create_task(capacity.take(Shape(cpus=500, memory=10)))
    await asyncio.sleep(0)
    assert (large.done(), small.done(), capacity.waiting) == (False, False, 2)
    capacity.give_back(held)
    await asyncio.gather(large, small)
    assert capacity.free == (500, 40, 0)


async def test_who_stops_waiting_makes_way() -> None:
    capacity = Capacity(1000, 0, shared=True)
    held = await capacity.take(Shape(cpus=600))
    large = asyncio.create_task(capacity.take(Shape(cpus=1000)))
    small = asyncio.create_task(capacity.take(Shape(cpus=400)))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.wait((large,))
    await small
    capacity.give_back(held)
    assert capacity.free == (600, 0, 0)


async def test_what_will_never_fit_does_not_wait_for_ever() -> None:
    with pytest.raises(ExecutionError, match="more than this worker has"):
        await Capacity(1000, 0, shared=True).take(Shape(cpus=2000))
    with pytest.raises(ExecutionError, match="more than this worker has"):
        await Capacity(1000, 0).take(Shape(gpus=1))


async def test_what_went_on_through_a_restart_keeps_its_gpus() -> None:
    capacity = Capacity(1000, 0, ["g0", "g1"])
    capacity.retake(Shape(gpus=1), ["g1"])
    assert (await capacity.take(Shape(gpus=1))).gpus == ("g0",)
