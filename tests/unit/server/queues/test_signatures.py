"""Signed addresses belong to a queue's submission, although the definition belongs to all that submit it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asman_server.clock import wall_clock
from asman_server.core import QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.job import Job
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.definition import DataRef, Definition
from asman_shared.identity import job_id
from asman_shared.messages import Message, Outcome, Register, Submit
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.submitting import submitted

WORKER = "worker-000000000"
ADDRESS = "https://data.example/a.txt"


def made(end: str) -> Definition:
    return Definition(image="a", inputs={"f": DataRef(ADDRESS + end, "url"), "g": DataRef("x", "utf8")})


JOB = job_id(made(""))


class Link:
    """A worker's connection that keeps the addresses that it is handed."""

    session = 1

    def __init__(self) -> None:
        self.addresses: list[object] = []

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        assert definition.inputs is not None
        self.addresses.append(definition.inputs["f"].value)

    def abort(self, job: str, attempt: int, why: str) -> None: ...

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None: ...

    def resumed(self, effect: fx.Resumed) -> None: ...

    def replaced(self) -> None: ...

    def dismissed(self) -> None: ...


class Hub:
    """Two queues on one database."""

    def __init__(self, folder: Path) -> None:
        self.engine = make_engine(f"sqlite:///{folder / 'hub.sqlite'}")
        self.committer = GroupCommitter(DirectWriter(self.engine))
        self.store = Store(self.engine)
        self.queues = {
            name: QueueShell(name, self.committer, self.store, wall_clock, QueuePolicy()) for name in ("mine", "theirs")
        }

    async def submit(self, queue: str, end: str, *, again: bool = False) -> None:
        told: list[Message] = []
        request = Submit(ref=1, definition=made(end), reuse="never" if again else "cached")
        await submitted(self.queues[queue], request, ReplyTo(1, told.append), None)
        async with asyncio.timeout(PATIENCE):
            await self.committer.written()

    async def run(self, queue: str) -> list[object]:
        """Lets a worker take what waits in a queue; returns the addresses that it was handed."""
        link, shell = Link(), self.queues[queue]
        shell.join(link, Register(incarnation=WORKER, name="w", cpus=1))
        async with asyncio.timeout(PATIENCE):
            while not link.addresses:
                await asyncio.sleep(0.01)
        job = shell.core.jobs[JOB]
        shell.apply(ev.AttemptFinished(WORKER, JOB, job.attempt, Outcome(kind="exited", exit_code=0)))
        shell.leave(link, WORKER)
        await self.committer.written()
        return link.addresses


@asynccontextmanager
async def hub(folder: Path) -> AsyncIterator[Hub]:
    """A hub on the database of this folder; each is a restart."""
    opened = Hub(folder)
    await migrate(opened.engine)
    writing = asyncio.get_running_loop().create_task(opened.committer.run())
    for shell in opened.queues.values():
        await shell.load()
    yield opened
    for shell in opened.queues.values():
        await shell.close()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await opened.engine.dispose()


@pytest.mark.parametrize("restarted", [False, True])
async def test_each_queue_fetches_with_its_own_signature(tmp_path: Path, restarted: bool) -> None:
    async with hub(tmp_path) as first:
        await first.submit("theirs", "/presignedurl/of-them")
        await first.submit("mine", "/presignedurl/of-me")
        if not restarted:
            assert await first.run("mine") == [ADDRESS + "/presignedurl/of-me"]
            assert await first.run("theirs") == [ADDRESS + "/presignedurl/of-them"]
    if restarted:
        async with hub(tmp_path) as second:
            assert await second.run("mine") == [ADDRESS + "/presignedurl/of-me"]
            assert await second.run("theirs") == [ADDRESS + "/presignedurl/of-them"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_newest_signature_is_the_one_that_is_used(tmp_path: Path, restarted: bool) -> None:
    async with hub(tmp_path) as first:
        await first.submit("mine", "/presignedurl/expired")
        await first.submit("mine", "/presignedurl/fresh")
        if not restarted:
            assert await first.run("mine") == [ADDRESS + "/presignedurl/fresh"]
    if restarted:
        async with hub(tmp_path) as second:
            assert await second.run("mine") == [ADDRESS + "/presignedurl/fresh"]


async def test_a_submission_without_a_signature_uses_nobody_s(tmp_path: Path) -> None:
    async with hub(tmp_path) as first:
        await first.submit("theirs", "/presignedurl/of-them")
        await first.submit("mine", "/presignedurl/of-me")
        await first.run("mine")
        await first.submit("mine", "", again=True)
    async with hub(tmp_path) as second:
        assert await second.run("mine") == [ADDRESS]


async def test_nobody_reads_the_signature_of_another_by_the_job_s_id(tmp_path: Path) -> None:
    async with hub(tmp_path) as first:
        await first.submit("mine", "/presignedurl/secret")
        shared = await first.store.definition(JOB)
        assert shared == made("")
        assert await first.queues["mine"].definition(JOB) == made("/presignedurl/secret")
        assert await first.queues["theirs"].definition(JOB) == made("")
