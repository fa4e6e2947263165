"""Summarises a running or finished job in one page, for people and programs that don't want its whole log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.messages import Gap, JobState, JobSummary, LogLine, LogSelection, Result
from asman_shared.states import Phase, State

from ..core.job_state import log_end
from ..queues.shell import QueueShell
from ..storage.reader import size_of
from .landmarks import BuildSteps, FirstError
from .reader import ERROR_CONTEXT, SCAN_BYTES, LogReader, Reading
from .select import gaps

LOOK_BYTES: Final = 4 * SCAN_BYTES
"""Log bytes scanned for the first error and the build step. A log may have more if the operator allows it."""
SHOWN: Final = 4000
"""Characters of a line that a summary shows. All shown lines together must fit into a frame in any language."""
GAPS: Final = 100
"""Largest number of gaps that a summary lists."""


class _Landmarks:
    """Findings of one scan of a log: the first error, the build step and the gaps."""

    def __init__(self, start: int, *, ok: bool, building: bool) -> None:
        self.error = None if ok else FirstError()
        self.steps = BuildSteps() if building else None
        self.gaps: list[Gap] = []
        self.missing = 0
        self.next = start
        self.size = 0

    def take(self, lines: list[LogLine]) -> None:
        self.miss(gaps(lines, self.next))
        self.next = lines[-1].seq + 1
        self.size += size_of(lines)
        if self.steps is not None:
            for line in lines:
                if line.phase is Phase.BUILDING:
                    self.steps.take(line.text)
        if self.error is not None and self.error.found is None:
            self.error.take(lines)

    def miss(self, found: Iterable[Gap]) -> None:
        for gap in found:
            self.missing += gap.until - gap.since
            if len(self.gaps) < GAPS:
                self.gaps.append(gap)

    @property
    def place(self) -> int | None:
        if self.error is None:
            return None
        return self.error.standing if self.error.found is None else self.error.found


async def summarise_log(reader: LogReader, shell: QueueShell, job_id: str, ref: int = 0) -> JobSummary:
    """Returns the summary of a job, running or finished.

    Raises:
        NotFound: The queue has no such job.
        Unavailable: The log can't be read now.
    """
    job = await shell.job(job_id)
    state = await shell.durable(job)
    start, end = state.log_start, log_end(job)
    ok = state.verdict is not None and state.verdict.ok
    result = await shell.result(job_id) if state.state is State.FINISHED and not ok else None

    async def shown(since: int, select: LogSelection) -> list[LogLine]:
        lines: list[LogLine] = []
        rest: LogSelection | None = select
        while rest is not None:
            page = await Reading(reader, shell.logs, state, end, rest).page(since, limits.LOG_PAGE_LINES, ref)
            lines += map(_shown, page.lines)
            since, rest = page.next, page.rest
        return lines

    last = await shown(start, LogSelection(tail=limits.LOG_SUMMARY_LINES))
    phase = None if ok else phase_of(state, result, last)
    signs = _Landmarks(start, ok=ok, building=phase is Phase.BUILDING)
    while signs.next < end and signs.size < LOOK_BYTES:
        lines, _ = await shell.logs.read(job_id, signs.next, limits.LOG_PAGE_LINES)
        lines = [line for line in lines if line.seq < end]
        if not lines:
            signs.miss(gaps([], signs.next, end))
            break
        await reader.apart(signs.take, lines)
    error: list[LogLine] = []
    if signs.place is not None:
        reading = Reading(reader, shell.logs, state, end, LogSelection())
        first = await reading.steps_back(signs.place, ERROR_CONTEXT, start)
        until = await reading.steps_on(signs.place + 1, ERROR_CONTEXT)
        error = await shown(first, LogSelection(until=until))
    return JobSummary(
        ref=ref,
        job=state,
        phase=phase,
        step=signs.steps.step if signs.steps is not None else "",
        last=last,
        error=error,
        error_seq=signs.place,
        lines=max(0, end - start),
        missing=signs.missing,
        gaps=signs.gaps,
    )


def _shown(line: LogLine) -> LogLine:
    return line if len(line.text) <= SHOWN else replace(line, text=line.text[: SHOWN - 1] + "…")


def phase_of(state: JobState, result: Result | None, last: list[LogLine]) -> Phase | None:
    """Returns the phase that a job is in, or the phase in which it failed.

    A finished job is in no phase; its result lists the phases that it went through, in order. A failed job still
    uploads the outputs that exist, so ``uploading`` is the failed phase only when no other phase came before it.
    """
    if state.state is not State.FINISHED:
        return state.phase
    phases = list(result.phases) if result is not None else []
    if len(phases) > 1 and phases[-1] is Phase.UPLOADING:
        phases.pop()
    if phases:
        return phases[-1]
    return last[-1].phase if last else None
