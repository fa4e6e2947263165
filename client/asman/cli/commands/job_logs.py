"""``asman job logs``: the log of a job, or a part of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from asman_shared import limits

from .. import exits
from .. import options as o
from ..attempts import losses_told, without_heading
from ..json_values import line_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.messages import JobState

    from ...job import Job


def logs(
    words: JobWords,
    hub: o.HubOption = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Show new lines until the job is finished; allows --tail, --stream and --phase."),
    ] = False,
    since: Annotated[
        int,
        typer.Option(
            "--since",
            min=0,
            max=limits.WHOLE,
            help="Number of the first line to show. Lines count from 0; when a job runs again, they count on.",
        ),
    ] = 0,
    until: Annotated[
        int | None,
        typer.Option("--until", min=0, max=limits.WHOLE, help="Only lines before this number.", show_default=False),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option("--head", min=0, max=limits.WHOLE, help="Only this many of the first lines.", show_default=False),
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail",
            min=0,
            max=limits.WHOLE,
            help="Only this many of the last lines; with --head, both parts.",
            show_default=False,
        ),
    ] = None,
    grep: Annotated[
        str,
        typer.Option("--grep", help="Only lines that match this regular expression (RE2 syntax).", show_default=False),
    ] = "",
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Ignore case in --grep.")] = False,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            "-C",
            min=0,
            max=limits.LOG_CONTEXT_LINES,
            help="Number of lines to show around each match.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only lines of stdout, stderr or system. Repeatable.")
    ] = None,
    phase: Annotated[
        list[str] | None, typer.Option("--phase", help="Only lines of this phase: building, running, … Repeatable.")
    ] = None,
    around: Annotated[
        str,
        typer.Option("--around", help="'first-error': only the lines around the first error.", show_default=False),
    ] = "",
    max_bytes: Annotated[
        int | None,
        typer.Option("--max-bytes", min=0, max=limits.WHOLE, help="Only this many bytes of text.", show_default=False),
    ] = None,
    run: Annotated[
        int,
        typer.Option("--run", min=0, max=limits.WHOLE, help="Of this earlier run; see 'asman job show --runs'."),
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object a line.")] = False,
) -> None:
    """Show a job's log, with its standard error on standard error."""
    from asman_shared.errors import BadRequest

    from ...logs import followable, selection

    terminal = Terminal()
    with exits.of_command_line():
        select = selection(
            until=until,
            head=head,
            tail=tail,
            grep=grep,
            ignore_case=ignore_case,
            context=context,
            stream=stream or (),
            phase=phase or (),
            around=around.replace("-", "_"),
            max_bytes=max_bytes,
        )

    # What was searched for or cut out of a log is lines; all of a stream is what the job wrote.
    if run and follow:
        raise exits.usage(BadRequest("an earlier run is over and can't be followed: leave out --follow or --run"))
    exact = select is None or (select.tail is None and followable(select))

    async def work(job: Job) -> int:
        shown = False
        async with losses_told(job, terminal.note) if follow else nullcontext():
            async for lines in job.log_parts(since, follow=follow, select=select, run=run):
                shown = True
                if json:
                    for line in lines:
                        terminal.line(line_value(line))
                else:
                    terminal.logs(without_heading(lines, job.state.log_start), exact=exact)
        if not shown and not run and (note := _outside(job.state, since, until)):
            terminal.note(note)
        return 0

    with_job(words, hub, work)


def _outside(state: JobState, since: int, until: int | None) -> str:
    """Says which numbers the lines of a job's present run have, if none of those that were asked for is among them."""
    first, end = state.log_start, state.verdict.lines if state.verdict is not None else None
    if end is not None and end <= first:
        return ""
    if (until is None or until > first) and (end is None or since < end):
        return ""
    run = "this run's lines" if first else "the job's lines"
    return f"no such lines: {run} " + (f"begin at {first}" if end is None else f"are {first} to {end - 1}")
