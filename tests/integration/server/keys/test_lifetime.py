"""From when and how long keys work: in memory, in the store, after a restart, of older hubs, and of idle queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.access import Access, access
from asman_server.access.rights import DERIVED
from asman_server.config import HubConfig
from asman_server.core import events as ev
from asman_server.hub import Hub
from asman_server.keys.keys import DAY_MS, KEPT_MS
from asman_server.keys.store import AT_ONCE
from asman_server.rest.requests import ask
from asman_server.storage.database import make_engine
from asman_server.storage.tables import facts, jobs, queue_keys
from asman_shared.definition import Definition
from asman_shared.errors import NotFound
from asman_shared.keys.derived import KeyKind, derived_keys
from asman_shared.messages import Accepted, Configured, Deleted, Submit
from devtools.patience import PATIENCE


class Time:
    """The hub's clock, which a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


class Place:
    """A data folder and a database, with one hub after the other."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.time = folder, url, Time()

    def hub(self) -> Hub:
        return Hub(HubConfig(data_dir=self.folder, database_url=self.url), self.time)


@pytest.fixture
def place(tmp_path: Path, url: str) -> Place:
    return Place(tmp_path / "data", url)


@pytest.fixture
async def database(place: Place) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(place.url)
    yield engine
    await engine.dispose()


async def submit(hub: Hub, queue: str, command: str = "x") -> str:
    async with hub.registry.using(queue) as shell:
        request = Submit(ref=1, definition=Definition(image="a", command=command), follow=False)
        submission = shell.submission(request, access(queue))
        return (await ask(lambda reply_to: shell.submit(submission, reply_to), Accepted)).job.id


async def forget(hub: Hub, queue: str, job: str) -> None:
    async with hub.registry.using(queue) as shell:
        await shell.job(job)
        await ask(lambda reply_to: shell.apply(ev.DeleteRequested(job, reply_to)), Deleted)


async def known(hub: Hub, queue: str) -> bool:
    """Whether all keys to a queue work, or none."""
    found = []
    for kind, key in derived_keys(queue).items():
        try:
            found_access = await hub.keys.access(key)
            assert found_access == Access(queue, DERIVED[kind], found_access.key)
            assert found_access.key
            found.append(True)
        except NotFound:
            found.append(False)
    assert len(set(found)) == 1
    return found[0]


async def left_memory(hub: Hub, queue: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while queue in hub.registry.queues:
            await hub.committer.written()
            hub.registry._unload_idle()


async def rows(database: AsyncEngine) -> int:
    async with database.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(queue_keys)) or 0)


async def test_keys_work_while_a_queue_is_in_memory_and_leave_nothing_behind(
    place: Place, database: AsyncEngine
) -> None:
    async with place.hub().open() as hub:
        assert not await known(hub, "used")
        async with hub.registry.using("used"):
            assert await known(hub, "used")
        assert not await known(hub, "used")
        assert await rows(database) == 0


async def test_keys_are_durable_with_the_first_job(place: Place, database: AsyncEngine) -> None:
    async with place.hub().open() as hub:
        await submit(hub, "used")
        assert await rows(database) == len(KeyKind), "in the commit of the job"
        await left_memory(hub, "used")
        assert await known(hub, "used")
    async with place.hub().open() as hub:
        assert await known(hub, "used")
        assert not await known(hub, "another")


@pytest.mark.parametrize("queue", ["local", "~older"])
async def test_a_queue_whose_name_makes_no_keys_is_a_queue_all_the_same(
    place: Place, database: AsyncEngine, queue: str
) -> None:
    async with place.hub().open() as hub:
        async with hub.registry.using(queue) as shell:
            request = Submit(ref=1, definition=Definition(image="a", command="x"), follow=False)
            submission = shell.submission(request, access("any"))
            await ask(lambda reply_to: shell.submit(submission, reply_to), Accepted)
        await left_memory(hub, queue)
        assert await rows(database) == 0
    async with database.begin() as connection:
        await connection.execute(delete(facts))
    async with place.hub().open() as hub, hub.registry.using(queue) as shell:
        assert shell.counts().queued == 1


async def test_keys_are_durable_with_the_settings(place: Place) -> None:
    async with place.hub().open() as hub:
        async with hub.registry.using("set") as shell:
            await ask(lambda reply_to: shell.configure(3_600_000, reply_to), Configured)
        await left_memory(hub, "set")
        assert await known(hub, "set")


async def test_a_hub_that_finds_queues_without_keys_makes_them(place: Place, database: AsyncEngine) -> None:
    names = [f"older-{number}" for number in range(AT_ONCE + 2)]
    async with place.hub().open() as hub:
        job = await submit(hub, names[0])
        async with hub.registry.using("set") as shell:
            await ask(lambda reply_to: shell.configure(3_600_000, reply_to), Configured)
    async with database.begin() as connection:
        first = (await connection.execute(select(jobs).where(jobs.c.id == job))).one()._asdict()
        await connection.execute(jobs.insert(), [{**first, "queue": name} for name in names[1:]])
        await connection.execute(delete(queue_keys))
        await connection.execute(delete(facts).where(facts.c.name == "queue keys"))
    async with place.hub().open() as hub:
        for name in (*names[:2], names[-1], "set"):
            assert await known(hub, name)
        assert await rows(database) == len(KeyKind) * (len(names) + 1)


async def test_a_hub_with_another_secret_makes_them_again_and_warns_of_what_has_ended(
    place: Place, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with place.hub().open() as hub:
        await submit(hub, "used")
    async with place.hub().open() as hub:
        assert await known(hub, "used")
    assert "'secret'" not in caplog.text
    (place.folder / "secret").unlink()
    async with place.hub().open() as hub:
        assert await known(hub, "used")
        assert await rows(database) == len(KeyKind)
    assert "the file 'secret' in the data folder is not the one with which this database was used before" in caplog.text


async def test_the_keys_of_an_idle_queue_are_forgotten_at_last(place: Place, database: AsyncEngine) -> None:
    async with place.hub().open() as hub:
        gone, busy, used = "gone", "busy", "used"
        for queue in (gone, used):
            await forget(hub, queue, await submit(hub, queue))
            await left_memory(hub, queue)
        await submit(hub, busy)
        place.time.now += KEPT_MS - DAY_MS
        await hub.keys.forget_unused()
        for queue in (gone, busy, used):
            assert await known(hub, queue), "they work although the queue has no jobs"
        await forget(hub, used, await submit(hub, used))
        await left_memory(hub, used)
        place.time.now += DAY_MS + 1
        await hub.keys.forget_unused()
        assert [await known(hub, queue) for queue in (gone, busy, used)] == [False, True, True]
        assert await rows(database) == 2 * len(KeyKind)
        await submit(hub, gone)
        assert await known(hub, gone), "and back with the next job"


async def test_a_queue_in_use_for_long_is_noted_once_a_day(place: Place, database: AsyncEngine) -> None:
    async with place.hub().open() as hub, hub.registry.using("long"):
        begun = place.time.now
        for day, noted in ((0, 0), (0.5, 0), (1, 1), (1.9, 1), (300, 300)):
            place.time.now = begun + int(day * DAY_MS)
            await forget(hub, "long", await submit(hub, "long"))
            async with database.connect() as connection:
                assert set(await connection.scalars(select(queue_keys.c.used))) == {begun + noted * DAY_MS}
