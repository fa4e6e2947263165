"""Databases that are away, full or locked: nothing is promised, nothing is lost, and everything resumes by itself."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import asman
from asman_server.storage import database
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.open_writer import open_writer
from asman_server.storage.reader import Store
from asman_server.storage.sqlite.buffered_writer import BufferedWriter
from asman_shared.errors import BadRequest, Unavailable
from asman_shared.messages import JobState
from asman_shared.states import State
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from devtools.postgres import PostgresServer
from tests.support.ready_worker import ready_worker
from tests.support.rows import Ask, Followers, chunk, job, webhook


class Trouble(Protocol):
    """A way in which a database fails."""

    async def begin(self) -> None:
        """It fails from now on."""

    async def end(self) -> None:
        """It works again."""


class FullDisk:
    """The file may not grow by another page (``database or disk is full``)."""

    def __init__(self, engine: AsyncEngine, writing: Engine) -> None:
        self.engine = engine
        self.writing = writing

    @staticmethod
    def _limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        cursor.close()

    async def begin(self) -> None:
        event.listen(self.writing, "connect", self._limit)
        await self.engine.dispose()

    async def end(self) -> None:
        event.remove(self.writing, "connect", self._limit)
        await self.engine.dispose()


class LockedFile:
    """Another program holds the file's lock for longer than we wait."""

    def __init__(self, engine: AsyncEngine, writing: Engine, path: Path) -> None:
        self.engine = engine
        self.writing = writing
        self.path = path

    @staticmethod
    def _impatient(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 50")
        cursor.close()

    async def begin(self) -> None:
        event.listen(self.writing, "connect", self._impatient)
        await self.engine.dispose()
        self.other = sqlite3.connect(self.path)
        self.other.execute("BEGIN IMMEDIATE")

    async def end(self) -> None:
        self.other.close()


class NoServer:
    """Postgres is stopped, killed or frozen, and comes back."""

    def __init__(self, server: PostgresServer, how: str) -> None:
        self.server = server
        self.how = how

    async def begin(self) -> None:
        await asyncio.to_thread(getattr(self.server, self.how))

    async def end(self) -> None:
        self.server.thaw()
        await asyncio.to_thread(self.server.start)


class ClosedDatabase:
    """Postgres is there and turns us away; its driver has errors of its own for that."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self.server = server
        self.name = url.rpartition("/")[2]

    async def begin(self) -> None:
        for statement in (
            f"ALTER DATABASE {self.name} WITH ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'",
        ):
            await asyncio.to_thread(self.server.sql, statement, database="postgres")

    async def end(self) -> None:
        statement = f"ALTER DATABASE {self.name} WITH ALLOW_CONNECTIONS true"
        await asyncio.to_thread(self.server.sql, statement, database="postgres")


TROUBLES = [
    pytest.param("sqlite", "full", id="sqlite-full"),
    pytest.param("sqlite", "locked", id="sqlite-locked"),
    *(pytest.param("postgres", how, id=f"postgres-{how}") for how in ("stop", "kill", "freeze", "close")),
]


@pytest.mark.parametrize(("url", "how"), TROUBLES, indirect=["url"])
async def test_while_the_database_fails_nothing_is_promised_and_nothing_is_lost(
    url: str, how: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT", 1.0)
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr("asman_server.storage.group_commit.RETRY_LAST", 0.2)
    engine = make_engine(url)
    await migrate(engine)
    writer = await open_writer(engine)
    trouble: Trouble
    if how == "full":
        assert isinstance(writer, BufferedWriter)
        trouble = FullDisk(engine, writer.connection.engine)
    elif how == "locked":
        assert isinstance(writer, BufferedWriter)
        trouble = LockedFile(engine, writer.connection.engine, tmp_path / "hub.sqlite")
    elif how == "close":
        trouble = ClosedDatabase(request.getfixturevalue("postgres"), url)
    else:
        trouble = NoServer(request.getfixturevalue("postgres"), how)
    committer, followers, store = GroupCommitter(writer), Followers(), Store(engine, writer.flushed)
    running = asyncio.ensure_future(committer.run())
    first, second = job(1), job(2)
    committer.changed(followers, first, first=True)
    assert isinstance(await Ask(committer, first).get(), JobState)

    await trouble.begin()
    stored, patient = asyncio.Event(), asyncio.Event()
    committer.lines(chunk(1, 0, ["x" * 2**20]), stored.set)
    committer.webhook(webhook("w"), first.id)
    committer.changed(followers, second, first=True)
    refused = await Ask(committer, second).get()
    assert isinstance(refused, Unavailable)
    assert refused.retry
    assert committer.failing is not None
    committer.answer("q", first, lambda _: patient.set(), None)
    for made in (first, second):
        made.rev, made.state = 7, State.RUNNING
        committer.changed(followers, made, first=False)
    assert isinstance(await Ask(committer, first).get(), Unavailable)
    for n in range(100):  # also while a try is under way
        committer.webhook(webhook(f"w{n}"), first.id)
        committer.lines(chunk(2, n, [str(n)]), lambda: None)
        await asyncio.sleep(0.005)
    if how in ("stop", "kill", "freeze", "close"):
        with pytest.raises(Unavailable):
            await store.page("q", [], None, 10)
    assert followers.told == [(first.id, 0)]
    assert not patient.is_set()

    await trouble.end()
    async with asyncio.timeout(PATIENCE):
        await patient.wait()
        await stored.wait()
    assert committer.failing is None
    assert isinstance(await Ask(committer, first).get(), JobState)
    assert [(j.number, j.rev) for j in await store.page("q", [], None, 10)] == [(2, 7), (1, 7)]
    assert len((await store.lines("q", first.id, 0, 10))[0].text) == 2**20
    assert {w.id for w in await store.webhooks(200, [], [])} == {"w", *(f"w{n}" for n in range(100))}
    assert [head.first for head in await store.chunk_heads("q", second.id)] == list(range(100))
    assert sorted(followers.told) == [(first.id, 0), (first.id, 7), (second.id, 7)]
    committer.close()
    await running
    await engine.dispose()


# ------------------------------------------------------------------------------------------------- a hub, for real


class HubTrouble(Protocol):
    """A way in which the database of a hub process fails."""

    def begin(self, hub: HubProcess) -> None:
        """It fails from now on."""

    def end(self, hub: HubProcess) -> None:
        """It works again."""


class PostgresGone:
    """Postgres is killed under the hub."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def begin(self, _hub: HubProcess) -> None:
        self.server.kill()

    def end(self, _hub: HubProcess) -> None:
        self.server.start()


def readiness(hub: HubProcess) -> tuple[int, str]:
    """The answer of ``GET /readyz``: its status and its text."""
    try:
        with urllib.request.urlopen(f"{hub.url}/readyz", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class FileTooLarge:
    """The operating system lets no file of the hub grow (what a quota or a full disk does)."""

    def begin(self, hub: HubProcess) -> None:
        resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))

    def end(self, hub: HubProcess) -> None:
        resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class FileLocked:
    """Another program holds the lock of the hub's database."""

    def begin(self, hub: HubProcess) -> None:
        self.other = sqlite3.connect(hub.data / "hub.sqlite", check_same_thread=False)
        self.other.execute("BEGIN IMMEDIATE")

    def end(self, _hub: HubProcess) -> None:
        self.other.close()


@pytest.mark.parametrize("kind", ["postgres-killed", "sqlite-full", "sqlite-locked"])
async def test_a_hub_whose_database_fails_says_so_and_goes_on_by_itself(
    kind: str, hub_process: Callable[..., HubProcess], request: pytest.FixtureRequest
) -> None:
    trouble: HubTrouble
    arguments: list[str] = []
    if kind.startswith("postgres"):
        server: PostgresServer = request.getfixturevalue("postgres")
        arguments = ["--database-url", server.new_database()]
        trouble = PostgresGone(server)
    else:
        trouble = FileTooLarge() if kind == "sqlite-full" else FileLocked()
    hub = await asyncio.to_thread(hub_process, *arguments)
    address = hub.queue("q")
    async with ready_worker(address) as worker, asman.connect(address) as queue:
        for n in range(30):  # so that the file is larger than a few pages
            await (await queue.submit(image="a", command=f"before {n} {'x' * 5000}")).wait()
        worker.go.clear()
        running = await queue.submit(image="a", command="running meanwhile")
        while await worker.started.get() != running.id:
            pass

        await asyncio.to_thread(trouble.begin, hub)
        with pytest.raises(Unavailable) as caught:
            await queue.submit(image="a", command="refused")
        assert caught.value.retry
        worker.go.set()
        with pytest.raises(Unavailable):
            await queue.submit(image="a", command="refused as well")
        assert await asyncio.to_thread(hub.healthy), "the hub itself is well"
        status, why = await asyncio.to_thread(readiness, hub)
        assert (status, why.startswith("the database can't be ")) == (503, True), why

        await asyncio.to_thread(trouble.end, hub)
        async with asyncio.timeout(PATIENCE):
            assert (await running.wait()).ok
            while (await asyncio.to_thread(readiness, hub))[0] != 200:
                await asyncio.sleep(0.05)
        again = await queue.submit(image="a", command="refused")
        async with asyncio.timeout(PATIENCE):
            assert (await again.wait()).ok
    assert hub.running
    await asyncio.to_thread(hub.restart)
    async with asman.connect(address) as queue:
        for command in ("before 7 " + "x" * 5000, "running meanwhile", "refused"):
            assert (await queue.submit(image="a", command=command)).answer == "cached"


@pytest.mark.parametrize(
    ("requirements", "field"),
    [
        ({"memory": "16384p"}, "definition.requirements.memory"),
        ({"memory": "0b"}, "definition.requirements.memory"),
        ({"maxDuration": "999999d"}, "definition.requirements.maxDuration"),
        ({"cpus": 1e300}, "definition.requirements.cpus"),
        ({"gpus": 2**62}, "definition.requirements.gpus"),
    ],
)
async def test_a_job_that_asks_for_more_than_can_be_counted_is_refused_and_stops_nobody(
    hub_process: Callable[..., HubProcess], requirements: dict[str, Any], field: str
) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with asman.connect(hub.queue("q")) as queue:
        with pytest.raises(BadRequest) as caught:
            await queue.submit({"image": "a", "requirements": requirements})
        assert caught.value.field == field
        assert (await queue.submit(image="a")).answer == "queued"
    assert await asyncio.to_thread(readiness, hub) == (200, "OK")


@pytest.mark.parametrize("huge", [2**53, 2**63, 2**64, 2**200, -1])
async def test_numbers_that_no_database_holds_are_refused_and_stop_nobody(
    huge: int, hub_process: Callable[..., HubProcess]
) -> None:
    """A worker that lies must not make a commit that can never be written."""
    hub = await asyncio.to_thread(hub_process)
    address = hub.queue("q")
    async with (
        asman.connect(address) as queue,
        connect(address.replace("http", "ws") + "/worker", subprotocols=[Subprotocol("asman.v1.json")]) as liar,
    ):
        lie = {"type": "register", "incarnation": "0123456789abcdef", "name": "liar", "cpus": 1}
        await liar.send(json.dumps([lie]))
        job = await queue.submit(image="a")
        about = {"job": job.id, "attempt": 1}
        for message in (
            {"type": "log_batch", "lines": [[huge, 1, 0, "x"]], **about},
            {"type": "log_batch", "lines": [[0, huge, 0, "x"]], **about},
            {"type": "finished", "outcome": {"kind": "exited", "exit_code": 0, "lines": huge}, **about},
            {"type": "finished", "outcome": {"kind": "exited", "exit_code": 0, "duration": huge}, **about},
            {"type": "phase", "phase": "running", "done": huge, **about},
        ):
            await liar.send(json.dumps([message]))
        await liar.send(json.dumps([{"type": "ping", "ref": 1}]))
        errors = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                messages = json.loads(await liar.recv())
                errors += sum(message["type"] == "error" for message in messages)
                if any(message["type"] == "pong" for message in messages):
                    break
        assert errors == 5
        await liar.send(json.dumps([{"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about}]))
        async with asyncio.timeout(PATIENCE):
            assert (await job.wait()).ok
