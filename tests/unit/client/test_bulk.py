"""Thousands of jobs through a window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import asman
import asman.sync
from asman.bulk import HOP_ITEMS, MAX_WINDOW, from_thread, stream
from asman.definitions import SUBMIT_FIELDS
from asman_shared import messages as m
from asman_shared.errors import BadDefinition, BadRequest, Overloaded
from asman_shared.states import State

from .fake_hub import FakeHub, Visitor


def numbers(count: int) -> Iterator[dict[str, Any]]:
    return ({"command": ["echo", str(i)]} for i in range(count))


def command(job: asman.Job) -> str:
    assert job.definition.command is not None
    return job.definition.command[1]


async def test_many_jobs_are_given_in_their_order(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        jobs = [job async for job in queue.submit_many(numbers(3000), image="alpine")]
    assert [command(job) for job in jobs] == [str(i) for i in range(3000)]
    assert len(hub.jobs) == 3000
    assert {kept.definition.image for kept in hub.jobs.values()} == {"alpine"}


async def test_no_more_than_the_window_are_without_an_answer(hub: FakeHub) -> None:
    held: list[tuple[Visitor, m.Submit]] = []
    hub.on[m.Submit] = lambda visitor, message: held.append((visitor, message))
    read: list[int] = []

    def source() -> Iterator[dict[str, Any]]:
        for i in range(50):
            read.append(i)
            yield {"command": ["echo", str(i)]}

    async with asman.connect(hub.url) as queue:
        jobs = queue.submit_many(source(), window=7)
        first = asyncio.ensure_future(anext(jobs))
        await hub.saw(m.Submit, 7)
        assert len(read) == 7
        hub.on.clear()
        for visitor, message in held:
            hub._submit(visitor, message)
        await first
        assert len([job async for job in jobs]) == 49
    assert len(hub.all_of(m.Submit)) == 50


async def test_a_killed_hub_is_waited_for_and_nothing_is_run_twice(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        given = 0
        async for _ in queue.submit_many(numbers(2000), window=100):
            given += 1
            if given == 500:
                await hub.restart()
    assert given == 2000
    assert sum(kept.runs for kept in hub.jobs.values()) == len(hub.jobs) == 2000


async def test_an_overloaded_hub_slows_the_stream_and_does_not_end_it(hub: FakeHub) -> None:
    refused = 0

    def busy(visitor: Visitor, message: m.Submit) -> None:
        nonlocal refused
        refused += 1
        visitor.say(m.Error.of(Overloaded("too many wait"), message.ref))
        if refused == 3:
            hub.on.clear()

    hub.on[m.Submit] = busy
    async with asman.connect(hub.url) as queue:
        assert len([job async for job in queue.submit_many(numbers(10), window=5)]) == 10
    assert len(hub.jobs) == 10


async def test_a_bad_item_ends_the_stream_after_those_before_it_and_says_which(hub: FakeHub) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from numbers(5)
        yield {"command": ["x"], "memory": "2"}
        yield from numbers(5)

    given = []
    async with asman.connect(hub.url) as queue:
        with pytest.raises(asman.BadUnit) as caught:
            async for job in queue.submit_many(source()):
                given.append(command(job))
    assert given == ["0", "1", "2", "3", "4"]
    assert caught.value.__notes__ == ["at item 5 (the first is item 0)"]


async def test_a_word_that_no_job_has_is_refused(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        with pytest.raises(BadRequest, match="'imge'"):
            [job async for job in queue.submit_many([{"imge": "alpine"}])]
    assert {"image", "priority", "definition"} <= SUBMIT_FIELDS


async def test_definitions_and_asynchronous_sources(hub: FakeHub) -> None:
    async def source() -> AsyncIterator[asman.Definition]:
        for i in range(3):
            await asyncio.sleep(0)
            yield asman.Definition(command=["echo", str(i)])

    async with asman.connect(hub.url) as queue:
        assert [command(job) async for job in queue.submit_many(source(), priority=4)] == ["0", "1", "2"]
    assert {seen.priority for seen in hub.all_of(m.Submit)} == {4}


@pytest.mark.parametrize("ordered", [True, False])
async def test_jobs_are_given_as_they_finish_or_in_order(hub: FakeHub, ordered: bool) -> None:
    async with asman.connect(hub.url) as queue:
        jobs = queue.run_many(numbers(3), ordered=ordered)
        first = asyncio.ensure_future(anext(jobs))
        await hub.saw(m.Submit, 3)
        last, middle, early = reversed(list(hub.jobs))
        hub.finish(last, 1)
        if ordered:
            hub.finish(middle)
            hub.finish(early)
        found = await first
        assert found.id == (early if ordered else last)
        assert found.state.state is State.FINISHED
        if not ordered:
            hub.finish(middle)
            hub.finish(early)
        rest = [job async for job in jobs]
    assert {job.id for job in [found, *rest]} == {last, middle, early}
    assert [command(job) for job in [found, *rest]] == ["0", "1", "2"] or not ordered


@pytest.mark.parametrize("window", [0, MAX_WINDOW + 1])
async def test_a_window_has_its_bounds(window: int) -> None:
    async def start(item: int) -> int:
        return item

    with pytest.raises(BadRequest, match="window"):
        [each async for each in stream(start, [1], window=window, ordered=True)]


async def test_a_reader_that_leaves_leaves_nothing_behind() -> None:
    async def start(item: int) -> int:
        if item:
            await asyncio.Event().wait()
        return item

    jobs = stream(start, range(100), window=10, ordered=True)
    assert await anext(jobs) == 0
    await jobs.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_source_that_breaks_does_so_after_what_it_gave(ordered: bool) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("no more of the file")

    async def start(item: int) -> int:
        await asyncio.sleep(0)
        return item

    found = []
    with pytest.raises(OSError, match="no more"):
        async for each in stream(start, source(), window=5, ordered=ordered):
            found.append(each)
    assert sorted(found) == [1, 2]


async def test_a_source_in_a_thread_gives_all_and_its_error() -> None:
    def source() -> Iterator[int]:
        yield from range(HOP_ITEMS * 2 + 1)
        raise BadDefinition("no more")

    found = []
    with pytest.raises(BadDefinition):
        async for each in from_thread(source()):
            found.append(each)
    assert found == list(range(HOP_ITEMS * 2 + 1))
    assert [each async for each in from_thread(range(HOP_ITEMS))] == list(range(HOP_ITEMS))


async def test_many_without_await_from_a_source_that_uses_the_queue(hub: FakeHub) -> None:
    def work() -> list[str]:
        with asman.sync.connect(hub.url) as queue:

            def source() -> Iterator[dict[str, Any]]:
                for i in range(300):
                    assert queue.workers() == []
                    yield {"command": ["echo", str(i)]}

            return [job.id for job in queue.submit_many(source(), window=20)]

    assert await asyncio.to_thread(work) == list(hub.jobs)
