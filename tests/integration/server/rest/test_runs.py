"""The earlier runs of a job, on a real hub with a worker that does as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import asman
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import Api
from tests.support.plain_worker import plain_worker

WISH: dict[str, Any] = {"definition": {"image": "again"}}


async def test_the_log_of_an_earlier_run_stays_readable_over_a_restart(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "runs") as worker:
        for run, code in enumerate((3, 4, 0)):
            answer = (await api.post("/q/runs/jobs", WISH)).json
            assert answer["answer"] == "queued"
            assert answer.get("earlier", {}).get("exit_code") == (None if run == 0 else 2 + run)
            about = await worker.assigned()
            await worker.log(about, 2 * run, f"line of {run}", "the last one")
            await worker.finish(about, code, 2 * run + 2)
    job = answer["job"]["id"]
    assert (await api.post("/q/runs/jobs", WISH)).json["answer"] == "cached"
    await asyncio.to_thread(hub.restart)
    path = f"/q/runs/jobs/{job}"
    runs = (await api.get(f"{path}/runs")).json["runs"]
    assert [(run["number"], run["reason"], run["exit_code"]) for run in runs] == [
        (1, "Failed", 3),
        (2, "Failed", 4),
        (3, "Success", 0),
    ]
    assert [run["worker"] for run in runs] == ["plain"] * 3
    assert [run.get("present", False) for run in runs] == [False, False, True]
    assert (await api.get(path)).json["job"]["run"] == 3
    for number in (1, 2, 3):
        page = (await api.get(f"{path}/log?run={number}")).json
        assert [line["text"] for line in page["lines"]] == [f"line of {number - 1}", "the last one"]
        assert page["final"]
    text = await api.get(f"{path}/log?run=2&grep=line", headers={"Accept": "text/plain"})
    assert text.text == "line of 1\n"
    assert [line["text"] for line in (await api.get(f"{path}/log")).json["lines"]] == ["line of 2", "the last one"]
    assert (await api.get(f"{path}/log?run=4")).status == 404
    assert (await api.post(f"{path}/cancel", {})).status == 200
    assert (await api.call("DELETE", path)).status == 200
    assert (await api.get(f"{path}/runs")).status == 404


async def test_each_word_for_reuse_means_the_same_over_http(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "words") as worker:
        assert (await api.post("/q/words/jobs", WISH)).json["answer"] == "queued"
        await worker.finish(await worker.assigned(), 3)
        for word in ("any", "cached"):
            found = (await api.post("/q/words/jobs?wait=10s", {**WISH, "reuse": word})).json
            assert (found["answer"], found["job"]["verdict"]["exit_code"]) == ("cached", 3)
        assert (await api.post("/q/words/jobs", {**WISH, "reuse": "success"})).json["answer"] == "queued"
        await worker.finish(await worker.assigned())
        for word in ("success", "any", "cached"):
            assert (await api.post("/q/words/jobs", {**WISH, "reuse": word})).json["answer"] == "cached"
        assert (await api.post("/q/words/jobs", {**WISH, "reuse": "never"})).json["answer"] == "queued"
        assert (await api.post("/q/words/jobs", {**WISH, "reuse": "maybe"})).status == 400


async def test_a_success_that_a_cancelled_run_gives_back_comes_with_its_own_log_and_worker(
    api: Api, hub: HubProcess
) -> None:
    async with plain_worker(hub.url, "back", name="first") as worker:
        job = (await api.post("/q/back/jobs", WISH)).json["job"]["id"]
        about = await worker.assigned()
        await worker.log(about, 0, "the answer")
        await worker.finish(about, 0, 1)
        path = f"/q/back/jobs/{job}"
        assert (await api.get(f"{path}/wait?timeout=20s")).status == 200
        before = (await api.get(path)).json
    async with plain_worker(hub.url, "back", name="second") as worker:
        assert (await api.post("/q/back/jobs", {**WISH, "reuse": "never"})).json["answer"] == "queued"
        about = await worker.assigned()
        await worker.log(about, 1, "half", "of a second run")
        async with asyncio.timeout(PATIENCE):
            while len((await api.get(f"{path}/log")).json["lines"]) < 2:
                await asyncio.sleep(0.02)
        assert (await api.post(f"{path}/cancel", {})).status == 200
        assert (await api.post("/q/back/jobs", WISH)).json["answer"] == "cached"
    for restarted in (False, True):
        if restarted:
            await asyncio.to_thread(hub.restart)
        after = (await api.get(path)).json
        told = ("worker", "log_start", "started", "verdict", "run")
        assert [after["job"].get(name) for name in told] == [before["job"].get(name) for name in told]
        page = (await api.get(f"{path}/log")).json
        assert ([line["text"] for line in page["lines"]], page["final"]) == (["the answer"], True)
        assert (await api.get(f"{path}/log?tail=5", headers={"Accept": "text/plain"})).text == "the answer\n"
        assert (await api.get(f"{path}/summary")).json["lines"] == 1
        events = (await api.get(f"{path}/events", headers={"Accept": "text/event-stream"})).text
        assert ("the answer" in events, "of a second run" in events) == (True, False)
        runs = (await api.get(f"{path}/runs")).json["runs"]
        assert [(run["reason"], run.get("present", False)) for run in runs] == [("Success", True), ("Cancelled", False)]
        second = (await api.get(f"{path}/log?run=2")).json
        assert [line["text"] for line in second["lines"]] == ["half", "of a second run"]
    async with asman.connect(f"{hub.url}/q/back") as queue:
        found = await queue.get(job)
        assert [line.text async for line in found.logs()] == ["the answer"]
