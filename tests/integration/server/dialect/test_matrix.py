"""Native and JSON clients with native and JSON workers on one queue: each pair runs a job with files and logs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

import asman
from asman_server.dialect.ids import identify
from asman_shared.definition import DataRef, Definition
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.ports import free_port
from tests.support.api import opened_api
from tests.support.json_dialect import JsonWorker, json_client, json_worker

SCRIPT = "cat $JOB_INPUTS/in.txt; echo oops >&2; mkdir $JOB_OUTPUTS/d; cat $JOB_INPUTS/in.txt > $JOB_OUTPUTS/d/out.txt"
WorkerOf = Callable[[str, str], AbstractAsyncContextManager[None]]
COMMAND = ["sh", "-c", SCRIPT]


@asynccontextmanager
async def native_worker(hub: HubProcess, queue: str, processes: AsmanProcesses, folder: Path) -> AsyncIterator[None]:
    """A real worker, whose jobs are plain processes."""
    arguments = ["--executor", "process", "--data-dir", str(folder / "worker"), "--cpus", "1"]
    worker = await asyncio.to_thread(processes.worker, hub.queue(queue), *arguments)
    yield
    await asyncio.to_thread(worker.terminate)


@asynccontextmanager
async def json_worker_that_runs(hub: HubProcess, queue: str) -> AsyncIterator[None]:
    """A worker of the dialect that runs whatever it sees, as its definition says, on this machine."""
    async with json_worker(hub.url, queue) as worker:
        running = asyncio.create_task(_work(worker))
        yield
        running.cancel()


async def _work(worker: JsonWorker) -> None:
    job = await worker.until(lambda jobs: next((job for job, shown in jobs.items() if shown["state"] == "Queued"), ""))
    await worker.send("RequestJobDefinitions", {"jobIds": [job]})
    definition = (await worker.next("BroadcastJobDefinitions"))["definitions"][job]
    await worker.claim(job)
    await worker.has(job)
    text = definition["inputs"]["in.txt"]["value"]
    assert "cat $JOB_INPUTS/in.txt" in " ".join(definition["command"])
    await worker.log(job, [text, 1], ["oops\n", 2, True])
    await worker.finish(job, StatusCode=0, outputs={"d/out.txt": {"value": text}})


@pytest.fixture
def worker_of(hub: HubProcess, processes: AsmanProcesses, tmp_path: Path) -> WorkerOf:
    def made(kind: str, queue: str) -> AbstractAsyncContextManager[None]:
        if kind == "native":
            return native_worker(hub, queue, processes, tmp_path)
        return json_worker_that_runs(hub, queue)

    return made


@pytest.mark.parametrize("worker", ["native", "json"])
async def test_a_native_client(hub: HubProcess, worker_of: WorkerOf, worker: str) -> None:
    queue = f"native-{worker}"
    async with worker_of(worker, queue), asman.connect(hub.queue(queue)) as client:
        job = await client.submit(command=COMMAND, inputs={"in.txt": "hello"})
        result = await job.result()
        assert result.ok
        assert await result.outputs["d/out.txt"].read_text() == "hello"
        lines = [(line.stream, line.text) async for line in job.logs()]
    assert sorted(line for line in lines if line[0] != "system") == [("stderr", "oops"), ("stdout", "hello")]


@pytest.mark.parametrize("worker", ["native", "json"])
async def test_a_json_client(hub: HubProcess, worker_of: WorkerOf, worker: str) -> None:
    queue = f"json-{worker}"
    definition = {"command": COMMAND, "inputs": {"in.txt": {"value": "hello"}}, "env": {}}
    job = identify(definition).job
    async with (
        worker_of(worker, queue),
        json_client(hub.url, queue) as client,
        opened_api(hub.url) as api,
    ):
        await client.submit(job, definition)
        shown = await client.sees(job, "Finished")
        assert shown["finishedReason"] == "Success"
        result = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finished"]["result"]
        assert result["StatusCode"] == 0
        assert sorted([line[0], *line[2:]] for line in result["logs"]) == [["hello"], ["oops\n", True]]
        assert (await api.get(f"/q/{queue}/j/{job}/outputs/d/out.txt")).text == "hello"
        told = [message for message in client.heard if message["type"] == "JobStatusPayload"]
        assert {message["payload"]["step"] for message in told} <= {"Running", "docker image pull"}


async def test_files_of_json_clients_and_workers_go_by_their_plain_addresses(
    hub: HubProcess, worker_of: WorkerOf
) -> None:
    body, made = b"counted" * 1000, b"made"
    sha256, other = hashlib.sha256(body).hexdigest(), hashlib.sha256(made).hexdigest()
    async with opened_api(hub.url) as api, json_client(hub.url, "by-name") as client:
        for name in (f"{sha256}.bin", "a plain name.bin"):
            assert (await api.call("PUT", f"/f/{name.replace(' ', '%20')}", data=body)).status in (200, 201)
        inputs = {
            "own": {"type": "key", "value": sha256},
            "suffixed": {"type": "key", "value": f"{sha256}.bin"},
            "plain": {"type": "key", "value": "a plain name.bin"},
        }
        sums = ["sh", "-c", "cat $JOB_INPUTS/* | wc -c"]
        definition = {"command": sums, "inputs": inputs}
        job = identify(definition).job
        async with worker_of("native", "by-name"):
            await client.submit(job, definition)
            await client.sees(job, "Finished")
        result = (await api.get(f"/q/by-name/j/{job}/result.json")).json["data"]["finished"]["result"]
        assert [line[0].strip() for line in result["logs"]] == [str(3 * len(body))]
        for name in inputs:
            assert (await api.get(f"/j/{job}/inputs/{name}")).body == body
        missing = {"inputs": {"a": {"type": "key", "value": "no such name"}}}
        await client.submit(identify(missing).job, missing)
        shown = await client.sees(identify(missing).job, "Finished")
        assert "there is no file 'no such name'" in shown["finished"]["message"]

        async with json_worker(hub.url, "by-name", "json") as worker:
            again = await client.submit_new({**definition, "env": {"N": "1"}})
            await worker.sees(again, "Queued")
            await worker.claim(again)
            await worker.send("RequestJobDefinitions", {"jobIds": [again]})
            asked = (await worker.next("BroadcastJobDefinitions"))["definitions"][again]
            assert {ref["value"] for ref in asked["inputs"].values()} == {sha256}
            assert (await api.get(f"/f/{sha256}")).body == body
            assert (await api.call("PUT", f"/f/{other}", data=made)).status in (200, 201)
            outputs = {"a": {"type": "key", "value": other}, "b": {"type": "key", "value": f"{other}.txt"}}
            await worker.finish(again, StatusCode=0, outputs=outputs)
            await client.sees(again, "Finished")
        for name in outputs:
            assert (await api.get(f"/j/{again}/outputs/{name}")).body == made


async def test_both_kinds_of_clients_see_the_same_truth(hub: HubProcess) -> None:
    definition = Definition(image="alpine", inputs={"a": DataRef("x")})
    async with json_client(hub.url, "truth") as client, asman.connect(hub.queue("truth")) as native:
        job = await native.submit(definition)
        shown = await client.sees(job.id, "Queued")
        (listed,) = [one async for one in native.jobs()]
        assert (listed.id, listed.queued) == (job.id, shown["queuedTime"])
        await client.end(job.id, "Cancelled")
        assert (await job.wait()).reason == "Cancelled"


async def test_pages_set_to_local_find_the_hub_of_this_machine(processes: AsmanProcesses) -> None:
    port = free_port()
    allowed = ["--allow-origin", "https://ok.example"]
    local = ["--local-without-containers", "--local-port", str(port)]
    arguments = ["--executor", "process", *local, "--cpus", "1", *allowed]
    up = await asyncio.to_thread(processes.hub, *arguments, command="up")
    await asyncio.to_thread(up.wait_for_output, f"local  http://127.0.0.1:{port}/q/local")
    url = f"http://127.0.0.1:{port}"
    definition = {"command": COMMAND, "inputs": {"in.txt": {"value": "hello"}}}
    job = identify(definition).job
    async with json_client(url, "local", old=True, origin="https://ok.example") as client, opened_api(url) as api:
        await client.submit(job, definition)
        await client.sees(job, "Finished")
        assert (await api.get(f"/j/{job}/outputs/d/out.txt")).body == b"hello"
        assert (await api.get(f"/j/{job}/inputs/in.txt")).body == b"hello"
        for host, status in (("localhost", 200), ("evil.example", 403)):
            copied = api.session.post(f"{url}/j/{job}/copy", json={"queue": "local"}, headers={"Host": host})
            async with copied as answer:
                assert answer.status == status
        headers = {"Origin": "https://evil.example"}
        async with api.session.post(url + "/q/local", json=definition, headers=headers) as refused:
            assert refused.status == 403
            assert "--allow-origin https://evil.example" in (await refused.json())["error"]
    with pytest.raises(InvalidStatus, match="403"):
        async with json_client(url, "local", old=True, origin="https://evil.example"):
            pass
