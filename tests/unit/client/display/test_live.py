"""Live progress on a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import pytest

import asman
from asman.display import live
from asman_shared.states import Phase
from tests.unit.client.fake_hub import FakeHub


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> _Screen:
    """A terminal as standard error."""
    made = _Screen()
    # Not in `sys` itself, which pytest sets again between a fixture and its test.
    monkeypatch.setattr("asman.display.live.sys", SimpleNamespace(stderr=made, modules={}))
    monkeypatch.setattr(live, "EVERY", 0.0)
    return made


def _drawn(screen: _Screen) -> list[str]:
    """The lines that were drawn, one in place of the other."""
    return [each.rstrip("\n") for each in screen.getvalue().split("\r\x1b[2K")[1:]]


def _ended(ok: bool) -> Any:
    return SimpleNamespace(verdict=SimpleNamespace(ok=ok))


def test_a_terminal_shows_what_ended_and_failed_and_how_much_is_left(screen: _Screen) -> None:
    jobs = [_ended(True), _ended(False), _ended(True), _ended(True)]
    assert list(asman.progress(jobs)) == jobs
    lines = _drawn(screen)
    assert lines[0].startswith(f"[{'.' * 24}] jobs 0 of 4 · ")
    assert lines[2].startswith(f"[{'#' * 12}{'.' * 12}] jobs 2 of 4, 1 failed · ")
    assert " left" in lines[2]
    assert lines[-1].startswith(f"[{'#' * 24}] jobs 4 of 4, 1 failed · ")
    assert " left" not in lines[-1]
    assert screen.getvalue().endswith("\n")


def test_without_a_total_there_is_no_bar(screen: _Screen) -> None:
    assert list(asman.progress(iter("ab"), label="files")) == ["a", "b"]
    assert _drawn(screen)[-1].startswith("files 2 · ")
    assert list(asman.progress(iter("ab"), total=2, label="files")) == ["a", "b"]
    assert _drawn(screen)[-1].startswith(f"[{'#' * 24}] files 2 of 2 · ")
    assert list(asman.progress([])) == []
    assert list(asman.progress("abc", total=2)) == ["a", "b", "c"], "more may come than were announced"
    assert _drawn(screen)[-1].startswith(f"[{'#' * 24}] jobs 3 of 2")


def test_futures_count_by_their_exceptions(screen: _Screen) -> None:
    with futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(int, text) for text in ("1", "x", "3")]
        assert len(list(asman.progress(futures.as_completed(calls), total=3))) == 3
    assert "jobs 3 of 3, 1 failed" in _drawn(screen)[-1]


async def test_a_loop_over_what_comes_in_time(screen: _Screen) -> None:
    closed = []

    async def source() -> AsyncIterator[int]:
        try:
            for n in range(5):
                yield n
        finally:
            closed.append(True)

    seen = []
    async for n in asman.progress(source(), total=5):
        seen.append(n)
        if n == 1:
            break
    assert seen == [0, 1]
    items = [n async for n in asman.progress(source(), total=5)]
    assert items == list(range(5))
    assert _drawn(screen)[-1].startswith(f"[{'#' * 24}] jobs 5 of 5")
    assert closed
    with pytest.raises(TypeError, match="read them with 'async for'"):
        list(asman.progress(source()))
    with pytest.raises(TypeError, match="read them with 'for'"):
        _ = [n async for n in asman.progress([1])]


def test_an_error_of_the_source_ends_the_line_and_stays_itself(screen: _Screen) -> None:
    def source() -> Any:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(asman.progress(source(), total=2))
    assert _drawn(screen)[-1].startswith(f"[{'#' * 12}{'.' * 12}] jobs 1 of 2")
    assert screen.getvalue().endswith("\n")


def test_a_file_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr("asman.display.live.sys", SimpleNamespace(stderr=plain, modules={}))
    assert list(asman.progress([1, 2])) == [1, 2]
    assert plain.getvalue() == ""


def test_fast_loops_are_drawn_a_few_times_a_second(screen: _Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 3600.0)
    assert len(list(asman.progress(range(100_000)))) == 100_000
    assert len(_drawn(screen)) <= 3


async def test_waiting_for_a_job_shows_its_phases_when_it_is_asked_for(hub: FakeHub, screen: _Screen) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.change(job.id, phase=Phase.PULLING)
        hub.finish(job.id, 3)
        verdict = await job.wait(show=True)
        assert not verdict.ok
        assert _drawn(screen)[-1].startswith(f"job {job.id[:12]} Failed")
        screen.truncate(0)
        await job.wait()
        assert screen.getvalue().strip("\0") == ""


def test_a_job_s_progress_is_a_bar() -> None:
    state = SimpleNamespace(id="a" * 64, verdict=None, state=asman.State.RUNNING, phase=Phase.PULLING)
    job: Any = SimpleNamespace(state=state, progress=SimpleNamespace(done=2**20, total=2**22, unit="bytes"))
    shown = live.JobProgress(job)
    assert shown.words() == "job aaaaaaaaaaaa Running (pulling) · 1 MiB of 4 MiB"
    assert '<progress max="1" value="0.2500">' in shown._repr_html_()
    job.progress = SimpleNamespace(done=3, total=8, unit="layers")
    assert shown.words().endswith("3 of 8 layers")
    job.progress = None
    assert shown.share is None
