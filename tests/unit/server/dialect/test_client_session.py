"""Connections of clients of the dialect to a queue that has more jobs than a list holds, on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from asman_server.access import access
from asman_server.core import events as ev
from asman_server.dialect import client_session as module
from asman_server.dialect import queue_view
from asman_server.dialect.client_session import DialectClient
from asman_server.dialect.ids import identify
from asman_server.dialect.queue_views import QueueViews
from asman_server.hub import Hub
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_shared.messages import Register
from tests.simulation.loop import virtual_clock
from tests.simulation.network import Connection, HubEnd
from tests.unit.server.dialect.test_queue_view import finish, jobs_in, queue, submit, virtually

QUEUE = "q"


class Client:
    """A client that keeps the last whole list and merges changes into it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.jobs: dict[str, Any] = {}
        self.listed: dict[str, Any] = {}
        connection.to_actor.listener = self._hear

    def _hear(self, frame: bytes | None) -> None:
        if frame is None or b'"JobState' not in frame:
            return
        self.jobs |= jobs_in(frame)
        if b'"JobStates"' in frame:
            self.jobs = self.listed = jobs_in(frame)

    def submit(self, number: int) -> str:
        definition = {"image": "b", "command": str(number)}
        job = identify(definition).job
        value = {"type": "Queued", "enqueued": {"id": job, "definition": definition}}
        self._say("StateChange", {"state": "Queued", "job": job, "value": value})
        return job

    def ask_for_list(self) -> None:
        self._say("QueryJobStates", None)

    def cancel(self, job: str) -> None:
        self._say("StateChange", {"state": "Finished", "job": job, "value": {"reason": "Cancelled"}})

    def _say(self, kind: str, payload: Any) -> None:
        self.connection.to_hub.put(msgspec.json.encode({"type": kind, "payload": payload}))


@asynccontextmanager
async def connected(shell: QueueShell, views: QueueViews, name: str) -> AsyncIterator[Client]:
    connection = Connection(name, Random(name), 0.001)
    hub = cast(Hub, SimpleNamespace(clock=virtual_clock, files=None))
    async with views.using(shell) as view:
        session = DialectClient(cast(Any, HubEnd(connection)), access(QUEUE), view, views, hub)
        running = asyncio.ensure_future(session.run())
        try:
            yield Client(connection)
        finally:
            connection.sever()
            await running


def test_a_job_beyond_the_bound_of_lists_is_shown_to_its_submitter_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_view, "LISTED_JOBS", 10)

    async def play() -> None:
        async with queue() as (shell, views):
            first = [await submit(shell, number) for number in range(10)]
            async with connected(shell, views, "mine") as mine, connected(shell, views, "other") as other:
                jobs = {mine.submit(number) for number in range(15)}
                await asyncio.sleep(25)
                assert set(mine.listed) == set(mine.jobs) == jobs | set(first)
                assert set(other.jobs) == set(first)
                gone = jobs.pop()
                mine.cancel(gone)
                await asyncio.sleep(5)
                assert gone not in mine.listed
                for job in first:
                    finish(shell, job)
                    await asyncio.sleep(0.1)
                finish(shell, next(iter(jobs)))
                await asyncio.sleep(15)
                assert {job for job, one in mine.listed.items() if one["state"] == "Queued"} == set(list(jobs)[1:])
                assert mine.listed[next(iter(jobs))]["state"] == "Finished"

    virtually(play)


def test_jobs_beyond_the_bound_that_one_client_sees_are_bounded_and_come_back_when_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_view, "LISTED_JOBS", 10)
    monkeypatch.setattr(module, "OWN_UNLISTED", 5)

    async def play() -> None:
        async with queue() as (shell, views):
            for number in range(10):
                await submit(shell, number)
            async with connected(shell, views, "mine") as mine:
                jobs = []
                for number in range(30):
                    jobs.append(mine.submit(number))
                    await asyncio.sleep(0.1)
                await asyncio.sleep(15)
                assert [job for job in jobs if job in mine.listed] == jobs[-5:]
                assert mine.submit(0) == jobs[0]
                await asyncio.sleep(1)
                mine.ask_for_list()
                await asyncio.sleep(2)
                assert jobs[0] in mine.listed
                assert len(mine.listed) == 15

    virtually(play)


def test_running_jobs_take_the_place_of_queued_ones_on_a_full_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_view, "LISTED_JOBS", 5)

    async def play() -> None:
        async with queue() as (shell, views):
            first = [await submit(shell, number) for number in range(8)]
            async with connected(shell, views, "any") as client:
                await asyncio.sleep(1)
                assert list(client.jobs) == first[:5]
                claimed(shell, first[7])
                await asyncio.sleep(12)
                assert set(client.listed) == {*first[:4], first[7]}
                assert client.listed[first[7]]["state"] == "Running"

    virtually(play)


def claimed(shell: QueueShell, job: str) -> None:
    """Gives a job to a worker that was not there before."""
    shell.apply(ev.WorkerJoined(9, Register(incarnation="worker-9", name="w", cpus=1), chooses=True))
    shell.apply(ev.Claimed("worker-9", job, ReplyTo(0, lambda _: None)))
