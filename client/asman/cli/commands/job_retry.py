"""``asman job retry``: jobs that did not succeed run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import exits
from .. import options as o
from ..json_values import job_value
from ..named_job import check_reads, check_submits, split_jobs
from ..terminal import Terminal
from .job_end import Words, YesOption, end_jobs, jobs_words

if TYPE_CHECKING:
    from ...client import Queue

StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="Failed|TimedOut|…",
        help="All jobs that ended so, instead of some: Failed, Error, TimedOut, OutOfMemory, WorkerLost, Cancelled or"
        " Replaced. Repeatable.",
    ),
]


def retry(
    words: Words = None,
    hub: o.HubOption = None,
    state: StateOption = None,
    yes: YesOption = False,
    json: o.JsonOption = False,
) -> None:
    """Run jobs again that did not succeed, whatever is stored of them; the new run replaces the old result.

    Several jobs may be named; --state takes all jobs of the queue that ended so. A job keeps its priority; one that is
    named alone also keeps its slot (--namespace). With --json, one named job is one value, and all else a list.
    """
    terminal = Terminal(json=json)
    alone = not state and len(split_jobs(words or [])[1]) == 1

    async def again(queue: Queue, named: str) -> dict[str, Any]:
        from asman_shared.errors import Conflict

        check_submits(queue)
        check_reads(queue)
        job = await queue.get(named)
        before, verdict = job.state, job.verdict
        if verdict is None:
            raise Conflict(f"it is {before.state.value} and has not ended; cancel it first")
        if verdict.ok:
            raise Conflict("it succeeded; 'asman run --reuse never' runs it again all the same")
        # Several jobs of one slot would replace each other.
        slot = next(iter(before.namespaces), "_") if alone else "_"
        begun = await queue.submit(job.definition, reuse="never", namespace=slot, priority=before.priority)
        if not json:
            terminal.result(begun.id)
        return job_value(begun)

    ended = end_jobs(words or [], hub, _reasons(state), "retry", again, yes=yes, example="Failed")
    if not json and (ended.values or not ended.one):
        terminal.note(f"queued {jobs_words(len(ended.values))} again")
    ended.say(terminal)


def _reasons(given: list[str] | None) -> list[Any]:
    from asman_shared.errors import BadRequest
    from asman_shared.states import Reason

    known = {each.value.lower(): each for each in Reason if each not in (Reason.SUCCESS, Reason.DELETED)}
    for word in given or ():
        if word.lower() not in known:
            names = ", ".join(each.value for each in known.values())
            raise exits.usage(BadRequest(f"--state must be one of {names}, not '{word[:40]}'"))
    return [known[word.lower()] for word in given or ()]
