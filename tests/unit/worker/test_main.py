"""A worker's own tasks: when one ends, the worker says so, finishes what it has, and ends for whoever restarts it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from asman_shared.messages import Drain, Finished
from asman_shared.running.supervisor import TASK_FAILED
from asman_worker import load_config, run_worker
from asman_worker.janitor import Janitor
from asman_worker.queue_worker import QueueWorker
from devtools.fake_hub import fake_hub, job
from devtools.patience import PATIENCE


@pytest.mark.parametrize(("owner", "name"), [(Janitor, "round"), (QueueWorker, "_look_at_disk")])
async def test_a_worker_whose_task_failed_finishes_its_jobs_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: type, name: str
) -> None:
    go = asyncio.Event()

    async def breaks(_self: object) -> None:
        await go.wait()
        raise RuntimeError("a bug")

    monkeypatch.setattr(owner, name, breaks)
    async with fake_hub() as hub, asyncio.timeout(PATIENCE):
        config = load_config(queue=hub.url, data_dir=tmp_path, name="tester", executor="process", ignore_images=True)
        working = asyncio.create_task(run_worker(config, stop=asyncio.Event()))
        line = await hub.line()
        await line.answer()
        await line.assign("slow", command=["sh", "-c", f"until [ -e {tmp_path}/end ]; do sleep 0.1; done"])
        with caplog.at_level(logging.CRITICAL):
            go.set()
            await line.expect(Drain)
        assert not working.done()
        (tmp_path / "end").touch()
        ended = await line.expect(Finished, lambda said: said.job == job("slow"))
        assert ended.outcome.exit_code == 0
        await line.acknowledge(ended)
        assert await working == TASK_FAILED
    (told,) = (record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL)
    assert "of the worker has failed; the worker ends and must be started again" in told
