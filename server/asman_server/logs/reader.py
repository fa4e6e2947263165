"""Reads logs on request: a page from a given line on, or a selection of lines, for both the websocket and REST.

One request scans a bounded part of a log and answers with a bounded page. A selection that takes more (a rare pattern
in a log of many megabytes) comes in several answers, each with the selection to request next; the hub keeps no state
in between. Patterns are matched in a few dedicated threads of the hub, so the event loop continues meanwhile. Searches
may wait for other searches; no other request waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.errors import BadRequest, NotFound
from asman_shared.messages import Gap, JobState, LogLine, LogPage, LogSelection, Run
from asman_shared.states import State
from asman_shared.units import MIB

from ..core import Job
from ..core.job_state import log_end, runs_of
from ..queues.queue_logs import QueueLogs
from ..queues.shell import QueueShell
from ..storage.reader import size_of
from .landmarks import FirstError
from .patterns import Pattern
from .select import LineFilter, gaps, wanted_by

SCAN_BYTES: Final = 8 * MIB
"""Log bytes that one request scans, besides the page that it is reading at the limit."""
SCAN_SECONDS: Final = 2.0
"""Time after which a request scans no further page, in seconds."""
WINDOW_BYTES: Final = 32 * MIB
"""Log bytes scanned on each side of the first error for the lines around it, when a selection skips other lines."""
THREADS: Final = 2
"""Number of searches that run at a time; further ones wait."""
ERROR_CONTEXT: Final = 10
"""Lines on each side of the first error, when no number is given."""

R = TypeVar("R")


class LogReader:
    """Answers requests for logs, with the search threads of the whole hub; a hub has one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="log-search")

    def close(self) -> None:
        """Ends the threads; waiting searches are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def apart(self, work: Callable[..., R], *arguments: object) -> R:
        """Runs a function in one of the search threads and returns its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def page(
        self,
        shell: QueueShell,
        job_id: str,
        since: int | None,
        limit: int,
        select: LogSelection | None = None,
        ref: int = 0,
        run: int = 0,
    ) -> LogPage:
        """Returns a page of a job's log.

        Args:
            shell: The job's queue.
            job_id: The job.
            since: The seq of the first line; None for the run's first. Lines of earlier runs are skipped.
            limit: Largest number of lines in the page.
            select: The selection of lines; None for everything.
            ref: The request's ref.
            run: The number of an earlier run, whose log is read; 0 for the present one.

        Raises:
            NotFound: The queue has no such job, or the job has no such run.
            BadRequest: The selection can't be used; the error says why.
            Unavailable: The log can't be read now.
        """
        job = await shell.job(job_id)
        state = await shell.durable(job)
        if run and (earlier := _run(job, run)) is not None:
            ended = replace(state, state=State.FINISHED)
            reading = Reading(self, shell.logs, ended, earlier.lines, select or LogSelection())
            return await reading.page(max(earlier.log_start, since or 0), limit, ref)
        start = max(state.log_start, since or 0)
        if select is not None:
            return await Reading(self, shell.logs, state, log_end(job), select).page(start, limit, ref)
        until = log_end(job) if state.state is State.FINISHED else None
        lines, at_end = await shell.logs.read(job_id, start, limit, until)
        over = state.state is State.FINISHED and job.state is State.FINISHED
        end = state.verdict.lines if over and at_end and state.verdict is not None else 0
        following = max(lines[-1].seq + 1 if lines else start, end)
        return LogPage(ref, lines, following, over and at_end, gaps(lines, start, end))


def _run(job: Job, number: int) -> Run | None:
    """Finds an earlier run of a job; None for the present one.

    Raises:
        NotFound: The job has no such run, or it was so long ago that its log is deleted.
    """
    found = next((run for run in runs_of(job) if run.number == number), None)
    if found is None:
        raise NotFound(f"job {job.id[:12]}… has no run {number} that is remembered")
    if not found.log_kept:
        raise NotFound(f"the log of run {number} of job {job.id[:12]}… is no longer kept")
    return None if found.present else found


class Reading:
    """One request for a selection.

    Args:
        reader: The log reader, whose threads are used.
        logs: The queue's logs.
        state: The job's durable state.
        log_next: The seq after the log's last line now.
        select: The selection of lines.

    Raises:
        BadRequest: The selection can't be used.
    """

    def __init__(
        self, reader: LogReader, logs: QueueLogs, state: JobState, log_next: int, select: LogSelection
    ) -> None:
        pattern = Pattern(select.grep, ignore_case=select.ignore_case) if select.grep else None
        if select.context is not None and not (select.grep or select.around):
            raise BadRequest("'context' needs 'grep' or 'around'", field="context")
        self._reader = reader
        self._logs = logs
        self._job = state.id
        self._over = state.state is State.FINISHED
        self._log_next = log_next
        # The end is fixed by the first request: otherwise reading a log that grows as fast would never end.
        self._select = replace(select, until=min(log_next, select.until if select.until is not None else log_next))
        self._wanted = wanted_by(select)
        self._found = pattern.found if pattern is not None else None
        self._left = SCAN_BYTES
        self._deadline = asyncio.get_running_loop().time() + SCAN_SECONDS
        self._cut = False

    async def page(self, at: int, limit: int, ref: int) -> LogPage:
        """Returns the selected lines from ``at`` on, or a first part of them, or only the selection to request next."""
        if self._select.around:
            place = await self._first_error(at)
            if place is None:
                more = self._select.before is not None
                return LogPage(
                    ref, [], at if more else self._until, self._over and not more, rest=self._select if more else None
                )
            at = await self._window(place, at)
        if self._select.tail is not None and self._select.head is None:
            begin = await self._tail(at)
            if begin is None:
                return LogPage(ref, [], at, rest=self._select)
            at = begin
        return await self._forwards(at, limit, ref)

    @property
    def _until(self) -> int:
        return self._select.until or 0

    def _spent(self, lines: list[LogLine]) -> bool:
        """Counts scanned lines; returns whether this request has reached its limit of bytes or time."""
        self._left -= size_of(lines)
        return self._left <= 0 or asyncio.get_running_loop().time() >= self._deadline

    async def _filter(self, line_filter: LineFilter, lines: list[LogLine]) -> bool:
        if self._found is None:
            return line_filter.take(lines)
        return await self._reader.apart(line_filter.take, lines)

    def _sieve(self, **more: Any) -> LineFilter:
        context = (self._select.context or 0) if self._found is not None else 0
        return LineFilter(self._wanted, self._found, context, remaining_context=self._select.owed, **more)

    def _most(self, count: int | None) -> int:
        """Returns the number of lines to read at a time when ``count`` lines are wanted."""
        plain = count is not None and self._found is None and self._wanted is None
        return min(count or 1, limits.LOG_PAGE_LINES) if plain else limits.LOG_PAGE_LINES

    async def after(self, at: int, most: int) -> list[LogLine]:
        """Returns the next existing lines from ``at`` on."""
        lines, _ = await self._logs.read(self._job, at, most)
        return lines if not lines or lines[-1].seq < self._until else [n for n in lines if n.seq < self._until]

    async def _before(self, at: int, floor: int, most: int) -> list[LogLine]:
        """Returns the last existing lines before ``at``, in order; none before ``floor``."""
        lines = await self._logs.read_back(self._job, at, most)
        return lines if not lines or lines[0].seq >= floor else [line for line in lines if line.seq >= floor]

    def _only(self, lines: list[LogLine]) -> list[LogLine]:
        return lines if self._wanted is None else [line for line in lines if self._wanted(line)]

    # ---------------------------------------------------------------------------------------------- finding places

    async def _first_error(self, at: int) -> int | None:
        """Finds the seq of the first error; None when there is none, or the updated selection continues the search."""
        signs = FirstError(self._select.standing)
        at = max(at, self._select.before or 0)
        self._select = replace(self._select, before=None)
        while at < self._until and (lines := await self.after(at, limits.LOG_PAGE_LINES)):
            at = lines[-1].seq + 1
            if await self._reader.apart(signs.take, self._only(lines)):
                return signs.found
            if self._spent(lines) and at < self._until:
                self._select = replace(self._select, before=at, standing=signs.standing)
                return None
        return signs.standing

    async def _window(self, place: int, floor: int) -> int:
        """Narrows the selection to the lines around ``place``; returns the seq of the first of them."""
        select = self._select
        around = ERROR_CONTEXT if select.context is None else select.context
        first = await self.steps_back(place, around, floor)
        until = await self.steps_on(place + 1, around)
        context = select.context if select.grep else None
        self._select = replace(select, around="", standing=None, context=context, until=until)
        return first

    async def steps_back(self, place: int, count: int, floor: int) -> int:
        """Returns the seq of the line ``count`` wanted lines before ``place``, or as far as `WINDOW_BYTES` reach."""
        left = WINDOW_BYTES
        while count > 0 and left > 0 and (lines := await self._before(place, floor, limits.LOG_BATCH_LINES)):
            kept = self._only(lines)
            place = kept[-count].seq if len(kept) >= count else lines[0].seq
            count -= len(kept)
            left -= size_of(lines)
        return place

    async def steps_on(self, place: int, count: int) -> int:
        """Returns the seq after the line ``count`` wanted lines on, or as far on as `WINDOW_BYTES` reach."""
        left = WINDOW_BYTES
        while count > 0 and left > 0 and (lines := await self.after(place, limits.LOG_BATCH_LINES)):
            kept = self._only(lines)
            place = kept[count - 1].seq + 1 if len(kept) >= count else lines[-1].seq + 1
            count -= len(kept)
            left -= size_of(lines)
        return place

    async def _tail(self, floor: int) -> int | None:
        """Finds the seq of the tail's first line; None when the updated selection continues the search further back.

        The search goes backwards from the end; the tail is then read forwards like any other part.
        """
        select = self._select
        before = begun = min(self._until, self._until if select.before is None else select.before)
        line_filter = self._sieve(count=select.tail, size=select.max_bytes)
        most = self._most(select.tail)
        while not line_filter.complete and (lines := await self._before(before, floor, most)):
            before = lines[0].seq
            if await self._filter(line_filter, lines[::-1]):
                break
            # Lines held back as possible context are scanned again; a request without progress would repeat for ever.
            resume = line_filter.resume(before - 1) + 1
            if self._spent(lines) and before > floor and resume < begun:
                edge = select.standing if line_filter.edge is None else line_filter.edge
                self._select = replace(
                    select,
                    before=resume,
                    owed=line_filter.remaining_context,
                    tail=line_filter.count,
                    max_bytes=line_filter.size,
                    standing=edge,
                )
                return None
        edge = select.standing if line_filter.edge is None else line_filter.edge
        self._cut = line_filter.cut
        # The bytes are counted by now, unless not even one line fits; then that line is cut.
        size = select.max_bytes if edge is None and line_filter.cut else None
        self._select = replace(select, before=None, owed=0, tail=None, max_bytes=size, standing=None)
        if edge is not None:
            return edge
        return line_filter.resume(before) if line_filter.cut else self._until

    # --------------------------------------------------------------------------------------------- reading forwards

    async def _forwards(self, at: int, limit: int, ref: int) -> LogPage:
        """Returns a page of the selection from ``at`` on."""
        select, begun, until = self._select, at, self._until
        both = select.head is not None and select.tail is not None
        size = select.max_bytes if select.max_bytes is None or not both else select.max_bytes // 2
        line_filter = self._sieve(count=select.head, size=size, page=limit)
        most = self._most(limit if select.head is None else min(limit, select.head))
        missing: list[Gap] = []
        while at < until and not line_filter.complete:
            lines = await self.after(at, most)
            missing += gaps(lines, at, 0 if lines else until)
            at = lines[-1].seq + 1 if lines else until
            if await self._filter(line_filter, lines) or (self._spent(lines) and line_filter.resume(at) > begun):
                break
        complete = line_filter.complete or (at >= until and not line_filter.full)
        following = at if complete and not line_filter.done else line_filter.resume(at)
        left = (
            None
            if select.max_bytes is None or size is None or line_filter.size is None
            else select.max_bytes - size + line_filter.size
        )
        rest: LogSelection | None
        if not complete:
            rest = replace(select, owed=line_filter.remaining_context, head=line_filter.count, max_bytes=left)
        elif both and following < until:
            rest = replace(select, owed=0, head=None, max_bytes=left)
        else:
            rest = None
        return LogPage(
            ref,
            line_filter.taken,
            following,
            self._over and rest is None and following >= self._log_next,
            [gap for gap in missing if gap.since < following],
            rest,
            self._cut or line_filter.cut,
        )
