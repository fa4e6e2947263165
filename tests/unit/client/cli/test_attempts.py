"""Notes for a person about a worker that was lost while a job is followed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import pytest

import asman
from asman.cli.attempts import losses_told, without_heading
from asman.job import Job
from asman.logs import Line
from asman_shared import messages as m
from asman_shared.states import Reason, State
from tests.unit.client.cli.running import Run
from tests.unit.client.fake_hub import FakeHub, Visitor

ASMAN = [sys.executable, "-c", "from asman.cli.main import main; main()"]


class Followed:
    """A job on the fake hub, and what a person is told of it."""

    def __init__(self, hub: FakeHub, job: Job) -> None:
        self.hub = hub
        self.job = job
        self.told: list[str] = []
        self.changes = job.changes()

    async def change(self, **fields: Any) -> None:
        """Changes the job and waits until the change has arrived, before another one replaces it."""
        rev = self.hub.change(self.job.id, **fields).rev
        async for state in self.changes:
            if state.rev == rev:
                return

    async def runs(self, worker: str, attempt: int = 1) -> None:
        await self.change(state=State.RUNNING, attempt=attempt, worker=worker)

    async def waits(self) -> None:
        await self.change(state=State.QUEUED, worker="")

    async def ends(self) -> None:
        await self.change(state=State.FINISHED, worker="", verdict=m.Verdict(ok=True, reason=Reason.SUCCESS))


@pytest.fixture
async def followed(hub: FakeHub) -> AsyncIterator[Followed]:
    def explained(visitor: Visitor, message: m.Explain) -> None:
        visitor.say(m.Explanation(message.ref, message.job, State.QUEUED, "no worker is connected to this queue"))

    hub.on[m.Explain] = explained
    async with asman.connect(hub.url) as queue:
        made = Followed(hub, await queue.submit(command="x"))
        async with losses_told(made.job, made.told.append):
            yield made


async def test_a_lost_worker_is_told_and_where_the_job_runs_again(hub: FakeHub, followed: Followed) -> None:
    await followed.runs("vm")
    await followed.change(phase="running")
    assert followed.told == []
    await followed.waits()
    await hub.saw(m.Explain)
    await followed.change(priority=1)
    await followed.runs("other", 2)
    await followed.change(phase="running")
    await followed.ends()
    assert followed.told == [
        "worker 'vm' was lost; the job runs again when a worker takes it: no worker is connected to this queue",
        "the job runs again, on 'other'",
    ]


async def test_a_loss_whose_wait_nobody_saw_is_told_too(hub: FakeHub, followed: Followed) -> None:
    await followed.runs("vm")
    await followed.runs("vm", 2)
    await hub.saw(m.Workers)
    await followed.change(phase="running")
    await followed.ends()
    assert followed.told == ["worker 'vm' was lost; the job runs again on 'vm'"]


async def test_a_worker_that_let_go_of_the_job_is_not_called_lost(hub: FakeHub, followed: Followed) -> None:
    hub.workers = [m.WorkerState("w1", 1, "draining", name="vm")]
    await followed.runs("vm")
    await followed.runs("other", 2)
    await hub.saw(m.Workers)
    await followed.ends()
    assert followed.told == ["worker 'vm' gave the job back; the job runs again on 'other'"]


async def test_the_reason_that_the_hub_tells_is_told_and_nobody_is_asked(hub: FakeHub, followed: Followed) -> None:
    why = "worker 'vm' is stopping, or takes no jobs now, and gave the job back"
    hub.on[m.Explain] = lambda visitor, message: visitor.say(
        m.Explanation(message.ref, message.job, State.QUEUED, f"{why}, so it waits again: no worker is connected")
    )
    await followed.runs("vm")
    await followed.change(state=State.QUEUED, worker="", back=why)
    await hub.saw(m.Explain)
    await followed.change(state=State.RUNNING, attempt=2, worker="a")
    await followed.change(state=State.RUNNING, attempt=3, worker="b", back="worker 'a' was lost")
    await followed.ends()
    assert followed.told == [
        f"{why}; the job runs again when a worker takes it: no worker is connected",
        "the job runs again, on 'a'",
        "worker 'a' was lost; the job runs again on 'b'",
    ]
    assert hub.all_of(m.Workers) == []


async def test_a_new_run_of_the_job_is_no_loss(hub: FakeHub, followed: Followed) -> None:
    await followed.runs("vm", 4)
    await followed.change(state=State.QUEUED, worker="", queued=hub.time + 1)
    await followed.runs("other", 5)
    await followed.ends()
    assert (followed.told, hub.all_of(m.Workers)) == ([], [])


async def test_run_says_a_loss_on_standard_error(hub: FakeHub) -> None:
    command = await asyncio.create_subprocess_exec(*ASMAN, "run", hub.url, "--", "x", stdout=PIPE, stderr=PIPE)
    assert command.stdout is not None
    while not any(visitor.logs for visitor in hub.visitors):
        await hub.saw(m.Follow, len(hub.all_of(m.Follow)) + 1)
    (job,) = hub.jobs
    hub.change(job, state=State.RUNNING, attempt=1, worker="vm")
    hub.log(job, "half")
    assert await command.stdout.readline() == b"half\n"
    hub.change(job, state=State.RUNNING, attempt=2, worker="other")
    hub.log(job, "attempt 2 begins", stream=m.SYSTEM)
    await hub.saw(m.Workers)
    hub.log(job, "whole")
    assert await command.stdout.readline() == b"whole\n"
    hub.finish(job)
    _, err = await command.communicate()
    told = err.decode().splitlines()[1:]
    assert sorted(told) == ["attempt 2 begins", "worker 'vm' was lost; the job runs again on 'other'"]


async def test_the_first_attempt_of_a_new_run_is_not_shown_as_a_later_one(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(visitor, message)
        (job,) = hub.jobs
        hub.log(job, "attempt 5 begins", stream=m.SYSTEM)
        hub.log(job, "out", stream=m.STDERR)
        hub.change(job, attempt=5)
        hub.finish(job)

    hub.on[m.Submit] = submit
    ended = await run("run", hub.url, "--", "x")
    assert ended.err.splitlines()[1:] == ["out"]
    assert (await run("job", "logs", hub.url, *hub.jobs)).err.splitlines() == ["out"]


def line(seq: int, text: str, stream: str = "system") -> Line:
    return Line(seq, 0, stream, text, "staging")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "text", "stream", "kept"),
    [
        (3, "attempt 2 begins", "system", False),
        (2, "attempt 2 begins", "system", True),
        (3, "attempt 2 begins", "stdout", True),
        (3, "attempt two begins", "system", True),
        (3, "pulling", "system", True),
    ],
)
def test_only_the_heading_that_begins_a_run_is_dropped(first: int, text: str, stream: str, kept: bool) -> None:
    lines = [line(3, text, stream), line(4, "next")]
    assert without_heading(lines, first) == lines[0 if kept else 1 :]
    assert without_heading([], first) == []
