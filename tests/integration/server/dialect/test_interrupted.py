"""Runs in whose middle the hub dies, or that are cancelled and run again: nothing is lost, and nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asman_server.dialect.ids import first_id, identify
from devtools.asman_processes import AsmanProcesses, HubProcess
from tests.integration.server.dialect.conftest import Stores
from tests.integration.server.dialect.job_logs import events, joined, result_of, slices
from tests.support.api import Api, opened_api
from tests.support.json_dialect import json_client, json_worker

DEFINITION = {"image": "alpine", "command": "echo hi"}


@pytest.fixture
async def mortal_hub(hub_process: Callable[..., HubProcess], own_stores: Stores) -> HubProcess:
    """A hub on each kind of stores that a test may kill."""
    return await asyncio.to_thread(hub_process, *own_stores.options, environment=own_stores.environment)


async def test_each_line_of_a_worker_whose_hub_died_is_there_once(mortal_hub: HubProcess) -> None:
    """Lines that were on their way come with the result, at the end of the log."""
    queue = "died-json"
    ends = ["\n", "\r\n", "\r"]
    lines: list[list[Any]] = [[f"line {n}{ends[n % 3]}", 1000 + n] for n in range(5000)]
    lines[2000:2000] = [[f"error {n}\n", 3000, True] for n in range(100)]
    lines.append(["no end", 9999])
    async with json_client(mortal_hub.url, queue) as client, json_worker(mortal_hub.url, queue) as worker:
        job = await client.submit_new(DEFINITION)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, *lines[:2500])
        await client.next("JobStatusPayload")
        await asyncio.to_thread(mortal_hub.kill)
    await asyncio.to_thread(mortal_hub.start)
    async with json_client(mortal_hub.url, queue) as client, json_worker(mortal_hub.url, queue) as worker:
        await worker.claim(job)
        await worker.log(job, *lines[2600:4000])
        await worker.finish(job, StatusCode=0, logs=lines)
        await client.sees(job, "Finished")
    base = f"/q/{queue}/j/{job}"
    async with opened_api(mortal_hub.url) as api:
        assert sorted((await result_of(api, base))["logs"]) == sorted(lines)
        assert sorted(await slices(api, f"{base}/run-logs.json")) == sorted(lines)


async def test_a_client_that_knows_a_first_id_follows_a_native_run_over_two_deaths_of_the_hub(
    mortal_hub: HubProcess, processes: AsmanProcesses, tmp_path: Path
) -> None:
    queue = "died-native"
    wait = 'until [ -e "$GO" ]; do sleep 0.05; done'
    script = f"printf '1\\r\\n'; {wait}; printf '2\\r3\\n'; printf end; printf e >&2; echo x > $JOB_OUTPUTS/o; exit 3"
    page = {"command": ["sh", "-c", script], "env": {"GO": str(tmp_path / "go")}, "inputs": {}}
    first, own = first_id(page), identify(page).job
    options = ("--executor", "process", "--data-dir", str(tmp_path / "worker"), "--cpus", "1")
    async with json_client(mortal_hub.url, queue) as client:
        await asyncio.to_thread(processes.worker, mortal_hub.queue(queue), *options)
        await client.change("Queued", first, enqueued={"id": first, "definition": page, "debug": True})
        await client.sees(first, "Running")
        await client.next("JobStatusPayload", lambda told: told["jobId"] == first)
    for _ in range(2):
        await asyncio.to_thread(mortal_hub.restart)
        async with json_client(mortal_hub.url, queue) as client:
            listed = (await client.next("JobStates"))["state"]["jobs"][first]
            assert (listed["state"], listed["debug"]) == ("Running", True)
    async with json_client(mortal_hub.url, queue) as client, opened_api(mortal_hub.url) as api:
        await client.change("Queued", first, enqueued={"id": first, "definition": page, "debug": True})
        (tmp_path / "go").touch()
        assert (await client.sees(first, "Finished"))["finishedReason"] == "Success"
        result = await result_of(api, f"/q/{queue}/j/{first}")
        assert (result["StatusCode"], set(result["outputs"])) == (3, {"o"})
        written = [joined([log for log in result["logs"] if len(log) == length]) for length in (2, 3)]
        assert written == ["1\r\n2\r3\nend", "e"]
        assert joined(await slices(api, f"/q/{queue}/j/{own}/run-logs.json")) == joined(result["logs"])


async def test_a_job_that_is_cancelled_run_again_and_deleted_shows_each_run_alone(hub: HubProcess, api: Api) -> None:
    queue = "again"
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await client.submit_new(DEFINITION)
        base = f"/q/{queue}/j/{job}"
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["first run\n", 1])
        await client.next("JobStatusPayload")
        await client.end(job, "Cancelled")
        await worker.next("JobStates", lambda told: job not in told["state"]["jobs"])
        await client.until(lambda jobs: job not in jobs)
        await worker.finish(job, StatusCode=7, outputs={"late": {"value": "x"}})
        assert (await events(api, f"{base}/stream"))[-1] == ("final", {"state": "Finished", "reason": "Cancelled"})
        assert (await api.get(f"{base}/result.json")).json == {"data": None}
        assert (await api.get(f"{base}/outputs/late")).status == 404
        await client.submit(job, DEFINITION)
        await client.sees(job, "Queued")
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["second run\n", 2])
        await worker.finish(job, StatusCode=0)
        await client.sees(job, "Finished")
        assert joined((await result_of(api, base))["logs"]) == "second run\n"
        assert joined(await slices(api, f"{base}/run-logs.json")) == "second run\n"
        await client.end(job, "Deleted")
        await client.until(lambda jobs: job not in jobs)
        assert (await api.get(f"{base}/result.json")).json == {"data": None}
        assert {(await api.get(f"{base}/{name}")).status for name in ("stream", "run-logs.json", "outputs/x")} == {404}
        assert (await api.post(f"{base}/cancel")).json == {"message": "Job not found"}
        await client.submit(job, DEFINITION)
        await client.sees(job, "Queued")
        assert (await api.get(f"{base}/run-logs.json")).json["data"] == []
