"""Jobs over plain HTTP, on a real hub with a worker that does as it is told."""

from __future__ import annotations

import asyncio

import pytest

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import Api
from tests.support.plain_worker import plain_worker


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
    short = await api.short_name("left")
    async with asyncio.timeout(PATIENCE):
        while f'asman_queue_connections{{queue="{short}"}} 1.0' not in (await api.get("/q/left/metrics")).text:
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        while (await api.get("/q/left/metrics")).text.count(f'asman_queue_connections{{queue="{short}"}} 1.0'):
            await asyncio.sleep(0.01)


async def test_a_hub_that_stops_lets_those_who_wait_go_with_what_it_knows(api: Api, hub: HubProcess) -> None:
    job = await api.submit("stop")
    waiting = asyncio.create_task(api.get(f"/q/stop/jobs/{job}/wait?timeout=5m"))
    async with asyncio.timeout(PATIENCE):
        while metric((await api.get("/metrics")).text, "asman_connections", kind="client") < 1:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(hub.terminate) == 0
    assert (await waiting).status == 202


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


async def test_a_run_that_came_to_nothing_does_not_show_the_outputs_of_the_run_before_it(
    api: Api, hub: HubProcess
) -> None:
    wish = {"definition": {"image": "again"}, "reuse": "never"}
    outputs = {"o.txt": {"ref": {"value": "made it"}, "size": 7, "sha256": "x"}}
    async with plain_worker(hub.url, "again") as worker:
        job = (await api.post("/q/again/jobs", wish)).json["job"]["id"]
        await worker.finish(await worker.assigned(), outputs=outputs)
        for end in ("cancelled", "without outputs"):
            assert (await api.post("/q/again/jobs", wish)).status == 201
            about = await worker.assigned()
            if end == "cancelled":
                assert (await api.post(f"/q/again/jobs/{job}/cancel", {})).json["released"]
            await worker.finish(about, 7)
            shown = (await api.get(f"/q/again/jobs/{job}")).json
            assert shown["job"]["verdict"]["ok"] is False
            assert "outputs" not in (shown.get("result") or {})
            assert (await api.get(f"/q/again/jobs/{job}/outputs/o.txt")).status == 404
            assert (await api.get(f"/q/again/j/{job}/outputs/o.txt")).status == 404
            dialect = (await api.get(f"/q/again/j/{job}/result.json")).json["data"]
            assert dialect is None or not dialect["finished"]["result"].get("outputs")
            if end == "cancelled":
                # The verdict of the run before counts again for who accepts a cached one, and so does its result.
                cached = await api.post("/q/again/jobs", {**wish, "reuse": "cached"})
                assert cached.json["answer"] == "cached"
                assert list(cached.json["result"]["outputs"]) == ["o.txt"]


async def test_while_a_job_runs_again_no_address_serves_what_the_run_before_it_left(api: Api, hub: HubProcess) -> None:
    wish = {"definition": {"image": "rerun"}, "reuse": "never"}
    paths = ("/q/rerun/jobs/{job}/outputs/o.txt", "/q/rerun/j/{job}/outputs/o.txt")
    async with plain_worker(hub.url, "rerun") as worker:
        for body in ("first", "second"):
            job = (await api.post("/q/rerun/jobs", wish)).json["job"]["id"]
            for state in ("queued", "running"):
                if state == "running":
                    about = await worker.assigned()
                    await worker.phase(about)
                for path in paths:
                    answer = await api.get(path.format(job=job))
                    assert (answer.status, "is not finished" in answer.json["error"]) == (404, True)
                assert (await api.get(f"/q/rerun/j/{job}/result.json")).json == {"data": None}
            await worker.finish(about, outputs={"o.txt": {"ref": {"value": body}, "size": len(body), "sha256": "x"}})
            for path in paths:
                assert (await api.get(path.format(job=job))).text == body
