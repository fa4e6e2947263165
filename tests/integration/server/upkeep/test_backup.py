"""A backup holds one commit of a hub with all blobs of it, whatever the hub does meanwhile, or is no backup at all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asman
from asman_server.clock import wall_clock
from asman_server.upkeep import backup as upkeep
from asman_server.upkeep import snapshot as snapshots
from asman_server.upkeep.copying import copy_blob
from asman_server.upkeep.manifest import Place
from asman_server.upkeep.objects import FolderObjects
from asman_server.upkeep.s3_objects import PART_BYTES
from asman_shared.errors import AsmanError, BadRequest, Conflict, NotFound, Unavailable
from asman_shared.states import State
from devtools.asman_processes import AsmanProcesses, HubProcess, clean_environment
from devtools.patience import PATIENCE
from devtools.postgres import PostgresServer
from tests.support.blob_hub import RETENTION, TestClock, sha256
from tests.support.killed_at import forked, killed_at
from tests.support.s3 import S3Server
from tests.support.shapes import holds
from tests.support.stores import (
    QUEUE,
    backed_up,
    blobs_of,
    files,
    ran,
    restored,
    seen,
    store_of_blobs,
    submitted,
    worker_of,
)
from tests.support.weed import WeedServer

ROOT = Path(__file__).parents[4]
WRITE = "asman_server.upkeep.objects:FolderObjects.write"
COPY = "asman_server.upkeep.backup.copy_blob"
REMOVE = "asman_server.upkeep.objects:FolderObjects.remove"


# ---------------------------------------------------------------------------------------------------- a real hub


async def test_a_hub_that_works_is_backed_up_and_its_jobs_are_the_same_elsewhere(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path
) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = hub.queue(QUEUE)
    await asyncio.to_thread(worker_of, processes, hub, tmp_path / "worker")
    done = await ran(url, 0, 8)
    before = await seen(url, done)
    loaded = asyncio.Event()

    async def load() -> None:
        async with asman.connect(url) as queue:
            for number in range(100, 100_000):
                job = await submitted(queue, number, size=30_000)
                if number >= 110:
                    loaded.set()
                if number % 5 == 0:
                    await job.result()

    loading = asyncio.create_task(load())
    async with asyncio.timeout(PATIENCE):
        await loaded.wait()
    place = str(tmp_path / "backups")
    ended = await asyncio.to_thread(forked, "backup", place, "--data-dir", str(hub.data), "--json", "--quiet")
    assert not loading.done()
    loading.cancel()
    await asyncio.wait([loading])
    assert ended.code == 0, ended.said
    holds(json.loads(ended.said), "backup")
    assert (hub.healthy(), json.loads(ended.said)["lost"]) == (True, 0)
    elsewhere = HubProcess(tmp_path)
    ended = await asyncio.to_thread(forked, "restore", place, "--data-dir", str(elsewhere.data), "--json", "--quiet")
    assert ended.code == 0, ended.said
    holds(json.loads(ended.said), "restore")
    processes.started.append(elsewhere)
    await asyncio.to_thread(elsewhere.start)
    assert await seen(elsewhere.queue(QUEUE), done) == before
    # Whatever else was finished in that commit is whole, too.
    async with asman.connect(elsewhere.queue(QUEUE)) as queue:
        more = [job.id async for job in queue.jobs() if job.state is State.FINISHED and job.id not in done]
    assert await seen(elsewhere.queue(QUEUE), more) == await seen(url, more)


@pytest.mark.parametrize("kind", ["s3", "weed"])
async def test_backups_are_in_s3_and_blobs_are_restored_into_s3(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: S3Server | WeedServer = request.getfixturevalue(kind)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    large = os.urandom(PART_BYTES + 5)
    place = f"s3://{server.new_bucket()}/some/backups"
    async with store_of_blobs(tmp_path / "data", 3) as (hub, bodies):
        await hub.upload(large, b"")
        made = await backed_up(tmp_path / "data", place)
        assert (made.blobs, made.lost) == (5, 0)
        await hub.upload(b"later")
        await backed_up(tmp_path / "data", place, keep=1)
        expected = {sha256(body) for body in (*bodies, large, b"", b"later")}
    await restored(place, tmp_path / "new", check=True)
    assert not (tmp_path / "new").exists()
    await restored(place, tmp_path / "new")
    assert blobs_of(tmp_path / "new") == expected
    # The blobs of the next hub are in S3, and so they are in the backups of that.
    blobs = f"s3://{server.new_bucket()}/some/blobs"
    await restored(place, tmp_path / "newer", blobs=blobs)
    assert not (tmp_path / "newer/blobs").exists()
    assert (await backed_up(tmp_path / "newer", tmp_path / "place", blobs=blobs)).blobs == 6
    await restored(tmp_path / "place", tmp_path / "newest")
    assert blobs_of(tmp_path / "newest") == expected
    # A bucket that another hub uses is not written to: the restored hub would remove what it does not know.
    async with store_of_blobs(tmp_path / "other", 1):
        pass
    await backed_up(tmp_path / "other", tmp_path / "others-place")
    with pytest.raises(Conflict, match="holds other things than this store's blobs"):
        await restored(tmp_path / "others-place", tmp_path / "drill", blobs=blobs)
    assert not (tmp_path / "drill").exists()


async def test_rows_that_a_killed_hub_had_not_brought_to_their_tables_are_in_the_backup(
    hub_process: Callable[..., HubProcess], tmp_path: Path, processes: AsmanProcesses
) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await submitted(queue, 1)
    await asyncio.to_thread(hub.kill)
    await backed_up(hub.data, tmp_path / "place")
    await restored(tmp_path / "place", tmp_path / "new")
    other = HubProcess(tmp_path)
    (tmp_path / "new").rename(other.data)
    processes.started.append(other)
    await asyncio.to_thread(other.start)
    async with asman.connect(other.queue(QUEUE)) as queue:
        assert (await queue.get(job.id)).state.state is State.QUEUED


# ------------------------------------------------------------------------------------------------ blobs that go away


async def test_blobs_that_the_hub_removes_meanwhile_are_not_named_by_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock(wall_clock())
    async with store_of_blobs(tmp_path / "data", 20, clock) as (hub, bodies):
        copied, turn = 0, asyncio.Lock()

        async def swept(*arguments: Any) -> None:
            nonlocal copied
            async with turn:  # no other copy overtakes the removal
                copied += 1
                if copied == 5:
                    clock.forward(RETENTION + 1)
                    await hub.blobs.used([sha256(body) for body in bodies[:3]])
                    await hub.collector.round()
            await copy_blob(*arguments)

        monkeypatch.setattr(COPY, swept)
        made = await backed_up(tmp_path / "data", tmp_path / "place")
        assert (made.blobs, made.lost) == (3, 0)
        await restored(tmp_path / "place", tmp_path / "new")
        assert blobs_of(tmp_path / "new") == {sha256(body) for body in bodies[:3]}


async def test_a_hub_that_removes_blobs_all_the_time_is_not_backed_up_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SNAPSHOTS", 3)
    clock = TestClock(wall_clock())
    async with store_of_blobs(tmp_path / "data", 1, clock) as (hub, _):

        async def swept(*_arguments: Any) -> None:
            clock.forward(RETENTION + 1)
            await hub.collector.round()
            await hub.upload(os.urandom(1000))
            raise NotFound("it is gone")

        monkeypatch.setattr(COPY, swept)
        with pytest.raises(Unavailable, match="removes blobs faster than they are copied"):
            await backed_up(tmp_path / "data", tmp_path / "place")
    with pytest.raises(NotFound, match="there is no whole backup"):
        await restored(tmp_path / "place", tmp_path / "new")


async def test_blobs_whose_bytes_are_lost_or_damaged_are_told_and_left_out(tmp_path: Path) -> None:
    async with store_of_blobs(tmp_path / "data", 4) as (hub, bodies):
        rows = await hub.blobs.used([sha256(body) for body in bodies])
    stored = [tmp_path / "data/blobs" / rows[sha256(body)].place for body in bodies]
    stored[0].unlink()
    stored[1].write_bytes(b"x" * len(bodies[1]))
    ended = await asyncio.to_thread(forked, "backup", str(tmp_path / "place"), "--data-dir", str(tmp_path / "data"))
    assert ended.code == 125
    assert "the hub has lost 2 blobs, which are not in the backup" in ended.said
    await restored(tmp_path / "place", tmp_path / "new")
    assert blobs_of(tmp_path / "new") == {sha256(body) for body in bodies[2:]}


async def test_a_wrong_store_of_blobs_is_not_taken_for_lost_blobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOST", 3)
    async with store_of_blobs(tmp_path / "data", 3):
        pass
    shutil.rmtree(tmp_path / "data/blobs")
    assert (await backed_up(tmp_path / "data", tmp_path / "place")).lost == 3
    async with store_of_blobs(tmp_path / "data", 4):
        pass
    shutil.rmtree(tmp_path / "data/blobs")
    with pytest.raises(Conflict, match=r"more than 3 blobs of the hub are missing or damaged in .*/blobs: are"):
        await backed_up(tmp_path / "data", tmp_path / "place2")


# ------------------------------------------------------------------------------------------------- one after another


async def test_blobs_that_are_there_are_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store_of_blobs(tmp_path / "data", 5) as (hub, _):
        await backed_up(tmp_path / "data", tmp_path / "place")
        new = os.urandom(500)
        await hub.upload(new)
        copied: list[str] = []

        async def counted(row: Any, *arguments: Any) -> None:
            copied.append(row.sha256)
            await copy_blob(row, *arguments)

        monkeypatch.setattr(COPY, counted)
        made = await backed_up(tmp_path / "data", tmp_path / "place")
    assert (copied, made.blobs) == ([sha256(new)], 6)


async def test_old_backups_go_with_the_blobs_that_only_they_name(tmp_path: Path) -> None:
    clock = TestClock(wall_clock())
    async with store_of_blobs(tmp_path / "data", 3, clock) as (hub, bodies):
        first = await backed_up(tmp_path / "data", tmp_path / "place", keep=2)
        clock.forward(RETENTION + 1)
        await hub.blobs.used([sha256(bodies[0])])
        await hub.collector.round()
        later = [await backed_up(tmp_path / "data", tmp_path / "place", keep=2) for _ in range(2)]
    place = Place(FolderObjects(tmp_path / "place"))
    assert await place.ids() == {made.id: True for made in later}
    assert sorted([first.id, *(made.id for made in later)]) == [first.id, *(made.id for made in later)]
    stored = [found.name.rpartition("/")[2] async for page in place.objects.list("blobs/") for found in page]
    assert stored == [sha256(bodies[0])]
    with pytest.raises(BadRequest, match=f"there is no backup {first.id}"):
        await restored(tmp_path / "place", tmp_path / "new", name=first.id)


# ----------------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize(
    ("function", "text", "number"),
    [
        ("asman_server.upkeep.snapshot:check_file", "", 1),
        ("asman_server.upkeep.objects:_write_all", "", 2),
        (WRITE, "blobs/", 4),
        (WRITE, "hub.sqlite", 1),
        (WRITE, "manifest.json", 1),
    ],
)
async def test_a_backup_that_is_killed_is_none_and_spoils_none(
    tmp_path: Path, function: str, text: str, number: int
) -> None:
    place, data = tmp_path / "place", tmp_path / "data"
    async with store_of_blobs(data, 6) as (hub, bodies):
        words = ("backup", str(place), "--data-dir", str(data), "--keep", "1")
        await asyncio.to_thread(killed_at, function, text, *words, number=number)
        with pytest.raises(NotFound, match=r"there is no (whole )?backup in"):
            await restored(place, tmp_path / "none")
        assert not (tmp_path / "none").exists()
        whole = await backed_up(data, place, keep=1)
        assert list((await Place(FolderObjects(place)).ids()).values()) == [True]
        late = [os.urandom(700 + number) for number in range(6)]
        await hub.upload(*late)
        await asyncio.to_thread(killed_at, function, text, *words, number=number)
        halves = [name for name, is_whole in (await Place(FolderObjects(place)).ids()).items() if not is_whole]
        for half in halves:
            with pytest.raises(NotFound, match=f"the backup {half} in .* is not whole: it was not finished"):
                await restored(place, tmp_path / "none", name=half)
        await restored(place, tmp_path / "earlier")
        assert blobs_of(tmp_path / "earlier") == {sha256(body) for body in bodies}
        again = await backed_up(data, place, keep=1)
        assert await Place(FolderObjects(place)).ids() == {again.id: True}
        assert whole.id < again.id
        assert not list((place / "incoming").iterdir())
        await restored(place, tmp_path / "later")
        assert blobs_of(tmp_path / "later") == {sha256(body) for body in (*bodies, *late)}
        assert not (data / "backing-up").exists()


@pytest.mark.parametrize("text", ["manifest.json", "hub.sqlite", "blobs/"])
async def test_a_backup_that_is_killed_while_it_removes_an_old_one_is_whole(tmp_path: Path, text: str) -> None:
    clock = TestClock(wall_clock())
    async with store_of_blobs(tmp_path / "data", 3, clock) as (hub, bodies):
        await backed_up(tmp_path / "data", tmp_path / "place")
        clock.forward(RETENTION + 1)
        await hub.blobs.used([sha256(bodies[0])])
        await hub.collector.round()
        words = ("backup", str(tmp_path / "place"), "--data-dir", str(tmp_path / "data"), "--keep", "1")
        await asyncio.to_thread(killed_at, REMOVE, text, *words)
        await restored(tmp_path / "place", tmp_path / "new")
        assert blobs_of(tmp_path / "new") == {sha256(bodies[0])}
        await backed_up(tmp_path / "data", tmp_path / "place", keep=1)
        await restored(tmp_path / "place", tmp_path / "newer")
        assert blobs_of(tmp_path / "newer") == {sha256(bodies[0])}


# ---------------------------------------------------------------------------------------------------------- refusals


async def refusal(data: Path, place: Path | str, **more: Any) -> AsmanError:
    with pytest.raises(AsmanError) as caught:
        await backed_up(data, place, **more)
    return caught.value


async def test_what_can_not_be_backed_up_is_refused_with_a_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "there is no database at" in (await refusal(data, tmp_path / "p")).message
    async with store_of_blobs(data):
        pass
    for place in (data, data / "blobs", data / "blobs" / "deep", data / "backups"):
        assert "is in the hub's data folder" in (await refusal(data, place)).message
    for bucket, blobs in (("s3://one/x", "s3://one/x/b"), ("s3://one/x/in", "s3://one/x"), ("s3://one", "s3://one")):
        assert "lie in each other: name another prefix" in (await refusal(data, bucket, blobs=blobs)).message
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    assert "holds other things than backups (letter)" in (await refusal(data, tmp_path / "home")).message
    assert files(tmp_path / "home") == {"letter": b"dear"}
    await backed_up(data, tmp_path / "place")
    (data / "secret").write_bytes(b"t" * 32)
    assert "holds the backups of another hub" in (await refusal(data, tmp_path / "place")).message
    (data / "secret").unlink()
    assert "it has no file secret" in (await refusal(data, tmp_path / "place")).message


async def test_a_damaged_database_is_not_backed_up(tmp_path: Path) -> None:
    async with store_of_blobs(tmp_path / "data", 200):
        pass
    snapshots.close_file(tmp_path / "data/hub.sqlite")
    with (tmp_path / "data/hub.sqlite").open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(30 * 4096))
    assert "damaged" in (await refusal(tmp_path / "data", tmp_path / "place")).message
    with pytest.raises(NotFound):
        await restored(tmp_path / "place", tmp_path / "new")


async def test_two_backups_of_one_hub_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store_of_blobs(tmp_path / "data", 2):
        refused: list[AsmanError] = []

        async def another(*arguments: Any) -> None:
            if not refused:
                refused.append(await refusal(tmp_path / "data", tmp_path / "other"))
            await copy_blob(*arguments)

        monkeypatch.setattr(COPY, another)
        assert (await backed_up(tmp_path / "data", tmp_path / "place")).blobs == 2
    assert refused[0].message.startswith("another backup of this hub is being made")


def test_a_hub_on_postgres_is_told_what_to_run(
    hub_process: Callable[..., HubProcess], postgres: PostgresServer, tmp_path: Path
) -> None:
    database = postgres.new_database()
    hub = hub_process("--database-url", database)
    ended = forked("backup", str(tmp_path / "place"), "--data-dir", str(hub.data), "--database-url", database)
    assert ended.code == 125
    assert "copy the blobs, run pg_dump, copy the new blobs" in ended.said
    assert not (tmp_path / "place").exists()


def test_what_a_hub_on_postgres_is_told_to_run_makes_a_backup_that_can_be_restored(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, postgres: PostgresServer, tmp_path: Path
) -> None:
    database, other, place = postgres.new_database(), postgres.new_database(), tmp_path / "place"
    hub = hub_process("--database-url", database)
    worker_of(processes, hub, tmp_path / "worker")
    ids = asyncio.run(ran(hub.queue(QUEUE), 0, 3))
    before = asyncio.run(seen(hub.queue(QUEUE), ids))
    (place / "blobs").mkdir(parents=True)
    text = (ROOT / "docs/backup.md").read_text().partition("\n## Postgres\n")[2].partition("\n## ")[0]
    backing, restoring = (
        re.sub(r"rsync -a (\S+)/ (\S+)", r"cp -a \1/. \2", block).replace("/backups/hub", str(place))
        for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    )
    shell(backing.replace("/var/lib/asman", str(hub.data)), database)
    hub.kill()
    new = HubProcess(tmp_path, "--database-url", other)
    assert shell(restoring.replace("/var/lib/asman", str(new.data)), other).endswith("no faults\n")
    processes.started.append(new)
    new.start()
    assert asyncio.run(seen(new.queue(QUEUE), ids)) == before


def shell(script: str, database: str) -> str:
    """Runs lines of a page as a person would who has Asman on the path; returns what they print."""
    environment = clean_environment({"ASMAN_DATABASE_URL": database})
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    ended = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_a_backup_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with store_of_blobs(tmp_path / "data"):
            pass
        words = ("backup", str(tmp_path / "place"), "--data-dir", str(tmp_path / "data"))
        assert (await asyncio.to_thread(forked, *words)).code == 0
        assert forked("restore", str(tmp_path / "place"), "--data-dir", str(tmp_path / "new")).code == 0
    finally:
        os.umask(before)
    for folder in (tmp_path / "place", tmp_path / "new"):
        found = [folder, *folder.rglob("*")]
        assert len(found) > 5
        assert [path for path in found if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)] == []
