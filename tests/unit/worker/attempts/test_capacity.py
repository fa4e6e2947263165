from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asman_shared.definition import Shape
from asman_shared.errors import BadRequest, ExecutionError
from asman_worker.attempts.capacity import Capacity
from asman_worker.execution.gpus import choose, discover


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


def machine(root: Path) -> dict[str, str]:
    """A machine with two gpus, as its driver shows it."""
    for number, name in enumerate(("0000:01:00.0", "0000:02:00.0")):
        folder = root / "proc" / name
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            f"Model: \t\t Some\nGPU UUID: \t GPU-{number}{number}-ab\nDevice Minor: \t {number}\n"
        )
    return discover(root / "proc", root / "dev")


def test_gpus_are_discovered_from_the_driver(tmp_path: Path) -> None:
    assert machine(tmp_path) == {"0": "GPU-00-ab", "1": "GPU-11-ab"}


def test_gpus_are_discovered_from_their_devices_too(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert discover(tmp_path / "none", tmp_path) == {"0": "0", "3": "3"}


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("0", ()),
        ("", ()),
        ("1", ("GPU-00-ab",)),
        ("all", ("GPU-00-ab", "GPU-11-ab")),
        ("#1", ("GPU-11-ab",)),
        ("#1,GPU-00-ab", ("GPU-11-ab", "GPU-00-ab")),
    ],
)
def test_gpus_are_chosen_by_count_number_or_id(tmp_path: Path, wanted: str, ids: tuple[str, ...]) -> None:
    assert choose(wanted, machine(tmp_path)) == ids


@pytest.mark.parametrize("wanted", ["3", "#7", "GPU-x", "-1", "some"])
def test_a_gpu_that_is_not_here_is_not_promised(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(BadRequest):
        choose(wanted, machine(tmp_path))
