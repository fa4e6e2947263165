"""A store moves as a whole to another database and another place of blobs, and back, or stays where it is."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from asman_server.clock import wall_clock
from asman_server.config import load_config
from asman_server.storage.database import make_engine
from asman_server.storage.tables import metadata
from asman_server.upkeep.move import Move, Moved, target_of
from asman_shared.errors import AsmanError, BadRequest, Conflict, Misconfigured, Unavailable
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.postgres import PostgresServer
from tests.support.blob_hub import sha256
from tests.support.killed_at import forked, killed_at
from tests.support.s3 import S3Server
from tests.support.shapes import holds
from tests.support.stores import QUEUE, blobs_of, ran, seen, store_of_blobs, worker_of

Start = Callable[..., HubProcess]


async def moved(data: Path, to_database: str = "", to_blobs: str = "", **more: Any) -> Moved:
    faults: list[str] = []
    config = load_config(data_dir=data, **more)
    made = await Move(config, target_of(config, to_database, to_blobs), faults.append, lambda _: None).run()
    assert made.report.faults == len(faults)
    return made


async def refusal(kind: type[AsmanError], *arguments: Any, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        await moved(*arguments, **more)
    return caught.value.message


async def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a database but those that stay."""
    engine = make_engine(url)
    found: dict[str, list[tuple[Any, ...]]] = {}
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            if table.name not in ("uploads", "daybook"):
                got = await connection.execute(select(table).order_by(*table.primary_key.columns))
                found[table.name] = sorted(tuple(row) for row in got)
    await engine.dispose()
    return found


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Makes empty places in S3, which this process can use."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return lambda: f"s3://{s3.new_bucket()}/some/blobs"


async def test_a_store_moves_to_postgres_and_s3_and_back(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, postgres: PostgresServer, s3: S3Server,
    bucket: Callable[[], str],
) -> None:  # fmt: skip
    hub = await asyncio.to_thread(hub_process, environment=s3.environment)
    here, there, place = str(hub.data), postgres.new_database(), bucket()
    await asyncio.to_thread(worker_of, processes, hub, tmp_path / "worker")
    ids = await ran(hub.queue(QUEUE), 0, 4)
    before = await seen(hub.queue(QUEUE), ids)
    words = ("move", "--data-dir", here, "--to-database-url", there, "--to-blobs", place, "--json", "--quiet")
    refused = await asyncio.to_thread(forked, *words, environment=s3.environment)
    assert (refused.code, f"another hub (process {hub.pid}" in refused.said) == (125, True), refused.said
    await asyncio.to_thread(hub.terminate)
    ended = await asyncio.to_thread(forked, *words, environment=s3.environment)
    assert ended.code == 0, ended.said
    told = json.loads(ended.said)
    holds(told, "move")
    assert (told["blobs"], told["faults"]) == (12, 0)
    assert await rows(there) == await rows(f"sqlite:///{here}/hub.sqlite")
    arguments = list(hub._arguments)
    hub._arguments = [*arguments, "--database-url", there, "--blobs", place]
    await asyncio.to_thread(hub.start)
    assert await seen(hub.queue(QUEUE), ids) == before
    ids += await ran(hub.queue(QUEUE), 10, 12)
    before = await seen(hub.queue(QUEUE), ids)
    await asyncio.to_thread(hub.terminate)
    source = ("--data-dir", here, "--database-url", there, "--blobs", place)
    refused = await asyncio.to_thread(
        forked, "move", *source, "--to-database-url", "folder", "--to-blobs", "folder", environment=s3.environment
    )
    assert "the new database holds data already" in refused.said
    back = f"sqlite:///{tmp_path}/back.sqlite"
    ended = await asyncio.to_thread(
        forked, "move", *source, "--to-database-url", back, "--to-blobs", "folder", environment=s3.environment
    )
    assert ended.code == 0, ended.said
    assert "18 blobs" in ended.said
    assert "of which 6 were missing" in ended.said
    assert ended.said.endswith("18 blobs; no faults in the new store\n")
    hub._arguments = [*arguments, "--database-url", back]
    await asyncio.to_thread(hub.start)
    assert await seen(hub.queue(QUEUE), ids) == before


@pytest.mark.parametrize(
    ("function", "text", "number"),
    [
        ("asman_server.upkeep.s3_objects:S3Objects.write", "", 3),
        ("asman_server.upkeep.move:_copy_table", "files", 1),
        ("asman_server.upkeep.check:Check.run", "", 1),
    ],
)
async def test_a_move_that_is_killed_is_done_again(
    tmp_path: Path, postgres: PostgresServer, s3: S3Server, bucket: Callable[[], str],
    function: str, text: str, number: int,
) -> None:  # fmt: skip
    data, there, place = tmp_path / "data", postgres.new_database(), bucket()
    async with store_of_blobs(data, 5) as (hub, bodies):
        await hub.files.put("a.txt", 1, one_byte())
    words = ("move", "--data-dir", str(data), "--to-database-url", there, "--to-blobs", place)
    await asyncio.to_thread(killed_at, function, text, *words, number=number, environment=s3.environment)
    expected = await rows(f"sqlite:///{data}/hub.sqlite")
    if "Check" in function:
        assert await rows(there) == expected
        assert "it may have ended: look at the database with" in await refusal(Conflict, data, there, place)
    else:
        assert not any((await rows(there)).values())
        made = await moved(data, there, place)
        assert (made.blobs, made.report.faults) == (6, 0)
        assert await rows(there) == expected
    assert {sha256(body) for body in bodies} < blobs_of(data), "the old store stays"


async def one_byte() -> Any:
    yield b"x"


async def test_blobs_alone_and_rows_alone_move(tmp_path: Path, bucket: Callable[[], str]) -> None:
    data, place, other = tmp_path / "data", bucket(), f"sqlite:///{tmp_path}/deep/other.sqlite"
    async with store_of_blobs(data, 3):
        pass
    with closing(sqlite3.connect(data / "hub.sqlite")) as opened, opened:
        opened.execute("INSERT INTO uploads VALUES ('q', ?, 1, 'ab/c', '', 1, ?)", ("a" * 64, wall_clock()))
    made = await moved(data, other)
    assert (made.blobs, made.report.blobs, made.report.rows["uploads"]) == (0, 3, 0)
    made = await moved(data, "", place)
    assert (made.rows, made.blobs, made.report.rows["uploads"], made.report.faults) == (0, 3, 0, 0)
    made = await moved(data, "", "folder", blobs=place)
    assert (made.blobs, made.report.strays) == (3, 0)


async def test_a_lost_blob_does_not_hold_up_the_others_and_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with store_of_blobs(data, 3) as (hub, bodies):
        row = (await hub.blobs.used([sha256(bodies[0])]))[sha256(bodies[0])]
    (data / "blobs" / row.place).unlink()
    to = ("--to-database-url", f"sqlite:///{tmp_path}/other.sqlite")
    ended = await asyncio.to_thread(forked, "move", "--data-dir", str(data), *to)
    assert ended.code == 125
    assert f"fault: the blob {sha256(bodies[0])} is missing in" in ended.said
    assert ended.said.endswith("1 faults in the new store\n")


async def test_what_can_not_move_is_refused_with_a_sentence(
    tmp_path: Path, postgres: PostgresServer, bucket: Callable[[], str], hub_process: Start
) -> None:
    data, other = tmp_path / "data", f"sqlite:///{tmp_path}/other.sqlite"
    async with store_of_blobs(data, 2):
        pass
    for to in ("", "folder", f"sqlite:///{data}/hub.sqlite", f"sqlite:///{data}/../data/hub.sqlite"):
        assert "nothing would move" in await refusal(BadRequest, data, to, "folder")
    busy = postgres.new_database()
    hub = await asyncio.to_thread(hub_process, "--database-url", busy)
    assert f"another hub (process {hub.pid}" in await refusal(Unavailable, data, busy)
    place = bucket()
    async with store_of_blobs(tmp_path / "stranger", 2):
        pass
    await moved(tmp_path / "stranger", "", place)
    assert "holds other things than this store's blobs" in await refusal(Conflict, data, "", place)
    await moved(tmp_path / "stranger", other)
    assert "holds data already" in await refusal(Conflict, data, other)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as opened, opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "was written by a newer Asman" in await refusal(Misconfigured, data, other)
    for to, said in (("mysql://x/y", "a database is postgresql://"), ("sqlite://", "ends with its hub")):
        ended = await asyncio.to_thread(forked, "move", "--data-dir", str(data), "--to-database-url", to)
        assert (ended.code, said in ended.said) == (125, True), ended.said
    assert len(blobs_of(data)) == 2
