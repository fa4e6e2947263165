"""Conversion of jobs and definitions to the form that clients see."""

from __future__ import annotations

from typing import Final

from asman_shared.definition import Definition, Shape
from asman_shared.messages import JobState, Summary

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
        kept=job.kept,
    )


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
        command=text if len(text) <= COMMAND_SHOWN else text[: COMMAND_SHOWN - 1] + "…",
        tags=tuple(definition.tags or ()),
        cpus=shape.cpus / 1000,
        memory=shape.memory,
        gpus=shape.gpus,
    )
