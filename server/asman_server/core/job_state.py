"""Conversion of jobs and definitions to the form that clients see."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import Definition, Shape
from asman_shared.messages import JobState, Run, Summary, Verdict

from .job import Job

COMMAND_SHOWN: Final = 200
"""Most characters of a command in a summary."""


def state_of(job: Job, *, summary: bool = True) -> JobState:
    """Returns the job as clients see it."""
    return JobState(
        id=job.id,
        rev=job.rev,
        state=job.state,
        attempt=job.attempt,
        phase=job.phase,
        queued=job.queued,
        started=job.started,
        finished=job.finished,
        worker=job.worker_name,
        namespaces=list(job.holders),
        priority=job.priority,
        verdict=job.verdict,
        log_start=job.log_start,
        back=job.back,
        summary=job.summary if summary else None,
        run=number_of(job) if job.runs else 1,
        kept=job.kept,
    )


def standing(job: Job) -> Run | None:
    """Returns the earlier run whose verdict is the job's again, because its latest run came to nothing."""
    verdict = job.verdict
    if verdict is None or not job.runs or job.runs[-1].queued != job.queued:
        return None
    for run in reversed(job.runs):
        if run.reason is verdict.reason and run.lines == verdict.lines:
            return run
    return None


def number_of(job: Job) -> int:
    """Returns the number of a job's present run among all its runs, from 1 on: the run that has its verdict."""
    if not job.runs:
        return 1
    last = job.runs[-1]
    if last.queued != job.queued:
        return last.number + 1
    return (standing(job) or last).number


def run_of(job: Job, verdict: Verdict | None) -> Run:
    """Returns the present run of a job, which ended with a verdict or has not ended."""
    run = Run(
        number=number_of(job),
        queued=job.queued,
        started=job.started,
        ran=job.ran,
        finished=job.finished,
        attempt=job.attempt if job.started else 0,
        worker=job.worker_name,
        log_start=job.log_start,
        lines=job.log_next,
        log_bytes=job.log_bytes,
    )
    if verdict is not None:
        run.reason = verdict.reason
        run.exit_code = verdict.exit_code
        run.message = _cut(verdict.message, limits.RUN_TEXT_LENGTH)
        run.hint = _cut(verdict.hint, limits.RUN_TEXT_LENGTH)
        run.fault = verdict.fault
        run.duration = verdict.duration
    return run


def log_end(job: Job) -> int:
    """Returns the seq after the last line of a job's log: lines of a later run that came to nothing are beyond it."""
    run = standing(job)
    return job.log_next if run is None else run.lines


def runs_of(job: Job) -> list[Run]:
    """Returns the runs of a job that are remembered, oldest first.

    The last one is its present run, or an earlier success is, if the later ones came to nothing (`standing`).
    """
    runs = [replace(run, log_kept=run.log_start >= job.log_kept) for run in job.runs or ()]
    if not runs or runs[-1].queued != job.queued:
        runs.append(run_of(job, job.verdict))
    number = number_of(job)
    for run in runs:
        run.present = run.number == number
    return runs


def summarise(definition: Definition, shape: Shape) -> Summary:
    """Returns the part of a definition that lists show."""
    command = definition.command
    text = " ".join(command) if isinstance(command, list) else command or ""
    build = definition.build
    built = ""
    if build is not None:
        built = build.context or ("Dockerfile" if build.dockerfile else "build")
    return Summary(
        image=definition.image or "",
        build=built[:COMMAND_SHOWN],
        command=_cut(text, COMMAND_SHOWN),
        tags=tuple(definition.tags or ()),
        cpus=shape.cpus / 1000,
        memory=shape.memory,
        gpus=shape.gpus,
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
