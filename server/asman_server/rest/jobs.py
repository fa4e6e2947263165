"""Serves one job over HTTP: get, wait, outputs, cancel, delete, explain."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from asman_shared.errors import NotFound
from asman_shared.messages import Cancelled, Deleted, Keeping
from asman_shared.states import State

from ..access import Right
from ..access.shown import shown
from ..core import events as ev
from ..queues.inquiry import explain_job, runs_of_job
from .base import as_json, hub_of, ref_response, unfinished
from .guard import access_of
from .queues import wait_for
from .requests import WAIT_DEFAULT, ask, duration, existing, job_of, label, number
from .types import (
    CancelAnswer,
    DeleteAnswer,
    ExplainAnswer,
    JobAnswer,
    KeepAnswer,
    RunsAnswer,
    WaitAnswer,
)


async def get(request: Request) -> Response:
    """Returns a job with its definition, and its result when it is finished.

    A key that can't submit gets a part of the definition: image, command and the names of environment variables.
    """
    async with existing(request, Right.READ) as shell:
        job = await shell.job(job_of(request))
        state = await shell.durable(job)
        definition = await shell.definition(job.id)
        if definition is None:
            raise NotFound(f"the definition of job {job.id[:12]}… is no longer kept")
        result = await shell.result(job.id) if state.state is State.FINISHED else None
    access = access_of(request)
    link = hub_of(request).links.path(shell.name, job.id, whole=access.sees_definitions)
    return as_json(JobAnswer(state, shown(definition, access), result, link, partial=not access.sees_definitions))


async def wait(request: Request) -> Response:
    """Waits until the job is finished: 200 with its verdict and result, or 202 when the time is up."""
    longest = duration(request, "timeout", WAIT_DEFAULT)
    async with existing(request, Right.READ) as shell:
        state = await wait_for(request, shell, job_of(request), longest)
        result = await shell.result(state.id) if state.state is State.FINISHED else None
    return as_json(WaitAnswer(state, state.verdict, result), 200 if state.state.over else 202)


async def runs(request: Request) -> Response:
    """Returns the runs of the job that are remembered: how, when and where each ended. ``log?run=`` has their logs.

    A job remembers its last 20 runs besides the present one, and of their logs the newest, up to the size that the log
    of one run may have.
    """
    async with existing(request, Right.READ) as shell:
        return as_json(RunsAnswer(await runs_of_job(shell, job_of(request))))


async def output(request: Request) -> Response:
    """Returns the bytes of an output file of the job."""
    name = str(request.path_params["path"])
    async with existing(request, Right.READ) as shell:
        job = await shell.job(job_of(request))
        state = await shell.durable(job)
        if state.state is not State.FINISHED:
            raise NotFound(unfinished(name))  # what an earlier run left is not of this one
        result = await shell.result(job.id)
    file = result.outputs.get(name) if result is not None else None
    if file is None:
        raise NotFound(f"job {job.id[:12]}… has no output '{name[:200]}'")
    return await ref_response(request, file.ref, name, file.media_type)


async def cancel(request: Request) -> Response:
    """Releases the job from one namespace (``*``: from all); the job stops when no namespace holds it any more."""
    namespace = label(request, "namespace", "_")
    async with existing(request, Right.SUBMIT) as shell:
        job = await shell.job(job_of(request))
        answer = await ask(lambda reply_to: shell.apply(ev.CancelRequested(job.id, namespace, reply_to)), Cancelled)
    return as_json(CancelAnswer(answer.released, answer.job))


async def delete(request: Request) -> Response:
    """Stops the job if it runs, and removes it and its result."""
    async with existing(request, Right.SUBMIT) as shell:
        job = await shell.job(job_of(request))
        answer = await ask(lambda reply_to: shell.apply(ev.DeleteRequested(job.id, reply_to)), Deleted)
    return as_json(DeleteAnswer(answer.job))


async def keep(request: Request) -> Response:
    """Keeps the job with its result and log beyond the queue's retention; with ``undo=1`` no longer."""
    undo = bool(number(request, "undo", 0, most=1))
    async with existing(request, Right.OWN) as shell:
        job = await shell.job(job_of(request))
        answer = await ask(lambda reply_to: shell.apply(ev.KeepRequested(job.id, not undo, reply_to)), Keeping)
    return as_json(KeepAnswer(answer.job))


async def explain(request: Request) -> Response:
    """Explains why the job is in its state, in a sentence and as data."""
    async with existing(request, Right.READ) as shell:
        found = await explain_job(shell, job_of(request), hub_of(request).clock())
    return as_json(
        ExplainAnswer(
            job=found.job,
            state=found.state,
            sentence=found.sentence,
            able=found.able,
            workers=found.workers,
            position=found.position,
            beyond=found.beyond,
            waiting_for=found.waiting_for,
            phase=found.phase,
            worker=found.worker,
            verdict=found.verdict,
        )
    )
