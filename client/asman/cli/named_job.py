"""Finding of the job that a command line names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o

if TYPE_CHECKING:
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
        raise BadRequest(f"unexpected argument '{words[2]}': give a queue and a job")
    queue, named = (None, words[0]) if len(words) == 1 else (words[0], words[1])

    async def find_and_work() -> int:
        async with o.open_queue(queue, hub) as opened:
            return await work(await o.find_job(opened, named))

    raise typer.Exit(asyncio.run(find_and_work()))


def split_input(words: list[str]) -> tuple[str | None, bool]:
    """Returns the queue that a command line names, and whether a definition comes from standard input."""
    from asman_shared.errors import BadRequest

    left, from_input = (words[:-1], True) if words and words[-1] == "-" else (words, False)
    if len(left) > 1:
        raise BadRequest(f"unexpected argument '{left[1]}': give a queue, and '-' for standard input")
    return (left[0] if left else None), from_input
