"""Every row of the dialect's REST table, with the exact shapes, on a real hub."""

from __future__ import annotations

import aiohttp

from asman_server.dialect.ids import as_javascript, first_id
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.rest_jobs import DEFINITION, enqueue, finished, run
from tests.support.api import Api
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
        "logs": [["one", 3], ["two", 4, True], ["three", 6]],
        "duration": 5,
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
