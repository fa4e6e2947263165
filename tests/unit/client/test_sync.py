"""The synchronous client."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

import asman.sync
from asman_shared import messages as m
from asman_shared.definition import DataRef
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


async def test_an_output_and_the_json_form_of_a_ref_are_inputs_without_await_too(hub: FakeHub) -> None:
    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            job = queue.submit(command="x")
            result = job.result()
            address = {"type": "url", "value": "https://files.example/a"}
            queue.submit(command="y", inputs={"n": result.outputs["out"], "address": address})
            values: list[object] = [job, result, result.outputs]
            for value in values:
                with pytest.raises(asman.BadDefinition, match=r'result\.outputs\["name"\]'):
                    queue.submit(command="y", inputs={"n": value})

    async def play() -> None:
        await hub.saw(m.Submit)
        job = next(iter(hub.jobs))
        hub.output(job, "out", b"x" * 10_000)
        hub.finish(job, 0)

    await asyncio.gather(elsewhere(work), play())
    assert hub.all_of(m.Submit)[-1].definition.inputs == {
        "n": DataRef(hashlib.sha256(b"x" * 10_000).hexdigest(), "key"),
        "address": DataRef("https://files.example/a", "url"),
    }
    assert hub.all_of(m.GetBlobs) == []


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


async def test_after_the_end_every_call_says_that_the_queue_was_closed(hub: FakeHub) -> None:
    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            job = queue.submit(command="x")
            queue.open()  # as a notebook may do
            changes = queue.changes()
            next(iter(changes))
        calls: list[Callable[[], object]] = [
            lambda: queue.submit(command="x"),
            lambda: list(queue.jobs()),
            lambda: list(queue.submit_many([{"command": "x"}])),
            lambda: list(changes),
            lambda: list(job.logs()),
            queue.workers,
            queue.open,
            queue.configure,
            job.wait,
            job.result,
            job.cancel,
        ]
        for call in calls:
            with pytest.raises(asman.ConnectionFailed, match="this queue was closed"):
                call()
        queue.close()
        assert (job.id, queue.url) == (job.id, hub.url)

    await elsewhere(work)
    gc.collect()  # a coroutine that nobody awaits would be told here
    assert threads() == []


async def test_a_call_that_waits_while_its_queue_is_closed_ends_with_that(hub: FakeHub) -> None:
    def work() -> None:
        with asman.sync.connect(hub.url) as queue, ThreadPoolExecutor(1) as pool:
            job = queue.submit(command="x")
            waits = pool.submit(lambda: list(job.changes()))
            queue.close()
            with pytest.raises(asman.ConnectionFailed, match="this queue was closed"):
                waits.result()

    await elsewhere(work)
    assert threads() == []


def test_a_queue_in_the_wrong_kind_of_with_names_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"asman\.sync\.connect"), asman.connect("http://hub.example/q/abc"):
        pass


def test_the_executor_is_found_beside_the_rest_that_needs_no_await() -> None:
    assert asman.sync.Executor is asman.Executor
    with pytest.raises(AttributeError, match="no attribute 'Executer'"):
        _ = asman.sync.Executer
