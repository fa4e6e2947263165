"""Streams a job as server-sent events (WHATWG HTML): its history, then each change and line as it comes.

An event's id is ``<run>.<line>.<rev>``: the number of the job's run, the seq of the next line, and the rev of the
newest state sent. The id names the same place over every connection and every restart of the hub, so a reader that
sends it back as ``Last-Event-ID`` gets exactly the events that it missed. Lines that are no longer kept become a
``gap`` event, never a silent skip. ``final`` is sent once, after the last line, and only from the accepted result; a
stream that ends without it says nothing about the job's end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.messages import JobState, Verdict
from asman_shared.states import Reason, State

from ..access import Right
from ..core.job_state import log_end
from ..logs.select import gaps
from ..queues.shell import QueueShell
from ..queues.watch import JobWatch
from .base import hub_of
from .requests import existing, job_of
from .streaming import EVENTS, Streamed
from .types import WaitAnswer, line_answer

HEARTBEAT: Final = 15.0
"""Time without events after which a comment is sent, in seconds."""
RETRY_MS: Final = 1000
"""Time that a reader is asked to wait before it reconnects, in milliseconds."""
EVENT_ID: Final = "([0-9]{1,15})[.]([0-9]{1,15})[.]([0-9]{1,15})"
"""The form of an event's id."""
_ID: Final = re.compile(EVENT_ID)
_encode = msgspec.json.Encoder().encode


class Place(Struct, frozen=True):
    """Position of a reader: the run, the seq of the next line and the rev of the newest state sent."""

    run: int
    line: int
    rev: int

    def __str__(self) -> str:
        return f"{self.run}.{self.line}.{self.rev}"


class Reset(Struct):
    """Tells that the run that the reader knew is gone; another run follows, from its start."""

    run: int


def place_of(request: Request) -> Place | None:
    """Reads the position to resume at from the header ``Last-Event-ID`` or, without it, the query ``last_event_id``.

    Raises:
        BadRequest: An id is not one that this address gives.
    """
    query, header = request.query_params.get("last_event_id", ""), request.headers.get("last-event-id", "")
    by_query, by_header = _place(query, "last_event_id"), _place(header, "Last-Event-ID")
    return by_header or by_query


def _place(text: str, field: str) -> Place | None:
    if not text:
        return None
    found = _ID.fullmatch(text)
    if found is None:
        raise BadRequest("the id of the last event is not from this address", field=field)
    return Place(*map(int, found.groups()))


async def events(request: Request) -> Response:
    """Streams the job's history and then everything new, as server-sent events.

    ``state``: the job's state; ``log``: one line; ``gap``: lines that are no longer kept; ``reset``: another run than
    before the break; ``final``: the job's end, after the last line. Comments come when there are no events. Send the
    last ``id`` back as ``Last-Event-ID`` to resume; 204 then means that there are no more events.
    """
    place = place_of(request)
    async with existing(request, Right.READ) as shell:
        job = await shell.job(job_of(request))
        state = await shell.durable(job)
        if place is not None and place.run == job.number and place.rev == state.rev and state.state.over:
            return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Streamed(_stream(request, place), EVENTS, hub_of(request).closing, headers)


async def _stream(request: Request, place: Place | None) -> AsyncGenerator[bytes, None]:
    async with existing(request, Right.READ) as shell, JobWatch(shell, job_of(request)) as watch:
        await watch.follow_log()
        run = watch.job.number
        yield f"retry: {RETRY_MS}\n\n".encode()
        if place is not None and place.run != run:
            place = Place(run, watch.state.log_start, 0)
            yield _event("reset", place, Reset(run))
        told = place or Place(run, watch.state.log_start, 0)
        while True:
            state = watch.state
            if not state.state.over and state.rev > told.rev:
                told = Place(run, told.line, state.rev)
                yield _event("state", told, state)
            at_end = False
            while not at_end:
                part, told, at_end = await _lines(shell, watch, told)
                if part:
                    yield part
            if state.state.over:
                yield await _final(shell, state, told)
                return
            if watch.state is state:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await watch.news()
                except TimeoutError:
                    yield b": still here\n\n"


async def _lines(shell: QueueShell, watch: JobWatch, told: Place) -> tuple[bytes, Place, bool]:
    """Returns the next lines as events, the position after them, and whether they reach the end for now."""
    if watch.job.number != told.run:
        return b"", told, True
    until = log_end(watch.job) if watch.state.state.over else None
    lines, at_end = await shell.logs.read(watch.job.id, told.line, limits.LOG_BATCH_LINES, until)
    missing = {gap.since: gap for gap in gaps(lines, told.line)}
    parts: list[bytes] = []
    for line in lines:
        gap = missing.get(told.line)
        if gap is not None:
            told = Place(told.run, gap.until, told.rev)
            parts.append(_event("gap", told, gap))
        told = Place(told.run, line.seq + 1, told.rev)
        parts.append(_event("log", told, line_answer(line)))
    return b"".join(parts), told, at_end


async def _final(shell: QueueShell, state: JobState, told: Place) -> bytes:
    verdict = state.verdict or Verdict(ok=False, reason=Reason.DELETED)
    parts: list[bytes] = []
    for gap in gaps([], told.line, verdict.lines):
        told = Place(told.run, gap.until, told.rev)
        parts.append(_event("gap", told, gap))
    result = await shell.result(state.id) if state.state is State.FINISHED else None
    told = Place(told.run, told.line, state.rev)
    parts.append(_event("final", told, WaitAnswer(state, verdict, result)))
    return b"".join(parts)


def _event(kind: str, place: Place, data: Any) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(place).encode(), kind.encode(), _encode(data))
