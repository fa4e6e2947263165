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
from ..rest.guard import access_of, wants_page
from ..rest.page import page
from ..rest.queues import totals
from ..rest.requests import ask, body_of, granted
from ..rest.types import Totals
from . import outgoing
from .as_sent import Submissions
from .ids import identify
from .incoming import EnqueueJob
from .queue_view import FINISHED_JOBS, LISTED_WORKERS, PAGE, listed_unfinished
from .rest import Data, Done, boards_of
from .submitting import submit

STATUS_JOBS: Final = 1000
"""Largest number of unfinished jobs in a status."""


class Status(
    Struct,
    rename={
        "local_workers": "localWorkers",
        "other_servers": "otherServers",
        "client_count": "clientCount",
        "queue_info": "queueInfo",
    },
):
    """The status of a queue; the first members are those of earlier services.

    Attributes:
        jobs: The newest jobs that are not finished, and the newest finished ones.
        local_workers: The connected workers, by their ids.
        other_servers: Always empty: one hub has the whole queue.
        client_count: Number of connected clients.
        queue_info: Always empty.
        workers: The connected workers.
        clients: Number of connected clients.
        counts: Jobs in each state, and connected workers.
        hub: The hub's version.
        time: The hub's time.
    """

    jobs: dict[str, outgoing.ListedJob]
    local_workers: dict[str, outgoing.ListedWorker]
    other_servers: dict[str, str]
    client_count: int
    queue_info: dict[str, str]
    workers: list[outgoing.ListedWorker]
    clients: int
    counts: Totals
    hub: str
    time: int


async def enqueue(request: Request) -> Response:
    """Submits a job; ``id`` and ``control`` may be left out."""
    access = access_of(request)
    name = access.queue
    body = await body_of(request, EnqueueJob)
    found = identify(body.definition, body.id)
    hub, views = hub_of(request), boards_of(request)
    async with hub.registry.using(name, linger=True) as shell:
        await ask(lambda reply_to: submit(shell, access, hub, views, found, body, reply_to), Accepted)
    return as_json(Done(success=True, job_id=found.key))


async def queue(request: Request) -> Response:
    """Answers browsers with the queue's page; other clients with its jobs by id."""
    if wants_page(request):
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
    sent = boards_of(request).submissions
    unfinished = await stored(hub, sent, name, [State.RUNNING], listed_unfinished())
    unfinished |= await stored(hub, sent, name, [State.QUEUED], listed_unfinished() - len(unfinished))
    return as_json(Data(unfinished | await stored(hub, sent, name, [State.FINISHED], FINISHED_JOBS)))


async def stored(
    hub: Hub, submissions: Submissions, name: str, states: list[State], most: int
) -> dict[str, outgoing.ListedJob]:
    """Returns the newest stored jobs of a queue in some states, each under all its ids.

    Raises:
        Unavailable: The database can't be read now.
    """
    shell = hub.registry.queues.get(name)
    core = shell.core if shell is not None else None
    found: dict[str, outgoing.ListedJob] = {}
    before: int | None = None
    while most > 0:
        rows: list[Job] = await hub.store.page(name, states, before, min(PAGE, most))
        await submissions.load(name, [row.id for row in rows])
        for row in rows:
            state = state_of(row)
            if outgoing.is_listed(state):
                sent = submissions.of(name, row.id)
                found |= dict.fromkeys((row.id, *sent.aliases), outgoing.job_of(core, state, sent))
        if len(rows) < PAGE:
            break
        most -= len(rows)
        before = rows[-1].number
        await asyncio.sleep(0)
    return found


async def status(request: Request) -> Response:
    """Answers with the queue's jobs, workers and counts, without loading the queue."""
    name = granted(request, Right.READ)
    hub = hub_of(request)
    shell = hub.registry.queues.get(name)
    sent = boards_of(request).submissions
    found = await stored(hub, sent, name, [State.RUNNING, State.QUEUED], STATUS_JOBS)
    found |= await stored(hub, sent, name, [State.FINISHED], FINISHED_JOBS)
    workers = outgoing.workers_of(shell.core, hub.clock(), LISTED_WORKERS) if shell is not None else []
    clients = shell.connections - len(shell.links) if shell is not None else 0
    made = Status(
        jobs=found,
        local_workers={worker.id: worker for worker in workers},
        other_servers={},
        client_count=clients,
        queue_info={},
        workers=workers,
        clients=clients,
        counts=await totals(hub, name),
        hub=__version__,
        time=hub.clock(),
    )
    return as_json(made)
