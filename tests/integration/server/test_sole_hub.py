"""A second hub never opens the data of a running one, and what keeps a hub from starting is one sentence."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

import asman
from asman_server import sole_hub
from asman_server.sole_hub import PostgresLock
from asman_server.storage.database import make_primary
from asman_shared.errors import AsmanError, Unavailable
from asman_shared.running.supervisor import TASK_FAILED
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from devtools.ports import free_port
from devtools.postgres import PostgresServer

Start = Callable[..., HubProcess]


def second(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs another hub to its end."""
    words = [*asman_command(), "hub", "--port", str(free_port()), *arguments]
    return subprocess.run(words, capture_output=True, text=True, env=clean_environment(), timeout=PATIENCE)


def assert_refused(ended: subprocess.CompletedProcess[str], first: HubProcess, what: str) -> None:
    assert ended.returncode == 125
    assert ended.stderr.splitlines()[-1].startswith(
        f"error: another hub (process {first.pid} on {socket.gethostname()[:40]}) uses {what}"
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    assert first.healthy()


def test_a_second_hub_on_one_data_folder_is_refused(hub_process: Start) -> None:
    first = hub_process()
    assert_refused(second("--data-dir", str(first.data)), first, f"the data folder {first.data}")


def test_a_second_hub_on_one_sqlite_database_is_refused(hub_process: Start, tmp_path: Path) -> None:
    first = hub_process()
    database = f"sqlite:///{first.data}/hub.sqlite"
    (tmp_path / "link.sqlite").symlink_to(first.data / "hub.sqlite")
    for url in (database, f"sqlite:///{tmp_path}/link.sqlite"):
        ended = second("--data-dir", str(tmp_path / "other"), "--database-url", url)
        assert_refused(ended, first, f"the database {first.data}/hub.sqlite")


def test_a_second_hub_on_one_postgres_database_is_refused(
    hub_process: Start, tmp_path: Path, postgres: PostgresServer
) -> None:
    database = postgres.new_database()
    first = hub_process("--database-url", database)
    ended = second("--data-dir", str(tmp_path / "other"), "--database-url", database)
    assert_refused(ended, first, "this database")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_hub_that_was_killed_stands_in_nobodys_way(
    hub_process: Start, kind: str, request: pytest.FixtureRequest
) -> None:
    choices = ["--database-url", request.getfixturevalue("postgres").new_database()] if kind == "postgres" else []
    hub = hub_process(*choices)
    hub.kill()
    hub.start()
    assert hub.healthy()


async def test_a_hub_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    other = os.open(file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)

    async def ends() -> None:
        await asyncio.sleep(0.3)
        os.close(other)

    ending = asyncio.create_task(ends())
    async with sole_hub.sole_hub(tmp_path, "sqlite://") as lock:
        assert ending.done(), "it was waited for"
        assert lock is None
        assert file.read_text() == f"process {os.getpid()} on {socket.gethostname()[:40]}"


async def test_the_lock_of_postgres_is_taken_again_after_its_connection_was_lost(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole_hub, "_LOOK_SECONDS", 0.05)
    database = postgres.new_database()
    lock, other = PostgresLock(make_primary(database)), PostgresLock(make_primary(database))
    await lock.take()
    keeping = asyncio.create_task(lock.keep())
    await end_sessions(database)
    async with asyncio.timeout(PATIENCE):
        while not await holders(database):
            await asyncio.sleep(0.05)
    monkeypatch.setattr(sole_hub, "WAIT_SECONDS", 0.3)
    with pytest.raises(Unavailable, match=f"another hub \\(process {os.getpid()} on "):
        await other.take()
    assert not keeping.done()
    keeping.cancel()
    await lock.close()
    await other.close()


def test_a_hub_whose_database_another_has_taken_ends(hub_process: Start, postgres: PostgresServer) -> None:
    database = postgres.new_database()
    hub = hub_process("--database-url", database)

    async def take() -> None:
        connection = await asyncpg.connect(database)
        try:
            while not await connection.fetchval(sole_hub._TAKE, sole_hub.HUB_LOCK):
                await end_sessions(database)
            assert await asyncio.to_thread(hub.wait) == TASK_FAILED
        finally:
            await connection.close()

    asyncio.run(take())
    assert "uses this database now" in hub.output()


async def end_sessions(database: str) -> None:
    """Ends the sessions that hold the lock, as an operator or a failover does."""
    connection = await asyncpg.connect(database)
    ending = sole_hub._HOLDER.replace("a.application_name", "pg_terminate_backend(l.pid)")
    await connection.fetch(ending, sole_hub.HUB_LOCK)
    await connection.close()


async def holders(database: str) -> list[str]:
    """Returns the names of those who hold the lock."""
    connection = await asyncpg.connect(database)
    found = await connection.fetch(sole_hub._HOLDER, sole_hub.HUB_LOCK)
    await connection.close()
    return [row[0] for row in found]


def test_a_postgres_that_starts_later_is_waited_for(hub_process: Start, postgres: PostgresServer) -> None:
    hub = hub_process("--database-url", postgres.new_database())
    hub.kill()
    postgres.stop()
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(hub.start)
        until = time.monotonic() + PATIENCE
        while "waiting for the database" not in hub.output():
            assert time.monotonic() < until, hub.tail()
            time.sleep(0.05)
        postgres.start()
        starting.result(PATIENCE)
    assert hub.healthy()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://x", "a database is postgresql://"),
        ("nothing", "a database is postgresql://"),
        ("sqlite:////proc/none/hub.sqlite", "can't write to /proc/none/hub.sqlite.lock"),
    ],
)
def test_a_database_that_can_not_be_used_is_one_sentence(tmp_path: Path, url: str, why: str) -> None:
    ended = second("--data-dir", str(tmp_path / "data"), "--database-url", url)
    assert ended.returncode == (125 if url.startswith("sqlite") else 2), "a value of an option that can't be read is 2"
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.stderr.startswith("error: ")
    assert why in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_database_that_refuses_the_hub_is_one_sentence(tmp_path: Path, postgres: PostgresServer) -> None:
    ended = second("--data-dir", str(tmp_path / "data"), "--database-url", f"{postgres.new_database()}_none")
    assert ended.returncode == 125
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "does not exist" in ended.stderr.splitlines()[-1]


async def test_a_frozen_hub_that_was_taken_over_commits_nothing_when_it_wakes(
    hub_process: Start, postgres: PostgresServer
) -> None:
    """A submission lies in its socket while it is frozen; it reads that first when it wakes."""
    database = await asyncio.to_thread(postgres.new_database)
    old = await asyncio.to_thread(hub_process, "--database-url", database)
    async with asman.connect(old.queue("q"), reconnect=1.0) as late:
        before = await late.submit(image="a", command="before")
        os.kill(old.pid, signal.SIGSTOP)
        asked = asyncio.ensure_future(late.submit(image="a", command="late"))
        try:
            new = await asyncio.to_thread(hub_process, "--database-url", database, "--take-over")
            async with asman.connect(new.queue("q")) as queue:
                assert (await queue.submit(image="a", command="before")).answer == "joined"
                after = await queue.submit(image="a", command="after")
        finally:
            os.kill(old.pid, signal.SIGCONT)
        assert await asyncio.to_thread(old.wait) == TASK_FAILED
        with pytest.raises(AsmanError):
            await asked
    connection = await asyncpg.connect(database)
    stored = {row[0] for row in await connection.fetch("SELECT id FROM jobs")}
    owners = await connection.fetch("SELECT DISTINCT epoch, owner FROM shards")
    await connection.close()
    assert stored == {before.id, after.id}
    assert [tuple(row) for row in owners] == [(2, f"asman hub, process {new.pid} on {socket.gethostname()[:40]}")]
    assert await asyncio.to_thread(new.healthy)
    said = old.output()
    assert "another hub has taken over the queues of this one" in said or "uses this database now" in said
    assert "Traceback" not in said


def test_a_second_hub_is_told_how_to_take_over(hub_process: Start, tmp_path: Path, postgres: PostgresServer) -> None:
    database = postgres.new_database()
    hub_process("--database-url", database)
    ended = second("--data-dir", str(tmp_path / "other"), "--database-url", database)
    assert ended.returncode == 125
    assert "--take-over" in ended.stderr


def test_the_data_folder_of_a_worker_is_told_to_be_one(tmp_path: Path) -> None:
    for name in ("incarnation", "lock", "secret"):
        (tmp_path / name).touch()
    ended = second("--data-dir", str(tmp_path))
    assert ended.returncode == 125
    said = f"error: {tmp_path} is the data folder of a worker, and a hub needs one of its own: choose another with"
    assert ended.stderr.splitlines()[-1].startswith(said)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["incarnation", "lock", "secret"]
