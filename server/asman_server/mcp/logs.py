"""The tool `logs`: a part of a job's log, in bounded work and a bounded answer."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.messages import STREAMS, LogLine, LogSelection
from asman_shared.states import State

from .arguments import TAIL_DEFAULT, LogsArguments
from .contents import words
from .context import Context

TURNS: Final = 16
"""Largest number of parts of a log that one call scans, each bounded by `asman_server.logs.reader`."""
LINES: Final = 2000
"""Largest number of lines in an answer, unless more are asked for."""


async def logs(context: Context, arguments: LogsArguments) -> dict[str, Any]:
    """Returns a part of the log of a job.

    Raises:
        NotFound: The queue has no such job.
        BadRequest: The pattern can't be used, or there is nothing that could have a context.
        Unavailable: The log can't be read now.
    """
    rest: LogSelection | None = _selection(arguments)
    numbered = bool(arguments.grep) or arguments.around_first_error
    since = None if arguments.since is UNSET else arguments.since
    # Both are numbers of matches, each of which may have its context; max_bytes bounds all of it.
    left = max(LINES, (arguments.head or 0) + (arguments.tail or 0))
    middle = bool(arguments.head and arguments.tail)
    lines: list[LogLine] = []
    shown: list[str] = []
    cut = False
    async with context.reading() as shell:
        for _ in range(TURNS):
            page = await context.hub.log_reader.page(
                shell, arguments.job, since, min(left, limits.LOG_PAGE_LINES), rest
            )
            if middle and rest is not None and rest.head is None and page.lines:
                middle = False
                if page.lines[0].seq != since:
                    shown.append("[…]")
            lines += page.lines
            shown += [_shown(line, numbered=numbered) for line in page.lines]
            left -= len(page.lines)
            since, rest, cut = page.next, page.rest, cut or page.cut
            if rest is None or left <= 0:
                break
        job = await shell.job(arguments.job)
        over = job.state is State.FINISHED
    head = [_extent(lines)]
    if cut:
        head.append("max_bytes left out a part of them")
    if rest is not None and lines:
        head.append(f"there may be more: call again with since={since}")
    elif rest is not None:
        head.append("only a part of the log was searched: narrow the search with since")
    if not over:
        head.append("the job is not finished")
    text = "\n".join([f"[{'; '.join(head)}]", *shown])
    return {"content": [words(text)]}


def _selection(arguments: LogsArguments) -> LogSelection:
    select = LogSelection(
        streams=[] if arguments.stream is UNSET else [arguments.stream],
        grep=arguments.grep or "",
        ignore_case=arguments.ignore_case,
        around="first_error" if arguments.around_first_error else "",
        max_bytes=arguments.max_bytes,
    )
    if arguments.context is not UNSET:
        if not select.grep and not select.around:
            raise BadRequest("'context' needs 'grep' or 'around_first_error'", field="context")
        select.context = arguments.context
    if arguments.head is not UNSET:
        select.head = arguments.head
    if arguments.tail is not UNSET:
        select.tail = arguments.tail
    elif arguments.head is UNSET and arguments.since is UNSET and not select.grep and not select.around:
        select.tail = TAIL_DEFAULT
    return select


def _extent(lines: list[LogLine]) -> str:
    if not lines:
        return "no such lines"
    count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    return f"{count}, from {lines[0].seq} to {lines[-1].seq}"


def _shown(line: LogLine, *, numbered: bool) -> str:
    text = line.text.rstrip("\r")
    return f"{line.seq} {STREAMS[line.stream]}: {text}" if numbered else text
