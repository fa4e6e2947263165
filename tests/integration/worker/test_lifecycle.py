"""What a worker keeps through lost connections, its own death and its neighbours."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import VOLUMES_TAG
from asman_shared.messages import (
    STDOUT,
    Acknowledged,
    Drain,
    Finished,
    Kept,
    LogBatch,
    PhaseReport,
    Register,
    Released,
)
from asman_shared.states import Phase
from asman_worker import run_worker
from asman_worker.oci.cgroups import PARENT, Layout
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE

from .conftest import config_for, first_line, means_of, worker

_PROGRAM = """
import asyncio, json, sys
from asman_worker import load_config, run_worker
sys.exit(asyncio.run(run_worker(load_config(**json.loads(sys.argv[1])))))
"""
_ROOMS = os.pathsep.join(path for path in sys.path if path)


@pytest.fixture(params=["docker", "oci"])
def means(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of executors; `oci.test_ordinary_users` has the lives of workers of ordinary users."""
    return means_of(request.param, request)


@asynccontextmanager
async def worker_process(hub: FakeHub, data: Path, **more: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own."""
    usual = {"queue": hub.url, "data_dir": str(data), "network": "none", "local_images": "asman-test/*"}
    flags = json.dumps({**usual, **more})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, flags, env={**os.environ, "PYTHONPATH": _ROOMS}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def containers(incarnation: str) -> list[str]:
    """The containers of one worker, those of the engine and those without one."""
    found = subprocess.run(
        ["docker", "ps", "-aq", "--no-trunc", "--filter", f"label=asman.worker={incarnation}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.split() + list(Layout.find().members(f"/{PARENT}/{incarnation[:16]}"))


def end_containers(incarnation: str) -> None:
    """Ends what a worker left running."""
    for container in containers(incarnation):
        if container.startswith("asman-"):
            Layout.find().clear(f"/{PARENT}/{incarnation[:16]}/{container}")
        else:
            subprocess.run(["docker", "rm", "-f", container], check=True, capture_output=True)


async def running(line: Line, name: str) -> PhaseReport:
    return await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING and m.job == job(name))


async def says(line: Line, name: str, text: str) -> None:
    await line.expect(LogBatch, lambda m: m.job == job(name) and any(each.text == text for each in m.lines))


async def gone(incarnation: str, folder: Path) -> None:
    """Waits until a worker's containers and job folders are gone."""
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(containers, incarnation) or any(folder.iterdir()):
            await asyncio.sleep(0.05)


async def test_nothing_is_left_behind_by_a_job(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=busybox_image, command="mkdir -p /outputs/d && chmod 0 /outputs/d /outputs")
        await line.acknowledge(await line.expect(Finished))
        await gone(line.register.incarnation, tmp_path / "jobs")


async def test_a_lost_connection_does_not_touch_the_job(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign(
            "a",
            image=busybox_image,
            command="echo one; until [ -e /job-cache/go ]; do sleep 0.05; done; echo two",
            log_next=7,
        )
        await says(line, "a", "one")
        line.cut()
        again = await first_line(hub, task)
        assert [(held.job, held.attempt, held.done) for held in again.register.holding] == [(job("a"), 1, False)]
        await again.answer([Kept(job("a"), 1, 7)])
        await running(again, "a")
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        finished = await again.expect(Finished)
        assert [(each.seq, each.text) for each in again.lines("a")] == [(7, "one"), (8, "two")]
        assert finished.outcome.lines == 9


async def test_what_the_hub_does_not_keep_is_killed_and_released(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=busybox_image, command="sleep 1000")
        await running(line, "a")
        line.cut()
        again = await first_line(hub, task)
        await again.answer([])
        await again.expect(Released)
        await gone(again.register.incarnation, tmp_path / "jobs")


async def test_a_result_is_said_again_until_it_is_acknowledged(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=busybox_image, command="echo x")
        first = await line.expect(Finished)
        await hub.stop()
        await hub.start()
        again = await first_line(hub, task)
        assert [held.done for held in again.register.holding] == [True]
        await again.answer([Kept(job("a"), 1, 0)])
        second = await again.expect(Finished)
        assert second == first
        assert again.texts("a") == ["x"]
        await again.send(Acknowledged(job("a"), 1))
        again.cut()
        assert (await first_line(hub, task)).register.holding == []


async def test_a_worker_that_is_killed_finds_its_container_again_and_no_line_is_lost_or_doubled(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    command = (
        "seq 1 1000; until [ -e /job-cache/go ]; do sleep 0.05; done; seq 1001 2000; echo out > /outputs/o; exit 4"
    )
    async with worker_process(hub, tmp_path, **means) as process:
        line = await hub.line()
        await line.answer()
        await line.assign("a", image=busybox_image, command=command, log_next=5)
        await says(line, "a", "1000")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    before = line.lines("a")
    held = containers(line.register.incarnation)
    assert len(held) == 1
    async with worker_process(hub, tmp_path, **means):
        again = await hub.line()
        assert again.register.incarnation == line.register.incarnation
        assert [(held.job, held.attempt, held.done) for held in again.register.holding] == [(job("a"), 1, False)]
        await again.answer([Kept(job("a"), 1, before[-1].seq + 1)])
        await running(again, "a")
        assert containers(line.register.incarnation) == held
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        finished = await again.expect(Finished)
        lines = before + again.lines("a")
        assert [each.text for each in lines] == [str(number) for number in range(1, 2001)]
        assert [each.seq for each in lines] == list(range(5, 2005))
        assert (finished.outcome.exit_code, finished.outcome.lines) == (4, 2005)
        assert hub.output(finished, "o") == b"out\n"
        await again.acknowledge(finished)
        await gone(line.register.incarnation, tmp_path / "jobs")


async def test_a_worker_that_is_killed_with_ten_containers_finds_all_of_them_again(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    names = [f"ten-{number}" for number in range(10)]
    command = "echo $NUMBER begins; echo up; until [ -e /job-cache/go ]; do sleep 0.1; done; echo $NUMBER; exit $NUMBER"
    async with worker_process(hub, tmp_path, cpus=10, **means) as process:
        line = await hub.line()
        await line.answer()
        for number, name in enumerate(names):
            await line.assign(name, image=busybox_image, command=["sh", "-c", command], env={"NUMBER": str(number)})
        for name in names:
            await says(line, name, "up")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert len(containers(line.register.incarnation)) == 10
    next((tmp_path / "cache").iterdir()).joinpath("go").touch()
    async with worker_process(hub, tmp_path, cpus=10, **means):
        again = await hub.line()
        assert {held.job for held in again.register.holding} == {job(name) for name in names}
        await again.answer([Kept(job(name), 1, 2) for name in names])
        for number, name in enumerate(names):
            finished = await again.expect(Finished, lambda m, name=name: m.job == job(name))  # type: ignore[misc]
            assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", number)
            assert (finished.outcome.lines, again.texts(name)[-1]) == (3, str(number))
            await again.acknowledge(finished)
        await gone(line.register.incarnation, tmp_path / "jobs")


async def test_a_result_survives_the_workers_death(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker_process(hub, tmp_path, **means) as process:
        line = await hub.line()
        await line.answer()
        await line.assign("a", image=busybox_image, command="exit 6")
        first = await line.expect(Finished)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with worker_process(hub, tmp_path, **means):
        again = await hub.line()
        assert [(held.job, held.done) for held in again.register.holding] == [(job("a"), True)]
        await again.answer([Kept(job("a"), 1)])
        assert await again.expect(Finished) == first


async def test_two_workers_on_one_host_never_share_and_never_touch_each_other(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker_process(hub, tmp_path, **means) as first_process:
        first = await hub.line()
        await first.answer()
        await first.assign("a", image=busybox_image, command="sleep 1000")
        await running(first, "a")
        async with worker_process(hub, tmp_path, **means):
            second = await hub.line()
            assert second.register.incarnation != first.register.incarnation
            assert second.register.holding == []
            await second.answer()
            await second.assign("a", 2, image=busybox_image, command="sleep 1000")
            await running(second, "a")
            assert len(containers(first.register.incarnation)) == len(containers(second.register.incarnation)) == 1
            first_process.send_signal(signal.SIGKILL)
            await first_process.wait()
            async with worker_process(hub, tmp_path, **means):
                third = await hub.line()
                assert third.register.incarnation == first.register.incarnation
                await third.answer([])
                await third.expect(Released)
                assert len(containers(second.register.incarnation)) == 1
        for incarnation in (first.register.incarnation, second.register.incarnation):
            end_containers(incarnation)


async def test_sigterm_drains_and_the_last_result_is_acknowledged_before_the_exit(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker_process(hub, tmp_path, **means) as process:
        line = await hub.line()
        await line.answer()
        await line.assign(
            "a", image=busybox_image, command="until [ -e /job-cache/go ]; do sleep 0.05; done; echo done"
        )
        await running(line, "a")
        process.send_signal(signal.SIGTERM)
        await line.expect(Drain)
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        finished = await line.expect(Finished)
        assert line.texts("a", STDOUT) == ["done"]
        await line.acknowledge(finished)
        assert await process.wait() == 0
        await gone(line.register.incarnation, tmp_path / "jobs")


async def test_a_second_sigterm_stops_at_once_and_leaves_no_container_alone(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker_process(hub, tmp_path, **means) as process:
        line = await hub.line()
        await line.answer()
        await line.assign("a", image=busybox_image, command="sleep 1000")
        await running(line, "a")
        process.send_signal(signal.SIGTERM)
        await line.expect(Drain)
        process.send_signal(signal.SIGTERM)
        await line.expect(Released)
        assert await process.wait() == 1
        await gone(line.register.incarnation, tmp_path / "jobs")


async def test_a_drain_that_takes_too_long_ends(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(run_worker(config_for(hub, tmp_path, drain_timeout="200ms", **means), stop=stop))
    line = await first_line(hub, task)
    await line.answer()
    await line.assign("a", image=busybox_image, command="sleep 1000")
    await running(line, "a")
    stop.set()
    await line.expect(Released)
    assert await task == 1


async def test_the_first_message_of_each_connection_says_what_is_held(
    hub: FakeHub, tmp_path: Path, engine: object
) -> None:
    async with worker(config_for(hub, tmp_path, cpus=3.5, memory="2GiB", tags="a,b", max_duration="20m")) as task:
        line = await first_line(hub, task)
        said = line.messages
        assert [type(message) for message in said] == [Register]
        register = line.register
        assert (register.cpus, register.memory, register.tags, register.max_duration) == (
            3.5,
            2**31,
            ["a", "b", VOLUMES_TAG],
            1_200_000,
        )
        assert register.platform.startswith("linux/")


async def test_without_an_engine_the_worker_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    config = config_for(hub, tmp_path, docker=f"unix://{tmp_path}/no.sock")
    with pytest.raises(Exception, match="start it, or start it again if it hangs, name another with --docker"):
        await run_worker(config, stop=asyncio.Event())
