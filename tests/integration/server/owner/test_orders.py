"""What the owner of a queue orders, on a real hub: over REST, by the library, and after a crash."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable

import pytest

import asman
from asman_shared.errors import Forbidden, NotFound
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from tests.support.api import opened_api
from tests.support.plain_worker import plain_worker

QUEUE = "the-queue-of-an-owner"


def one(number: int) -> dict[str, str]:
    return {"image": "alpine", "command": f"echo {number}"}


def command(hub: HubProcess, *words: str) -> str:
    """What a command of the owner's tells, on both outputs."""
    url = f"{hub.url}/q/{QUEUE}"
    environment = clean_environment({"ASMAN_QUEUE": url})
    done = subprocess.run(
        [*asman_command(), *words], capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def test_a_pause_outlives_a_kill_of_the_hub_and_ends_with_resume(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    assert "paused" in await asyncio.to_thread(command, hub, "queue", "pause")
    hub.kill()
    await asyncio.to_thread(hub.start)
    async with plain_worker(hub.url, QUEUE) as worker, asman.connect(f"{hub.url}/q/{QUEUE}", timeout=PATIENCE) as queue:
        assert queue.counts.paused
        job = await queue.submit(one(1))
        assert "the queue is paused" in job.why
        assert (await job.explain()).waiting_for == "pause"
        assert "the queue is paused" in await asyncio.to_thread(command, hub, "queue", "status")
        await asyncio.to_thread(command, hub, "queue", "resume")
        await worker.finish(await worker.assigned())
        assert (await job.wait(timeout=PATIENCE)).ok


async def test_a_drained_worker_process_ends_by_itself_with_code_zero(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    words = [*asman_command(), "worker", f"{hub.url}/q/{QUEUE}", "--executor", "process", "--name", "leaver"]
    log = hub.log.with_name("leaver.log")
    more = ["--data-dir", str(hub.log.with_name("leaver"))]
    with log.open("wb") as out:
        worker = await asyncio.create_subprocess_exec(*words, *more, stdout=out, stderr=out, env=clean_environment())
    try:
        async with asman.connect(f"{hub.url}/q/{QUEUE}", timeout=PATIENCE) as queue:
            async with asyncio.timeout(PATIENCE):
                while not await queue.workers():
                    await asyncio.sleep(0.1)
            with pytest.raises(NotFound, match="'nobody'"):
                await queue.drain("nobody")
            assert "ends now" in await asyncio.to_thread(command, hub, "queue", "drain", "leaver")
            async with asyncio.timeout(PATIENCE):
                assert await worker.wait() == 0
        assert "has drained this worker" in log.read_text()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def test_kept_jobs_stay_and_purged_ones_go_on_every_way_in(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = f"{hub.url}/q/{QUEUE}"
    async with plain_worker(hub.url, QUEUE) as worker, asman.connect(url, timeout=PATIENCE) as queue:
        jobs = []
        for number in range(4):
            job = await queue.submit(one(number))
            await worker.finish(await worker.assigned())
            await job.wait(timeout=PATIENCE)
            jobs.append(job)
        await jobs[0].keep()
        assert (await queue.get(jobs[0].id)).state.kept
        async with opened_api(hub.url) as api:
            kept = await api.call("POST", f"/q/{QUEUE}/jobs/{jobs[1].id}/keep")
            assert kept.json["job"]["kept"] is True
            undone = await api.call("POST", f"/q/{QUEUE}/jobs/{jobs[1].id}/keep?undo=1")
            assert "kept" not in undone.json["job"]
            none = await api.call("POST", f"/q/{QUEUE}/purge", {"reasons": ["Failed"]})
            assert none.json == {"count": 0, "more": False}
            wrong = await api.call("POST", f"/q/{QUEUE}/purge", {"states": ["Running"]})
            assert (wrong.status, wrong.json["field"]) == (400, "states")
            settings = await api.call("PUT", f"/q/{QUEUE}/settings", {"paused": False})
            assert settings.json["paused"] == 0
            missing = await api.call("POST", f"/q/{QUEUE}/workers/nobody/drain")
            assert missing.status == 404
        assert "kept" in await asyncio.to_thread(command, hub, "job", "keep", jobs[2].id)
        assert "removed 2 jobs" in await asyncio.to_thread(command, hub, "queue", "purge", "--yes")
        left = {state.id async for state in queue.jobs()}
        assert left == {jobs[0].id, jobs[2].id}


async def test_a_key_of_the_queue_orders_nothing(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with asman.connect(f"{hub.url}/q/{QUEUE}", timeout=PATIENCE) as queue:
        job = await queue.submit(one(1))
        async with asman.connect(queue.keys()["submit_read"], timeout=PATIENCE) as other:
            shared = await other.get(job.id)
            for order in (
                other.configure(paused=True),
                other.purge(),
                other.delete(),
                other.drain("nobody"),
                shared.keep(),
            ):
                with pytest.raises(Forbidden, match="'own'"):
                    await order
