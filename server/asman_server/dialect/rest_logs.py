"""Serves a job's logs over HTTP, in the dialect's two kinds: slices by cursor, and server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from asman_shared.messages import JobState, Verdict
from asman_shared.states import Reason, State

from ..queues.shell import QueueShell
from ..queues.watch import JobWatch
from ..rest.base import as_json, hub_of
from ..rest.requests import number
from ..rest.streaming import EVENTS, Streamed
from .log_slices import Cursors, Kind, read_slice
from .outgoing import REASONS, Log
from .rest import found_job

HEARTBEAT: Final = 15.0
"""Time after which a comment is sent when there are no events, in seconds."""
KINDS: Final[tuple[Kind, ...]] = ("build", "run")
_encode = msgspec.json.Encoder().encode


class Lines(Struct):
    """New lines of a kind, and the cursor after them."""

    lines: list[Log]
    cursor: int


class Where(Struct, omit_defaults=True):
    """The state of a job, with the ``reason`` when it is finished."""

    state: State
    reason: str = ""


def cursors_of(request: Request) -> Cursors:
    """The cursors of the hub that serves a request."""
    cursors: Cursors = request.app.state.cursors
    return cursors


async def build_logs(request: Request) -> Response:
    """Answers with lines about the job's image (pulled or built), from the cursor ``since`` on."""
    return await _slice(request, "build")


async def run_logs(request: Request) -> Response:
    """Answers with lines that the job wrote, from the cursor ``since`` on."""
    return await _slice(request, "run")


async def _slice(request: Request, kind: Kind) -> Response:
    since = number(request, "since", 0)
    found = await found_job(request)
    async with hub_of(request).registry.using(found.queue, linger=True) as shell:
        return as_json(await read_slice(shell, cursors_of(request), found.job.id, kind, since))


async def stream(request: Request) -> Response:
    """Streams the job's history and then everything new, as server-sent events.

    ``state``: each state of the job once, Queued before every Running; ``build-log`` and ``run-log``: new lines, and
    the cursor after them; ``final``: the job's end, after the last line.
    """
    found = await found_job(request)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    pieces = _stream(request, found.queue, found.job.id)
    return Streamed(pieces, EVENTS, hub_of(request).closing, headers)


async def _stream(request: Request, queue: str, job_id: str) -> AsyncGenerator[bytes, None]:
    cursors = cursors_of(request)
    async with hub_of(request).registry.using(queue) as shell, JobWatch(shell, job_id) as watch:
        await watch.follow_log()
        run = watch.job.number
        at: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        told: tuple[State, int] | None = None
        while True:
            state = watch.state
            if watch.job.number != run:
                run, at, told = watch.job.number, dict.fromkeys(KINDS, 0), None
            if not state.state.over and told != (state.state, state.attempt):
                if state.state is State.RUNNING and (told is None or told[0] is State.RUNNING):
                    yield _event("state", Where(State.QUEUED))
                told = state.state, state.attempt
                yield _event("state", Where(state.state))
            for kind in KINDS if state.state is not State.REMOVED else ():
                async for part in _lines(shell, cursors, job_id, kind, at):
                    yield part
            if state.state.over:
                yield _event("state", Where(state.state, _reason(state)))
                yield _event("final", Where(State.FINISHED, _reason(state)))
                return
            if watch.state is state:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await watch.news()
                except TimeoutError:
                    yield b": still here\n\n"


async def _lines(
    shell: QueueShell, cursors: Cursors, job_id: str, kind: Kind, at: dict[Kind, int]
) -> AsyncGenerator[bytes, None]:
    """Yields the lines of a kind that exist now, after those that were already sent."""
    while True:
        found = await read_slice(shell, cursors, job_id, kind, at[kind])
        if not found.data:
            return
        at[kind] = found.next_cursor
        yield _event(f"{kind}-log", Lines(found.data, found.next_cursor))


def _reason(state: JobState) -> str:
    verdict = state.verdict or Verdict(ok=False, reason=Reason.DELETED)
    return REASONS[verdict.reason]


def _event(kind: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(data))
