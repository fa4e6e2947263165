"""Serves a queue over HTTP, in the dialect's form: submit jobs, list them, show the queue's status."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from asman_shared.messages import Accepted
from asman_shared.states import State

from .. import __version__
from ..access import Right
from ..core import Job
from ..core.job_state import state_of
from ..hub import Hub
from ..rest.base import as_json, hub_of
from ..rest.page import page
from ..rest.queues import totals
from ..rest.requests import ask, body_of, granted
from ..rest.types import Totals
from . import outgoing
from .ids import identify
from .incoming import EnqueueJob
from .queue_view import FINISHED_JOBS, LISTED_JOBS, LISTED_WORKERS, PAGE, is_listed
from .rest import Data, Done, boards_of
from .submitting import submit

STATUS_JOBS: Final = 1000
"""Largest number of unfinished jobs in a status."""


class Status(Struct):
    """The status of a queue.

    Attributes:
        jobs: The newest jobs that are not finished.
        workers: The connected workers.
        clients: Number of connected clients.
        counts: Jobs in each state, and connected workers.
        hub: The hub's version.
        time: The hub's time.
    """

    jobs: dict[str, outgoing.ListedJob]
    workers: list[outgoing.ListedWorker]
    clients: int
    counts: Totals
    hub: str
    time: int


async def enqueue(request: Request) -> Response:
    """Submits a job; ``id`` and ``control`` may be left out."""
    name = granted(request, Right.SUBMIT)
    body = await body_of(request, EnqueueJob)
    found = identify(body.definition, body.id)
    hub, aliases = hub_of(request), boards_of(request).aliases
    async with hub.registry.using(name, linger=True) as shell:
        await ask(lambda reply_to: submit(shell, hub, aliases, found, body.control, reply_to), Accepted)
    return as_json(Done(success=True, job_id=found.key))


async def queue(request: Request) -> Response:
    """Answers browsers with the queue's page; other clients with its jobs by id."""
    if "text/html" in request.headers.get("accept", ""):
        return page(request)
    return await jobs(request)


async def jobs(request: Request) -> Response:
    """Answers with the queue's jobs by id; a request never makes a queue."""
    name = granted(request, Right.READ)
    hub = hub_of(request)
    shell = hub.registry.queues.get(name)
    view = boards_of(request).get(shell) if shell is not None else None
    if view is not None:
        return as_json(Data(Raw(b"{%b}" % view.joined())))
    unfinished = await stored(hub, name, [State.RUNNING], LISTED_JOBS)
    unfinished |= await stored(hub, name, [State.QUEUED], LISTED_JOBS - len(unfinished))
    return as_json(Data(unfinished | await stored(hub, name, [State.FINISHED], FINISHED_JOBS)))


async def stored(hub: Hub, name: str, states: list[State], most: int) -> dict[str, outgoing.ListedJob]:
    """Returns the newest stored jobs of a queue in some states.

    Raises:
        Unavailable: The database can't be read now.
    """
    shell = hub.registry.queues.get(name)
    core = shell.core if shell is not None else None
    found: dict[str, outgoing.ListedJob] = {}
    before: int | None = None
    while most > 0:
        rows: list[Job] = await hub.store.page(name, states, before, min(PAGE, most))
        for row in rows:
            state = state_of(row)
            if is_listed(state):
                found[row.id] = outgoing.job_of(core, state)
        if len(rows) < PAGE:
            break
        most -= len(rows)
        before = rows[-1].number
        await asyncio.sleep(0)
    return found


async def status(request: Request) -> Response:
    """Answers with the queue's unfinished jobs, workers and counts, without loading the queue."""
    name = granted(request, Right.READ)
    hub = hub_of(request)
    shell = hub.registry.queues.get(name)
    made = Status(
        jobs=await stored(hub, name, [State.RUNNING, State.QUEUED], STATUS_JOBS),
        workers=outgoing.workers_of(shell.core, hub.clock(), LISTED_WORKERS) if shell is not None else [],
        clients=shell.connections - len(shell.links) if shell is not None else 0,
        counts=await totals(hub, name),
        hub=__version__,
        time=hub.clock(),
    )
    return as_json(made)
