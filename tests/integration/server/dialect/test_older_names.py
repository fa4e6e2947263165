"""Queues whose names only earlier services took are one queue on every door of the hub, and each is another."""

from __future__ import annotations

from urllib.parse import quote

import pytest

import asman
from devtools.asman_processes import HubProcess
from tests.support.api import Api
from tests.support.json_dialect import json_client, json_worker
from tests.support.plain_worker import plain_worker

NAMES = ["my queue", "me@lab", "a+b", "Größe", "キュー"]
DEFINITION = {"image": "alpine", "command": "echo hi"}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", NAMES)
async def test_a_client_and_a_worker_of_the_dialect_meet_there(hub: HubProcess, api: Api, name: str, old: bool) -> None:
    queue = quote(name)
    async with json_client(hub.url, queue, old=old) as client, json_worker(hub.url, queue, old=old) as worker:
        job = await client.submit_new({**DEFINITION, "env": {"OLD": str(old)}})
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.finish(job, StatusCode=0)
        await client.sees(job, "Finished")
        assert (await api.get(f"/{queue}/status")).json["clientCount"] == 1
    for path in (f"/q/{queue}", f"/q/{queue}/j"):
        assert job in (await api.get(path)).json["data"]
    assert (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finishedReason"] == "Success"
    assert (await api.get(f"/{queue}/metrics")).status == 200
    assert (await api.post(f"/q/{queue}/j/{job}/cancel")).json == {"message": "Job already Finished"}


@pytest.mark.parametrize("name", NAMES)
async def test_native_clients_and_workers_and_copies_meet_there_too(hub: HubProcess, api: Api, name: str) -> None:
    queue = quote(name)
    first = (await api.post("/q/copied-from", {"definition": {**DEFINITION, "env": {"TO": name}}})).json["jobId"]
    assert (await api.post(f"/q/copied-from/j/{first}/copy", {"queue": name})).json == {"success": True}
    async with asman.connect(f"{hub.url}/q/{queue}") as client, plain_worker(hub.url, queue) as worker:
        about = await worker.assigned()
        assert about["job"] == first
        assert first in [job.id async for job in client.jobs()]
        assert (await api.get(f"/q/{queue}/jobs/{first}")).json["job"]["state"] == "Running"
        await worker.finish(about)
        assert (await (await client.get(first)).wait()).reason == "Success"


async def test_each_name_is_a_queue_of_its_own(hub: HubProcess, api: Api) -> None:
    names = ["x y", "x  y", "x+y", "X y", "x_y"]
    for number, name in enumerate(names):
        await api.post(f"/q/{quote(name)}", {"definition": {"image": f"i{number}"}})
    for name in names:
        assert len((await api.get(f"/q/{quote(name)}")).json["data"]) == 1, name
