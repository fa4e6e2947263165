"""The queue over plain HTTP, on a real hub with a worker that does as it is told."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

NOBODY = "0" * 64


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


def metric(text: str, name: str, **labels: str) -> float:
    """The value of one sample."""
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    for line in text.splitlines():
        if line.startswith(f"{name}{wanted} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"there is no sample {name}{wanted}")


async def test_a_job_from_submit_to_its_output(api: Api, hub: HubProcess) -> None:
    submitted = await api.post("/q/r/jobs", {"definition": {"image": "alpine", "command": "echo hi"}})
    assert submitted.status == 201
    assert submitted.json["answer"] == "queued"
    assert submitted.json["why"] == "no worker is connected to this queue"
    job = submitted.json["job"]["id"]
    assert submitted.headers["Location"] == f"/q/r/jobs/{job}"
    again = await api.post("/q/r/jobs", {"definition": {"image": "alpine", "command": "echo hi"}})
    assert (again.status, again.json["answer"]) == (200, "joined")

    waiting = asyncio.create_task(api.get(f"/q/r/jobs/{job}/wait?timeout=20s"))
    async with plain_worker(hub.url, "r") as worker:
        about = await worker.assigned()
        assert about["job"] == job
        assert (await api.get("/q/r/workers")).json["workers"][0]["name"] == "plain"
        await worker.phase(about)
        await worker.log(about, 0, "hi", "there")
        await worker.log(about, 2, "oh", stream=1)
        outputs = {"made/out.txt": {"ref": {"type": "utf8", "value": "made it"}, "size": 7, "sha256": "x"}}
        await worker.finish(about, lines=3, outputs=outputs)

    waited = await waiting
    assert waited.status == 200
    assert waited.json["verdict"] == {
        "ok": True,
        "reason": "Success",
        "exit_code": 0,
        "outputs": 1,
        "lines": 3,
        "duration": 5,
    }
    assert waited.json["job"]["state"] == "Finished"
    assert list(waited.json["result"]["outputs"]) == ["made/out.txt"]
    cached = await api.post("/q/r/jobs", {"definition": {"image": "alpine", "command": "echo hi"}})
    assert (cached.status, cached.json["answer"]) == (200, "cached")
    assert cached.json["result"]["outputs"]["made/out.txt"]["size"] == 7

    got = await api.get(f"/q/r/jobs/{job}")
    assert got.json["definition"] == {"image": "alpine", "command": "echo hi"}
    assert got.json["result"] == waited.json["result"]
    output = await api.get(f"/q/r/jobs/{job}/outputs/made/out.txt")
    assert output.text == "made it"
    assert "sandbox" in output.headers["Content-Security-Policy"]
    assert (await api.get(f"/q/r/jobs/{job}/outputs/made/none.txt")).status == 404
    page = await api.get(f"/q/r/jobs/{job}/log?limit=2")
    assert [line["text"] for line in page.json["lines"]] == ["hi", "there"]
    assert page.json["next"] == 2
    rest = await api.get(f"/q/r/jobs/{job}/log?since=2")
    assert [(line["seq"], line["stream"], line["text"]) for line in rest.json["lines"]] == [(2, "stderr", "oh")]
    assert rest.json["final"] is True
    text = await api.get(f"/q/r/jobs/{job}/log", headers={"Accept": "text/plain"})
    assert text.text == "hi\nthere\noh\n"
    only = await api.get(f"/q/r/jobs/{job}/log?stream=stdout&since=1", headers={"Accept": "text/plain"})
    assert only.text == "there\n"
    assert (await api.get(f"/q/r/jobs/{job}/explain")).json["sentence"] == "it succeeded"


async def test_lines_that_are_not_kept_are_said(api: Api, hub: HubProcess) -> None:
    job = await api.submit("gaps")
    async with plain_worker(hub.url, "gaps") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "zero")
        await worker.log(about, 5, "five")
        await worker.finish(about, lines=9)
    page = (await api.get(f"/q/gaps/jobs/{job}/log")).json
    assert page["gaps"] == [{"since": 1, "until": 5}, {"since": 6, "until": 9}]
    assert (page["next"], page["final"]) == (9, True)
    text = await api.get(f"/q/gaps/jobs/{job}/log", headers={"Accept": "text/plain"})
    assert text.text == "zero\n[4 lines are no longer kept]\nfive\n[3 lines are no longer kept]\n"


async def test_submit_may_wait_for_the_end(api: Api, hub: HubProcess) -> None:
    body = {"definition": {"image": "a"}, "namespace": "mine", "time_limit": "20m", "priority": 3}
    early = await api.post("/q/w/jobs?wait=50ms", body)
    assert (early.status, early.json["job"]["state"]) == (202, "Queued")
    assert early.json["job"]["priority"] == 3
    waiting = asyncio.create_task(api.post("/q/w/jobs?wait=20s", body))
    async with plain_worker(hub.url, "w") as worker:
        assign = await worker.next("assign")
        assert assign["time_limit"] == 20 * 60_000
        await worker.finish({"job": assign["job"], "attempt": assign["attempt"]}, 3)
    late = await waiting
    assert (late.status, late.json["answer"]) == (200, "joined")
    assert late.json["job"]["verdict"]["exit_code"] == 3


async def test_a_wait_ends_when_its_time_is_up_and_again_when_the_job_is_finished(api: Api, hub: HubProcess) -> None:
    job = await api.submit("w")
    waited = await api.get(f"/q/w/jobs/{job}/wait?timeout=30ms")
    assert (waited.status, waited.json["job"]["state"]) == (202, "Queued")
    assert "verdict" not in waited.json
    waiting = asyncio.create_task(api.get(f"/q/w/jobs/{job}/wait"))
    cancelled = await api.post(f"/q/w/jobs/{job}/cancel")
    assert cancelled.json["released"] is True
    ended = await waiting
    assert (ended.status, ended.json["verdict"]["reason"]) == (200, "Cancelled")


@pytest.mark.parametrize("what", ["wait?timeout=5m", "events"])
async def test_whoever_stops_listening_is_forgotten(api: Api, what: str) -> None:
    job = await api.submit("left")
    _, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    writer.write(f"GET /q/left/jobs/{job}/{what} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
    await writer.drain()
    short = "q-" + hashlib.sha256(b"left").hexdigest()[:8]
    async with asyncio.timeout(20):
        while f'asman_queue_connections{{queue="{short}"}} 1.0' not in (await api.get("/q/left/metrics")).text:
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        while (await api.get("/q/left/metrics")).text.count(f'asman_queue_connections{{queue="{short}"}} 1.0'):
            await asyncio.sleep(0.01)


async def test_a_hub_that_stops_lets_those_who_wait_go_with_what_it_knows(api: Api, hub: HubProcess) -> None:
    job = await api.submit("stop")
    waiting = asyncio.create_task(api.get(f"/q/stop/jobs/{job}/wait?timeout=5m"))
    async with asyncio.timeout(20):
        while metric((await api.get("/metrics")).text, "asman_connections", kind="client") < 1:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(hub.terminate) == 0
    assert (await waiting).status == 202


async def test_jobs_are_listed_in_pages_and_by_state(api: Api) -> None:
    ids = [await api.submit("l", f"a{n}") for n in range(5)]
    await api.post(f"/q/l/jobs/{ids[1]}/cancel")
    first = (await api.get("/q/l/jobs?limit=3")).json
    second = (await api.get(f"/q/l/jobs?limit=3&before={first['next']}")).json
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert "next" not in second
    assert first["counts"] == {"queued": 4, "running": 0, "finished": 1, "workers": 0}
    for query, wanted in (("state=finished", [ids[1]]), ("state=Queued,Finished&limit=1", [ids[4]])):
        assert [job["id"] for job in (await api.get(f"/q/l/jobs?{query}")).json["jobs"]] == wanted


async def test_cancel_releases_one_namespace_and_delete_forgets(api: Api) -> None:
    job = await api.submit("c", namespace="one")
    assert await api.submit("c", namespace="two") == job
    one = await api.post(f"/q/c/jobs/{job}/cancel?namespace=one")
    assert (one.json["released"], one.json["job"]["state"]) == (True, "Queued")
    again = await api.post(f"/q/c/jobs/{job}/cancel?namespace=one")
    assert again.json["released"] is False
    both = await api.post(f"/q/c/jobs/{job}/cancel?namespace=*")
    assert both.json["job"]["verdict"]["reason"] == "Cancelled"
    assert (await api.call("DELETE", f"/q/c/jobs/{job}")).json == {"job": job}
    assert (await api.call("DELETE", f"/q/c/jobs/{job}")).status == 404
    assert (await api.get(f"/q/c/jobs/{job}")).status == 404


async def test_explain_says_what_is_missing(api: Api, hub: HubProcess) -> None:
    body = {"definition": {"image": "a", "requirements": {"gpus": 2}}}
    job = (await api.post("/q/e/jobs", body)).json["job"]["id"]
    async with plain_worker(hub.url, "e", gpus=1):
        found = (await api.get(f"/q/e/jobs/{job}/explain")).json
    assert found["sentence"] == "1 worker online, none can run it: it needs 2 gpus; no worker has more than 1"
    assert (found["waiting_for"], found["workers"], found["position"]) == ("gpus", 1, 0)


async def test_validate_tells_everything_and_queues_nothing(api: Api, hub: HubProcess) -> None:
    bad = {"image": "a b", "requirements": {"memory": "2"}, "inputs": {"../x": {"value": ""}}}
    found = (await api.post("/q/v/validate", {"definition": bad})).json
    assert found["ok"] is False
    assert [problem["field"] for problem in found["problems"]] == [
        "definition.image",
        "definition.requirements.memory",
        "definition.inputs.../x",
    ]
    blob = {"image": "a", "inputs": {"x": {"type": "key", "value": NOBODY}}}
    found = (await api.post("/q/v/validate", {"definition": blob})).json
    assert (found["ok"], found["missing_blobs"]) == (False, [NOBODY])
    async with plain_worker(hub.url, "v", gpus=1):
        found = (await api.post("/q/v/validate", {"definition": {"image": "a"}})).json
        assert (found["ok"], found["able"], "known" in found) == (True, 1, False)
    assert (await api.get("/q/v/jobs")).json["jobs"] == []
    job = await api.submit("v", "a")
    found = (await api.post("/q/v/validate", {"definition": {"image": "a"}})).json
    assert (found["id"], found["known"]) == (job, "Queued")


async def test_json_is_taken_whatever_it_claims_to_be(api: Api) -> None:
    body = json.dumps({"definition": {"image": "a"}}).encode()
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind} if kind else {}
        skip = [] if kind else ["Content-Type"]
        assert (await api.post("/q/t/jobs", data=body, headers=headers, skip_auto_headers=skip)).status < 300, kind


GARBAGE: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"\xff\xfe", ""),
    (b"{", ""),
    (b"[]", ""),
    (b"{}", ""),
    (b"[" * 100_000, ""),
    (b'{"definition": 3}', "definition"),
    (b'{"definition": {"image": 3}}', "definition.image"),
    (b'{"definition": {"image": "a"}, "nonsense": 1}', ""),
    (b'{"definition": {"image": "a"}, "namespace": ""}', "namespace"),
    (b'{"definition": {"image": "a"}, "namespace": "*"}', "namespace"),
    (b'{"definition": {"image": "a"}, "priority": 1000}', "priority"),
    (b'{"definition": {"image": "a"}, "time_limit": "20"}', "time_limit"),
    (b'{"definition": {"image": "a"}, "id": "' + b"0" * 64 + b'"}', "id"),
    (b'{"definition": {"image": "a", "requirements": {"memory": "2"}}}', "definition.requirements.memory"),
]


async def test_garbage_is_refused_with_a_sentence_and_its_field(api: Api) -> None:
    for body, field in GARBAGE:
        answer = await api.post("/q/g/jobs", data=body)
        assert answer.status == 400, body[:80]
        assert answer.json["error"]
        assert answer.json.get("field", "") == field
    assert (await api.get("/q/g/status")).json["counts"]["queued"] == 0


WRONG = [
    "jobs?limit=0",
    "jobs?limit=501",
    "jobs?limit=x",
    "jobs?before=-1",
    "jobs?state=Sleeping",
    "jobs/short",
    f"jobs/{NOBODY}/wait?timeout=5",
    f"jobs/{NOBODY}/wait?timeout=1d",
    f"jobs/{NOBODY}/log?since=" + "9" * 30,
    f"jobs/{NOBODY}/log?stream=stdin",
    f"jobs/{NOBODY}/events?last_event_id=soon",
]


async def test_wrong_questions_name_their_field(api: Api) -> None:
    await api.submit("wrong")
    for query in WRONG:
        answer = await api.get(f"/q/wrong/{query}")
        assert answer.status == 400, query
        assert answer.json["field"]


async def test_a_huge_body_is_refused_however_it_is_sent(api: Api) -> None:
    huge = b'{"definition": {"image": "' + b"a" * (5 * 1024 * 1024) + b'"}}'

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(huge), 65536):
            yield huge[at : at + 65536]

    for data in (io.BytesIO(huge), chunks()):
        answer = await api.post("/q/h/jobs", data=data)
        assert answer.status == 413
        assert answer.json["code"] == "too_large"
        assert "4 MiB" in answer.json["error"]
    long = json.dumps({"definition": {"image": "a", "command": "x" * 600_000}}).encode()
    answer = await api.post("/q/h/jobs", data=long)
    assert (answer.status, answer.json["field"]) == (413, "definition")
    assert (await api.get("/q/h/status")).json["counts"]["queued"] == 0


async def test_reading_makes_no_queue(api: Api) -> None:
    for n in range(50):
        assert (await api.get(f"/q/unknown-{n}/status")).json["counts"]["queued"] == 0
        assert (await api.get(f"/q/unknown-{n}/jobs")).json["jobs"] == []
        assert (await api.get(f"/q/unknown-{n}/workers")).json == {"workers": []}
        assert (await api.get(f"/q/unknown-{n}/metrics")).status == 200
        for what in ("", "/wait", "/log", "/summary", "/events", "/explain", "/outputs/x"):
            assert (await api.get(f"/q/unknown-{n}/jobs/{NOBODY}{what}")).status == 404
        assert (await api.post(f"/q/unknown-{n}/jobs/{NOBODY}/cancel")).status == 404
        assert (await api.call("DELETE", f"/q/unknown-{n}/jobs/{NOBODY}")).status == 404
    assert metric((await api.get("/metrics")).text, "asman_queues") == 0


async def test_names_that_are_none_methods_that_are_not_taken_and_addresses_that_are_not_there(api: Api) -> None:
    assert (await api.get("/q/a%20b/status")).json["field"] == "queue"
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("PATCH", "/metrics", 405, "bad_request"),
        ("OPTIONS", "/q/x/jobs", 204, None),
    ):
        async with api.session.request(method, api.url + path) as response:
            assert response.status == status
            assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
            assert code is None or (await response.json())["code"] == code


async def test_a_queue_that_is_not_in_memory_is_read_where_it_lies(api: Api, hub: HubProcess) -> None:
    job = await api.submit("cold")
    await asyncio.to_thread(hub.restart)
    assert metric((await api.get("/metrics")).text, "asman_queues") == 0
    assert (await api.get("/q/cold/status")).json["counts"]["queued"] == 1
    assert (await api.get("/q/cold/jobs")).json["jobs"][0]["id"] == job
    short = "q-" + hashlib.sha256(b"cold").hexdigest()[:8]
    assert metric((await api.get("/q/cold/metrics")).text, "asman_queue_jobs_queued", queue=short) == 1
    assert metric((await api.get("/metrics")).text, "asman_queues") == 0
    assert (await api.get(f"/q/cold/jobs/{job}")).json["job"]["state"] == "Queued"


async def test_metrics_tell_the_hub_and_the_queue_and_never_a_name(api: Api, hub: HubProcess) -> None:
    short = "q-" + hashlib.sha256(b"secret-queue").hexdigest()[:8]
    ids = [await api.submit("secret-queue", f"a{n}") for n in range(4)]
    await api.post("/q/secret-queue/jobs", {"definition": {"image": "big", "requirements": {"gpus": 1}}})
    await api.post(f"/q/secret-queue/jobs/{ids[3]}/cancel")
    async with plain_worker(hub.url, "secret-queue", cpus=2, memory=2**30) as worker:
        first, second = await worker.assigned(), await worker.assigned()
        await worker.finish(first)
        third = await worker.assigned()
        await worker.finish(second, 3)
        text = (await api.get("/metrics")).text
        queue = (await api.get("/q/secret-queue/metrics")).text
        await worker.finish(third)
    assert "secret-queue" not in text + queue
    for found, name in ((text, "asman_jobs_finished_total"), (queue, "asman_queue_runs_finished_total")):
        label = {"queue": short} if found is queue else {}
        for reason in ("Success", "Failed", "Cancelled"):
            assert metric(found, name, **label, reason=reason) == 1
    assert metric(text, "asman_jobs_running") == 1
    assert metric(text, "asman_jobs_queued") == 1
    assert metric(text, "asman_job_wait_seconds_count") == 3
    assert metric(text, "asman_job_run_seconds_count") == 2
    assert metric(text, "asman_connections", kind="worker") == 1
    assert metric(text, "asman_commit_seconds_count") > 0
    assert metric(text, "asman_outbox_overflows_total") == 0
    assert metric(queue, "asman_queue_workers", queue=short, state="ready") == 1
    assert metric(queue, "asman_queue_free_cpus", queue=short) == 1
    assert metric(queue, "asman_queue_free_memory_bytes", queue=short) == 2**30
    assert metric(queue, "asman_queue_shape_queued", queue=short, shape="cpus=1 gpus=1") == 1
    assert metric(queue, "asman_queue_shape_room", queue=short, shape="cpus=1 gpus=1") == 0
    assert metric(queue, "asman_queue_job_wait_seconds_count", queue=short) == 3


async def test_the_hubs_default_image_is_put_in_for_those_who_name_none(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(lambda: hub_process(environment={"ASMAN_DEFAULT_IMAGE": "alpine:3"}))
    async with opened_api(hub.url) as api:
        answer = (await api.post("/q/d/jobs", {"definition": {"command": "true"}})).json
        got = (await api.get(f"/q/d/jobs/{answer['job']['id']}")).json
        assert got["definition"] == {"image": "alpine:3", "command": "true"}


async def test_curl_alone_is_enough(hub: HubProcess) -> None:
    """What the README shows."""

    def curl(*words: str) -> str:
        done = subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    queue = f"{hub.url}/q/curl"
    answer = json.loads(await asyncio.to_thread(curl, f"{queue}/jobs", "-d", '{"definition": {"image": "alpine"}}'))
    job = f"{queue}/jobs/{answer['job']['id']}"
    waiting = asyncio.create_task(asyncio.to_thread(curl, f"{job}/wait"))
    async with plain_worker(hub.url, "curl") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "hello")
        outputs: dict[str, Any] = {"o.txt": {"ref": {"type": "utf8", "value": "made"}, "size": 4, "sha256": "x"}}
        await worker.finish(about, lines=1, outputs=outputs)
    assert json.loads(await waiting)["verdict"]["ok"] is True
    assert await asyncio.to_thread(curl, "-H", "Accept: text/plain", f"{job}/log") == "hello\n"
    assert await asyncio.to_thread(curl, f"{job}/outputs/o.txt") == "made"


async def test_a_browser_may_ask_from_anywhere(api: Api) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "DELETE"}
    async with api.session.options(f"{api.url}/q/x/jobs/{NOBODY}", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    with pytest.raises(aiohttp.ClientResponseError):
        async with api.session.get(f"{api.url}/q/x/jobs/{NOBODY}", raise_for_status=True):
            pass


async def test_limits_of_phases_reach_the_worker_and_a_wrong_one_is_named(api: Api, hub: HubProcess) -> None:
    wish = {"definition": {"image": "a"}, "phase_limits": {"pulling": "10m", "running": "1h"}, "time_limit": "2h"}
    async with plain_worker(hub.url, "phased") as worker:
        assert (await api.post("/q/phased/jobs", wish)).status == 201
        about = await worker.next("assign")
        assert about["time_limit"] == 3_600_000
        assert about["phase_limits"]["pulling"] == 600_000
    for phase, field in (("assigned", "phase_limits.assigned"), ("baking", "phase_limits")):
        answer = await api.post("/q/phased/jobs", {**wish, "phase_limits": {phase: 5}})
        assert answer.status == 400
        assert answer.json["field"].startswith(field)


async def test_a_queues_settings_are_read_and_written(api: Api) -> None:
    assert (await api.get("/q/kept/settings")).json == {"retention": 7 * 86_400_000, "own": False}
    said = await api.call("PUT", "/q/kept/settings", {"retention": "30d"})
    assert said.json == {"retention": 30 * 86_400_000, "own": True}
    assert (await api.get("/q/kept/settings")).json == said.json
    wrongs: list[Any] = ["1s", "3000d", "soon", {}]
    for wrong in wrongs:
        answer = await api.call("PUT", "/q/kept/settings", {"retention": wrong})
        assert (answer.status, answer.json["field"]) == (400, "retention")
