"""What nobody needs goes, what anybody needs stays: on every store, and while everything happens at once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random

import pytest

from asman_server.blobs.collect import UPLOAD_KEPT
from asman_server.core import Job
from asman_server.storage.blob_changes import OpenUpload, StoreBlob, UploadRow, blobs_of_definition
from asman_server.storage.reader import pack_definition
from asman_shared import limits
from asman_shared.definition import DataRef, Definition
from asman_shared.messages import OutputFile, Result
from asman_shared.units import KIB, MIB
from devtools.postgres import PostgresServer
from tests.support.blob_hub import DAY, QUEUE, RETENTION, BlobHub, open_blob_hub, sha256
from tests.support.rows import Ask, Followers, job
from tests.support.s3 import S3Server
from tests.support.weed import WeedServer

PART = 64 * KIB
LEAST_PART = 5 * MIB
"""Least size of a part in AWS's S3, in bytes."""
BODY = b"hello blob"
KEY = sha256(BODY)
BIG = os.urandom(PART + 100)
BIG_KEY = sha256(BIG)
ROUNDS = 20

OpenHub = Callable[..., AbstractAsyncContextManager[BlobHub]]


@pytest.fixture(params=["folder", "s3", "weed", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _small_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are small, but SeaweedFS takes none that are smaller than those of AWS, besides the last."""
    if kind == "weed":
        large = os.urandom(LEAST_PART + 100)
        for name, value in (("PART", LEAST_PART), ("BIG", large), ("BIG_KEY", sha256(large))):
            monkeypatch.setattr(sys.modules[__name__], name, value)
    monkeypatch.setattr(limits, "PART_BYTES", PART)


@pytest.fixture
def again(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> OpenHub:
    """Opens a hub on the same database and store each time."""
    s3: S3Server | WeedServer | None = request.getfixturevalue(kind) if kind in ("s3", "weed") else None
    bucket = s3.new_bucket() if s3 else ""
    database = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        database = server.new_database()
    return lambda **more: open_blob_hub(database, tmp_path / "blobs", s3, bucket=bucket, **more)


@pytest.fixture
async def hub(again: OpenHub) -> AsyncIterator[BlobHub]:
    async with again() as opened:
        yield opened


def naming(*keys: str) -> Definition:
    return Definition(image="a", inputs={f"file-{n}": DataRef(key, "key") for n, key in enumerate(keys)})


async def submit(hub: BlobHub, made: Job, *keys: str) -> None:
    """What a queue does with a submission: the definition and the job, durably."""
    definition = naming(*keys)
    hub.committer.define(made.id, pack_definition(definition), blobs_of_definition(definition))
    hub.committer.changed(Followers(), made, first=True)
    await Ask(hub.committer, made).get()


async def finish(hub: BlobHub, made: Job, *keys: str) -> None:
    outputs = {f"file-{n}": OutputFile(ref=DataRef(key, "key"), size=1, sha256=key) for n, key in enumerate(keys)}
    hub.committer.result("q", made.id, Result(outputs=outputs))
    hub.committer.changed(Followers(), made, first=False)
    await Ask(hub.committer, made).get()


async def forget(hub: BlobHub, made: Job) -> None:
    hub.committer.forget(Followers(), made)
    await Ask(hub.committer, made).get()


async def stored(hub: BlobHub, *keys: str) -> set[str]:
    """Which of these have a row, without using them."""
    return set(await hub.blobs.catalogue.stored(keys))


async def test_an_unused_blob_goes_when_its_time_is_over(hub: BlobHub) -> None:
    await hub.upload(BODY, BIG)
    hub.clock.forward(RETENTION)
    await hub.collector.round()
    assert await stored(hub, KEY, BIG_KEY) == {KEY, BIG_KEY}
    assert await hub.read(BIG_KEY) == BIG
    hub.clock.forward(2)
    await hub.collector.round()
    assert await stored(hub, KEY, BIG_KEY) == {BIG_KEY}
    assert await hub.read(KEY) is None
    assert await hub.read(BIG_KEY) == BIG
    quota = hub.blobs.quota
    assert (quota.blobs, quota.bytes, quota.collected, quota.collected_bytes) == (1, len(BIG), 1, len(BODY))
    await hub.upload(BODY)
    assert await hub.read(KEY) == BODY


async def test_what_a_job_names_stays_as_long_as_the_job(hub: BlobHub) -> None:
    bodies = [b"%d" % n for n in range(4)]
    keys = [sha256(body) for body in bodies]
    await hub.upload(*bodies)
    made, other = job(1), job(2)
    await submit(hub, made, keys[0], keys[1])
    await submit(hub, other, keys[1])
    await finish(hub, made, keys[2])
    hub.clock.forward(RETENTION + DAY)
    await hub.collector.round()
    assert await stored(hub, *keys) == set(keys[:3])
    await finish(hub, made, keys[0])
    await hub.collector.round()
    assert await stored(hub, *keys) == set(keys[:2])
    await forget(hub, made)
    await hub.collector.round()
    assert await stored(hub, *keys) == {keys[1]}
    await forget(hub, other)
    await hub.collector.round()
    assert await stored(hub, *keys) == set()


async def test_another_id_of_a_definition_goes_with_the_last_job_of_any_queue(hub: BlobHub) -> None:
    async def aliases() -> set[str]:
        return set((await hub.blobs.catalogue.jobless_aliases("", 10))[0])

    made, other = job(1), job(2)
    for alias, one in (("a" * 64, made), ("b" * 64, made), ("c" * 64, other)):
        hub.committer.alias(alias, one.id)
    await submit(hub, made)
    await submit(hub, other)
    await hub.collector.round()
    assert await aliases() == set()
    await forget(hub, made)
    assert await aliases() == {"a" * 64, "b" * 64}
    await hub.collector.round()
    await forget(hub, other)
    assert await aliases() == {"c" * 64}, "those of the first are gone"


async def test_a_definition_goes_with_its_last_job_and_comes_back_with_the_next(hub: BlobHub) -> None:
    made = job(1)
    await hub.upload(BODY)
    await submit(hub, made, KEY)
    await hub.collector.round()
    assert await hub.blobs.catalogue.jobless("", 10) == ([], None)
    await forget(hub, made)
    assert await hub.blobs.catalogue.jobless("", 10) == ([made.id], None)
    await hub.collector.round()
    assert await hub.blobs.catalogue.jobless("", 10) == ([], None)
    again = job(1)
    await submit(hub, again, KEY)
    hub.clock.forward(RETENTION + DAY)
    await hub.collector.round()
    assert await stored(hub, KEY) == {KEY}


async def test_an_upload_that_nobody_asks_for_is_ended_after_a_day(hub: BlobHub) -> None:
    (ticket,) = await hub.ask(BIG)
    await hub.send_part(ticket, ticket.parts[0], BIG)
    hub.clock.forward(UPLOAD_KEPT - 1)
    await hub.collector.round()
    (ticket,) = await hub.ask(BIG)
    assert [part.number for part in ticket.parts] == [2]
    hub.clock.forward(UPLOAD_KEPT - 1)
    await hub.collector.round()
    assert len(hub.blobs.quota.uploads) == 1
    hub.clock.forward(2)
    await hub.collector.round()
    assert (hub.blobs.quota.uploads, hub.blobs.quota.promised) == ({}, 0)
    hub.clock.forward(-UPLOAD_KEPT)  # so that addresses are good for the storage's own clock
    (ticket,) = await hub.ask(BIG)
    assert [part.number for part in ticket.parts] == [1, 2]
    await hub.upload(BIG)


async def test_a_named_file_goes_and_then_its_blob(hub: BlobHub) -> None:
    assert await hub.put("/f/notes.txt", BODY) == 201
    hub.clock.forward(RETENTION)
    assert await hub.get("/f/notes.txt") == (200, BODY)
    hub.clock.forward(RETENTION)
    await hub.collector.round()
    assert (await hub.get("/f/notes.txt/exists"))[0] == 200
    hub.clock.forward(RETENTION + DAY)
    await hub.collector.round()
    assert (await hub.get("/f/notes.txt/exists"))[0] == 404
    assert await stored(hub, KEY) == set()
    assert await hub.put("/f/notes.txt", b"other") == 201


async def test_more_than_a_step_takes_is_removed_in_steps(hub: BlobHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asman_server.blobs.collect.AT_ONCE", 3)
    bodies = [b"%d" % n for n in range(10)]
    await hub.upload(*bodies)
    await submit(hub, job(1), *map(sha256, bodies[:5]))
    hub.clock.forward(RETENTION + DAY)
    await hub.collector.round()
    assert await stored(hub, *map(sha256, bodies)) == set(map(sha256, bodies[:5]))


async def test_bytes_that_a_crash_left_without_a_row_are_strays_when_they_are_old(again: OpenHub) -> None:
    async with again() as hub:
        await hub.upload(BODY)
        (ticket,) = await hub.ask(BIG)
        await hub.send_part(ticket, ticket.parts[0], BIG)
        file = hub.files._folder / "left"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"left")
        place = await hub.store.keep(sha256(b"left"), 4, file)
        lost = UploadRow(QUEUE, sha256(b"lost"), 5, *await hub.store.begin(sha256(b"lost"), PART + 5), 0, 0)
        hour = 3600
        await hub.collector.strays(hub.clock() / 1000 - hour)
        assert place in [stray.place async for found in hub.store.strays(hub.clock() / 1000 + hour) for stray in found]
        await hub.collector.strays(hub.clock() / 1000 + hour)
        left = {stray.place async for found in hub.store.strays(hub.clock() / 1000 + hour) for stray in found}
        assert not left & {place, lost.place}
        await hub.upload(BIG)
        assert await hub.read(KEY) == BODY
        assert await hub.read(BIG_KEY) == BIG


async def test_a_blob_whose_file_is_gone_is_asked_for_again(again: OpenHub) -> None:
    async with again() as hub:
        await hub.upload(BODY)
        row = (await hub.blobs.catalogue.stored([KEY]))[KEY]
        await hub.store.remove(row.place)
        if hub.blobs.store.recorded(0):
            return  # a storage loses nothing, and the hub does not look
        (link,) = await hub.blobs.links(QUEUE, [KEY])
        status, said = await hub.get(link.url)
        assert (status, b"send it again" in said) == (404, True)
        await hub.upload(BODY)
        assert await hub.read(KEY) == BODY


async def test_two_rows_for_one_blob_can_not_be(hub: BlobHub) -> None:
    await hub.upload(BODY)
    row = (await hub.blobs.catalogue.stored([KEY]))[KEY]
    other = type(row)(KEY, 1, "elsewhere", 0, 0)
    upload = UploadRow(QUEUE, BIG_KEY, 1, "a", "", 0, 0)
    await hub.blobs.catalogue.write(
        StoreBlob(other), OpenUpload(upload), OpenUpload(UploadRow(QUEUE, BIG_KEY, 2, "b", "", 0, 0))
    )
    assert (await hub.blobs.catalogue.stored([KEY]))[KEY] == row
    assert await hub.blobs.catalogue.uploads([QUEUE], [BIG_KEY]) == [upload]


async def test_what_is_asked_for_uploaded_or_submitted_while_it_is_collected_is_never_lost(hub: BlobHub) -> None:
    """Each round finds old blobs, and asks, uploads and submits run against the collector in every order."""
    random = Random(20)
    bodies = [b"small-%d" % n for n in range(6)] + [os.urandom(PART + n) for n in (1, 2)]
    keys = [sha256(body) for body in bodies]
    held: list[Job] = []
    lost_in_time = 0

    async def later() -> None:
        for _ in range(random.randrange(8)):
            await hub.blobs.catalogue.file("none")  # takes about as long as each step of the others

    async def ask(at: int) -> tuple[int, bool]:
        await later()
        (ticket,) = await hub.ask(bodies[at])
        return at, ticket.exists

    async def upload(at: int) -> tuple[int, bool]:
        await later()
        await hub.upload(bodies[at], queue=f"queue-{at % 2}")
        return at, True

    async def link(at: int) -> tuple[int, bool]:
        await later()
        (found,) = await hub.blobs.links(QUEUE, [keys[at]])
        return at, bool(found.url)

    async def name(at: int) -> tuple[int, bool]:
        """A submission without asking first: what it finds stored stays stored."""
        await later()
        made = job(1000 + len(held))
        held.append(made)
        await submit(hub, made, keys[at])
        return at, bool(await stored(hub, keys[at]))

    async def collect(_at: int) -> tuple[int, bool]:
        await later()
        await hub.collector.round()
        return 0, False

    await hub.upload(*bodies)
    for _ in range(ROUNDS):
        hub.clock.forward(RETENTION + DAY)
        doing = [random.choice((ask, ask, upload, link, name))(at) for at in random.choices(range(len(bodies)), k=6)]
        doing += [collect(0), collect(0)]
        random.shuffle(doing)
        promised = {at for at, yes in await asyncio.gather(*doing) if yes}
        lost_in_time += len(keys) - len(await stored(hub, *keys))
        hub.clock.forward(RETENTION // 2)
        await hub.collector.round()
        for at in promised:
            place = (await hub.blobs.catalogue.stored([keys[at]]))[keys[at]]
            url = await hub.store.link(place)
            assert await hub.get(url) == (200, bodies[at])
        while held:
            await forget(hub, held.pop())
    assert lost_in_time > ROUNDS  # or nothing raced
    now = hub.clock() - (hub.clock.now - hub.clock.began)
    await hub.collector.strays(now / 1000 + 3600)
    for key in await stored(hub, *keys):
        row = (await hub.blobs.catalogue.stored([key]))[key]
        assert (await hub.get(await hub.store.link(row)))[0] == 200
