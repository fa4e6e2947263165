"""Two hundred jobs on two workers of one host, while jobs are cancelled, a worker is killed and the engine restarts."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import asman
from asman_shared.messages import Verdict
from asman_shared.states import Reason
from devtools import base_image
from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from tests.support.images import BUSYBOX
from tests.support.own_engine import OwnEngine, own_engine

JOBS = 200
CANCELLED = 40


@pytest.fixture
def engine_of_its_own() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        base_image.ensure(engine.host, BUSYBOX)
        yield engine


def docker(engine: OwnEngine, *words: str) -> list[str]:
    """What the engine lists."""
    return subprocess.check_output(["docker", "-H", engine.host, *words], text=True).split()


async def test_every_job_ends_once_and_nothing_is_left_behind(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path, engine_of_its_own: OwnEngine
) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = hub.queue("stampede")
    folders = [tmp_path / "one", tmp_path / "two"]
    workers: list[AsmanProcess] = []
    for folder in folders:
        options = ["--docker", engine_of_its_own.host, "--network", "none", "--cpus", "6", "--data-dir", str(folder)]
        options += ["--local-images", BUSYBOX]
        workers.append(await asyncio.to_thread(processes.worker, url, *options))
    chance = random.Random(7)
    done = 0
    passed = {number: asyncio.Event() for number in (40, 90)}

    async with asman.connect(url) as queue:

        async def one(number: int) -> Verdict:
            nonlocal done
            # Each tells on disk, outside of the worker's sight, that it ran.
            command = f"echo {number} >> /job-cache/ran; sleep 0.{number % 5}; echo {number} > /outputs/n"
            job = await queue.submit(image=BUSYBOX, command=["sh", "-c", command], env={"N": str(number)}, cpus=1)
            if number in doomed:
                await job.cancel()
            verdict = await job.wait(timeout=100)
            done += 1
            for mark, event in passed.items():
                if done >= mark:
                    event.set()
            return verdict

        doomed = set(chance.sample(range(JOBS), CANCELLED))
        running = asyncio.gather(*(one(number) for number in range(JOBS)))
        await passed[40].wait()
        await asyncio.to_thread(workers[0].restart)
        await passed[90].wait()
        await asyncio.to_thread(engine_of_its_own.restart)
        verdicts = await running
    reasons = Counter(verdict.reason for verdict in verdicts)
    assert sum(reasons.values()) == JOBS
    others_said = {verdict.message for verdict in verdicts if verdict.reason is Reason.ERROR}
    assert set(reasons) == {Reason.SUCCESS, Reason.CANCELLED}, (reasons, others_said)
    assert reasons[Reason.CANCELLED] <= CANCELLED
    for number, verdict in enumerate(verdicts):
        assert number in doomed or (verdict.reason is Reason.SUCCESS and verdict.outputs == 1)
    ran = {line for path in tmp_path.glob("*/cache/*/ran") for line in path.read_text().split()}
    assert {str(number) for number in range(JOBS) if number not in doomed} <= ran
    for process in workers:
        assert await asyncio.to_thread(process.terminate) == 0
    assert docker(engine_of_its_own, "ps", "-aq") == []
    assert docker(engine_of_its_own, "network", "ls", "-q", "--filter", "label=asman.network") == []
    for folder in folders:
        assert list((folder / "jobs").iterdir()) == []
    others = [process for process in psutil.process_iter() if process.pid != hub.pid]
    assert not any(str(tmp_path) in " ".join(_words(process)) for process in others)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
