"""Queues over the dialect's REST addresses, with the exact shapes, on a real hub."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from build_tools.site.sources import SECTIONS
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.rest_jobs import enqueue
from tests.support.api import Api, opened_api
from tests.support.json_dialect import json_client, json_worker
from tests.support.plain_worker import plain_worker

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
        (
            '{"definition":{},"control":{"maxDuration":"0s"}}',
            "0s is no time limit, which has at least 1 ms: leave it out for no limit",
        ),
        ('{"definition":{},"control":{"maxDuration":""}}', "an empty text is no time limit"),
        ('{"definition":{},"control":{"maxDuration":0}}', "'0' is not a duration"),
        ('{"definition":{},"control":{"maxDuration":true}}', "must be"),
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
    for missing in (f"/q/stop/j/{NOBODY}", f"/q/none-such/j/{NOBODY}", f"/q/elsewhere/j/{job}"):
        for cancel in (f"{missing}/cancel", f"{missing}/cancel?namespace=*", f"{missing}/mine/cancel"):
            answer = await api.post(cancel)
            assert (answer.status, answer.json) == (200, {"message": "Job not found"})


async def test_a_cancel_with_an_empty_namespace_is_for_the_usual_one(api: Api) -> None:
    job = await enqueue(api, "stop-usual")
    answer = await api.post(f"/q/stop-usual/j/{job}/cancel?namespace=")
    assert answer.json == {"success": True, "jobId": job, "namespace": "_"}


async def test_a_copy_is_the_same_definition_on_another_queue(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "from")
    answer = await api.post(f"/j/{job}/copy", {"queue": "to", "control": {"namespace": "n"}})
    assert answer.json == {"success": True}
    assert (await api.get(f"/q/to/j/{job}/namespaces.json")).json == {"data": ["n"]}
    assert (await api.post(f"/j/{NOBODY}/copy", {"queue": "to"})).status == 404
    assert (await api.post(f"/j/{job}/copy", {"queue": "a#b"})).status == 400


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


async def test_a_queue_named_docs_has_its_older_addresses_beside_the_documentation(api: Api) -> None:
    job = (await api.post("/q/docs", {"definition": {"image": "a"}})).json["jobId"]
    for path in ("/docs/status", "/q/docs/status"):
        assert set((await api.get(path)).json["jobs"]) == {job}, path
    for path in ("/docs/metrics", "/q/docs/metrics"):
        assert "queue_length" in (await api.get(path)).text, path
    for page in ("/docs/none-such", "/docs/status/more"):
        assert "documentation" in (await api.get(page)).text, page
    pages = {page for section in SECTIONS.values() for page in section}
    assert not {"docs/status.md", "docs/metrics.md"} & pages, "such a page could not be read"


async def test_the_status_of_a_queue_is_that_of_earlier_services_at_both_addresses(api: Api, hub: HubProcess) -> None:
    empty = {"jobs": {}, "localWorkers": {}, "otherServers": {}, "clientCount": 0, "queueInfo": {}}
    for path in ("/q/status-of-none/status", "/status-of-none/status"):
        told = (await api.get(path)).json
        assert {name: told[name] for name in empty} == empty
    async with json_client(hub.url, "status") as client, json_worker(hub.url, "status", "w1", cpus=2) as worker:
        done, waits = [await client.submit_new({"image": name}) for name in "ab"]
        await worker.sees(done, "Queued")
        await worker.claim(done)
        await worker.has(done)
        await worker.finish(done, StatusCode=0)
        await client.sees(done, "Finished")
        async with plain_worker(hub.url, "status") as native:
            about = await native.assigned()
            await client.sees(waits, "Running")
            told = [(await api.get(path)).json for path in ("/q/status/status", "/status/status")]
            await native.finish(about)
    for one in told:
        assert {job: (shown["state"], shown.get("finishedReason")) for job, shown in one["jobs"].items()} == {
            done: ("Finished", "Success"),
            waits: ("Running", None),
        }
        assert {name: shown["cpus"] for name, shown in one["localWorkers"].items()} == {"w1": 2, "plain": 1}
        assert (one["otherServers"], one["clientCount"], one["queueInfo"]) == ({}, 1, {})
        assert one["counts"]["running"] == 1


async def test_pages_of_the_first_generation_ask_where_to_send_a_file_and_where_it_is(
    api: Api, hub: HubProcess
) -> None:
    body = b"some bytes"
    for key in (hashlib.sha256(body).hexdigest(), f"{hashlib.sha256(body).hexdigest()}.txt", "a plain näme.txt"):
        path = quote(key)
        place = (await api.get(f"/upload/{path}")).json
        assert place == {"url": f"{hub.url}/f/{path}", "ref": {"type": "key", "value": key}}
        async with api.session.put(place["url"], data=body) as sent:
            assert sent.status in (200, 201)
        assert (await api.get(f"/download/{path}")).json == place
        async with api.session.get(place["url"]) as got:
            assert await got.read() == body
        definition = {"image": "a", "inputs": {"in.txt": place["ref"]}}
        job = (await api.post("/q/uploaded", {"definition": definition})).json["jobId"]
        assert (await api.get(f"/q/uploaded/j/{job}/inputs/in.txt")).body == body
    for wrong in (".hidden", "0" * 64 + "0", "a%0Ab"):
        assert (await api.get(f"/upload/{wrong}")).status == 400
        assert (await api.get(f"/download/{wrong}")).status == 400


async def test_with_private_names_a_page_is_told_that_only_the_answer_has_the_name(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process, "--private-names", "--public-url", "https://hub.example/")
    async with opened_api(hub.url) as api:
        refused = await api.get("/upload/plain.txt")
        assert (refused.status, "use the name in the answer" in refused.json["error"]) == (400, True)
        assert (await api.get(f"/upload/{NOBODY}")).json["url"] == f"https://hub.example/f/{NOBODY}"
