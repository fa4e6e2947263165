"""A watched queue: what is kept of it, and how it looks."""

from __future__ import annotations

import io

from rich.console import Console

from asman.cli.commands.queue_watch import picture, sparks
from asman.cli.watch_model import JOBS, RATE_SECONDS, WORKERS, WatchModel
from asman_shared.messages import Counts, JobState, Summary, Verdict, WorkerState
from asman_shared.states import Phase, Reason, State

BEGAN = 1_000_000


def job(number: int, state: State = State.QUEUED, **more: object) -> JobState:
    summary = Summary(image="alpine", command=f"echo {number}", cpus=0.5)
    return JobState(f"{number:064x}", 1, state, queued=number, summary=summary, **more)  # type: ignore[arg-type]


def finished(number: int, at: int, reason: Reason = Reason.SUCCESS, code: int | None = 0) -> JobState:
    verdict = Verdict(reason is Reason.SUCCESS, reason, code)
    return job(number, State.FINISHED, started=at - 500, finished=at, verdict=verdict)


def text(model: WatchModel, now: float = 0, width: int = 100, height: int = 20) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as shown:
        console.print(picture(model, "hub.example", now, width, height))
    return shown.get()


def test_what_finishes_is_counted_once_and_what_had_finished_before_is_not() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(finished(1, BEGAN - 1), 0)
    model.apply(finished(2, BEGAN + 1), 1)
    model.apply(finished(2, BEGAN + 1), 2)
    model.apply(finished(3, BEGAN + 2), 2)
    assert model.done == 2
    assert model.per_second(2)[-3:] == [0, 1, 1]
    assert model.rate(4) == 0.5
    assert sum(model.per_second(2 + RATE_SECONDS)) == 0


def test_it_is_bounded_and_the_oldest_finished_jobs_go_first() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(job(0), 0)
    for number in range(1, JOBS + 50):
        model.apply(finished(number, BEGAN + number), 0)
    assert len(model.jobs) == JOBS
    assert job(0).id in model.jobs
    assert job(1).id not in model.jobs
    for number in range(2 * JOBS):
        model.apply(job(10_000 + number), 0)
    assert len(model.jobs) == JOBS
    for number in range(WORKERS + 5):
        model.apply(WorkerState(f"w{number}", 1, "ready"), 0)
    assert len(model.workers) == WORKERS


def test_jobs_and_workers_that_go_are_gone() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(job(1), 0)
    model.apply(JobState(job(1).id, 2, State.REMOVED), 0)
    model.apply(WorkerState("w", 1, "ready"), 0)
    model.apply(WorkerState("w", 2, "gone"), 0)
    assert (model.jobs, model.workers) == ({}, {})


def test_a_change_without_a_summary_keeps_the_one_before() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(job(1), 0)
    model.apply(JobState(job(1).id, 2, State.RUNNING, phase=Phase.PULLING), 0)
    (kept,) = model.jobs.values()
    assert kept.summary is not None


def test_the_view_fits_its_terminal_and_shows_what_runs_first() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(Counts(1234, 1, 3), 0)
    model.apply(WorkerState("w", 1, "ready", name="lab-1", cpus=4, platform="linux/amd64", executor="docker"), 0)
    for number in range(100):
        model.apply(job(number), 0)
    model.apply(finished(200, BEGAN + 5, Reason.FAILED, 3), 0)
    model.apply(job(201, State.RUNNING, phase=Phase.PULLING, worker="lab-1", started=BEGAN), 0)
    shown = text(model)
    assert len(shown.splitlines()) <= 20
    assert "1,234 queued · 1 running · 3 finished" in shown
    lines = shown.splitlines()
    assert lines[4].split() == ["lab-1", "ready", "1", "0.5/4", "0/0", "linux/amd64", "docker"]
    assert "pulling" in lines[7]
    assert "Failed (3)" in lines[8]
    assert "Queued" in lines[9]
    assert text(model, width=30, height=5).strip()


def test_without_workers_it_says_that_jobs_wait_and_markup_is_only_text() -> None:
    model = WatchModel(0, BEGAN)
    assert "none: jobs are waiting" in text(model)
    state = job(1)
    state.summary = Summary(image="alpine", command="echo [red]x[/red] [/nothing]")
    model.apply(state, 0)
    assert "[red]x[/red] [/nothing]" in text(model)


def test_bars() -> None:
    assert sparks([0, 1, 4, 8]) == " ▁▄█"
    assert sparks([0, 0]) == "  "
