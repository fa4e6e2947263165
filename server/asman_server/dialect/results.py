"""Renders a job with its result, in the dialect's form."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from asman_shared import limits
from asman_shared.messages import Result, Verdict
from asman_shared.states import Reason, State

from ..core import Job
from ..core.job_state import state_of
from ..hub import Hub
from . import outgoing
from .live_logs import is_run_line, log_of

LOG_LINES: Final = 50_000
"""Largest number of log lines in a result; ``run-logs.json`` has all of them."""
LOG_BYTES: Final = 4 * 1024 * 1024
"""Approximate size of the text of those lines, in bytes."""


async def job_with_result(hub: Hub, queue: str, job: Job) -> outgoing.ListedJob:
    """Returns a job of a queue, with its whole result when it is finished.

    Raises:
        Unavailable: The database can't be read now.
    """
    shell = hub.registry.queues.get(queue)
    made = outgoing.job_of(shell.core if shell is not None else None, state_of(job))
    if job.state is State.FINISHED and made.finished is not msgspec.UNSET:
        made.finished.result = await _result(hub, queue, job)
    return made


async def _result(hub: Hub, queue: str, job: Job) -> outgoing.RunResult:
    stored = await hub.store.result(queue, job.id) or Result()
    verdict = job.verdict or Verdict(ok=False, reason=Reason.ERROR)
    by_itself = verdict.reason in (Reason.SUCCESS, Reason.FAILED)
    return outgoing.RunResult(
        status_code=UNSET if verdict.exit_code is None else verdict.exit_code,
        logs=await _logs(hub, queue, job),
        duration=verdict.duration or UNSET,
        error=UNSET if by_itself else verdict.message or verdict.reason.value,
        is_timed_out=True if verdict.reason is Reason.TIMED_OUT else UNSET,
        outputs={name: _ref(file.ref) for name, file in stored.outputs.items()},
    )


def _ref(ref: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(ref)
    return made


async def _logs(hub: Hub, queue: str, job: Job) -> list[outgoing.Log]:
    found: list[outgoing.Log] = []
    size, since = 0, job.log_start
    while len(found) < LOG_LINES and size < LOG_BYTES:
        lines = await hub.store.lines(queue, job.id, since, limits.LOG_BATCH_LINES)
        if not lines:
            return found
        since = lines[-1].seq + 1
        found += [log_of(line) for line in lines if is_run_line(line)]
        size += sum(len(line.text) for line in lines)
    found.append(("… the rest of this log is at run-logs.json", job.finished))
    return found
