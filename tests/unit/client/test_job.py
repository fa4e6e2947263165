"""Handles of jobs: waiting, results, and what is asked of the hub."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import asman
from asman_shared import messages as m
from asman_shared.errors import NotFound, TimedOut
from asman_shared.states import Reason, State

from .fake_hub import FakeHub, Visitor


def swallow(visitor: Visitor, message: Any) -> None:
    """Leaves a request without an answer."""


async def test_a_job_from_submit_to_result(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(image="alpine", command="echo hi", env={"A": "1"})
        assert (job.answer, job.able, job.state.state) == ("queued", 1, State.QUEUED)
        assert job.url == f"{hub.address}/j/{job.id}"
        waiting = asyncio.create_task(job.wait())
        hub.start(job.id)
        hub.output(job.id, "words.txt", b"one two")
        hub.finish(job.id, 0)
        assert (await waiting).ok
        result = await job.result()
        assert (result.exit_code, result.ok, list(result.outputs)) == (0, True, ["words.txt"])
        assert await result.outputs["words.txt"].read_text() == "one two"
    (submitted,) = hub.all_of(m.Submit)
    assert submitted.definition == asman.Definition(image="alpine", command="echo hi", env={"A": "1"})


async def test_every_wait_can_be_bounded(hub: FakeHub) -> None:
    hub.on[m.Workers] = swallow
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        for waiting in (job.wait(0.01), job.result(0.01), queue.workers(0.01)):
            with pytest.raises(TimedOut, match=r"longer than 0.01 seconds"):
                await waiting
        hub.finish(job.id, 0)
        assert (await job.wait()).ok, "a wait that timed out harms no other"


async def test_a_wait_that_timed_out_says_why_the_job_is_not_finished(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        for waiting in (job.wait(0.01), job.result(0.01)):
            with pytest.raises(TimedOut, match=r"longer than 0.01 seconds: no worker is connected$"):
                await waiting


async def test_a_wait_ends_without_a_reason_where_the_hub_does_not_answer(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman.job.DELAY_SECONDS", 0.01)
    hub.on[m.Explain] = swallow
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        with pytest.raises(TimedOut, match=r"longer than 0.01 seconds$"):
            await job.wait(0.01)


async def test_a_failed_job_raises_with_its_last_lines(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.log(job.id, *(f"line {i}" for i in range(50)))
        hub.finish(job.id, 9)
        with pytest.raises(asman.JobFailed) as caught:
            await job.result()
        assert caught.value.exit_code == 9
        assert caught.value.lines == [f"line {i}" for i in range(30, 50)]
        assert "exited with code 9" in str(caught.value)
        result = await job.result(check=False)
        assert (result.ok, result.exit_code) == (False, 9)


async def test_a_job_that_could_not_be_run_raises_with_the_reason(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.finish(job.id, None, Reason.ERROR, message="there is no image 'nope'", hint="check its name")
        with pytest.raises(asman.JobFailed, match="could not be run: there is no image 'nope'") as caught:
            await job.result()
    assert (caught.value.exit_code, caught.value.hint) == (None, "check its name")


async def test_cancel_and_delete(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x", namespace="mine")
        assert await job.cancel()
        assert (await job.wait()).reason is Reason.CANCELLED
        assert not await job.cancel("*")
        assert [message.namespace for message in hub.all_of(m.Cancel)] == ["mine", "*"]
        other = await queue.submit(command="y")
        await other.delete()
        verdict = await other.wait()
        assert verdict.reason is Reason.DELETED
        assert (await other.result(check=False)).outputs == {}
        with pytest.raises(NotFound):
            await queue.get(other.id)


async def test_a_job_found_by_id_is_followed_when_it_is_waited_for(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as one, asman.connect(hub.url) as two:
        submitted = await one.submit(command="x")
        found = await two.get(submitted.id)
        assert found.definition == asman.Definition(command="x")
        waiting = asyncio.create_task(found.wait())
        await hub.saw(m.Follow)
        hub.finish(found.id, 0)
        assert (await waiting).ok


async def test_a_job_says_why_it_is_where_it_is(hub: FakeHub) -> None:
    def explain(visitor: Visitor, message: m.Explain) -> None:
        visitor.say(m.Explanation(message.ref, message.job, State.QUEUED, "it is next", able=2, position=0))

    hub.on[m.Explain] = explain
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(image="alpine", command="true")
        found = await job.explain()
    assert (found.job, found.sentence, found.able, found.position) == (job.id, "it is next", 2, 0)
    assert str(found) == repr(found) == "Queued: it is next"


async def test_explanations_and_summaries_are_shown_as_the_command_line_shows_them(hub: FakeHub) -> None:
    def explain(visitor: Visitor, message: m.Explain) -> None:
        visitor.say(m.Explanation(message.ref, message.job, State.QUEUED, "none has <b>\x1b[2J"))

    def summarise(visitor: Visitor, message: m.Summarise) -> None:
        lines = [m.LogLine(3, 5, m.STDOUT, "10%\r20%\r"), m.LogLine(4, 5, m.STDERR, "error: <oh>\x1b[2J")]
        state = hub.jobs[message.job].state
        visitor.say(m.JobSummary(message.ref, state, last=lines, error=lines[1:], error_seq=4, lines=5))

    hub.on |= {m.Explain: explain, m.Summarise: summarise}
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(image="alpine", command="true")
        hub.finish(job.id, 4)
        why, summary = await job.explain(), await job.summary()
    assert "\x1b" not in f"{why}{summary}"
    assert [line.split() for line in str(summary).splitlines()[:4]] == [
        ["job", job.id],
        ["state", "Failed"],
        ["exit", "code", "4"],
        ["lines", "5"],
    ]
    assert str(summary).splitlines()[4:6] == ["", "first error:"]
    assert str(summary).splitlines()[6].startswith("> error: <oh>")
    assert str(summary).splitlines()[7:] == ["", "last lines:", "  20%"]
    for shown in (html_of(why), html_of(summary)):
        assert "\x1b" not in shown
        assert "<b>" not in shown
        assert "<oh>" not in shown
    assert html_of(why).startswith("<div><strong>Queued</strong>: none has &lt;b&gt;")


def html_of(value: object) -> str:
    """A value as a notebook shows it."""
    shown: str = value._repr_html_()  # type: ignore[attr-defined]
    return shown
