"""The job that a command names: its words on the command line, and how it is found."""

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
        metavar="[QUEUE] JOB", help="The queue (default: $ASMAN_QUEUE), and the job's id, its beginning, or its URL."
    ),
]


def with_job(words: list[str], hub: str | None, work: Callable[[Job], Awaitable[int]]) -> None:
    """Connects, finds the job that a command names, and exits with what is done with it."""
    from asman_shared.errors import BadRequest

    if len(words) > 2:
        raise BadRequest(f"'{words[2]}' is one word too many: a queue and a job are expected")
    queue, named = (None, words[0]) if len(words) == 1 else (words[0], words[1])

    async def all_of_it() -> int:
        async with o.open_queue(queue, hub) as opened:
            return await work(await o.find_job(opened, named))

    raise typer.Exit(asyncio.run(all_of_it()))


def split_input(words: list[str]) -> tuple[str | None, bool]:
    """The queue that a command names, and whether a definition comes from standard input."""
    from asman_shared.errors import BadRequest

    left, from_input = (words[:-1], True) if words and words[-1] == "-" else (words, False)
    if len(left) > 1:
        raise BadRequest(f"'{left[1]}' is one word too many: a queue is expected, and '-' for standard input")
    return (left[0] if left else None), from_input
