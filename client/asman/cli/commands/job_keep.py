"""``asman job keep``: results beyond their retention."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...job import Job
from .. import options as o
from ..json_values import job_value
from ..terminal import Terminal
from .job_end import Words, end_jobs, ended_by, jobs_words


def keep(
    words: Words = None,
    undo: Annotated[bool, typer.Option("--undo", help="Keep them no longer than the queue keeps its jobs.")] = False,
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Keep jobs with their results and logs beyond the queue's retention, until --undo or 'asman job delete'."""

    async def end(job: Job) -> dict[str, Any]:
        await job.keep(not undo)
        return job_value(job)

    terminal = Terminal(json=json)
    ended = end_jobs(words or [], hub, [], "keep", ended_by(end), yes=False)
    if not json and ended.values:
        terminal.note(f"{jobs_words(len(ended.values))} {'no longer kept' if undo else 'kept'}")
    ended.say(terminal)
