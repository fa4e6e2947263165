"""Every row of the dialect's REST table, with the exact shapes, on a real hub."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from asman_server.dialect.ids import as_javascript, first_id
from devtools.asman_processes import HubProcess
from tests.support.api import Api
from tests.support.json_dialect import json_client, json_worker
from tests.support.plain_worker import PlainWorker, plain_worker
from tests.support.receiver import receiver

DEFINITION = {
    "image": "alpine",
    "command": "echo hi",
    "inputs": {
        "a.txt": {"value": "one"},
        "b.json": {"type": "json", "value": {"n": 1}},
        "sub/c d.bin": {"type": "base64", "value": "AAE="},
        "u": {"type": "url", "value": "https://example.org/u"},
    },
    "tags": ["t"],
}
NOBODY = "0" * 64
HTML = {"Accept": "text/html,application/xhtml+xml"}


async def enqueue(api: Api, queue: str, **more: Any) -> str:
    answer = await api.post(f"/q/{queue}", {"definition": DEFINITION, **more})
    assert answer.status == 200
    assert answer.json == {"success": True, "jobId": answer.json["jobId"]}
    return str(answer.json["jobId"])


async def run(worker: PlainWorker, exit_code: int = 0) -> None:
    """The next job, with two lines of a build, three of its own, and an output."""
    about = await worker.assigned()
    first = worker.log_next
    build = [[first, 1, 2, "pulling", "pulling"], [first + 1, 2, 0, "layer", "pulling"]]
    own = [
        [first + 2, 3, 0, "one"],
        [first + 3, 4, 1, "two"],
        [first + 4, 5, 2, "uploading"],
        [first + 5, 6, 0, "three"],
    ]
    await worker.send({"type": "log_batch", "lines": build, **about})
    await worker.send({"type": "log_batch", "lines": own, **about})
    outputs = {"o/made.txt": {"ref": {"value": "made"}, "size": 4, "sha256": "x"}}
    await worker.finish(about, exit_code, lines=first + 6, outputs=outputs)


async def finished(api: Api, hub: HubProcess, queue: str) -> str:
    job = await enqueue(api, queue)
    async with plain_worker(hub.url, queue, tags=["t"]) as worker:
        await run(worker)
    return job


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


async def test_slices_of_both_kinds_of_logs(api: Api, hub: HubProcess) -> None:
    job = await finished(api, hub, "slices")
    assert (await api.get(f"/j/{job}/build-logs.json?since=0")).json == {
        "data": [["pulling", 1], ["layer", 2]],
        "sliceStart": 0,
        "nextCursor": 2,
        "isFinal": True,
    }
    assert (await api.get(f"/q/slices/j/{job}/run-logs.json")).json == {
        "data": [["one", 3], ["two", 4, True], ["three", 6]],
        "sliceStart": 0,
        "nextCursor": 3,
        "isFinal": True,
    }
    rest = (await api.get(f"/j/{job}/run-logs.json?since=2")).json
    assert rest == {"data": [["three", 6]], "sliceStart": 2, "nextCursor": 3, "isFinal": True}
    end = (await api.get(f"/j/{job}/run-logs.json?since=3")).json
    assert end == {"data": [], "sliceStart": 3, "nextCursor": 3, "isFinal": True}
    for bad in ("x", "-1", "1.5", ""):
        assert (await api.get(f"/j/{job}/run-logs.json?since={bad}")).status == 400
    assert (await api.get(f"/j/{NOBODY}/run-logs.json")).status == 404


async def test_a_slice_ends_before_lines_that_are_no_longer_kept(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "gap")
    async with plain_worker(hub.url, "gap", tags=["t"]) as worker:
        about = await worker.assigned()
        await worker.log(about, worker.log_next, "zero")
        await worker.log(about, worker.log_next + 4, "four")
        await worker.finish(about, lines=worker.log_next + 5)
    first = (await api.get(f"/q/gap/j/{job}/run-logs.json")).json
    assert first == {"data": [["zero", 1000]], "sliceStart": 0, "nextCursor": 1, "isFinal": False}
    second = (await api.get(f"/q/gap/j/{job}/run-logs.json?since=1")).json
    assert second == {"data": [["four", 1000]], "sliceStart": 4, "nextCursor": 5, "isFinal": True}


async def events(api: Api, path: str, until: asyncio.Event | None = None) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async with api.session.get(api.url + path) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        text = ""
        async for chunk in answer.content.iter_any():
            text += chunk.decode()
            assert "\r" not in text
            if until is not None:
                until.set()
    for frame in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_a_stream_has_the_whole_history_and_then_all_that_comes(api: Api, hub: HubProcess) -> None:
    assert (await api.get(f"/q/none-such/j/{NOBODY}/stream")).status == 404
    job = await enqueue(api, "sse")
    begun = asyncio.Event()
    live = asyncio.create_task(events(api, f"/q/sse/j/{job}/stream", begun))
    await begun.wait()
    async with plain_worker(hub.url, "sse", tags=["t"]) as worker:
        await run(worker)
    for told in (await live, await events(api, f"/q/sse/j/{job}/stream")):
        kinds = [kind for kind, _ in told]
        assert kinds[-2:] == ["state", "final"]
        assert told[-1][1] == {"state": "Finished", "reason": "Success"}
        run_lines = [line for kind, data in told if kind == "run-log" for line in data["lines"]]
        assert run_lines == [["one", 3], ["two", 4, True], ["three", 6]]
        assert [data["cursor"] for kind, data in told if kind == "run-log"][-1] == 3
        build = [line for kind, data in told if kind == "build-log" for line in data["lines"]]
        assert build == [["pulling", 1], ["layer", 2]]
    assert (await live)[0] == ("state", {"state": "Queued"})


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
        expected = {"jobId": first, "queue": "hooks", "namespace": "n"}
        assert queued.json == {**expected, "config": {"x": [1]}}
        await client.submit(first, page, namespace="n", callbacks=hooks)
        job = await worker.until(lambda jobs: next(iter(jobs), ""))
        await worker.claim(job)
        await worker.finish(job, StatusCode=0)
        came = await took.wait_for(lambda came: len(came) == 2)
        assert came[1].json == {**expected, "config": {}, "state": "Finished", "reason": "Success"}


async def test_every_answer_may_be_read_by_pages_of_any_origin(hub: HubProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/q/cors", f"/j/{NOBODY}", "/q/a b/status", "/nowhere", f"/j/{NOBODY}/stream"):
            async with session.get(hub.url + path, headers={"Origin": "https://example.org"}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*", path
