"""Queues over the dialect's REST addresses, with the exact shapes, on a real hub."""

from __future__ import annotations

import json

import pytest

from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.rest_jobs import enqueue
from tests.support.api import Api
from tests.support.json_dialect import json_client, json_worker

NOBODY = "0" * 64
HTML = {"Accept": "text/html,application/xhtml+xml"}


async def test_lists_and_status_never_make_a_queue(api: Api, hub: HubProcess) -> None:
    for path in ("/q/ghost", "/q/ghost/j"):
        assert (await api.get(path)).json == {"data": {}}
    job = await enqueue(api, "listed", control={"namespace": "mine"})
    (shown,) = (await api.get("/q/listed")).json["data"].items()
    assert shown[0] == job
    assert (shown[1]["state"], shown[1]["namespaces"], shown[1]["tags"]) == ("Queued", ["mine"], ["t"])
    async with json_client(hub.url, "listed") as client:
        await client.sees(job, "Queued")
        assert (await api.get("/q/listed/j")).json["data"][job] == shown[1], "the same from memory and from the store"
        status = (await api.get("/q/listed/status")).json
        assert set(status["jobs"]) == {job}
        assert (status["workers"], status["clients"]) == ([], 1)
    page = await api.get("/q/listed", headers=HTML)
    assert page.text.lower().startswith("<!doctype html")
    assert (await api.get(f"/q/listed/j/{job}/namespaces.json")).json == {"data": ["mine"]}
    assert (await api.get(f"/j/{NOBODY}/namespaces.json")).json == {"data": []}


async def test_a_body_is_taken_whatever_its_content_type_says(api: Api) -> None:
    body = json.dumps({"definition": {"image": "x"}})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        async with api.session.post(f"{api.url}/q/types/j", data=body, headers={"Content-Type": kind}) as answer:
            assert (await answer.json())["success"] is True


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "not JSON"),
        ("{}", "a definition must be an object"),
        ('{"definition":{"image":5}}', "Expected"),
        (json.dumps({"definition": {}, "id": NOBODY}), "is not this definition's"),
        ('{"definition":{},"control":{"maxDuration":"soon"}}', "not a duration"),
        ('{"definition":{},"control":{"namespace":"*"}}', "can't hold a job"),
    ],
)
async def test_what_is_wrong_with_a_submission_is_said(api: Api, body: str, words: str) -> None:
    async with api.session.post(f"{api.url}/q/bad", data=body) as answer:
        assert answer.status == 400
        assert words in (await answer.json())["error"]


async def test_cancels(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "stop", control={"namespace": "mine"})
    await enqueue(api, "stop")
    path = f"/q/stop/j/{job}"
    answer = await api.post(path + "/cancel?namespace=mine")
    assert answer.json == {"success": True, "jobId": job, "namespace": "mine"}
    assert (await api.get(path + "/namespaces.json")).json == {"data": ["_"]}
    assert (await api.post(path + "/_/cancel")).json == {"success": True, "jobId": job, "namespace": "_"}
    for again in (path + "/cancel", path + "/_/cancel"):
        assert (await api.post(again)).json == {"message": "Job already Finished"}
    assert job not in (await api.get("/q/stop")).json["data"]
    missing = await api.post(f"/q/stop/j/{NOBODY}/cancel")
    assert (missing.status, missing.json["error"]) == (404, "Job not found")


async def test_a_copy_is_the_same_definition_on_another_queue(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "from")
    answer = await api.post(f"/j/{job}/copy", {"queue": "to", "control": {"namespace": "n"}})
    assert answer.json == {"success": True}
    assert (await api.get(f"/q/to/j/{job}/namespaces.json")).json == {"data": ["n"]}
    assert (await api.post(f"/j/{NOBODY}/copy", {"queue": "to"})).status == 404
    assert (await api.post(f"/j/{job}/copy", {"queue": "a b"})).status == 400


async def test_the_length_of_a_queue_for_autoscalers(api: Api, hub: HubProcess) -> None:
    for number in range(3):
        await api.post("/q/length", {"definition": {"image": f"i{number}"}})
    async with json_worker(hub.url, "length") as worker:
        job = await worker.until(lambda jobs: next(iter(jobs), ""))
        await worker.claim(job)
        await worker.has(job)
        for path in ("/q/length/metrics", "/length/metrics"):
            text = (await api.get(path)).text
            assert "# TYPE queue_length gauge" in text
            assert "\nqueue_length 3.0\n" in text
