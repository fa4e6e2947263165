"""A worker's health and figures: what is wrong is said, and no queue is named."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from asman_shared.definition import Shape
from asman_shared.errors import BadRequest, Unavailable
from asman_shared.running.supervisor import Supervisor
from asman_worker.attempts.capacity import Capacity
from asman_worker.attempts.disk_reserve import DiskReserve
from asman_worker.attempts.service_limits import ServiceLimits
from asman_worker.status import Status, _place, serving


def side(*, connected: bool = True, draining: bool = False) -> Any:
    agent = SimpleNamespace(connected=connected, draining=draining)
    return SimpleNamespace(label="q-12345678 on hub", short="q-12345678", agent=agent)


def watching() -> Supervisor:
    return Supervisor(logging.getLogger("asman.worker"), "worker")


class Scene:
    def __init__(self, tmp_path: Path, *sides: Any, reserve: int = 0) -> None:
        self.up = True
        self.capacity = Capacity(4000, 1000, ["GPU-1"])
        self.limits = ServiceLimits(asyncio.Event())
        self.supervisor = watching()
        reserved = DiskReserve(tmp_path, reserve)
        self.status = Status(sides, self.capacity, self.limits, reserved, self.supervisor, self.engine)

    async def engine(self) -> bool:
        return self.up


def figures(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_a_worker_that_works_has_no_problems(tmp_path: Path) -> None:
    assert await Scene(tmp_path, side()).status.problems() == []


async def test_every_problem_is_listed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, side(), side(connected=False), reserve=2**62)
    scene.up = False
    hub, engine, disk = await scene.status.problems()
    assert hub == "q-12345678 on hub: no connection to its hub"
    assert engine == "the container engine does not answer"
    assert disk.startswith("no new jobs are taken: ")


async def test_a_task_of_the_worker_that_has_ended_is_a_problem(tmp_path: Path) -> None:
    scene = Scene(tmp_path, side())
    await scene.supervisor.start("janitor", asyncio.sleep(0))
    assert await scene.status.problems() == ["the task 'janitor' has ended; the worker must be started again"]


async def test_figures_are_those_of_now(tmp_path: Path) -> None:
    scene = Scene(tmp_path, side(), side(connected=False, draining=True))
    await scene.capacity.take(Shape(cpus=1500, memory=400, gpus=1))
    assert scene.limits.take()
    found = figures(await scene.status.metrics())
    assert found["asman_worker_free_cpus"] == "2.5"
    assert (found["asman_worker_free_memory_bytes"], found["asman_worker_free_gpus"]) == ("600", "0")
    assert (found["asman_worker_jobs"], found["asman_worker_jobs_begun_total"]) == ("1", "1")
    assert (found["asman_worker_engine_up"], found["asman_worker_waiting"]) == ("1", "0")


async def test_without_an_engine_none_is_missed(tmp_path: Path) -> None:
    limits = ServiceLimits(asyncio.Event())
    status = Status([], Capacity(1, 1), limits, DiskReserve(tmp_path, 0), watching())
    assert await status.problems() == []
    assert figures(await status.metrics())["asman_worker_engine_up"] == "1"


async def test_health_and_figures_are_read_over_http(tmp_path: Path) -> None:
    scene = Scene(tmp_path, side())
    async with serving(scene.status, "0") as port, aiohttp.ClientSession() as http:
        for up, status in ((True, 200), (False, 503)):
            scene.up = up
            async with http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == status
                assert (await answer.json())["ok"] is up
        async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert 'asman_worker_connected{queue="q-12345678"} 1' in await answer.text()


async def test_a_worker_that_ends_says_so_and_what_it_still_has(tmp_path: Path) -> None:
    scene = Scene(tmp_path, side(draining=True), side(draining=True))
    assert scene.limits.take()
    async with (
        serving(scene.status, "0") as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        said = await answer.json()
    assert said["ok"] is True
    assert said["notes"] == ["no new jobs are taken: this worker is ending, and has 1 job left"]
    assert Scene(tmp_path, side(), side(draining=True)).status.ending() == ""


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with serving(scene.status, "127.0.0.1:0") as port:
        with pytest.raises(Unavailable, match=f"the status port {port} can't be used"):
            async with serving(scene.status, str(port)):
                pytest.fail("it was taken twice")


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("9000", ("127.0.0.1", 9000)),
        (":9000", ("127.0.0.1", 9000)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_a_place_is_a_port_of_this_machine_or_an_address_and_a_port(where: str, place: tuple[str, int]) -> None:
    assert _place(where) == place


@pytest.mark.parametrize("where", ["", "host", "host:", "host:65536", "host:-1", "a:b"])
def test_what_is_no_place_is_refused(where: str) -> None:
    with pytest.raises(BadRequest) as caught:
        _place(where)
    assert caught.value.field == "status"
