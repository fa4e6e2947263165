"""Logs of a job from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from asman_shared import messages as m
from asman_shared.states import State
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub, Visitor


async def begun(hub: FakeHub, run: Run) -> str:
    play(hub)
    return str((await run("job", "add", hub.url, "-c", "x")).out.strip())


async def test_each_stream_goes_to_its_own(hub: FakeHub, run: Run) -> None:
    job = await begun(hub, run)
    ended = await run("job", "logs", hub.url, job)
    assert (ended.code, ended.out, ended.err) == (0, "one\n", "two\n")


async def test_as_json_each_line_is_an_object_with_its_stream(hub: FakeHub, run: Run) -> None:
    job = await begun(hub, run)
    ended = await run("job", "logs", hub.url, job, "--json")
    lines = [json.loads(text) for text in ended.out.splitlines()]
    assert [(line["seq"], line["stream"], line["text"]) for line in lines] == [
        (0, "stdout", "one"),
        (1, "stderr", "two"),
    ]
    assert ended.err == ""


async def test_what_is_selected_is_asked_of_the_hub(hub: FakeHub, run: Run) -> None:
    job = await begun(hub, run)
    hub.seen.clear()
    await run(
        "job", "logs", hub.url, job, "--grep", "o.e", "-C", "2", "--tail", "5", "--stream", "stdout", "--ignore-case"
    )
    select = next(asked.select for asked in hub.all_of(m.ReadLog) if asked.select is not None)
    assert (select.grep, select.context, select.tail, select.streams) == ("o.e", 2, 5, ["stdout"])
    assert select.ignore_case


@pytest.mark.parametrize(
    ("words", "says"),
    [(("--around", "here"), "around"), (("--stream", "other"), "stream"), (("--follow", "--grep", "x"), "follow")],
)
async def test_what_can_not_be_selected_is_said(hub: FakeHub, run: Run, words: tuple[str, ...], says: str) -> None:
    job = await begun(hub, run)
    ended = await run("job", "logs", hub.url, job, *words)
    assert ended.code == (2 if words[0] != "--follow" else 125)
    assert says in ended.err


async def test_numbers_that_no_line_of_the_run_has_are_told_with_those_that_it_has(hub: FakeHub, run: Run) -> None:
    job = await begun(hub, run)
    ended = await run("job", "logs", hub.url, job, "--since", "7")
    assert (ended.code, ended.out, ended.err) == (0, "", "no such lines: the job's lines are 0 to 1\n")
    hub.jobs[job].lines = [m.LogLine(5, 5, m.STDOUT, "again"), m.LogLine(6, 5, m.STDOUT, "end")]
    before = hub.jobs[job].state.verdict
    assert before is not None
    hub.change(job, log_start=5, verdict=replace(before, lines=7))
    hub.on[m.ReadLog] = none_before_a_number(hub)
    ended = await run("job", "logs", hub.url, job, "--since", "1", "--until", "5", "--json")
    assert (ended.code, ended.out, ended.err) == (0, "", "no such lines: this run's lines are 5 to 6\n")
    ended = await run("job", "logs", hub.url, job, "--since", "6")
    assert (ended.out, ended.err) == ("end\n", "")
    hub.change(job, state=State.RUNNING, verdict=None)
    ended = await run("job", "logs", hub.url, job, "--until", "5")
    assert (ended.out, ended.err) == ("", "no such lines: this run's lines begin at 5\n")


def none_before_a_number(hub: FakeHub) -> Callable[[Visitor, m.ReadLog], None]:
    """Makes a hub that leaves out lines from the number on that a selection names."""

    def read(visitor: Visitor, asked: m.ReadLog) -> None:
        until = asked.select.until if asked.select is not None else None
        lines = [
            line
            for line in hub.jobs[asked.job].lines
            if asked.since <= line.seq and (until is None or line.seq < until)
        ]
        visitor.say(m.LogPage(asked.ref, lines, lines[-1].seq + 1 if lines else asked.since, final=True))

    return read
