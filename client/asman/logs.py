"""Reading of a job's log: stored lines first, then live ones, with no line repeated or silently missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.errors import AsmanError, BadRequest
from asman_shared.states import Phase

from .arguments import MAX_NUMBER, shown, text, whole, words_of
from .connection import Connection
from .tracking import Tail, Tracker

Stream = Literal["stdout", "stderr", "system"]
_STREAMS: Final[dict[int, Stream]] = dict(enumerate(m.STREAMS))
_PHASES: Final = {phase: phase.value for phase in Phase}


class Line(Struct, frozen=True, gc=False):
    """One line of a job's log.

    Attributes:
        seq: Number of the line in the whole run, from 0.
        time: In epoch milliseconds.
        stream: ``stdout``, ``stderr``, or ``system`` for lines about the job that the job did not write.
        text: Without the line end; a text that ends in a carriage return is to be overwritten by the next.
        phase: The job's phase: ``pulling``, ``building``, ``running``, …
        missing: If above 0, this line stands for that many lines which are no longer kept.
        end: The line end that the text had: a line feed, with or without a carriage return before it, or empty: the
            next line of the stream goes on where this one stops, or the stream ended. ``text + end`` of all lines of a
            stream is what the job wrote.
    """

    seq: int
    time: int
    stream: Stream
    text: str
    phase: str
    missing: int = 0
    end: str = "\n"


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
    """Builds the selection of a part of a log; None for the whole log. See `asman.Job.logs`.

    Raises:
        BadRequest: There is no such stream, phase or place, or a number is out of range.
    """
    streams, phases = words_of("stream", stream), words_of("phase", phase)
    text("grep", grep)
    text("around", around)
    for name, words, known in (
        ("stream", streams, list(m.STREAMS)),
        ("phase", phases, list(_PHASES.values())),
        ("around", [around] if around else [], ["first_error"]),
    ):
        for word in words:
            if word not in known:
                raise BadRequest(f"unknown {name} {shown(word)}: use one of {', '.join(known)}", field=name)
    numbers = {"until": until, "context": context, "head": head, "tail": tail, "max_bytes": max_bytes}
    for name, number in numbers.items():
        most = limits.LOG_CONTEXT_LINES if name == "context" else MAX_NUMBER
        if number is not None:
            whole(name, number, least=0, most=most)
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
    """Checks that a selection can be combined with following the log."""
    return m.LogSelection(streams=select.streams, phases=select.phases, tail=select.tail) == select


def line_of(line: m.LogLine) -> Line:
    """Converts a line of the protocol to the public form."""
    # Workers that do not know ends yet send none for a line that ends in a carriage return.
    end = "" if line.text.endswith("\r") else m.LINE_ENDS[line.end]
    return Line(line.seq, line.time, _STREAMS.get(line.stream, "system"), line.text, _PHASES[line.phase], end=end)


def _gap(since: int, until: int, time: int) -> Line:
    count = until - since
    words = "line is" if count == 1 else "lines are"
    return Line(since, time, "system", f"[{count} {words} no longer kept]", "", missing=count)


class LogReader:
    """Reads one job's log once.

    Args:
        connection: The connection to the queue.
        tracker: The job's tracker; the job must be followed for a live log.
        job: The job's id.
        since: The seq of the first line.
        run: The number of an earlier run, whose log is read; 0 for the present one.
    """

    def __init__(self, connection: Connection, tracker: Tracker, job: str, since: int, run: int = 0) -> None:
        self._connection = connection
        self._tracker = tracker
        self._job = job
        self._next = since
        self._run = run
        self._time = 0

    async def stored(self) -> AsyncIterator[list[Line]]:
        """Yields the lines that the hub has now, many at a time."""
        async for lines in self._fetch(None):
            yield lines

    async def selected(self, select: m.LogSelection) -> AsyncIterator[list[Line]]:
        """Yields the selected lines that the hub has now, many at a time."""
        self._begin()
        rest: m.LogSelection | None = select
        while rest is not None:
            request = m.ReadLog(0, self._job, self._next, limits.LOG_PAGE_LINES, rest, self._run)
            page = await self._connection.request(request, m.LogPage)
            if page.lines or page.gaps:
                yield _with_gaps(page)
            self._next, rest = page.next, page.rest

    async def live(self, select: m.LogSelection | None = None) -> AsyncIterator[list[Line]]:
        """Yields the lines that the hub has and each new line, until the job is finished and its log is complete.

        Args:
            select: Only these streams and phases, and only the last of the present lines.
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
        """Yields the unread lines of a finished job's log."""
        verdict = self._tracker.verdict
        end = verdict.lines if verdict is not None else 0
        self._begin()
        if self._next < end:
            async for lines in self._until(end):
                yield lines

    async def _until(self, end: int) -> AsyncIterator[list[Line]]:
        """Yields the lines before ``end``; one line stands for those that the hub no longer has."""
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
        """Skips the lines of earlier runs of the job, which do not count as missing."""
        state = self._tracker.state
        if state is not None and not self._run:
            self._next = max(self._next, state.log_start)

    def _read(self, lines: list[m.LogLine]) -> list[Line]:
        """Returns the lines that were not read before, with a line for each gap."""
        read: list[Line] = []
        expected = self._next
        for line in lines:
            seq = line.seq
            if seq != expected:
                if seq < expected:
                    continue
                read.append(_gap(expected, seq, line.time))
            read.append(line_of(line))
            expected = seq + 1
        if lines:
            self._next, self._time = expected, lines[-1].time
        return read

    def _skip(self, to: int) -> Line:
        gap = _gap(self._next, to, self._time)
        self._next = to
        return gap


def _passes(line: Line, select: m.LogSelection) -> bool:
    """Checks that a line belongs to the selected streams and phases; a gap passes, as its lines may have belonged."""
    of_stream = not select.streams or line.stream in select.streams
    return line.missing > 0 or (of_stream and (not select.phases or line.phase in select.phases))


def _runs(lines: list[m.LogLine]) -> Iterator[list[m.LogLine]]:
    """Splits lines into runs of consecutive numbers."""
    if lines[-1].seq - lines[0].seq + 1 == len(lines):
        yield lines
        return
    start = 0
    for at in range(1, len(lines) + 1):
        if at == len(lines) or lines[at].seq != lines[at - 1].seq + 1:
            yield lines[start:at]
            start = at


def _with_gaps(page: m.LogPage) -> list[Line]:
    """Returns the lines of a page, with a line in the place of each gap."""
    lines = [line_of(line) for line in page.lines]
    if page.gaps:
        time = page.lines[0].time if page.lines else 0
        lines += [_gap(gap.since, gap.until, time) for gap in page.gaps]
        lines.sort(key=lambda line: line.seq)
    return lines


async def last_lines(connection: Connection, job: str, verdict: m.Verdict, count: int) -> list[str]:
    """Fetches the last lines of a finished job's log, for an error; empty if they can't be read."""
    if not verdict.lines:
        return []
    since = max(0, verdict.lines - count)
    try:
        page = await connection.request(m.ReadLog(ref=0, job=job, since=since), m.LogPage)
    except AsmanError:
        return []
    return [line.text.rstrip("\r") for line in page.lines][-count:]
