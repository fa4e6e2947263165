"""One job over HTTP: get, wait, log, outputs, cancel, delete, explain."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.errors import NotFound
from asman_shared.messages import Cancelled, Deleted, LogLine
from asman_shared.states import State

from .access import Right
from .core import events as ev
from .inquiry import explain_job
from .queue_shell import QueueShell
from .rest import as_json, hub_of, ref_response
from .rest_queue import wait_for
from .rest_requests import WAIT_DEFAULT, ask, choices, duration, existing, job_of, label, number
from .rest_stream import Streamed
from .rest_types import (
    STREAMS,
    CancelAnswer,
    DeleteAnswer,
    ExplainAnswer,
    Gap,
    JobAnswer,
    LogAnswer,
    WaitAnswer,
    line_answer,
)

LOG_LINES: Final = 10_000
"""Most lines in one page of a log."""


async def get(request: Request) -> Response:
    """A job with its definition, and its result when it is finished."""
    async with existing(request, Right.READ) as shell:
        job = await shell.job(job_of(request))
        state = await shell.durable(job)
        definition = await shell.definition(job.id)
        if definition is None:
            raise NotFound(f"the definition of job {job.id[:12]}… is no longer kept")
        result = await shell.result(job.id) if state.state is State.FINISHED else None
    return as_json(JobAnswer(state, definition, result))


async def wait(request: Request) -> Response:
    """Answers when the job is finished: 200 with its verdict and result; or 202 when the time is up."""
    longest = duration(request, "timeout", WAIT_DEFAULT)
    async with existing(request, Right.READ) as shell:
        state = await wait_for(request, shell, job_of(request), longest)
        result = await shell.result(state.id) if state.state is State.FINISHED else None
    return as_json(WaitAnswer(state, state.verdict, result), 200 if state.state.over else 202)


async def log(request: Request) -> Response:
    """A page of the job's log as JSON; or with ``Accept: text/plain`` all of it from ``since`` on, as text."""
    since = number(request, "since", 0) if "since" in request.query_params else None
    streams = {STREAMS.index(word) for word in STREAMS if word in choices(request, "stream", STREAMS)}
    if "text/plain" in request.headers.get("accept", ""):
        most = number(request, "limit", 2**53 - 1, least=1)
        return Streamed(_text(request, since, most, streams), "text/plain", hub_of(request).closing)
    limit = number(request, "limit", limits.LOG_BATCH_LINES, least=1, most=LOG_LINES)
    async with existing(request, Right.READ) as shell:
        answer, _ = await _page(shell, job_of(request), since, limit)
    if streams:
        answer.lines = [line for line in answer.lines if STREAMS.index(line.stream) in streams]
    return as_json(answer)


async def _page(shell: QueueShell, job_id: str, start: int | None, limit: int) -> tuple[LogAnswer, bool]:
    """A page of a log from ``start`` (None: from the run's first line), and whether there is nothing after it now."""
    job = await shell.job(job_id)
    state = await shell.durable(job)
    since = state.log_start if start is None else start
    lines, at_end = await shell.logs.read(job_id, since, limit)
    over = state.state is State.FINISHED and job.state is State.FINISHED
    end = state.verdict.lines if over and at_end and state.verdict is not None else 0
    following = max(lines[-1].seq + 1 if lines else since, end)
    made = LogAnswer([line_answer(line) for line in lines], following, over and at_end, gaps(lines, since, end))
    return made, at_end


def gaps(lines: list[LogLine], since: int, end: int = 0) -> list[Gap]:
    """Where lines are missing between ``since`` and the last of ``lines``, or ``end`` if that is further on."""
    found: list[Gap] = []
    for line in lines:
        if line.seq > since:
            found.append(Gap(since, line.seq))
        since = line.seq + 1
    if end > since:
        found.append(Gap(since, end))
    return found


async def _text(request: Request, since: int | None, most: int, streams: set[int]) -> AsyncGenerator[bytes, None]:
    """The lines there are now, as text; missing ones are said in brackets."""
    async with existing(request, Right.READ) as shell:
        job_id = job_of(request)
        at_end = False
        while not at_end and most > 0:
            page, at_end = await _page(shell, job_id, since, min(most, limits.LOG_BATCH_LINES))
            ends = {gap.until: gap for gap in page.gaps}
            parts: list[str] = []
            for line in page.lines:
                gap = ends.pop(line.seq, None)
                if gap is not None:
                    parts.append(_missing(gap))
                if not streams or STREAMS.index(line.stream) in streams:
                    parts.append(line.text + "\n")
            parts += [_missing(gap) for gap in ends.values()]
            most -= len(page.lines)
            since = page.next
            yield "".join(parts).encode("utf-8", "replace")


def _missing(gap: Gap) -> str:
    count = gap.until - gap.since
    return f"[{count} {'line is' if count == 1 else 'lines are'} no longer kept]\n"


async def output(request: Request) -> Response:
    """The bytes of an output file of the job."""
    name = str(request.path_params["path"])
    async with existing(request, Right.READ) as shell:
        job = await shell.job(job_of(request))
        await shell.durable(job)
        result = await shell.result(job.id)
    file = result.outputs.get(name) if result is not None else None
    if file is None:
        raise NotFound(f"job {job.id[:12]}… has no output '{name[:200]}'")
    return await ref_response(hub_of(request), file.ref, name, file.media_type)


async def cancel(request: Request) -> Response:
    """Releases the job from one namespace (``*``: from all); it is stopped when nobody holds it any more."""
    namespace = label(request, "namespace", "_")
    async with existing(request, Right.SUBMIT) as shell:
        job = await shell.job(job_of(request))
        answer = await ask(lambda origin: shell.apply(ev.CancelRequested(job.id, namespace, origin)), Cancelled)
    return as_json(CancelAnswer(answer.released, answer.job))


async def delete(request: Request) -> Response:
    """Stops the job if it runs, and forgets it and its result."""
    async with existing(request, Right.SUBMIT) as shell:
        job = await shell.job(job_of(request))
        answer = await ask(lambda origin: shell.apply(ev.DeleteRequested(job.id, origin)), Deleted)
    return as_json(DeleteAnswer(answer.job))


async def explain(request: Request) -> Response:
    """Why the job is where it is, in a sentence and as data."""
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
