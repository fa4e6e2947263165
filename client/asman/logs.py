"""A job's log, line by line: replayed from the start and then live, without a line twice or silently left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.errors import AsmanError, BadRequest
from asman_shared.states import Phase

from .connection import Connection
from .tracking import Tail, Tracker

Stream = Literal["stdout", "stderr", "system"]
_STREAMS: Final[dict[int, Stream]] = dict(enumerate(m.STREAMS))
_PHASES: Final = {phase: phase.value for phase in Phase}


class Line(Struct, frozen=True, gc=False):
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


def selection(
    *,
    until: int | None = None,
    stream: str | Iterable[str] = (),
    phase: str | Iterable[str] = (),
    around: str = "",
    grep: str = "",
    ignore_case: bool = False,
    context: int | None = None,
    head: int | None = None,
    tail: int | None = None,
    max_bytes: int | None = None,
) -> m.LogSelection | None:
    """What is wanted of a log; None for all of it. See `asman.Job.logs`.

    Raises:
        BadRequest: There is no such stream, phase or place, or a number is out of its bounds.
    """
    streams = [stream] if isinstance(stream, str) else list(stream)
    phases = [phase] if isinstance(phase, str) else list(phase)
    for name, words, known in (
        ("stream", streams, list(m.STREAMS)),
        ("phase", phases, list(_PHASES.values())),
        ("around", [around] if around else [], ["first_error"]),
    ):
        for word in words:
            if word not in known:
                raise BadRequest(f"'{word}' is no {name}: {', '.join(known)}", field=name)
    numbers = {"until": until, "context": context, "head": head, "tail": tail, "max_bytes": max_bytes}
    for name, number in numbers.items():
        most = limits.LOG_CONTEXT_LINES if name == "context" else 2**53 - 1
        if number is not None and not 0 <= number <= most:
            raise BadRequest(f"'{name}' is a number from 0 to {most}", field=name)
    made = m.LogSelection(
        streams=[name for name in m.STREAMS if name in streams],
        phases=[Phase(name) for name in phases],
        around="first_error" if around else "",
        grep=grep,
        ignore_case=ignore_case,
        until=until,
        context=context,
        head=head,
        tail=tail,
        max_bytes=max_bytes,
    )
    return made if made != m.LogSelection() else None


def followable(select: m.LogSelection) -> bool:
    """Whether a log can go on to be followed when so much of it was selected."""
    return m.LogSelection(streams=select.streams, phases=select.phases, tail=select.tail) == select


def line_of(line: m.LogLine) -> Line:
    """A line as it is given to programs."""
    return Line(line.seq, line.time, _STREAMS.get(line.stream, "system"), line.text, _PHASES[line.phase])


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

    async def stored(self) -> AsyncIterator[list[Line]]:
        """The lines that the hub has now, many at a time."""
        async for lines in self._fetch(None):
            yield lines

    async def selected(self, select: m.LogSelection) -> AsyncIterator[list[Line]]:
        """The lines that the hub has now of a selection, many at a time."""
        self._begin()
        rest: m.LogSelection | None = select
        while rest is not None:
            request = m.ReadLog(ref=0, job=self._job, since=self._next, limit=limits.LOG_PAGE_LINES, select=rest)
            page = await self._connection.request(request, m.LogPage)
            if page.lines or page.gaps:
                yield _with_gaps(page)
            self._next, rest = page.next, page.rest

    async def live(self, select: m.LogSelection | None = None) -> AsyncIterator[list[Line]]:
        """The lines that the hub has and those that come, until the job is finished and all of them came.

        Args:
            select: Only these streams and phases, and only the last lines of what there is now.
        """
        if select is None:
            async for lines in self._live():
                yield lines
            return
        if select.tail is not None:
            async for lines in self.selected(select):
                yield lines
        async for lines in self._live():
            wanted = [line for line in lines if _passes(line, select)]
            if wanted:
                yield wanted

    async def _live(self) -> AsyncIterator[list[Line]]:
        session = self._connection.session
        if self._tracker.verdict is not None:
            async for lines in self._rest():
                yield lines
            return
        shared = session.is_tailed(self._job)
        tail = session.tail(self._tracker, self._job, self._next)
        try:
            tail.dropped = shared
            await self._connection.request(
                m.Follow(ref=0, job=self._job, logs=True, since=self._next), m.Following, tracker=self._tracker
            )
            async for lines in self._drain(tail):
                yield lines
        finally:
            if session.untail(self._job, tail) and self._tracker.verdict is None:
                self._connection.tell(m.Follow(ref=0, job=self._job, logs=False))

    async def _drain(self, tail: Tail) -> AsyncIterator[list[Line]]:
        while True:
            while pushed := tail.pop():
                self._begin()
                for run in _runs(pushed):
                    if run[-1].seq < self._next:
                        continue
                    if run[0].seq > self._next:
                        async for lines in self._until(run[0].seq):
                            yield lines
                    if fresh := self._read(run):
                        yield fresh
            if tail.dropped:
                tail.dropped = False
                async for lines in self._fetch(None):
                    yield lines
            elif self._tracker.verdict is not None:
                async for lines in self._rest():
                    yield lines
                return
            else:
                await self._tracker.change()

    async def _rest(self) -> AsyncIterator[list[Line]]:
        """What is left of a finished job's log."""
        verdict = self._tracker.verdict
        end = verdict.lines if verdict is not None else 0
        self._begin()
        if self._next < end:
            async for lines in self._until(end):
                yield lines

    async def _until(self, end: int) -> AsyncIterator[list[Line]]:
        """The lines before ``end``; those that the hub no longer has are said in one line."""
        async for lines in self._fetch(end):
            yield lines
        if self._next < end:
            yield [self._skip(end)]

    async def _fetch(self, end: int | None) -> AsyncIterator[list[Line]]:
        while end is None or self._next < end:
            request = m.ReadLog(ref=0, job=self._job, since=self._next, limit=limits.LOG_PAGE_LINES)
            page = await self._connection.request(request, m.LogPage)
            self._begin()
            if lines := self._read(page.lines):
                yield lines
            if page.final or not page.lines:
                return

    def _begin(self) -> None:
        """Passes over the lines of earlier runs of the job: they are not missing, they are not this run's."""
        state = self._tracker.state
        if state is not None:
            self._next = max(self._next, state.log_start)

    def _read(self, lines: list[m.LogLine]) -> list[Line]:
        """The lines that were not read before, with a line where some are missing."""
        read: list[Line] = []
        following = self._next
        for line in lines:
            seq = line.seq
            if seq != following:
                if seq < following:
                    continue
                read.append(_gap(following, seq, line.time))
            read.append(line_of(line))
            following = seq + 1
        if lines:
            self._next, self._time = following, lines[-1].time
        return read

    def _skip(self, to: int) -> Line:
        gap = _gap(self._next, to, self._time)
        self._next = to
        return gap


def _passes(line: Line, select: m.LogSelection) -> bool:
    """Whether a line is of the streams and phases of a selection; what is missing may have been."""
    of_stream = not select.streams or line.stream in select.streams
    return line.missing > 0 or (of_stream and (not select.phases or line.phase in select.phases))


def _runs(lines: list[m.LogLine]) -> Iterator[list[m.LogLine]]:
    """Lines in parts in which none is missing."""
    if lines[-1].seq - lines[0].seq + 1 == len(lines):
        yield lines
        return
    start = 0
    for at in range(1, len(lines) + 1):
        if at == len(lines) or lines[at].seq != lines[at - 1].seq + 1:
            yield lines[start:at]
            start = at


def _with_gaps(page: m.LogPage) -> list[Line]:
    """The lines of a page, and one for each gap in its place."""
    lines = [line_of(line) for line in page.lines]
    if page.gaps:
        time = page.lines[0].time if page.lines else 0
        lines += [_gap(gap.since, gap.until, time) for gap in page.gaps]
        lines.sort(key=lambda line: line.seq)
    return lines


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
