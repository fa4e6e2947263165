"""Reading of logs: each line once, from the first to the last, in spite of disturbances."""

from __future__ import annotations

import asyncio

import pytest

import asman
from asman import tracking as following
from asman_shared import messages as m
from asman_shared.states import Reason

from .fake_hub import FakeHub, Visitor


async def test_lines_come_as_they_are_written_and_end_with_the_job(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, "before")
        seen = []
        async for line in job.logs():
            seen.append((line.seq, line.stream, line.text))
            if line.text == "before":
                hub.log(job.id, "oh", stream=m.STDERR)
            elif line.text == "oh":
                hub.log(job.id, "50%\r", "done")
                hub.finish(job.id, 0)
        assert seen == [(0, "stdout", "before"), (1, "stderr", "oh"), (2, "stdout", "50%\r"), (3, "stdout", "done")]


async def test_lines_that_were_not_pushed_before_the_end_are_fetched(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        reading = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.log(job.id, "a", "b", push=False)
        hub.finish(job.id, 0)
        assert await reading == ["a", "b"]


async def test_a_hole_in_what_is_pushed_is_filled(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        reading = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.log(job.id, "a")
        hub.log(job.id, "b", "c", push=False)
        hub.log(job.id, "d")
        hub.finish(job.id, 0)
        assert await reading == ["a", "b", "c", "d"]


async def test_a_reconnect_neither_repeats_nor_loses_lines(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, "a", "b")
        seen = []
        async for line in job.logs():
            seen.append(line.text)
            if line.text == "b":
                hub.drop()
                hub.log(job.id, "c")
                await hub.saw(m.Follow, 2)
                hub.log(job.id, "d")
                hub.finish(job.id, 0)
        assert seen == ["a", "b", "c", "d"]
        assert [(follow.since, follow.logs) for follow in hub.all_of(m.Follow)] == [(0, True), (2, True)]


async def test_repeated_lines_are_dropped(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        reading = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.log(job.id, "a", "b")
        for visitor in hub.visitors:
            visitor.say(m.LogLines(job.id, hub.jobs[job.id].lines))
        hub.finish(job.id, 0)
        assert await reading == ["a", "b"]


async def test_lines_that_are_no_longer_kept_are_said_to_be_missing(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, *(f"{i}" for i in range(10)))
        del hub.jobs[job.id].lines[2:8]
        hub.finish(job.id, 0)
        hub.jobs[job.id].state.verdict.lines = 10  # type: ignore[union-attr]
        lines = [line async for line in job.logs()]
        assert [line.text for line in lines] == ["0", "1", "[6 lines are no longer kept]", "8", "9"]
        assert (lines[2].missing, lines[2].seq, lines[2].stream) == (6, 2, "system")


async def test_a_log_whose_end_is_gone_still_ends(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, "a", "b", "c")
        hub.finish(job.id, 0)
        del hub.jobs[job.id].lines[1:]
        assert await _texts(job) == ["a", "[2 lines are no longer kept]"]


async def test_a_reader_slower_than_the_job_gets_every_line(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TAIL_LINES", 5)
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        texts = [f"{i}" for i in range(100)]
        reading = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.log(job.id, *texts)
        hub.finish(job.id, 0)
        assert await reading == texts


async def test_two_readers_of_one_job_each_get_all_of_it(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        first = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.log(job.id, "a", "b")
        second = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow, 2)
        hub.log(job.id, "c")
        hub.finish(job.id, 0)
        assert (await first, await second) == (["a", "b", "c"], ["a", "b", "c"])


async def test_the_log_so_far(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        assert [line async for line in job.logs(follow=False)] == []
        hub.log(job.id, *(f"{i}" for i in range(2500)))
        lines = [line.text async for line in job.logs(since=10, follow=False)]
        assert lines == [f"{i}" for i in range(10, 2500)]
        assert len(hub.all_of(m.ReadLog)) >= 3


async def test_a_job_that_ends_without_a_line_ends_its_log(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        reading = asyncio.create_task(_texts(job))
        await hub.saw(m.Follow)
        hub.finish(job.id, None, Reason.CANCELLED)
        assert await reading == []


async def test_leaving_a_log_early_ends_the_pushing(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, "a")
        lines = job.logs()
        assert (await anext(lines)).text == "a"
        await lines.aclose()  # type: ignore[attr-defined]
        follows = await hub.saw(m.Follow, 2)
        assert [follow.logs for follow in follows] == [True, False]


async def test_a_log_page_that_says_nothing_does_not_spin(hub: FakeHub) -> None:
    def empty(visitor: Visitor, message: m.ReadLog) -> None:
        visitor.say(m.LogPage(message.ref, [], message.since))

    hub.on[m.ReadLog] = empty
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, "a", push=False)
        hub.finish(job.id, 0)
        await job.wait()
        assert await _texts(job) == ["[1 line is no longer kept]"]
        assert len(hub.all_of(m.ReadLog)) == 1


async def _texts(job: asman.Job) -> list[str]:
    return [line.text async for line in job.logs()]
