"""The deletion of a queue on a real hub: what goes, who hears of it, and that it is whole or nothing after a crash."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

import asman
from asman_shared.errors import NotFound
from asman_shared.link.dial import QueueGone
from asman_shared.states import Reason
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from tests.support.api import opened_api
from tests.support.mcp_door import opened_door
from tests.support.plain_worker import plain_worker
from tests.support.tes_door import tes_door

from .test_orders import QUEUE, command, one


def database(hub: HubProcess) -> Path:
    return hub.data / "hub.sqlite"


def rows_of_queue(hub: HubProcess) -> int:
    """The number of rows about the queue in all tables, of a hub that has ended."""
    with sqlite3.connect(database(hub)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = 0
        for name in names:
            if any(column[1] == "queue" for column in connection.execute(f"PRAGMA table_info({name})")):
                query = f"SELECT count(*) FROM {name} WHERE queue = ?"
                found += connection.execute(query, (QUEUE,)).fetchone()[0]
    return found


async def test_a_deleted_queue_is_gone_for_everybody_and_its_name_begins_another(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = f"{hub.url}/q/{QUEUE}"
    async with (
        plain_worker(hub.url, QUEUE) as worker,
        asman.connect(url, timeout=PATIENCE) as queue,
        asman.connect(queue.keys()["read"], timeout=PATIENCE) as reader,
        opened_api(hub.url) as api,
    ):
        done = await queue.submit(one(1))
        await worker.finish(await worker.assigned())
        await done.wait(timeout=PATIENCE)
        running = await queue.submit(one(2))
        about = await worker.assigned()
        waiting = asyncio.create_task(api.call("GET", f"/q/{QUEUE}/jobs/{running.id}/wait?timeout=60s"))
        seen = await reader.get(running.id)
        following = asyncio.create_task(seen.wait(timeout=PATIENCE))
        await worker.phase(about)
        key = queue.keys()["read"].rpartition("/")[2]
        assert (await api.call("GET", f"/q/{key}/jobs")).status == 200
        assert "deleted the queue and 2 jobs; 1 worker was disconnected" in await asyncio.to_thread(
            command, hub, "queue", "delete", "--yes"
        )
        assert (await worker.next("abort"))["job"] == running.id
        with pytest.raises(ConnectionClosed) as closed:
            await worker.next("nothing")
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "has deleted this queue" in closed.value.rcvd.reason) == (4012, True)
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).json["verdict"]["reason"] == "Deleted"
        assert (await following).reason is Reason.DELETED
        with pytest.raises(QueueGone, match="has deleted this queue"):
            await queue.submit(one(3))
        assert (await api.call("GET", f"/q/{key}/jobs")).status == 404
        assert (await api.call("GET", f"/q/{QUEUE}/jobs/{done.id}")).status == 404
        assert (await api.call("GET", f"/q/{QUEUE}/j/{done.id}/result.json")).json == {"data": None}
        assert (await api.call("GET", f"/q/{QUEUE}/jobs")).json["jobs"] == []
        assert (await api.call("DELETE", f"/q/{QUEUE}")).json == {"jobs": 0, "workers": 0}
    async with plain_worker(hub.url, QUEUE) as worker, asman.connect(url, timeout=PATIENCE) as queue:
        again = await queue.submit(one(1))
        assert again.answer == "queued", "the result went with the queue"
        await worker.finish(await worker.assigned())
        assert (await again.wait(timeout=PATIENCE)).ok
        with pytest.raises(NotFound):
            await queue.get(running.id)


async def test_a_worker_of_a_deleted_queue_ends_by_itself_with_code_zero(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    log = hub.log.with_name("worker.log")
    words = [*asman_command(), "worker", f"{hub.url}/q/{QUEUE}", "--executor", "process"]
    more = ["--data-dir", str(hub.log.with_name("worker"))]
    with log.open("wb") as out:
        worker = await asyncio.create_subprocess_exec(*words, *more, stdout=out, stderr=out, env=clean_environment())
    try:
        async with asman.connect(f"{hub.url}/q/{QUEUE}", timeout=PATIENCE) as queue:
            async with asyncio.timeout(PATIENCE):
                while not await queue.workers():
                    await asyncio.sleep(0.1)
            gone = await queue.delete()
            assert (gone.jobs, gone.workers) == (0, 1)
            async with asyncio.timeout(PATIENCE):
                assert await worker.wait() == 0
        assert "has deleted this queue" in log.read_text()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def test_a_hub_killed_before_the_deletion_is_durable_has_the_whole_queue_and_afterwards_nothing_of_it(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = f"{hub.url}/q/{QUEUE}"
    async with plain_worker(hub.url, QUEUE) as worker, asman.connect(url, timeout=PATIENCE) as queue:
        await queue.configure(retention="3d")
        done = await queue.submit(one(1))
        await worker.finish(await worker.assigned())
        await done.wait(timeout=PATIENCE)
        blocker = sqlite3.connect(database(hub), timeout=PATIENCE)
        blocker.execute("BEGIN IMMEDIATE")  # no commit of the hub can begin
        async with opened_api(hub.url) as api:
            deleting = asyncio.create_task(api.call("DELETE", f"/q/{QUEUE}"))
            async with asyncio.timeout(PATIENCE):
                while (await api.call("GET", f"/q/{QUEUE}/settings")).status != 503:
                    await asyncio.sleep(0.05)
            assert not deleting.done()
            hub.kill()
            await asyncio.wait([deleting])
        blocker.close()
        assert rows_of_queue(hub) > 0
        await asyncio.to_thread(hub.start)
        assert (await (await queue.get(done.id)).result()).ok
        assert (await queue.configure()).own
        await queue.delete()
    hub.kill()
    assert rows_of_queue(hub) == 0


async def test_who_waits_at_another_door_hears_that_the_job_is_gone_and_the_door_knows_nothing_of_it(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = f"{hub.url}/q/{QUEUE}"
    task = {"executors": [{"image": "alpine", "command": ["true"]}]}
    async with tes_door(url) as tes, opened_door(url) as mcp, asman.connect(url, timeout=PATIENCE) as queue:
        made = await tes.create(task)
        calling = asyncio.create_task(mcp.tool("wait", job=made, seconds=PATIENCE))
        events = await tes.session.get(f"{url}/jobs/{made}/events")
        await events.content.readuntil(b"event: state")
        async with asyncio.timeout(PATIENCE):
            await queue.delete()
            assert "Removed" in (await events.text())
            assert "queued" not in (await calling).text.lower()
        assert (await tes.ask("GET", f"/tasks/{made}?view=MINIMAL"))[0] == 404
        assert (await tes.ask("GET", "/tasks"))[1]["tasks"] == []
        again = await tes.create(task, at="/v1")
        assert again != made, "the create was not taken for a repetition of the old one"
        assert (await tes.get(again, "MINIMAL"))["state"] == "INITIALIZING"
    events.close()
