"""The extension for tasks: a task is a job, so it needs no memory of the hub's and outlives it.

The id of a task is that of the job with the key of its address (`asman_shared.address`): nobody can guess it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from asman_shared.definition import SHA256
from asman_shared.errors import NotFound
from asman_shared.messages import Cancelled, JobState
from asman_shared.states import Reason, State

from ..access import Right
from ..core import events as ev
from ..queues.shell import QueueShell
from ..rest.requests import ask
from . import answers
from .context import Context, doing
from .protocol import INVALID_PARAMS, MISSING_CAPABILITY, TASKS, RpcError

POLL_MS: Final = 1000
"""Time that a client should leave between two questions, in milliseconds; some take it for the longest."""
_NO_OUTCOME: Final = (Reason.CANCELLED, Reason.REPLACED, Reason.DELETED)


def task_of(context: Context, shell: QueueShell, state: JobState) -> dict[str, Any]:
    """Returns the answer to a call that goes on as a task."""
    return {"resultType": "task", **_fields(context, shell, state, "working")}


async def get(context: Context) -> dict[str, Any]:
    """Answers ``tasks/get``: the state of a task, with the result of its call when it is finished.

    Raises:
        RpcError: There is no such task, or the request does not say that its sender understands tasks.
        AsmanError: The job can't be read now.
    """
    async with _task(context, Right.READ) as (shell, job):
        state = await shell.durable(await shell.job(job))
        if state.state is not State.FINISHED or state.verdict is None:
            return _fields(context, shell, state, "working")
        if state.verdict.reason in _NO_OUTCOME:
            return _fields(context, shell, state, "cancelled")
        result = {"resultType": "complete", **await answers.about(context, shell, state)}
        return {**_fields(context, shell, state, "completed"), "result": result}


async def cancel(context: Context) -> dict[str, Any]:
    """Answers ``tasks/cancel``: cancels the job; ``tasks/get`` tells when it has ended.

    Raises:
        RpcError: As `get`.
        Forbidden: The key may not cancel.
        AsmanError: The job can't be cancelled now.
    """
    async with _task(context, Right.SUBMIT) as (shell, job):
        found = await shell.job(job)
        await ask(lambda reply_to: shell.apply(ev.CancelRequested(found.id, "_", reply_to)), Cancelled)
    return {}


async def update(context: Context) -> dict[str, Any]:
    """Answers ``tasks/update``: no task of this hub asks for anything, so there is nothing to do.

    Raises:
        RpcError: As `get`.
    """
    async with _task(context, Right.READ):
        return {}


@asynccontextmanager
async def _task(context: Context, right: Right) -> AsyncIterator[tuple[QueueShell, str]]:
    """Returns the queue, and the job that a request names by the id of its task."""
    if not context.call.tasks:
        raise RpcError(
            MISSING_CAPABILITY,
            f"this request does not say that its sender understands tasks: declare the extension {TASKS}",
            {"requiredCapabilities": {"extensions": {TASKS: {}}}},
        )
    given = context.call.params.get("taskId")
    job, _, key = given.partition("~") if isinstance(given, str) else ("", "", "")
    queue = context.access.queue
    context.access.need(right)
    if SHA256.fullmatch(job) is None or not context.hub.links.opens(key, queue, job):
        raise _unknown()
    try:
        async with context.reading() if right is Right.READ else context.changing() as shell:
            await shell.job(job)
            yield shell, job
    except NotFound:
        raise _unknown() from None


def _unknown() -> RpcError:
    return RpcError(INVALID_PARAMS, "there is no such task: it was deleted, or its id (taskId) is wrong")


def _fields(context: Context, shell: QueueShell, state: JobState, status: str) -> dict[str, Any]:
    retention = shell.configured(0).retention
    newest = max(state.queued, state.started, state.finished)
    made = {
        "taskId": context.hub.links.address(context.access.queue, state.id, whole=context.access.sees_definitions),
        "status": status,
        "createdAt": _time(state.queued),
        "lastUpdatedAt": _time(newest),
        "ttlMs": retention or None,
        "pollIntervalMs": POLL_MS,
    }
    if state.state is State.FINISHED and state.verdict is not None:
        made["statusMessage"] = answers.ended(state, state.verdict)
    else:
        made["statusMessage"] = doing(state, state.phase)
    return made


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
