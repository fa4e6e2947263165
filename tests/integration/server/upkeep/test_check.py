"""A check finds every fault that is planted in a store, finds none in a whole one, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import asman
from asman.cli.commands import check as cli
from asman.cli.main import main
from asman_server.clock import wall_clock
from asman_server.config import load_config
from asman_server.upkeep.check import Check, Report
from asman_server.upkeep.objects import drained
from asman_shared.errors import AsmanError, Conflict, Misconfigured, NotFound
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.postgres import PostgresServer
from tests.support.blob_hub import RETENTION, TestClock, sha256
from tests.support.killed_at import forked
from tests.support.s3 import S3Server
from tests.support.shapes import holds
from tests.support.stores import QUEUE, files, ran, store_of_blobs, submitted, worker_of

Start = Callable[..., HubProcess]


async def checked(data: Path, **more: Any) -> tuple[Report, list[str]]:
    """A store's report and its faults."""
    found: list[str] = []
    report = await Check(load_config(data_dir=data, **more), found.append, lambda _: None).run()
    assert report.faults == len(found)
    return report, found


async def refusal(data: Path, kind: type[AsmanError]) -> str:
    with pytest.raises(kind) as caught:
        await checked(data)
    return caught.value.message


# ----------------------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize("kind", ["sqlite and a folder", "postgres and s3"])
async def test_a_working_hub_has_no_faults(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    options: list[str] = []
    environment: dict[str, str] = {}
    if kind != "sqlite and a folder":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        s3: S3Server = request.getfixturevalue("s3")
        environment = s3.environment
        options = ["--database-url", postgres.new_database(), "--blobs", f"s3://{s3.new_bucket()}/some"]
    hub = await asyncio.to_thread(hub_process, *options, environment=environment)
    await asyncio.to_thread(worker_of, processes, hub, tmp_path / "worker")
    await ran(hub.queue(QUEUE), 0, 4)
    sending = asyncio.Event()

    async def load() -> None:
        async with asman.connect(hub.queue(QUEUE)) as queue:
            for number in range(100, 100_000):
                await submitted(queue, number, size=20_000)
                sending.set()

    loading = asyncio.create_task(load())
    await sending.wait()
    words = ("check", "--data-dir", str(hub.data), *options, "--json", "--quiet")
    ended = await asyncio.to_thread(forked, *words, environment=environment)
    assert not loading.done()
    loading.cancel()
    await asyncio.wait([loading])
    told = json.loads(ended.said)
    holds(told, "check")
    assert (ended.code, told["faults"], told["ok"]) == (0, [], True), ended.said
    assert told["rows"]["jobs"] >= 5
    assert told["rows"]["results"] >= 4
    assert told["rows"]["log_chunks"] >= 4
    assert told["blobs"] >= 8
    assert hub.healthy()


async def test_a_store_that_nobody_uses_is_left_as_it_is(tmp_path: Path) -> None:
    async with store_of_blobs(tmp_path / "data", 4) as (hub, _):
        await hub.files.put("a.txt", 1, one_byte())
        stray = tmp_path / f"data/blobs/ab/{'ab' * 32}-0123456789ab"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"stray")
    before = held(tmp_path / "data")
    report, found = await checked(tmp_path / "data")
    assert (found, report.blobs, report.unnamed, report.strays) == ([], 5, 4, 1)
    assert held(tmp_path / "data") == before


def held(data: Path) -> tuple[list[str], dict[str, bytes]]:
    """The rows of a database, which SQLite may bring from its log to its file, and the other files."""
    with closing(sqlite3.connect(data / "hub.sqlite")) as opened:
        rows = list(opened.iterdump())
    return rows, {name: body for name, body in files(data).items() if not name.startswith("hub.sqlite")}


async def one_byte() -> Any:
    yield b"x"


async def test_blobs_that_the_hub_removes_meanwhile_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock(wall_clock())
    async with store_of_blobs(tmp_path / "data", 20, clock) as (hub, _):

        async def swept(pieces: Any) -> None:
            if not clock.now - clock.began:
                clock.forward(RETENTION + 1)
                await hub.collector.round()
            await drained(pieces)

        monkeypatch.setattr("asman_server.upkeep.check.drained", swept)
        report, found = await checked(tmp_path / "data")
    assert (report.blobs, found) == (20, [])


# --------------------------------------------------------------------------------------------------------- planted


def plant(data: Path, ids: list[str]) -> list[str]:
    """Plants a fault of each kind; returns a part of the sentence about each."""
    first, second, third, fourth, fifth = ids
    with closing(sqlite3.connect(data / "hub.sqlite")) as opened, opened:

        def one(statement: str, *values: Any) -> Any:
            row = opened.execute(statement, values).fetchone()
            return row and row[0]

        one("UPDATE jobs SET record = x'00' WHERE id = ?", first)
        one("UPDATE jobs SET number = number + 1000 WHERE id = ?", second)
        other = one("SELECT body FROM definitions WHERE id = ?", second)
        one("UPDATE definitions SET body = ? WHERE id = ?", other, first)
        one("DELETE FROM definitions WHERE id = ?", third)
        one("UPDATE results SET body = x'c1' WHERE id = ?", second)
        one("UPDATE log_chunks SET body = x'90' WHERE job = ?", first)
        one("UPDATE log_chunks SET last = last + 1 WHERE job = ?", second)
        one("DELETE FROM jobs WHERE id = ?", fourth)
        lost = one("SELECT sha256 FROM result_blobs WHERE id = ? LIMIT 1", fifth)
        one("DELETE FROM blobs WHERE sha256 = ?", lost)
        one("INSERT INTO files VALUES ('letter.txt', ?, 1, 1)", "a" * 64)
        one("INSERT INTO signatures VALUES ('q', ?, x'c1')", "b" * 64)
        one("INSERT INTO door_notes VALUES ('q', ?, x'c1')", "c" * 64)
        one("INSERT INTO as_sent VALUES ('q', ?, x'c1')", "d" * 64)
        one("INSERT INTO daybook VALUES (999999, x'c1')")
        outside = one("SELECT sha256 FROM blobs ORDER BY sha256 LIMIT 1")
        one("UPDATE blobs SET place = '../outside' WHERE sha256 = ?", outside)
        gone, cut = opened.execute("SELECT sha256, place FROM blobs ORDER BY sha256 LIMIT 2 OFFSET 1").fetchall()
    (data / "blobs" / gone[1]).unlink()
    (data / "blobs" / cut[1]).write_bytes(b"short")
    (data / "secret").unlink()
    return [
        f"the job {first} in queue q-",
        f"the job {second} in queue q-",
        f"the definition {first}: it has another id",
        f"the job {third} in queue q-",
        f"the result {second} in queue q-",
        f"the log {first} from line 0 on in queue q-",
        f"the log {second} from line 0 on in queue q-",
        f"the result {fourth} in queue q-",
        f"its blob {lost} is not stored",
        f"the file letter.txt: its blob {'a' * 64} is not stored",
        f"the signatures {'b' * 64} in queue q-",
        f"the note {'c' * 64} in queue q-",
        f"the rest of the submission {'d' * 64} in queue q-",
        "the entry of the write buffer 999999: it can't be read",
        f"the blob {outside} has a place that no hub makes: ../outside",
        f"the blob {gone[0]} is missing in",
        f"the blob {cut[0]} is damaged: it has not",
        "the hub's secret can't be read",
    ]


async def test_every_planted_fault_is_found_and_named(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hub = await asyncio.to_thread(hub_process)
    await asyncio.to_thread(worker_of, processes, hub, tmp_path / "worker")
    ids = await ran(hub.queue(QUEUE), 0, 5)
    await asyncio.to_thread(hub.terminate)
    assert (await checked(hub.data))[1] == []
    expected = plant(hub.data, ids)
    report, found = await checked(hub.data)
    for each in expected:
        assert any(each in sentence for sentence in found), (each, found)
    assert not any(QUEUE in sentence for sentence in found), "the name of a queue is a secret"
    for kind in ("its record says something else", "its definition is missing", "its job is missing"):
        assert any(kind in sentence for sentence in found), kind
    ended = await asyncio.to_thread(forked, "check", "--data-dir", str(hub.data))
    assert ended.code == 125
    assert f"{report.faults} faults" in ended.said
    told = await asyncio.to_thread(forked, "check", "--data-dir", str(hub.data), "--json", "--quiet")
    holds(json.loads(told.said), "check")
    assert json.loads(told.said)["fault_count"] == report.faults
    monkeypatch.setattr(cli, "LISTED", 3)
    with pytest.raises(SystemExit) as exited:
        await asyncio.to_thread(main, ["check", "--data-dir", str(hub.data)])
    said = capsys.readouterr().out.splitlines()
    assert exited.value.code == 125
    assert [line for line in said if line.startswith("fault: ")] == said[:3]
    assert said[3] == f"and {report.faults - 3} more faults"


async def test_a_database_that_can_not_be_checked_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "there is no database at" in await refusal(data, NotFound)
    async with store_of_blobs(data):
        pass
    for version, kind, said in (
        ("9999", Misconfigured, "was written by a newer Asman"),
        ("0006", Conflict, "has an older schema (0006, and this Asman's is "),
    ):
        with closing(sqlite3.connect(data / "hub.sqlite")) as opened, opened:
            opened.execute("UPDATE alembic_version SET version_num = ?", (version,))
        assert said in await refusal(data, kind)
    with closing(sqlite3.connect(data / "hub.sqlite")) as opened, opened:
        opened.execute("DROP TABLE alembic_version")
    assert "is not one of a hub" in await refusal(data, Conflict)


async def test_lost_blobs_of_a_bucket_are_faults(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    async with store_of_blobs(tmp_path / "data", 3) as (_, bodies):
        pass
    report, found = await checked(tmp_path / "data", blobs=f"s3://{s3.new_bucket()}/empty")
    assert report.blobs == len(bodies)
    assert sorted(found) == sorted(
        f"the blob {sha256(body)} is missing in {found[0].rpartition(' in ')[2]}" for body in bodies
    )
