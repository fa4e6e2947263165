"""A worker whose disk is nearly full takes no jobs until there is room again."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from asman_shared.messages import Drain, Finished, Released
from asman_shared.units import GIB, MIB
from asman_worker import load_config
from asman_worker.attempts import disk_reserve
from asman_worker.attempts.disk_reserve import DiskReserve
from asman_worker.doctor import examine
from devtools.fake_hub import FakeHub, job
from devtools.ports import free_port
from tests.integration.worker.conftest import config_for, first_line, worker


class Disk:
    """A disk of which a test says how much is free."""

    def __init__(self, left: int) -> None:
        self.left = left


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(50 * GIB)
    monkeypatch.setattr(DiskReserve, "_left", lambda self: made.left)
    monkeypatch.setattr(disk_reserve, "_LOOK_SECONDS", 0.01)
    return made


async def test_a_job_is_given_back_when_the_disk_is_short_and_taken_when_there_is_room_again(
    hub: FakeHub, tmp_path: Path, disk: Disk
) -> None:
    port = free_port()
    config = config_for(hub, tmp_path, executor="process", disk_reserve="2GiB", status=port)
    async with worker(config) as task, aiohttp.ClientSession() as session:
        line = await first_line(hub, task)
        assert (line.register.draining, line.register.disk) == (False, 48 * GIB)
        await line.answer()
        disk.left = 2 * GIB - 1
        await line.assign("a", command="true")
        assert (await line.expect(Released)).job == job("a")
        kinds = [type(message) for message in line.messages]
        assert kinds.index(Drain) < kinds.index(Released)
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert "no new jobs are taken: 2 GiB of disk are free" in await answer.text()
        disk.left = 3 * GIB
        again = await first_line(hub, task)
        assert (again.register.draining, again.register.disk) == (False, GIB)
        await again.answer()
        await again.assign("a", 2, command="true")
        assert (await again.expect(Finished)).outcome.exit_code == 0


async def test_a_worker_that_starts_with_too_little_disk_says_so_at_once(
    hub: FakeHub, tmp_path: Path, disk: Disk
) -> None:
    disk.left = MIB
    async with worker(config_for(hub, tmp_path, executor="process")) as task:
        line = await first_line(hub, task)
        assert (line.register.draining, line.register.disk) == (True, 0)
        await line.answer()
        disk.left = 2 * GIB
        assert not (await first_line(hub, task)).register.draining


def test_what_is_just_enough_again_does_not_count(tmp_path: Path, disk: Disk) -> None:
    disk_reserve = DiskReserve(tmp_path, GIB)
    disk.left = GIB
    assert disk_reserve.short() == ""
    disk.left = GIB - 1
    assert "too little" in disk_reserve.short()
    disk.left = GIB + GIB // 8
    assert disk_reserve.short()
    disk.left = GIB + GIB // 4
    assert disk_reserve.short() == ""


async def test_the_doctor_says_that_no_job_will_be_taken(tmp_path: Path) -> None:
    config = load_config(data_dir=tmp_path, executor="process", disk_reserve="4096TiB")
    (found,) = [finding async for finding in examine(config) if finding.what == "disk"]
    assert (found.mark, "no job is taken" in found.says) == ("problem", True)
