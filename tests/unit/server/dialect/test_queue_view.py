"""The view that all sockets of a queue share: coalesced, bounded, the same bytes for everyone; on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from asman_server.core import QueuePolicy
from asman_server.core import events as ev
from asman_server.dialect import queue_view as board_module
from asman_server.dialect.as_sent import Names
from asman_server.dialect.queue_view import QueueView
from asman_server.dialect.queue_views import QueueViews
from asman_server.queues.registry import Registry
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Reader
from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import Outcome, Register, Submit
from tests.simulation.database import SimDatabase
from tests.simulation.loop import run_virtual, virtual_clock
from tests.support.submitting import submitted

WORKER = "worker-0123456789"


class Member:
    """A socket that keeps what it is told."""

    def __init__(self, view: QueueView, *, works: bool = False) -> None:
        self.works = works
        self.names = Names.OWN if works else Names.ALL
        self.lists: list[bytes] = []
        self.subsets: list[bytes] = []
        self.gone: list[str] = []
        self.crews: list[bytes] = []
        self.told: list[Any] = []
        self._view = view
        view.enter(self)

    def listed(self) -> None:
        self.lists.append(self._view.whole())

    def changed(self, frame: bytes, jobs: Iterable[str]) -> None:
        self.subsets.append(frame)

    def vanished(self, job: str) -> None:
        self.gone.append(job)

    def workers(self, frame: bytes) -> None:
        self.crews.append(frame)

    def logs(self, job: str, step: str, lines: Any, frame: bytes) -> None:
        self.told.append((job, step, lines))

    def forget_cache(self, frame: bytes) -> None:
        self.told.append(frame)


def jobs_in(frame: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame[frame.index(b"{") :])["payload"]["state"]["jobs"]
    return found


@asynccontextmanager
async def queue(name: str = "q") -> AsyncIterator[tuple[QueueShell, QueueViews]]:
    """A queue on a database that works."""
    database = SimDatabase(Random(1))
    database.slow = 0.0001
    committer = GroupCommitter(database)
    writing = asyncio.ensure_future(committer.run())
    reader = cast(Reader, database)
    registry = Registry(committer, reader, virtual_clock, QueuePolicy())
    try:
        async with registry.using(name) as shell:
            yield shell, QueueViews(reader, virtual_clock)
    finally:
        shell.stop_timers()
        writing.cancel()


async def submit(shell: QueueShell, number: int) -> str:
    request = Submit(ref=0, definition=Definition(image="a", command=str(number)))
    await submitted(shell, request, ReplyTo(0, lambda _: None))
    return job_id(request.definition)


def finish(shell: QueueShell, job: str) -> None:
    """Hands the job to a worker that was not there before, and ends it."""
    shell.apply(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1), chooses=True))
    shell.apply(ev.Claimed(WORKER, job, ReplyTo(0, lambda _: None)))
    attempt = shell.core.jobs[job].attempt
    shell.apply(ev.AttemptFinished(WORKER, job, attempt, Outcome(kind="exited", exit_code=0)))


def virtually(play: Callable[[], Awaitable[None]]) -> None:
    run_virtual(play)  # type: ignore[arg-type]


def test_the_whole_list_comes_by_itself_every_ten_seconds_and_is_the_same_bytes_for_all() -> None:
    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            one, two = Member(view), Member(view, works=True)
            job = await submit(shell, 1)
            await asyncio.sleep(35)
            assert len(one.lists) == len(two.lists) == 3
            assert all(mine is theirs for mine, theirs in zip(one.lists, two.lists, strict=True))
            assert one.lists[0] is one.lists[2], "encoded again only when something has changed"
            assert set(jobs_in(one.lists[0])) == {job}

    virtually(play)


def test_many_changes_in_a_moment_are_one_subset() -> None:
    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            member = Member(view)
            jobs = [await submit(shell, number) for number in range(200)]
            await asyncio.sleep(1)
            assert len(member.subsets) <= 3
            assert set().union(*map(jobs_in, member.subsets)) == set(jobs)
            assert member.lists == []

    virtually(play)


def test_changes_that_are_large_for_all_their_readers_come_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "LIST_BYTES_PER_SECOND", 500)

    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            members = [Member(view) for _ in range(5)]
            jobs = []
            for number in range(40):
                jobs.append(await submit(shell, number))
                await asyncio.sleep(0.2)
            await asyncio.sleep(15)
            for member in members:
                assert len(member.subsets) <= 5
                assert set().union(*map(jobs_in, member.subsets)) == set(jobs)

    virtually(play)


def test_a_flood_of_finished_jobs_is_bounded_before_the_next_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "LISTED_JOBS", 10)
    monkeypatch.setattr(board_module, "FINISHED_JOBS", 5)

    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            most = 0
            for number in range(60):
                finish(shell, await submit(shell, number))
                await asyncio.sleep(0.05)
                most = max(most, len(jobs_in(view.whole())))
            assert most <= 20

    virtually(play)


def test_a_job_that_vanished_brings_a_whole_list_before_its_time_but_never_many() -> None:
    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            member = Member(view)
            jobs = [await submit(shell, number) for number in range(50)]
            await asyncio.sleep(3)
            for job in jobs[:49]:
                shell.apply(ev.CancelRequested(job, "_", ReplyTo(0, lambda _: None)))
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)
            assert len(member.lists) <= 7
            assert set(jobs_in(member.lists[-1])) == {jobs[49]}
            assert sorted(member.gone) == sorted(jobs[:49])

    virtually(play)


def test_finished_jobs_are_listed_for_a_while() -> None:
    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            member = Member(view)
            job = await submit(shell, 1)
            finish(shell, job)
            await asyncio.sleep(75)
            assert jobs_in(member.lists[-1])[job]["finishedReason"] == "Success"
            await asyncio.sleep(board_module.FINISHED_SUCCESS / 1000)
            assert jobs_in(member.lists[-1]) == {}

    virtually(play)


def test_a_list_is_bounded_and_filled_up_again_as_jobs_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "LISTED_JOBS", 10)

    async def play() -> None:
        async with queue() as (shell, views):
            jobs = [await submit(shell, number) for number in range(25)]
            await asyncio.sleep(1)
            async with views.using(shell) as view:
                member = Member(view)
                assert set(jobs_in(view.whole())) == set(jobs[:10]), "those that are next"
                await submit(shell, 99)
                for job in jobs[:8]:
                    finish(shell, job)
                    await asyncio.sleep(0.1)
                await asyncio.sleep(20)
                waiting = [job for job, one in jobs_in(member.lists[-1]).items() if one["state"] == "Queued"]
                assert set(waiting) >= set(jobs[8:15])
                assert len(waiting) <= 10

    virtually(play)


def test_too_many_finished_jobs_push_the_oldest_off_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "FINISHED_JOBS", 3)

    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            member = Member(view)
            jobs = []
            for number in range(6):
                jobs.append(await submit(shell, number))
                finish(shell, jobs[-1])
                await asyncio.sleep(1)
            await asyncio.sleep(20)
            assert set(jobs_in(member.lists[-1])) == set(jobs), "each is there for a minute at least"
            await asyncio.sleep(75)
            assert set(jobs_in(member.lists[-1])) == set(jobs[3:])

    virtually(play)


def test_what_a_queue_had_before_its_first_socket_is_on_the_board() -> None:
    async def play() -> None:
        async with queue() as (shell, views):
            done, waiting, gone = [await submit(shell, number) for number in range(3)]
            finish(shell, done)
            shell.apply(ev.CancelRequested(gone, "_", ReplyTo(0, lambda _: None)))
            await asyncio.sleep(1)
            async with views.using(shell) as view:
                assert {job: one["state"] for job, one in jobs_in(view.whole()).items()} == {
                    done: "Finished",
                    waiting: "Queued",
                }
            assert views.get(shell) is None, "nobody needs it any more"
            assert view not in shell.fanout.watchers

    virtually(play)


def test_workers_are_told_once_however_many_come() -> None:
    async def play() -> None:
        async with queue() as (shell, views), views.using(shell) as view:
            member = Member(view)
            for number in range(50):
                info = Register(incarnation=f"{number:016}", name=f"w{number}", cpus=1)
                shell.apply(ev.WorkerJoined(number, info, chooses=True))
            await asyncio.sleep(1)
            (frame,) = member.crews
            assert len(json.loads(frame[frame.index(b"{") :])["payload"]["workers"]) == 50

    virtually(play)
