"""A job's log, line by line: replayed from the start and then live, without a line twice or silently left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from asman_shared import messages as m
from asman_shared.errors import AsmanError

from .connection import Connection
from .following import Tail, Tracker

Stream = Literal["stdout", "stderr", "system"]
_STREAMS: dict[int, Stream] = {m.STDOUT: "stdout", m.STDERR: "stderr", m.SYSTEM: "system"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job's log.

    Attributes:
        seq: Its number, from 0 on over the whole run.
        time: Epoch milliseconds.
        stream: ``stdout``, ``stderr``, or ``system`` for what was written about the job and not by it.
        text: Without its line end; a text that ends in a carriage return means to be written over.
        phase: What was being done: ``pulling``, ``building``, ``running``, …
        missing: Above 0 when this line stands for that many lines which are no longer kept.
    """

    seq: int
    time: int
    stream: Stream
    text: str
    phase: str
    missing: int = 0


def _line(line: m.LogLine) -> Line:
    return Line(line.seq, line.time, _STREAMS.get(line.stream, "system"), line.text, line.phase.value)


def _gap(since: int, until: int, time: int) -> Line:
    count = until - since
    words = "line is" if count == 1 else "lines are"
    return Line(since, time, "system", f"[{count} {words} no longer kept]", "", missing=count)


class LogReader:
    """Reads one job's log once.

    Args:
        connection: The queue's.
        tracker: The job's; it must be followed for a live log.
        job: The job's id.
        since: The seq of the first line that is wanted.
    """

    def __init__(self, connection: Connection, tracker: Tracker, job: str, since: int) -> None:
        self._connection = connection
        self._tracker = tracker
        self._job = job
        self._next = since
        self._time = 0

    async def stored(self) -> AsyncIterator[Line]:
        """The lines that the hub has now."""
        async for line in self._fetch(None):
            yield line

    async def live(self) -> AsyncIterator[Line]:
        """The lines that the hub has and those that come, until the job is finished and all of them came."""
        session = self._connection.session
        if self._tracker.verdict is not None:
            async for line in self._rest():
                yield line
            return
        shared = session.is_tailed(self._job)
        tail = session.tail(self._tracker, self._job, self._next)
        try:
            tail.dropped = shared
            await self._connection.request(
                m.Follow(ref=0, job=self._job, logs=True, since=self._next), m.Following, tracker=self._tracker
            )
            async for line in self._drain(tail):
                yield line
        finally:
            if session.untail(self._job, tail) and self._tracker.verdict is None:
                self._connection.tell(m.Follow(ref=0, job=self._job, logs=False))

    async def _drain(self, tail: Tail) -> AsyncIterator[Line]:
        while True:
            while (pushed := tail.pop()) is not None:
                self._begin()
                if pushed.seq > self._next:
                    async for line in self._until(pushed.seq):
                        yield line
                if pushed.seq == self._next:
                    yield self._read(pushed)
            if tail.dropped:
                tail.dropped = False
                async for line in self._fetch(None):
                    yield line
            elif self._tracker.verdict is not None:
                async for line in self._rest():
                    yield line
                return
            else:
                await self._tracker.change()

    async def _rest(self) -> AsyncIterator[Line]:
        """What is left of a finished job's log."""
        verdict = self._tracker.verdict
        end = verdict.lines if verdict is not None else 0
        self._begin()
        if self._next < end:
            async for line in self._until(end):
                yield line

    async def _until(self, end: int) -> AsyncIterator[Line]:
        """The lines before ``end``; those that the hub no longer has are said in one line."""
        async for line in self._fetch(end):
            yield line
        if self._next < end:
            yield self._skip(end)

    async def _fetch(self, end: int | None) -> AsyncIterator[Line]:
        while end is None or self._next < end:
            request = m.ReadLog(ref=0, job=self._job, since=self._next)
            page = await self._connection.request(request, m.LogPage)
            self._begin()
            for line in page.lines:
                if line.seq < self._next:
                    continue
                if line.seq > self._next:
                    self._time = line.time
                    yield self._skip(line.seq)
                yield self._read(line)
            if page.final or not page.lines:
                return

    def _begin(self) -> None:
        """Passes over the lines of earlier runs of the job: they are not missing, they are not this run's."""
        state = self._tracker.state
        if state is not None:
            self._next = max(self._next, state.log_start)

    def _read(self, line: m.LogLine) -> Line:
        self._next = line.seq + 1
        self._time = line.time
        return _line(line)

    def _skip(self, to: int) -> Line:
        gap = _gap(self._next, to, self._time)
        self._next = to
        return gap


async def last_lines(connection: Connection, job: str, verdict: m.Verdict, count: int) -> list[str]:
    """The last lines of a finished job's log, for an error; empty when they can't be had."""
    if not verdict.lines:
        return []
    since = max(0, verdict.lines - count)
    try:
        page = await connection.request(m.ReadLog(ref=0, job=job, since=since), m.LogPage)
    except AsmanError:
        return []
    return [line.text.rstrip("\r") for line in page.lines][-count:]
