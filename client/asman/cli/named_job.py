"""Finding of the job, or of the jobs, that a command line names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from . import exits
from . import options as o

if TYPE_CHECKING:
    from ..client import Queue
    from ..job import Job

JobWords = Annotated[
    list[str],
    typer.Argument(
        metavar="[QUEUE] JOB",
        help="The queue (default: $ASMAN_QUEUE), and the job: its id, a prefix of it, or its URL.",
    ),
]


def with_job(words: list[str], hub: str | None, work: Callable[[Job], Awaitable[int]]) -> None:
    """Connects, finds the job that a command line names, and exits with the code that ``work`` returns for it."""
    from asman_shared.errors import BadRequest

    if len(words) > 2:
        raise exits.usage(BadRequest(f"unexpected argument '{words[2]}': give a queue and a job"))
    queue, named = (queue_of(words[0]), words[0]) if len(words) == 1 else (words[0], words[1])

    async def find_and_work() -> int:
        async with o.open_queue(queue, hub) as opened:
            check_reads(opened)
            return await work(await opened.get(named))

    raise typer.Exit(asyncio.run(find_and_work()))


def queue_of(job: str) -> str | None:
    """Returns the queue that a job's URL names, as ``asman run`` prints it on a terminal; None for any other text."""
    from .linked_job import queue_in

    return queue_in(job) if "/j/" in job else None


def names_no_queue(job: str) -> bool:
    """Whether neither a job's URL nor the environment names its queue."""
    return queue_of(job) is None and not os.environ.get(o.QUEUE_VARIABLE)


def reads(queue: Queue) -> bool:
    """Whether the address of a queue lets its holder see jobs; a hub that knows no keys tells no rights."""
    return not queue.rights or "read" in queue.rights


def check_reads(queue: Queue) -> None:
    """Checks that jobs of the queue can be shown.

    Raises:
        Forbidden: The address has a key that does not read.
    """
    from asman_shared.errors import Forbidden

    if not reads(queue):
        raise Forbidden(
            "this key submits but does not read: it is not told states, results and logs of jobs. Use the key to "
            "submit and read"
        )


def check_submits(queue: Queue, *, shows: str = "") -> None:
    """Checks, before a job is submitted, that the address allows it.

    Args:
        queue: The queue.
        shows: The command, if it also shows the job.

    Raises:
        Forbidden: The address has a key that does not submit, or does not read what the command shows.
    """
    from asman_shared.errors import Forbidden

    if queue.rights and "submit" not in queue.rights:
        raise Forbidden(
            "this key does not grant the right 'submit', so it runs no jobs: use the key to submit and read, or the "
            "queue's own URL"
        )
    if shows and not reads(queue):
        raise Forbidden(
            f"this key submits but does not read, and '{shows}' shows a job: use 'asman job add', or the key to "
            "submit and read"
        )


def split_jobs(words: list[str]) -> tuple[str | None, list[str]]:
    """Returns the queue that a command line names, if it does, and its jobs.

    The first of several words is the queue, unless it has the form of a job and the queue is known without it.
    """
    if len(words) > 1 and not (os.environ.get(o.QUEUE_VARIABLE) and o.is_job(words[0])):
        return words[0], words[1:]
    return None, words


async def handle(queue: Queue, named: str) -> Job:
    """Returns a handle for cancelling or deleting a job; the whole id of a job is taken without reading the job.

    Raises:
        NotFound: There is no such job; only the hub's answer to the later request says it for a whole id.
        BadRequest: The text does not name a job, or several jobs match it.
        Forbidden: The text is only a prefix, and the address has a key that does not read.
    """
    from asman_shared.definition import SHA256, Definition
    from asman_shared.errors import Forbidden
    from asman_shared.messages import JobState
    from asman_shared.states import State

    from ..arguments import job_named
    from ..job import Job
    from ..tracking import Tracker

    start = job_named(named)
    if SHA256.fullmatch(start) is None:
        if not reads(queue):
            raise Forbidden(f"this key does not read, so it can't look for '{named}': give the job's whole id")
        return await queue.get(start)
    return Job(queue._connection, queue._blobs, Tracker(), JobState(start, 0, State.QUEUED), Definition())


def split_input(words: list[str]) -> tuple[str | None, bool]:
    """Returns the queue that a command line names, and whether a definition comes from standard input."""
    from asman_shared.errors import BadRequest

    left, from_input = (words[:-1], True) if words and words[-1] == "-" else (words, False)
    if len(left) > 1:
        raise exits.usage(BadRequest(f"unexpected argument '{left[1]}': give a queue, and '-' for standard input"))
    return (left[0] if left else None), from_input
