"""The end of a task is told to its callback_url, as a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from devtools.asman_processes import HubProcess
from tests.integration.server.tes.conftest import QUEUE
from tests.support.plain_worker import plain_worker
from tests.support.receiver import receiver
from tests.support.tes_door import TesDoor, tes_door

TASK: dict[str, Any] = {"executors": [{"image": "alpine", "command": ["true"]}]}


async def test_the_end_of_a_task_is_told_once_also_after_a_restart_of_the_hub(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process, "--allow-private-webhooks")
    async with receiver() as made, tes_door(hub.queue(QUEUE)) as door:
        task = {**TASK, "callback_url": made.url()}
        ended, cancelled = await door.create(task), await door.create({**task, "name": "other"})
        assert (await door.get(ended))["callback_url"] == made.url()
        await asyncio.to_thread(hub.restart)
        assert await door.ask("POST", f"/tasks/{cancelled}:cancel") == (200, {})
        async with plain_worker(hub.url, QUEUE) as worker:
            await worker.finish(await worker.assigned())
            came = await made.wait_for(lambda all_of_them: len(all_of_them) == 2)
    told = {each.json["jobId"]: (each.json["state"], each.json["reason"]) for each in came}
    assert told == {ended: ("Finished", "Success"), cancelled: ("Finished", "Cancelled")}
    assert all(QUEUE not in str(each) and each.headers["asman-signature"] for each in came)


async def test_an_address_within_the_hubs_network_is_refused(door: TesDoor) -> None:
    for url in ("http://127.0.0.1:1/x", "http://169.254.169.254/", "file:///etc/passwd", "x"):
        assert (await door.refused({**TASK, "callback_url": url})).endswith("(callback_url)")
    reused = {**TASK, "callback_url": "https://example.org/x", "tags": {"asman.reuse": "success"}}
    assert "has no callback_url" in await door.refused(reused)
