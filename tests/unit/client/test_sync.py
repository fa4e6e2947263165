"""The synchronous client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

import asman.sync
from asman_shared import messages as m
from asman_shared.states import State

from .fake_hub import FakeHub

T = TypeVar("T")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "asman"]


async def elsewhere(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


async def test_a_job_without_await(hub: FakeHub, tmp_path: Path) -> None:
    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            job = queue.submit(command="x")
            assert (job.answer, job.able, job.state.state) == ("queued", 1, State.QUEUED)
            assert [line.text for line in job.logs()] == ["a", "b"]
            assert job.wait().ok
            assert job.verdict is not None
            result = job.result()
            assert (result.ok, result.exit_code, list(result.outputs)) == (True, 0, ["out.json"])
            assert result.outputs["out.json"].json() == {"x": 1}
            assert result.save_outputs(tmp_path) == [tmp_path / "out.json"]
            assert queue.get(job.id).verdict is not None
            assert [each.id for each in queue.jobs()] == [job.id]
            assert queue.workers() == []
            assert queue.url == hub.url
            assert job.url.endswith(job.id)

    async def play() -> None:
        (submitted,) = await hub.saw(m.Submit)
        assert submitted.definition.command == "x"
        job = next(iter(hub.jobs))
        await hub.saw(m.Follow)
        hub.log(job, "a", "b")
        hub.output(job, "out.json", b'{"x": 1}')
        hub.finish(job, 0)

    await asyncio.gather(elsewhere(work), play())
    assert threads() == []


async def test_errors_come_through_and_nothing_is_left(hub: FakeHub) -> None:
    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            job = queue.submit(command="x")
            with pytest.raises(asman.TimedOut):
                job.wait(0.01)
            for change in queue.changes():
                if isinstance(change, m.JobState):
                    break
            assert job.cancel()
            with pytest.raises(asman.JobFailed):
                job.result()
            with pytest.raises(asman.BadRequest):
                queue.submit(command="x", memory="2")

    await elsewhere(work)
    await hub.stop()
    with pytest.raises(asman.ConnectionFailed):
        await elsewhere(lambda: asman.sync.connect(hub.url))
    assert threads() == []
