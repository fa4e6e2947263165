"""The model of a watched queue."""

from __future__ import annotations

from asman.cli.watch_model import JOBS, RATE_SECONDS, WORKERS, WatchModel
from asman_shared.messages import JobState, Summary, Verdict, WorkerState
from asman_shared.states import Phase, Reason, State

BEGAN = 1_000_000


def job(number: int, state: State = State.QUEUED, **more: object) -> JobState:
    summary = Summary(image="alpine", command=f"echo {number}", cpus=0.5)
    return JobState(f"{number:064x}", 1, state, queued=number, summary=summary, **more)  # type: ignore[arg-type]


def finished(number: int, at: int, reason: Reason = Reason.SUCCESS, code: int | None = 0) -> JobState:
    verdict = Verdict(reason is Reason.SUCCESS, reason, code)
    return job(number, State.FINISHED, started=at - 500, finished=at, verdict=verdict)


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
