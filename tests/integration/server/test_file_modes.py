"""A hub's and a worker's files are their owner's alone, whatever umask they were started with."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import asman
from devtools.asman_processes import AsmanProcesses, HubProcess

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Everything that does not say its mode is open to everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(root: Path) -> list[str]:
    """The files and folders from ``root`` downwards that are not their owner's alone."""
    found = [root, *root.rglob("*")]
    assert len(found) > 1
    return [f"{path.relative_to(root)} {path.stat().st_mode:o}" for path in found if path.stat().st_mode & OTHERS]


async def used(hub: HubProcess, folder: Path) -> None:
    """Lets a hub store a job, and a blob that is too large for a message."""
    large = folder / "large"
    large.write_bytes(os.urandom(200_000))
    async with asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", command="true", files={"large": large})


async def test_everything_in_the_data_folder_of_a_hub_is_its_owners_alone(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = await asyncio.to_thread(hub_process)
    await used(hub, tmp_path)
    assert list(hub.data.glob("hub.sqlite*"))
    assert list((hub.data / "blobs").rglob("*"))
    assert open_to_others(hub.data) == []


async def test_a_database_elsewhere_is_made_its_owners_alone_with_its_logs(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    hub = await asyncio.to_thread(hub_process, "--database-url", f"sqlite:///{place}/jobs.db")
    await used(hub, tmp_path)
    names = {path.name for path in place.iterdir()}
    assert {"jobs.db", "jobs.db-wal"} <= names
    assert [path.name for path in place.iterdir() if path.stat().st_mode & OTHERS] == []


async def test_a_database_that_others_may_read_is_tightened_at_the_start(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    hub = await asyncio.to_thread(hub_process, "--database-url", f"sqlite:///{place}/jobs.db")
    await used(hub, tmp_path)
    await asyncio.to_thread(hub.kill)  # so that its logs stay
    for path in place.iterdir():
        path.chmod(0o644)
    await asyncio.to_thread(hub.start)
    assert (place / "jobs.db-wal").exists()
    assert [path.name for path in place.iterdir() if path.stat().st_mode & OTHERS] == []


async def test_a_folder_that_a_hub_can_not_close_is_an_error_that_names_it(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses
) -> None:
    hub = HubProcess(processes.folder)
    hub.data.mkdir()
    (hub.data / "thesis.txt").touch()
    processes.started.append(hub)
    await asyncio.to_thread(hub.start)
    line = hub.wait_for_output("the hub's files are not its own alone")
    assert '"level": "error"' in line
    assert f"other users may enter the data folder {hub.data}" in line
    assert "'chmod 700' it" in line


async def test_up_keeps_its_files_to_itself_and_its_jobs_have_the_umask_of_the_person(
    hub_process: Callable[..., HubProcess],
) -> None:
    arguments = ("--executor", "process", "--queue", "q")
    hub = await asyncio.to_thread(lambda: hub_process(*arguments, command="up"))
    async with asman.connect(hub.queue("q")) as queue:
        job = await queue.submit(command="sh -c 'umask; echo x > $JOB_OUTPUTS/y'")
        result = await job.result()
        assert [line.text async for line in job.logs()][:1] == ["0000"]
        assert list(result.outputs) == ["y"]
    job_caches = [path for path in open_to_others(hub.data) if path.startswith("worker/cache/")]
    assert open_to_others(hub.data) == job_caches
