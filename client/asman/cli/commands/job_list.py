"""``asman job list``: a list of a queue's jobs, read by one HTTP request a page, which starts fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asman_shared.limits import LIST_PAGE

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
    worker: Annotated[str, typer.Option("--worker", help="Only jobs of this worker (its id).")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Only jobs in this slot.")] = "",
    since: Annotated[
        str | None, typer.Option("--since", help="Only jobs submitted in the last 2h, 30m, …", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of jobs, newest first.")] = 50,
    json: o.JsonOption = False,
) -> None:
    """List a queue's jobs, newest first."""
    terminal = Terminal(json=json)
    wanted = Wanted.of(state, image=image, grep=grep, tags=tag, worker=worker, namespace=namespace, since=since)

    address = o.find_queue(queue, hub)
    jobs = list(islice(_matching(address, wanted, limit), limit))
    known.remember(address.url)
    if json:
        terminal.value(jobs)
        return
    for line in table(("JOB", "STATE", "IMAGE", "COMMAND"), [_row(job) for job in jobs]):
        terminal.result(line)


def _matching(address: Address, wanted: Wanted, limit: int) -> Iterator[dict[str, Any]]:
    for job in _jobs(address, wanted, limit):
        if wanted.too_old(job):
            return
        if wanted.matches(job):
            yield job


def _jobs(address: Address, wanted: Wanted, limit: int) -> Iterator[dict[str, Any]]:
    """Yields the queue's jobs in their JSON form, newest first, reading one page at a time."""
    query: dict[str, str | int | Sequence[str]] = {"state": [state.value for state in wanted.states]}
    query["limit"] = LIST_PAGE if wanted.filters_locally else min(limit, LIST_PAGE)
    while True:
        page = ask(address, "jobs", query)
        yield from page["jobs"]
        if page.get("next") is None:
            return
        query["before"] = page["next"]


def _row(job: dict[str, Any]) -> tuple[str, str, str, str]:
    summary, verdict = job.get("summary") or {}, job.get("verdict")
    return (
        job["id"][:12],
        verdict["reason"] if verdict else job.get("phase") or job["state"],
        summary.get("image") or summary.get("build") or "",
        summary.get("command", "")[:60],
    )
