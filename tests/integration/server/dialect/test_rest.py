"""Every row of the dialect's REST table, with the exact shapes, on a real hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from asman_server.dialect.ids import as_javascript, first_id
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.rest_jobs import DEFINITION, enqueue, finished, run
from tests.support.api import Api, opened_api
from tests.support.json_dialect import json_client, json_worker
from tests.support.plain_worker import plain_worker
from tests.support.receiver import receiver

NOBODY = "0" * 64
HTML = {"Accept": "text/html,application/xhtml+xml"}


async def test_health_and_preflight(api: Api, hub: HubProcess) -> None:
    assert (await api.get("/healthz")).text == "OK"
    for path in ("/q/x", f"/f/{NOBODY}", f"/j/{NOBODY}"):
        async with api.session.options(hub.url + path) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_job_by_its_id_as_json_and_as_a_page(api: Api, hub: HubProcess) -> None:
    for path in (f"/j/{NOBODY}", f"/j/{NOBODY}.json", f"/q/byid/j/{NOBODY}"):
        missing = await api.get(path)
        assert (missing.status, missing.json["error"]) == (404, "Job not found")
    job = await enqueue(api, "byid")
    assert (await api.get(f"/j/{job}")).json == {"data": {"definition": DEFINITION}}
    async with plain_worker(hub.url, "byid", tags=["t"]) as worker:
        await run(worker)
    for path in (f"/j/{job}", f"/j/{job}.json", f"/q/byid/j/{job}"):
        answer = await api.get(path)
        assert set(answer.json["data"]) == {"definition", "results"}
        results = answer.json["data"]["results"]
        assert results["finished"]["result"]["outputs"] == {"o/made.txt": {"value": "made"}}
    page = await api.get(f"/j/{job}", headers=HTML)
    assert page.text.lower().startswith("<!doctype html")
    assert (await api.get(f"/j/{job}.json", headers=HTML)).json["data"]["definition"] == DEFINITION
    assert (await api.get(f"/q/elsewhere/j/{job}")).status == 404


async def test_definition_and_result(api: Api, hub: HubProcess) -> None:
    assert (await api.get(f"/j/{NOBODY}/definition.json")).json == {"data": None}
    for name in ("result", "results"):
        assert (await api.get(f"/j/{NOBODY}/{name}.json")).json == {"data": None}
    job = await enqueue(api, "res")
    assert (await api.get(f"/q/res/j/{job}/result.json")).json == {"data": None}
    async with plain_worker(hub.url, "res", tags=["t"]) as worker:
        await run(worker, 3)
    assert (await api.get(f"/j/{job}/definition.json")).json == {"data": DEFINITION}
    answers = [(await api.get(f"/q/res/j/{job}/{name}.json")).json for name in ("result", "results")]
    assert answers[0] == answers[1]
    data = answers[0]["data"]
    assert set(data) == {
        "queuedTime", "time", "state", "worker", "finishedReason", "finished", "namespaces", "tags",
    }  # fmt: skip
    assert (data["state"], data["finishedReason"], data["tags"]) == ("Finished", "Success", ["t"])
    assert set(data["finished"]) == {"type", "time", "reason", "worker", "result"}
    assert data["finished"]["result"] == {
        "StatusCode": 3,
        "logs": [["one\n", 3], ["two\n", 4, True], ["three\n", 6]],
        "duration": 5,
        "isTimedOut": False,
        "outputs": {"o/made.txt": {"value": "made"}},
    }


async def test_inputs_and_outputs_are_bytes_or_where_they_are(api: Api, hub: HubProcess) -> None:
    job = await finished(api, hub, "files")
    for prefix in (f"/j/{job}", f"/q/files/j/{job}"):
        for path, body, kind in (
            ("inputs/a.txt", b"one", "text/plain"),
            ("inputs/b.json", b'{"n":1}', "application/json"),
            ("inputs/sub/c%20d.bin", b"\x00\x01", "application/octet-stream"),
            ("outputs/o/made.txt", b"made", "text/plain"),
        ):
            answer = await api.get(f"{prefix}/{path}")
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["Content-Type"].startswith(kind)
            assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")
            assert "sandbox" in answer.headers["Content-Security-Policy"]
        moved = await api.get(f"{prefix}/inputs/u", allow_redirects=False)
        assert (moved.status, moved.headers["Location"]) == (302, "https://example.org/u")
        for path in ("inputs/none", "outputs/none", "outputs/..%2fmade.txt"):
            assert (await api.get(f"{prefix}/{path}")).status == 404


async def test_webhooks_have_exactly_the_bodies_that_are_known(api: Api, hub: HubProcess) -> None:
    page = {"image": "hooked", "env": {}}
    async with receiver() as took, json_client(hub.url, "hooks") as client, json_worker(hub.url, "hooks") as worker:
        hooks = {
            "queued": {"url": took.url("/queued"), "payload": {"x": [1]}},
            "finished": {"url": took.url("/finished")},
        }
        first = first_id(as_javascript(page))
        await client.submit(first, page, namespace="n", callbacks=hooks)
        (queued,) = await took.wait_for(lambda came: len(came) == 1)
        short = queued.json["queue"]
        assert short.startswith("q-"), "the whole name, which is all rights, is not told"
        expected = {"jobId": first, "queue": short, "namespace": "n"}
        assert queued.json == {**expected, "config": {"x": [1]}}
        await client.submit(first, page, namespace="n", callbacks=hooks)
        job = await worker.until(lambda jobs: next(iter(jobs), ""))
        await worker.claim(job)
        await worker.finish(job, StatusCode=0)
        came = await took.wait_for(lambda came: len(came) == 2)
        assert came[1].json == {**expected, "config": {}, "state": "Finished", "reason": "Success"}
    for scheme, status in (("http", 400), ("https", 200)):
        wanted = {"url": f"{scheme}://example.org/", "wholeQueue": True}
        control = {"callbacks": {"finished": wanted}}
        answer = await api.post("/q/hooks", {"definition": {"image": scheme}, "control": control})
        assert answer.status == status, answer.text


async def test_every_answer_may_be_read_by_pages_of_any_origin(hub: HubProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/q/cors", f"/j/{NOBODY}", "/q/a b/status", "/nowhere", f"/j/{NOBODY}/stream"):
            async with session.get(hub.url + path, headers={"Origin": "https://example.org"}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*", path


@pytest.fixture
async def closed_hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    """A hub as it is without settings."""
    return await asyncio.to_thread(hub_process)


SHOWS_A_RESULT = ("outputs/o/made.txt", "build-logs.json", "run-logs.json")


async def test_an_id_alone_shows_no_result_and_its_key_shows_that_of_its_queue(closed_hub: HubProcess) -> None:
    async with opened_api(closed_hub.url) as api:
        job = await finished(api, closed_hub, "first")
        await finished(api, closed_hub, "second")
        link = (await api.get(f"/q/first/jobs/{job}")).json["link"]
        other = (await api.get(f"/q/second/jobs/{job}")).json["link"]
        assert link.startswith(f"/j/{job}~")
        assert link != other
        for path in SHOWS_A_RESULT:
            assert (await api.get(f"/j/{job}/{path}")).status == 404
            assert (await api.get(f"{link}/{path}")).status == 200
            assert (await api.get(f"/q/first/j/{job}/{path}")).status == 200
        assert (await api.get(f"/j/{job}/result.json")).json == {"data": None}
        assert (await api.get(f"{link}/result.json")).json["data"]["state"] == "Finished"
        assert (await api.get(f"/j/{job}.json")).json == {"data": {"definition": DEFINITION}}
        assert set((await api.get(f"{link}.json")).json["data"]) == {"definition", "results"}
        assert (await api.get(f"/j/{job}/inputs/a.txt")).body == b"one"
        # The job of the second queue is gone, and its link with it; the first queue's stays.
        assert (await api.call("DELETE", f"/q/second/jobs/{job}")).status == 200
        assert (await api.get(f"{other}/outputs/o/made.txt")).status == 404
        assert (await api.get(f"{link}/outputs/o/made.txt")).body == b"made"


@pytest.mark.parametrize("key", ["~", "~0", "~" + "0" * 32, "~" + "0" * 5000, "~%ff", "~a~b"])
async def test_no_other_key_opens_a_job(closed_hub: HubProcess, key: str) -> None:
    async with opened_api(closed_hub.url) as api:
        job = await finished(api, closed_hub, "guessed")
        for path in SHOWS_A_RESULT:
            assert (await api.get(f"/j/{job}{key}/{path}")).status == 404
        assert (await api.get(f"/j/{job}{key}/result.json")).json == {"data": None}


async def test_with_public_ids_the_queue_whose_result_was_the_first_keeps_its_place(
    hub_process: Callable[..., HubProcess],
) -> None:
    """A stranger with a queue and a worker of his own can't put other outputs behind a published address."""
    hub = await asyncio.to_thread(hub_process, "--public-job-ids")  # where no other test has run the same job
    async with opened_api(hub.url) as api:
        job = await finished(api, hub, "published")
        assert await enqueue(api, "stranger") == job
        async with plain_worker(hub.url, "stranger", tags=["t"]) as worker:
            about = await worker.assigned()
            outputs = {"o/made.txt": {"ref": {"value": "another"}, "size": 7, "sha256": ""}}
            await worker.finish(about, outputs=outputs)
        assert (await api.get(f"/q/stranger/j/{job}/outputs/o/made.txt")).body == b"another"
        assert (await api.get(f"/j/{job}/outputs/o/made.txt")).body == b"made"
        assert (await api.post("/q/published/jobs", {"definition": DEFINITION, "reuse": "never"})).status == 201
        async with plain_worker(hub.url, "published", tags=["t"]) as worker:
            about = await worker.assigned()
            outputs = {"o/made.txt": {"ref": {"value": "made again"}, "size": 10, "sha256": ""}}
            await worker.finish(about, outputs=outputs)
        assert (await api.get(f"/j/{job}/outputs/o/made.txt")).body == b"made again", (
            "its own new run takes no place away"
        )


async def test_with_private_ids_an_id_alone_shows_nothing(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process, "--private-ids", "--public-job-ids")
    async with opened_api(hub.url) as api:
        job = await finished(api, hub, "private")
        link = (await api.get(f"/q/private/jobs/{job}")).json["link"]
        for path in ("inputs/a.txt", *SHOWS_A_RESULT):
            assert (await api.get(f"/j/{job}/{path}")).status == 404
            assert (await api.get(f"{link}/{path}")).status == 200
        assert (await api.get(f"/j/{job}.json")).status == 404
        assert (await api.get(f"/j/{job}/definition.json")).json == {"data": None}
        assert (await api.post(f"/j/{job}/copy", {"queue": "to"})).status == 404
        assert (await api.post(f"{link}/copy", {"queue": "to"})).status == 200
        for queue in ("private", "to"):
            assert (await api.get(f"/q/{queue}/j/{job}/definition.json")).json == {"data": DEFINITION}
        assert (await api.get(f"/q/elsewhere/j/{job}/definition.json")).json == {"data": None}


async def test_with_private_names_a_file_is_read_by_the_answered_name_alone(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process, "--private-names")
    async with opened_api(hub.url) as api:
        first, second = [await api.call("PUT", "/f/report.csv", data=b"mine %d" % n) for n in range(2)]
        assert (first.status, second.status) == (201, 201)
        name = first.json["name"]
        assert name.endswith("-report.csv")
        assert name != second.json["name"]
        assert (await api.get(f"/f/{name}")).body == b"mine 0"
        assert (await api.get("/f/report.csv")).status == 404
        assert (await api.get("/f/report.csv/exists")).json == {"exists": False}
        assert (await api.get(f"/f/{first.json['sha256']}.csv")).body == b"mine 0"
