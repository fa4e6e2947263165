"""Queues over plain HTTP: submitting, listing, validating and settings, on a real hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

NOBODY = "0" * 64


def metric(text: str, name: str, **labels: str) -> float:
    """The value of one sample."""
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    for line in text.splitlines():
        if line.startswith(f"{name}{wanted} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"there is no sample {name}{wanted}")


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


async def test_unknown_and_malformed_parameters_are_refused_by_name(api: Api) -> None:
    job = (await api.post("/q/p/jobs", {"definition": {"image": "a"}})).json["job"]["id"]
    for method, path, field in (
        ("GET", "/q/p/jobs?limt=5", "limt"),
        ("GET", "/q/p/jobs?limit=five", "limit"),
        ("GET", "/q/p/jobs?limit=1&limit=2", "limit"),
        ("GET", "/q/p/jobs?state=Lost", "state"),
        ("POST", "/q/p/jobs?wat=1s", "wat"),
        ("POST", "/q/p/jobs?wait=soon", "wait"),
        ("GET", "/q/p/workers?all", "all"),
        ("GET", f"/q/p/jobs/{job}?verbose=1", "verbose"),
        ("GET", f"/q/p/jobs/{job}/wait?wait=1s", "wait"),
        ("GET", f"/q/p/jobs/{job}/log?ignore_case=yes", "ignore_case"),
        ("GET", f"/q/p/jobs/{job}/events?lastEventId=1.2.3", "lastEventId"),
        ("POST", f"/q/p/jobs/{job}/cancel?namespaces=a", "namespaces"),
        ("DELETE", f"/q/p/jobs/{job}?force=1", "force"),
    ):
        answer = await api.call(method, path, {"definition": {"image": "b"}} if method == "POST" else None)
        assert (answer.status, answer.json["field"]) == (400, field), path
        assert answer.json["code"] == ("bad_unit" if path.endswith("soon") else "bad_request")
        assert f"'{field}'" in answer.json["error"] or field == "wait", answer.json
    assert (await api.get(f"/q/p/jobs/{job}")).status == 200
    assert (await api.get(f"/q/p/jobs/{job}/outputs/a.txt?v=2")).status == 404


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


async def test_a_queue_that_is_not_in_memory_is_read_where_it_lies(api: Api, hub: HubProcess) -> None:
    job = await api.submit("cold")
    await asyncio.to_thread(hub.restart)
    assert metric((await api.get("/metrics")).text, "asman_queues") == 0
    assert (await api.get("/q/cold/status")).json["counts"]["queued"] == 1
    assert (await api.get("/q/cold/jobs")).json["jobs"][0]["id"] == job
    short = await api.short_name("cold")
    assert metric((await api.get("/q/cold/metrics")).text, "asman_queue_jobs_queued", queue=short) == 1
    assert metric((await api.get("/metrics")).text, "asman_queues") == 0
    assert (await api.get(f"/q/cold/jobs/{job}")).json["job"]["state"] == "Queued"


async def test_the_hubs_default_image_is_put_in_for_those_who_name_none(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(lambda: hub_process(environment={"ASMAN_DEFAULT_IMAGE": "alpine:3"}))
    async with opened_api(hub.url) as api:
        answer = (await api.post("/q/d/jobs", {"definition": {"command": "true"}})).json
        got = (await api.get(f"/q/d/jobs/{answer['job']['id']}")).json
        assert got["definition"] == {"image": "alpine:3", "command": "true"}


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
    assert (await api.get("/q/kept/settings")).json == {"retention": 7 * 86_400_000, "own": False, "paused": 0}
    said = await api.call("PUT", "/q/kept/settings", {"retention": "30d"})
    assert said.json == {"retention": 30 * 86_400_000, "own": True, "paused": 0}
    assert (await api.get("/q/kept/settings")).json == said.json
    nothing = await api.call("PUT", "/q/kept/settings", {})
    assert (nothing.status, nothing.json["field"]) == (400, "retention")
    wrongs: list[Any] = ["0s", "1s", "3000d", "soon", {}]
    for wrong in wrongs:
        answer = await api.call("PUT", "/q/kept/settings", {"retention": wrong})
        assert (answer.status, answer.json["field"]) == (400, "retention")
