"""Serves the log of one job over HTTP: pages and selections as JSON, the whole log as text, and a summary."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.messages import LINE_ENDS, NO_END, STREAMS, Gap, LogPage, LogSelection
from asman_shared.states import Phase

from ..access import Right
from ..logs.summary import summarise_log
from .base import as_json, hub_of
from .requests import choices, existing, job_of, number
from .streaming import Streamed
from .types import LogAnswer, SummaryAnswer, line_answer

NUMBERS: Final = ("until", "context", "head", "tail", "max_bytes", "before", "owed", "standing")
"""Members of a selection that are whole numbers, by their name in the query."""
MOST: Final = {"context": limits.LOG_CONTEXT_LINES, "owed": limits.LOG_CONTEXT_LINES}


def selection_of(request: Request) -> LogSelection | None:
    """Reads the selection of log lines from a request's query; None for the whole log.

    Raises:
        BadRequest: A member can't be read; the error names that member.
    """
    query = request.query_params
    select = LogSelection(
        streams=[word for word in STREAMS if word in choices(request, "stream", STREAMS)],
        phases=[Phase(word) for word in choices(request, "phase", [phase.value for phase in Phase])],
        grep=query.get("grep", ""),
        ignore_case=bool(number(request, "ignore_case", 0, most=1)),
    )
    if len(select.grep) > limits.LOG_PATTERN_LENGTH:
        raise BadRequest(f"'grep' may have at most {limits.LOG_PATTERN_LENGTH} characters", field="grep")
    if query.get("around", "first_error") != "first_error":
        raise BadRequest("'around' is first_error", field="around")
    select.around = "first_error" if "around" in query else ""
    for name in NUMBERS:
        if name in query:
            setattr(select, name, number(request, name, 0, most=MOST.get(name, 2**53 - 1)))
    return select if select != LogSelection() else None


def query_of(page: LogPage, limit: int, run: int = 0) -> str:
    """Returns the query for the rest after a page; empty when there is no rest."""
    rest = page.rest
    if rest is None:
        return ""
    named = {name: getattr(rest, name) for name in (*NUMBERS, "grep", "around") if getattr(rest, name)}
    named |= {name: 0 for name in NUMBERS if getattr(rest, name) == 0 and name != "owed"}
    lists = {"stream": ",".join(rest.streams), "phase": ",".join(phase.value for phase in rest.phases)}
    flags = {"ignore_case": 1} if rest.ignore_case else {}
    of_run = {"run": run} if run else {}
    return urlencode(
        {"since": page.next, "limit": limit, **of_run, **named, **{k: v for k, v in lists.items() if v}, **flags}
    )


async def log(request: Request) -> Response:
    """Returns a page of the job's log as JSON, or with ``Accept: text/plain`` the whole log from ``since`` on as text.

    The parameters that select lines are described in docs/logs.md. A page that is not the whole selection has ``more``,
    the query of the next page. ``run`` is the number of an earlier run, whose log is read.
    """
    since = number(request, "since", 0) if "since" in request.query_params else None
    select, run = selection_of(request), number(request, "run", 0)
    if "text/plain" in request.headers.get("accept", ""):
        most = number(request, "limit", 2**53 - 1, least=1)
        return Streamed(_text(request, since, most, select, run), "text/plain", hub_of(request).closing)
    limit = number(request, "limit", limits.LOG_BATCH_LINES, least=1, most=limits.LOG_PAGE_LINES)
    async with existing(request, Right.READ) as shell:
        page = await hub_of(request).log_reader.page(shell, job_of(request), since, limit, select, run=run)
    lines = [line_answer(line) for line in page.lines]
    return as_json(LogAnswer(lines, page.next, page.final, page.gaps, query_of(page, limit, run), page.cut))


async def _text(
    request: Request, since: int | None, most: int, select: LogSelection | None, run: int
) -> AsyncGenerator[bytes, None]:
    """Yields the existing lines as text; notes in brackets stand for missing lines and for an omitted middle."""
    reader = hub_of(request).log_reader
    rest: LogSelection | None = select or LogSelection()
    middle = rest is not None and rest.head is not None and rest.tail is not None
    form = TextForm(exact=rest is None or rest == LogSelection(streams=rest.streams, phases=rest.phases))
    async with existing(request, Right.READ) as shell:
        while rest is not None and most > 0:
            page = await reader.page(shell, job_of(request), since, min(most, limits.LOG_PAGE_LINES), rest, run=run)
            if middle and rest.head is None and page.lines:
                middle = False
                if page.lines[0].seq != since:
                    yield "[…]\n".encode()
            yield form.page(page).encode("utf-8", "replace")
            most -= len(page.lines)
            since, rest = page.next, page.rest


class TextForm:
    """Writes the pages of one log as text.

    A line that ends in a carriage return gets no line feed, so that a terminal overwrites it.

    Args:
        exact: Whether lines have their own ends, so that the text of one stream is what the job wrote; otherwise each
            is a line of the text, though its stream goes on where it stops.
    """

    def __init__(self, *, exact: bool = True) -> None:
        self._exact = exact
        self._open: int | None = None

    def page(self, page: LogPage) -> str:
        """Returns the next page as text."""
        ends = {gap.until: gap for gap in page.gaps}
        parts: list[str] = []
        for line in page.lines:
            for until in [until for until in ends if until <= line.seq]:
                parts.append(self._between(None) + _missing(ends.pop(until)))
            parts.append(self._between(line.stream) + line.text)
            if line.text.endswith("\r"):
                continue
            parts.append(LINE_ENDS[line.end] if self._exact else "\n")
            self._open = line.stream if self._exact and line.end == NO_END else None
        parts += [self._between(None) + _missing(gap) for gap in ends.values()]
        return "".join(parts)

    def _between(self, stream: int | None) -> str:
        """Ends a line that another stream or a note interrupts."""
        interrupted = self._open is not None and self._open != stream
        self._open = None
        return "\n" if interrupted else ""


def _missing(gap: Gap) -> str:
    count = gap.until - gap.since
    return f"[{count} {'line is' if count == 1 else 'lines are'} no longer kept]\n"


async def summary(request: Request) -> Response:
    """Summarises the job: its verdict, phase and build step, its last lines, and its first error.

    The first error is a guess; docs/logs.md describes how it is made.
    """
    async with existing(request, Right.READ) as shell:
        found = await summarise_log(hub_of(request).log_reader, shell, job_of(request))
    return as_json(
        SummaryAnswer(
            found.job,
            found.phase,
            found.step,
            [line_answer(line) for line in found.last],
            [line_answer(line) for line in found.error],
            found.error_seq,
            found.lines,
            found.missing,
            found.gaps,
        )
    )
