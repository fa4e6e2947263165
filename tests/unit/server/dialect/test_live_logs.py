"""Lines of running jobs for sockets of the dialect: which are told, as which step, and until when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asman_server.dialect import live_logs as module
from asman_server.dialect.live_logs import LiveLogs, is_build_line, is_run_line, log_of, step_of
from asman_server.queues.shell import QueueShell
from asman_shared.messages import CRLF, LF, NO_END, STDERR, STDOUT, SYSTEM, LogLine
from asman_shared.states import Phase
from tests.support.log_harness import JOB, LogHarness


def line(seq: int = 0, stream: int = STDOUT, phase: Phase = Phase.RUNNING, text: str = "x") -> LogLine:
    return LogLine(seq, 7, stream, text, phase)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_line_is_of_the_build_or_of_the_run_and_the_hubs_own_words_after_it_are_of_neither(phase: Phase) -> None:
    own = line(phase=phase)
    assert is_build_line(own) != is_run_line(own)
    said = line(stream=SYSTEM, phase=phase)
    assert not is_run_line(said)
    assert is_build_line(said) == phase.prepares
    assert (step_of(said) != "") == phase.prepares
    assert step_of(own) != ""


def test_standard_error_is_marked() -> None:
    assert log_of(line(stream=STDERR)) == ("x\n", 7, True)
    assert log_of(line()) == ("x\n", 7)


@pytest.mark.parametrize(
    ("text", "end", "told"),
    [
        ("a", LF, "a\n"),
        ("a", CRLF, "a\r\n"),
        ("a", NO_END, "a"),
        ("50 %\r", NO_END, "50 %\r"),
        ("50 %\r", LF, "50 %\r"),
        ("", LF, "\n"),
    ],
)
def test_a_line_is_told_with_its_end(text: str, end: int, told: str) -> None:
    assert log_of(LogLine(0, 7, STDOUT, text, Phase.RUNNING, end)) == (told, 7)


class Scene:
    def __init__(self) -> None:
        self.harness = LogHarness()
        self.told: list[tuple[str, str, list[Any]]] = []
        shell = cast(QueueShell, SimpleNamespace(logs=self.harness.logs))
        self.live = LiveLogs(shell, lambda *told: self.told.append(told))

    async def follow(self, *jobs: str) -> None:
        for job in jobs:
            self.live.follow(job)
        while self.live._opening:
            await asyncio.sleep(0)

    async def add(self, *lines: LogLine) -> None:
        await self.harness.add(*lines)
        self.harness.logs.flush()


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_lines_are_told_by_step_and_those_of_no_step_are_not(scene: Scene) -> None:
    await scene.follow(JOB)
    await scene.add(
        line(0, phase=Phase.PULLING), line(1), line(2, stream=STDERR), line(3, stream=SYSTEM), line(4, text="end")
    )
    assert [(step, [log[0] for log in logs]) for _, step, logs in scene.told] == [
        ("docker image pull", ["x\n"]),
        ("Running", ["x\n", "x\n"]),
        ("Running", ["end\n"]),
    ]
    assert {job for job, _, _ in scene.told} == {JOB}


async def test_a_job_that_is_followed_twice_is_told_once(scene: Scene) -> None:
    await scene.follow(JOB, JOB)
    await scene.add(line(0))
    assert len(scene.told) == 1


async def test_after_leaving_nothing_is_told_even_if_its_log_was_still_being_opened(scene: Scene) -> None:
    await scene.follow(JOB)
    scene.live.leave(JOB)
    scene.live.leave(JOB)
    await scene.add(line(0))
    scene.live.follow(JOB)
    scene.live.close()
    while scene.live._opening:
        await asyncio.sleep(0)
    await scene.add(line(1))
    assert scene.told == []


async def test_the_jobs_that_are_followed_have_a_bound(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLLOWED", 1)
    scene.live.follow("0" * 64)
    await scene.follow(JOB)
    assert JOB not in scene.live._followed
