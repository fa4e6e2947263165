"""Room for SQLite's write-ahead log: what is in the log stays in it, and a disk that has none is left as it was."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asman_server.storage.sqlite.wal_preallocation import ROOM, preallocate

FILL = """
import os, resource, signal, sqlite3, sys
from asman_server.storage.sqlite.wal_preallocation import preallocate
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
driver = sqlite3.connect(sys.argv[1], isolation_level=None)
preallocate(driver)
driver.execute("insert into t values (2)")
print(sorted(driver.execute("select n from t")), flush=True)
os._exit(9)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite"


@pytest.fixture
def driver(path: Path) -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(path, isolation_level=None)
    made.execute("PRAGMA journal_mode=WAL")
    made.execute("create table t (n integer primary key)")
    yield made
    made.close()


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def numbers(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [n for (n,) in connection.execute("select n from t order by n")]


def test_what_was_and_what_is_written_survives_a_kill(path: Path, driver: sqlite3.Connection, tmp_path: Path) -> None:
    driver.execute("insert into t values (1)")
    preallocate(driver)
    assert log_of(path).stat().st_size == ROOM
    driver.execute("insert into t values (2)")
    preallocate(driver)
    assert log_of(path).stat().st_size == ROOM
    # What a kill at this moment leaves: no shared memory, and a log with zeros behind its last frame.
    left = tmp_path / "left"
    left.mkdir()
    for name in (path, log_of(path)):
        shutil.copy(name, left / name.name)
    assert numbers(left / path.name) == [1, 2]
    assert sqlite3.connect(left / path.name).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_log_that_began_anew_is_not_made_longer(path: Path, driver: sqlite3.Connection) -> None:
    preallocate(driver)
    for number in range(50):
        driver.execute("insert into t values (?)", (number,))
    driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    preallocate(driver)
    driver.execute("insert into t values (50)")
    assert log_of(path).stat().st_size == ROOM
    assert numbers(path) == list(range(51))


def test_a_disk_without_room_is_left_as_it_was(path: Path, driver: sqlite3.Connection) -> None:
    driver.execute("insert into t values (1)")
    before = log_of(path).stat().st_size
    said = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout) == (9, "[(1,), (2,)]\n"), said.stderr
    assert before <= log_of(path).stat().st_size < 1 << 20
    assert numbers(path) == [1, 2]


def test_one_that_somebody_else_writes_to_is_left_as_it_was(path: Path, driver: sqlite3.Connection) -> None:
    driver.execute("BEGIN IMMEDIATE")
    driver.execute("insert into t values (1)")
    before = log_of(path).stat().st_size
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    preallocate(other)
    other.close()
    assert log_of(path).stat().st_size == before
    driver.execute("COMMIT")
    assert numbers(path) == [1]


def test_a_database_in_memory_needs_none() -> None:
    preallocate(sqlite3.connect(":memory:", isolation_level=None))
