"""What a hub keeps of submissions besides their jobs: what the newest accepted one said, while the job is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asman_server.dialect.ids import first_id, identify
from asman_shared import limits
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.conftest import Stores
from tests.support.api import Api, opened_api
from tests.support.json_dialect import json_client
from tests.support.plain_worker import plain_worker
from tests.support.ready_worker import ready_worker

PAGE = {"command": 'echo "hello world"', "env": {}, "image": "alpine:3.19.1"}
FIRST, SECOND = first_id(PAGE), identify(PAGE).job


@pytest.fixture
async def kept_hub(hub_process: Callable[..., HubProcess], own_stores: Stores) -> HubProcess:
    """A hub on each kind of stores that a test may restart."""
    return await asyncio.to_thread(hub_process, *own_stores.options, environment=own_stores.environment)


async def seen(hub: HubProcess, queue: str, job: str = SECOND) -> dict[str, dict[str, Any]]:
    """A job in everything that shows it to somebody who has not submitted it; lists also say its ids, as ``ids``."""
    found: dict[str, dict[str, Any]] = {}
    async with opened_api(hub.url) as api:
        lists = {path: (await api.get(path)).json["data"] for path in (f"/q/{queue}", f"/q/{queue}/j")}
        lists["status"] = (await api.get(f"/q/{queue}/status")).json["jobs"]
        result = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]
    async with json_client(hub.url, queue) as client:
        lists["socket"] = (await client.next("JobStates"))["state"]["jobs"]
        asked = await client.asked(job)
    for place, jobs in lists.items():
        if job in jobs:
            found[place] = jobs[job] | {"ids": set(jobs)}
    return found | ({"result": result} if result else {}) | ({"answer": asked} if asked else {})


async def test_a_refused_submission_changes_nothing_that_is_shown(kept_hub: HubProcess) -> None:
    queue, needs = "refused", {**PAGE, "requirements": {"cpus": 1}}
    missing = {**needs, "inputs": {"a": {"type": "key", "value": "never uploaded"}}}
    async with opened_api(kept_hub.url) as api, json_client(kept_hub.url, queue) as client:
        for body in (
            {"definition": PAGE, "id": FIRST, "debug": True, "control": {"namespace": "*"}},
            {"definition": PAGE, "id": FIRST, "debug": True, "control": {"maxDuration": "0s"}},
            {"definition": PAGE, "id": FIRST, "debug": True, "control": {"callbacks": {"queued": {"url": "ftp://x"}}}},
        ):
            assert (await api.post(f"/q/{queue}", body)).status == 400
            await client.change("Queued", FIRST, enqueued=body)
            assert (await client.sees(FIRST, "Finished"))["finishedReason"] == "Error"
            await client.end(FIRST, "Cancelled")
        assert (await api.post(f"/q/{queue}", {"definition": missing, "debug": True})).status == 404
        assert (await api.post(f"/q/{queue}", {"definition": PAGE, "debug": False})).json["jobId"] == SECOND
        refused = {"definition": PAGE, "id": FIRST, "debug": True, "control": {"namespace": "*"}}
        assert (await api.post(f"/q/{queue}", refused)).status == 400
    for restarted in (False, True):
        if restarted:
            await asyncio.to_thread(kept_hub.restart)
        found = await seen(kept_hub, queue)
        assert set(found) == {f"/q/{queue}", f"/q/{queue}/j", "status", "socket", "answer"}
        for place, shown in found.items():
            assert (shown.get("ids", {SECOND}), shown["debug"]) == ({SECOND}, False), (restarted, place)


async def test_a_submission_that_the_queue_refuses_changes_nothing_that_is_shown(hub: HubProcess, api: Api) -> None:
    queue = "crowded"
    names = map(str, range(limits.NAMESPACES_PER_JOB))
    bodies = [{"definition": PAGE, "control": {"namespace": name}} for name in names]
    await asyncio.gather(*(api.post(f"/q/{queue}", body) for body in bodies))
    refused = {"definition": PAGE, "id": FIRST, "debug": True, "control": {"namespace": "one more"}}
    assert (await api.post(f"/q/{queue}", refused)).status == 413
    shown = (await api.get(f"/q/{queue}")).json["data"]
    assert (set(shown), "debug" in shown[SECOND]) == ({SECOND}, False)


async def test_a_finished_job_is_shown_as_it_was_sent_in_all_places_also_after_a_restart(kept_hub: HubProcess) -> None:
    queue = "finished"
    sent = {"cpus": 1, "gpus": 0, "maxDuration": "20m", "memory": "1g"}
    definition = {**PAGE, "requirements": sent}
    job, other = identify(definition).job, first_id(definition)
    async with opened_api(kept_hub.url) as api, json_client(kept_hub.url, queue) as client:
        await api.post(f"/q/{queue}", {"definition": definition, "id": other, "debug": True})
        async with plain_worker(kept_hub.url, queue, memory=2**34) as worker:
            await worker.finish(await worker.assigned())
            await client.sees(other, "Finished")
    for restarted in (False, True):
        if restarted:
            await asyncio.to_thread(kept_hub.restart)
        async with opened_api(kept_hub.url) as api:  # before any list has read it
            alone = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]
        found = {"alone": alone, **await seen(kept_hub, queue, job)}
        assert len(found) == 7
        for place, shown in found.items():
            needs = {"cpus": 1, "maxDuration": "20m", "memory": "1g"}
            assert (shown["requirements"], shown["debug"]) == (needs, True), (restarted, place)
            assert shown.get("ids", {job, other}) == {job, other}, (restarted, place)


async def test_a_restart_shows_what_the_newest_submission_said(kept_hub: HubProcess) -> None:
    async with opened_api(kept_hub.url) as api:
        for debug in (True, False):
            await api.post("/q/newest", {"definition": PAGE, "debug": debug})
        for more in ({"debug": True}, {}):
            await api.post("/q/nothing", {"definition": PAGE, **more})
    await asyncio.to_thread(kept_hub.restart)
    assert {shown["debug"] for shown in (await seen(kept_hub, "newest")).values()} == {False}
    assert not any("debug" in shown for shown in (await seen(kept_hub, "nothing")).values())


@pytest.mark.parametrize("listened", [False, True])
async def test_what_was_said_of_a_job_goes_with_it(kept_hub: HubProcess, listened: bool) -> None:
    queue = f"gone-{listened}"
    said = {"definition": PAGE, "id": FIRST, "debug": True}
    async with opened_api(kept_hub.url) as api:
        await api.post(f"/q/{queue}", said)
        async with json_client(kept_hub.url, queue) as client, ready_worker(kept_hub.queue(queue)):
            await client.sees(FIRST, "Finished")
            if listened:
                await client.end(SECOND, "Deleted")
                await client.until(lambda jobs: not jobs)
        if not listened:
            assert (await api.call("DELETE", f"/q/{queue}/jobs/{SECOND}")).status == 200
        await api.post(f"/q/{queue}", {"definition": PAGE})
        for restarted in (False, True):
            if restarted:
                await asyncio.to_thread(kept_hub.restart)
            for place, shown in (await seen(kept_hub, queue)).items():
                assert (shown.get("ids", {SECOND}), "debug" in shown) == ({SECOND}, False), (restarted, place)


async def test_a_submission_is_shown_by_the_id_with_which_its_change_names_it(hub: HubProcess) -> None:
    for queue, job, other in (("ids-1", FIRST, SECOND), ("ids-2", SECOND, FIRST)):
        async with json_client(hub.url, queue) as client:
            await client.change("Queued", job, enqueued={"id": other, "definition": PAGE})
            await client.sees(job, "Queued")
            assert job in await client.whole_list(), "it is not gone for its client"
            for each in (FIRST, SECOND):
                async with json_client(hub.url, queue) as asking:
                    assert await asking.asked(each), each
            await client.change("Queued", job, enqueued={"id": "0" * 64, "definition": PAGE})
            shown = await client.sees(job, "Finished")
            assert "is not this definition's" in shown["finished"]["message"]


async def test_a_copy_of_a_job_named_by_its_first_id_is_listed_under_both(hub: HubProcess, api: Api) -> None:
    await api.post("/q/copied", {"definition": PAGE, "id": FIRST})
    assert (await api.post(f"/q/copied/j/{FIRST}/copy", {"queue": "copy"})).json == {"success": True}
    assert set((await api.get("/q/copy")).json["data"]) == {FIRST, SECOND}
    refused = await api.post(f"/q/copied/j/{FIRST}/copy", {"queue": "none", "control": {"namespace": "*"}})
    assert refused.status == 400
    assert (await api.post("/q/none", {"definition": PAGE})).status == 200
    assert set((await api.get("/q/none")).json["data"]) == {SECOND}
