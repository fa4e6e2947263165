"""``asman job list``: a list of a queue's jobs, read by one HTTP request a page, which starts fast."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from asman_shared.limits import LIST_PAGE, WHOLE
from asman_shared.states import State
from asman_shared.units import format_duration

from .. import known
from .. import options as o
from ..filters import Wanted
from ..http_query import ask
from ..terminal import Terminal, table

if TYPE_CHECKING:
    from ...address import Address


def list_jobs(
    queue: o.QueueArgument = None,
    hub: o.HubOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only Queued, Running or Finished jobs, or a reason such as Failed. Repeatable."),
    ] = None,
    image: Annotated[str, typer.Option("--image", help="Only jobs whose image name contains this text.")] = "",
    grep: Annotated[str, typer.Option("--grep", help="Only jobs whose command contains this text.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only jobs with this tag. Repeatable.")] = None,
    worker: Annotated[str, typer.Option("--worker", help="Only jobs of this worker (the start of its name).")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Only jobs in this slot.")] = "",
    since: Annotated[
        str | None, typer.Option("--since", help="Only jobs submitted in the last 2h, 30m, …", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=WHOLE, help="Maximum number of jobs, newest first.")] = 50,
    json: o.JsonOption = False,
) -> None:
    """List a queue's jobs, newest first."""
    terminal = Terminal(json=json)
    wanted = Wanted.of(state, image=image, grep=grep, tags=tag, worker=worker, namespace=namespace, since=since)

    address = o.find_queue(queue, hub)
    totals: dict[str, int] = {}
    jobs = list(islice(_matching(address, wanted, limit + 1, totals), limit + 1))
    more = len(jobs) > limit
    del jobs[limit:]
    known.remember(address.url)
    if json:
        terminal.value(jobs)
        return
    now = time.time_ns() // 1_000_000
    for line in table(_TITLES, [_row(job, now) for job in jobs]):
        terminal.result(line)
    if more:
        terminal.note(_more(len(jobs), totals, wanted))
    elif not jobs and not any(totals.values()):
        terminal.note(o.NOBODY_HERE)


_TITLES: Final = ("JOB", "STATE", "EXIT", "SUBMITTED", "TOOK", "WORKER", "IMAGE", "COMMAND")


def _more(shown: int, totals: dict[str, int], wanted: Wanted) -> str:
    """Says how many jobs the list leaves out, or that it does if a filter of this side makes that unknown."""
    if wanted.filters_locally or wanted.since:
        return f"the newest {shown} that match; --limit shows more"
    states = wanted.states or list(State)
    total = sum(totals.get(state.value.lower(), 0) for state in states)
    return f"the newest {shown} of {max(total, shown + 1)} jobs; --limit shows more"


def _matching(address: Address, wanted: Wanted, limit: int, totals: dict[str, int]) -> Iterator[dict[str, Any]]:
    for job in _jobs(address, wanted, limit, totals):
        if wanted.too_old(job):
            return
        if wanted.matches(job):
            yield job


def _jobs(address: Address, wanted: Wanted, limit: int, totals: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yields the queue's jobs in their JSON form, newest first, reading one page at a time; notes their totals."""
    query: dict[str, str | int | Sequence[str]] = {"state": [state.value for state in wanted.states]}
    query["limit"] = LIST_PAGE if wanted.filters_locally else min(limit, LIST_PAGE)
    while True:
        page = ask(address, "jobs", query)
        totals |= page.get("counts") or {}
        yield from page["jobs"]
        if page.get("next") is None:
            return
        query["before"] = page["next"]


def _row(job: dict[str, Any], now: int) -> tuple[str, ...]:
    summary, verdict = job.get("summary") or {}, job.get("verdict") or {}
    code = verdict.get("exit_code")
    return (
        job["id"][:12],
        verdict.get("reason") or job.get("phase") or job["state"],
        "" if code is None else str(code),
        _ago(now - job["queued"]) if job.get("queued") else "",
        _took(job, verdict, now),
        job.get("worker", "")[:24],
        summary.get("image") or summary.get("build") or "",
        summary.get("command", "")[:60],
    )


def _took(job: dict[str, Any], verdict: dict[str, Any], now: int) -> str:
    """Returns how long the job ran, or has been running."""
    if verdict:
        return format_duration(verdict["duration"]) if verdict.get("duration") else ""
    return format_duration(max(0, now - job["started"])) if job.get("started") else ""


def _ago(elapsed: int) -> str:
    """Returns an age in its largest unit: ``3 s ago``, ``2 h ago``; a clock that is behind the hub's makes it now."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if elapsed >= size:
            return f"{elapsed // size} {unit} ago"
    return "now"
