"""Logs of a job from the command line."""

from __future__ import annotations

import json

import pytest

from asman_shared import messages as m
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub


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
    assert ended.code != 0
    assert says in ended.err
