"""States of a job in the order in which the dialect tells them, each once, whatever else changes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.dialect.job_logs import events
from tests.support.api import Api
from tests.support.json_dialect import JsonClient, json_client, json_worker
from tests.support.plain_worker import plain_worker

FIRST = "6a0e3f7e93611bb005c9a398c9e3350644db5fbcdecf21d5c8ce7edb25be7ac4"
SECOND = "9a684c59f4270fa102f102d2aafe92d5e78ad285116f02d845e5dabbfb0ba873"
DEFINITION = {"command": 'echo "hello world"', "env": {}, "image": "alpine:3.19.1"}
"""As a page of the first generation sends it, with its two ids."""


def shown(client: JsonClient, job: str) -> list[dict[str, Any]]:
    """What the client was shown of a job, in order."""
    lists = [message["payload"]["state"]["jobs"] for message in client.heard if "state" in message.get("payload", {})]
    return [jobs[job] for jobs in lists if job in jobs]


@pytest.mark.parametrize("key", [FIRST, SECOND])
async def test_the_submitter_sees_queued_before_running_though_a_worker_is_free(hub: HubProcess, key: str) -> None:
    queue = f"order-{key[:8]}"
    async with plain_worker(hub.url, queue) as worker, json_client(hub.url, queue) as client:
        for run in range(5):
            await client.submit(key, DEFINITION)
            about = await worker.assigned()
            await client.sees(key, "Running")
            await worker.finish(about)
            await client.sees(key, "Finished")
            states = [one["state"] for one in shown(client, key)]
            assert states[:2] == ["Queued", "Running"], run
            queued = shown(client, key)[0]
            assert (queued["worker"], queued["time"]) == ("", queued["queuedTime"])
            assert "finishedReason" not in queued
            await client.end(key, "Deleted")
            await client.until(lambda jobs: not jobs)
            client.heard.clear()


async def test_one_that_asks_for_a_job_that_runs_already_is_not_told_that_it_waits(hub: HubProcess) -> None:
    async with (
        plain_worker(hub.url, "order-joined") as worker,
        json_client(hub.url, "order-joined") as client,
        json_client(hub.url, "order-joined") as other,
    ):
        await client.submit(SECOND, DEFINITION)
        about = await worker.assigned()
        await client.sees(SECOND, "Running")
        await other.sees(SECOND, "Running")
        other.heard.clear()
        await other.submit(SECOND, DEFINITION, namespace="mine")
        await other.until(lambda jobs: jobs[SECOND]["namespaces"] == ["_", "mine"])
        assert {one["state"] for one in shown(other, SECOND)} == {"Running"}
        await worker.finish(about)


async def test_phases_without_a_line_repeat_no_state_in_any_stream(hub: HubProcess, api: Api) -> None:
    queue, base = "phases", f"/q/phases/j/{SECOND}"
    async with json_client(hub.url, queue) as client:
        await client.submit(SECOND, DEFINITION)
        await client.sees(SECOND, "Queued")
        begun = asyncio.Event()
        early = asyncio.create_task(events(api, base + "/stream", begun))
        await begun.wait()
        async with plain_worker(hub.url, queue) as worker:
            about = await worker.assigned()
            await client.sees(SECOND, "Running")
            begun.clear()
            late = asyncio.create_task(events(api, base + "/stream", begun))
            await begun.wait()
            for phase in ("staging", "pulling", "building", "running"):
                await worker.phase(about, phase)
                await _until_phase(api, f"/q/{queue}/jobs/{SECOND}", phase)
            other = (await api.post(f"/q/{queue}", {"definition": {"image": "b"}})).json["jobId"]
            await client.sees(other, "Queued")  # told together with all that had changed
            await worker.finish(about)
        await client.sees(SECOND, "Finished")
    for told in (await early, await late):
        assert [data["state"] for kind, data in told if kind == "state"] == ["Queued", "Running", "Finished"]
        assert told[-1] == ("final", {"state": "Finished", "reason": "Success"})
    updates = [message["payload"] for message in client.heard if message["type"] == "JobStateUpdates"]
    running = [one for one in updates if one["state"]["jobs"].get(SECOND, {}).get("state") == "Running"]
    assert len(running) == 1, "nothing that lists show has changed while it ran"


async def _until_phase(api: Api, path: str, phase: str) -> None:
    """Waits until the hub has durably heard of a phase."""
    async with asyncio.timeout(PATIENCE):
        while (await api.get(path)).json["job"].get("phase") != phase:
            await asyncio.sleep(0.01)


async def test_a_job_that_runs_again_is_queued_again_in_its_stream(own_hub: HubProcess, own_api: Api) -> None:
    async with json_client(own_hub.url, "twice") as client:
        await client.submit(SECOND, DEFINITION)
        begun = asyncio.Event()
        async with json_worker(own_hub.url, "twice", "a") as lost:
            await lost.sees(SECOND, "Queued")
            await lost.claim(SECOND)
            await client.sees(SECOND, "Running")
            told = asyncio.create_task(events(own_api, f"/q/twice/j/{SECOND}/stream", begun))
            await begun.wait()
        await client.sees(SECOND, "Queued")
        async with json_worker(own_hub.url, "twice", "b") as worker:
            await worker.sees(SECOND, "Queued")
            await worker.claim(SECOND)
            await worker.has(SECOND)
            await worker.finish(SECOND, StatusCode=0)
            states = [data["state"] for kind, data in await told if kind == "state"]
    assert states == ["Queued", "Running", "Queued", "Running", "Finished"]
