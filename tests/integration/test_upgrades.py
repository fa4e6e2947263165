"""What an earlier version made goes on with this one, and a later version's data is refused with a sentence.

The earlier version is that of commit 0b75906: its wheel, built from that commit, is in `tests/data`. In a worktree of
that commit, ``pip wheel --no-deps .`` makes it again.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from devtools.asman_processes import AsmanProcesses, HubProcess, clean_environment
from devtools.patience import PATIENCE
from devtools.ports import free_port
from devtools.postgres import PostgresServer
from tests.support.killed_at import forked

WHEEL = Path(__file__).parents[1] / "data/asman-0b75906/asman-0.1.0-py3-none-any.whl"
PROGRAM = Path(__file__).parents[1] / "support/sdk_program.py"
QUEUE = "upgraded"
Environment = dict[str, str]
Start = Callable[..., HubProcess]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment in which the earlier version is found in the place of this one."""
    folder = tmp_path_factory.mktemp("earlier")
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    environment = {"PYTHONPATH": str(folder)}
    names = ("asman", "asman_server", "asman_shared", "asman_worker")
    program = f"import {', '.join(names)}; print(*({', '.join(f'{name}.__file__' for name in names)},))"
    found = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(environment), capture_output=True, text=True, check=True
    )
    assert [Path(each).parents[1] for each in found.stdout.split()] == [folder] * 4
    return environment


def sdk(verb: str, url: str, *words: str, environment: Mapping[str, str] | None = None) -> Any:
    """Runs a program with the SDK of an environment."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), verb, url, *words],
        env=clean_environment(environment), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def work(processes: AsmanProcesses, hub: HubProcess, folder: Path, environment: Environment | None = None) -> None:
    arguments = ("--executor", "process", "--cpus", "2", "--data-dir", str(folder))
    processes.worker(hub.queue(QUEUE), *arguments, environment=environment)


def refused(data: Path, *more: str, environment: Environment | None = None, code: int = 125) -> str:
    """What a hub says that does not start."""
    ended = forked("hub", "--port", str(free_port()), "--data-dir", str(data), *more, environment=environment)
    assert ended.code == code, ended.said
    return ended.said


def test_an_earlier_sdk_and_an_earlier_worker_work_with_this_hub(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, old: Environment
) -> None:
    hub = hub_process()
    work(processes, hub, tmp_path / "worker", old)
    ids = sdk("submit", hub.queue(QUEUE), "1", "2", environment=old)
    shown = sdk("show", hub.queue(QUEUE), *ids, environment=old)
    assert [line[3] for line in shown[ids[0]]["lines"]][:2] == ["begins 1", "100000"]
    assert sdk("show", hub.queue(QUEUE), *ids) == shown, "this version's SDK sees the same"
    assert sdk("submit", hub.queue(QUEUE), "1", "2") == ids, "a job has the same id in both"
    assert sdk("show", hub.queue(QUEUE), *sdk("submit", hub.queue(QUEUE), "3"), environment=old)


@pytest.mark.parametrize(("database", "end"), [("sqlite", "terminate"), ("sqlite", "kill"), ("postgres", "kill")])
def test_the_data_and_the_worker_of_an_earlier_hub_go_on_with_this_one(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, old: Environment, end: str, database: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    options: list[str] = []
    if database == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        options = ["--database-url", server.new_database()]
    hub = hub_process(*options, environment=old)
    work(processes, hub, tmp_path / "worker", old)
    ids = sdk("submit", hub.queue(QUEUE), "1", "2", "3", environment=old)
    shown = sdk("show", hub.queue(QUEUE), *ids, environment=old)
    getattr(hub, end)()
    hub.use_environment()
    hub.start()
    assert sdk("show", hub.queue(QUEUE), *ids) == shown
    assert sdk("show", hub.queue(QUEUE), *ids, environment=old) == shown
    assert sdk("submit", hub.queue(QUEUE), "1", "2", "3") == ids, "a job has the same id"
    assert sdk("show", hub.queue(QUEUE), *ids) == shown, "the results are those of before"
    # The earlier worker has come back to the upgraded hub by itself.
    assert sdk("submit", hub.queue(QUEUE), "4", environment=old)
    checked = forked("check", "--data-dir", str(hub.data), *options)
    assert checked.said.splitlines()[-1] == "no faults", checked.said


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_database_of_a_newer_hub_is_refused_with_a_sentence_and_left_alone(
    hub_process: Start, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    options: list[str] = []
    if database == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        options = ["--database-url", server.new_database()]
    hub = hub_process(*options)
    hub.terminate()
    if database == "postgres":
        server.sql("UPDATE alembic_version SET version_num = '9999'", database=options[1].rpartition("/")[2])
    else:
        with closing(sqlite3.connect(hub.data / "hub.sqlite")) as opened, opened:
            opened.execute("UPDATE alembic_version SET version_num = '9999'")
    said = refused(hub.data, *options)
    assert "the database was written by a newer Asman (its schema is 9999" in said
    assert "Traceback" not in said


def test_an_earlier_hub_does_not_open_the_data_of_this_one(
    hub_process: Start, processes: AsmanProcesses, tmp_path: Path, old: Environment
) -> None:
    hub = hub_process()
    work(processes, hub, tmp_path / "worker")
    ids = sdk("submit", hub.queue(QUEUE), "1")
    shown = sdk("show", hub.queue(QUEUE), *ids)
    hub.terminate()
    copy = tmp_path / "copy"
    shutil.copytree(hub.data, copy)
    said = refused(copy, environment=old, code=3)
    assert "Can't locate revision identified by '00" in said
    copied, kept = (sqlite3.connect(folder / "hub.sqlite") for folder in (copy, hub.data))
    with closing(copied), closing(kept):
        assert list(copied.iterdump()) == list(kept.iterdump())
    hub.start()
    assert sdk("show", hub.queue(QUEUE), *ids) == shown
