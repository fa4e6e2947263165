"""Notes for a person about the attempts of a followed job: a lost worker, and where the job runs again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..job import Job
    from ..logs import Line

_BEGINS: Final = "attempt "
"""The beginning of a worker's line about a later attempt, ``attempt 2 begins``."""


def without_heading(lines: list[Line], first: int) -> list[Line]:
    """Drops a worker's line that an attempt begins if it is the first line of its run.

    Attempts are numbered over all runs of a job, so the line also stands before the first attempt of a new run, where
    it would tell of a loss that nobody had.

    Args:
        lines: Some lines of a log, in order.
        first: The seq of the run's first line.
    """
    if lines and lines[0].seq == first and lines[0].stream == "system" and _is_heading(lines[0].text):
        return lines[1:]
    return lines


def _is_heading(text: str) -> bool:
    return text.startswith(_BEGINS) and text.endswith(" begins") and text[len(_BEGINS) : -len(" begins")].isdigit()


@asynccontextmanager
async def losses_told(job: Job, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Tells during the block when the worker of a followed job is lost, and where the job runs again."""
    following = asyncio.create_task(_tell(job, tell))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()  # following the log raises the same error


async def _tell(job: Job, tell: Callable[[str], None]) -> None:
    run, attempt, worker, waits = 0, 0, "", False
    async for state in job.changes():
        if state.queued != run:  # a new run has its own attempts
            run, worker, waits = state.queued, "", False
        if state.verdict is not None:
            continue
        if worker and (not state.worker or state.attempt != attempt):
            why = state.back or await _end_of(job, worker)
            if state.worker:
                tell(f"{why}; the job runs again on '{state.worker}'")
            else:
                waiting = (await job.explain()).sentence.removeprefix(f"{state.back}, so it waits again: ")
                tell(f"{why}; the job runs again when a worker takes it: {waiting}")
                waits = True
        elif waits and state.worker:
            tell(f"the job runs again, on '{state.worker}'")
            waits = False
        worker, attempt = state.worker, state.attempt


async def _end_of(job: Job, worker: str) -> str:
    """Says what became of a job's worker, for a hub that doesn't; a connected one has let go of the job."""
    from asman_shared import messages as m

    workers = (await job._connection.request(m.Workers(ref=0), m.WorkerPage)).workers
    connected = {each.name for each in workers if each.state in ("ready", "draining")}
    return f"worker '{worker}' gave the job back" if worker in connected else f"worker '{worker}' was lost"
