"""Files that cross between the languages: what one's worker made, the other's clients read, on both stores."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

import asman
from asman_shared.units import MIB
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.asman_processes import asman as run_asman
from devtools.engine import Engine
from devtools.patience import PATIENCE
from tests.support.api import Api
from tests.support.json_dialect import JsonWorker, json_client, json_worker

ONE, TWENTY = os.urandom(MIB), os.urandom(20 * MIB)


async def put(api: Api, body: bytes) -> str:
    """Stores a file as programs of the dialect do; returns its name."""
    name = hashlib.sha256(body).hexdigest()
    async with api.session.put(f"{api.url}/f/{name}", data=io.BytesIO(body), allow_redirects=False) as answer:
        assert answer.status in (200, 201, 307)
        there = answer.headers.get("Location")
    if there is not None:
        async with api.session.put(there, data=io.BytesIO(body)) as answer:
            assert answer.status == 200
    async with asyncio.timeout(PATIENCE):
        while (await api.get(f"/f/{name}/exists")).json != {"exists": True}:
            pass  # it is being verified
    return name


def packed(files: dict[str, str]) -> bytes:
    """An archive of a few files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@asynccontextmanager
async def serving(body: bytes) -> AsyncIterator[str]:
    """A server on this machine that is not the hub; gives an address on it."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/context.tar.gz", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/context.tar.gz"
    finally:
        await runner.cleanup()


async def got(api: Api, url: str) -> bytes:
    async with api.session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


async def work(worker: JsonWorker, outputs: dict[str, Any], code: int = 0) -> None:
    """Runs the next job with these outputs."""
    job = await worker.until(lambda jobs: next((job for job, shown in jobs.items() if shown["state"] == "Queued"), ""))
    await worker.claim(job)
    await worker.has(job)
    await worker.finish(job, StatusCode=code, outputs=outputs)


async def test_a_native_client_reads_large_outputs_of_a_json_worker(api: Api, hub: HubProcess, tmp_path: Path) -> None:
    one, twenty = await put(api, ONE), await put(api, TWENTY)
    outputs = {
        "one/by-url": {"type": "url", "value": f"{hub.url}/f/{one}"},
        "one/by-name.bin": {"type": "url", "value": f"{hub.url}/f/{one}.bin"},
        "one/by-key": {"type": "key", "value": one},
        "twenty/by-url": {"type": "url", "value": f"{hub.url}/f/{twenty}"},
        "twenty/by-key": {"type": "key", "value": f"{twenty}.bin"},
        "nothing": {"value": ""},
    }
    async with json_worker(hub.url, "json-made") as worker, asman.connect(hub.queue("json-made")) as client:
        job = await client.submit(command="x")
        await work(worker, outputs)
        result = await job.result()
        assert {name: output.size for name, output in result.outputs.items()} == {
            **{name: MIB for name in outputs if name.startswith("one")},
            **{name: 20 * MIB for name in outputs if name.startswith("twenty")},
            "nothing": 0,
        }
        assert all(output.size_known for output in result.outputs.values())
        assert await result.outputs["twenty/by-url"].read_bytes() == TWENTY
        await result.save_outputs(tmp_path)
    for name in outputs:
        body = {"one": ONE, "twenty": TWENTY}.get(name.partition("/")[0], b"")
        assert (tmp_path / name).read_bytes() == body


async def test_an_output_of_unknown_size_is_read_and_one_that_is_gone_changes_no_exit_code(
    api: Api, hub: HubProcess, tmp_path: Path
) -> None:
    gone = hashlib.sha256(b"never stored").hexdigest()
    outputs = {"gone": {"type": "key", "value": gone}, "kept": {"type": "key", "value": await put(api, ONE)}}
    queue = "json-unknown"
    async with json_worker(hub.url, queue) as worker, asman.connect(hub.queue(queue)) as client:
        for code, said in ((7, 7), (0, 125)):
            folder = tmp_path / str(code)
            command = ["run", hub.queue(queue), "-o", str(folder), "--", "x", str(code)]
            running = asyncio.create_task(asyncio.to_thread(run_asman, *command))
            await work(worker, outputs, code)
            ended = await running
            assert ended.returncode == said, ended.stderr
            assert "the output 'gone' can't be read" in ended.stderr
            assert (folder / "kept").read_bytes() == ONE
        first = await client.submit(command="first")
        await work(worker, {"kept": outputs["kept"]})
        await first.wait()
        job = await client.submit(command="second")
        await work(worker, {"again": {"type": "url", "value": f"{first.url}/outputs/kept"}})
        again = (await job.result()).outputs["again"]
        assert (again.size, again.size_known, again.sha256) == (0, False, "")
        assert await again.read_bytes() == ONE
        shown = await asyncio.to_thread(run_asman, "job", "outputs", hub.queue(queue), job.id)
        assert "unknown" in shown.stdout


async def test_a_json_client_reads_large_outputs_of_a_native_worker(
    api: Api, hub: HubProcess, processes: AsmanProcesses, tmp_path: Path
) -> None:
    copied = (
        "cp $JOB_INPUTS/one $JOB_OUTPUTS/one.bin; cp $JOB_INPUTS/twenty $JOB_OUTPUTS/twenty; echo hi > $JOB_OUTPUTS/s"
    )
    # By url alone: a fresh worker has seen no link to the hub's storage, which is at a private address.
    inputs = {
        "one": {"type": "url", "value": f"{hub.url}/f/{await put(api, ONE)}"},
        "twenty": {"type": "url", "value": f"{hub.url}/f/{await put(api, TWENTY)}.bin"},
    }
    queue = "native-made"
    options = ("--executor", "process", "--data-dir", str(tmp_path / "worker"), "--cpus", "1")
    async with json_client(hub.url, queue) as client:
        job = await client.submit_new({"command": ["sh", "-c", copied], "inputs": inputs})
        worker = await asyncio.to_thread(processes.worker, hub.queue(queue), *options)
        await client.sees(job, "Finished")
        result = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finished"]["result"]
        assert (result["StatusCode"], result["logs"]) == (0, [])
        assert result["outputs"] == {
            name: {"type": "url", "value": f"{hub.url}/f/{hashlib.sha256(body).hexdigest()}"}
            for name, body in (("one.bin", ONE), ("twenty", TWENTY), ("s", b"hi\n"))
        }
        assert await got(api, result["outputs"]["one.bin"]["value"]) == ONE
        assert await got(api, result["outputs"]["twenty"]["value"]) == TWENTY
        stored = (await api.get(f"/q/{queue}/j/{job}")).json["data"]["results"]["finished"]["result"]
        assert stored["outputs"] == result["outputs"]
        for name, body in (("one.bin", ONE), ("twenty", TWENTY), ("s", b"hi\n")):
            assert await got(api, f"{hub.url}/q/{queue}/j/{job}/outputs/{name}") == body
        await asyncio.to_thread(worker.terminate)


async def test_a_build_context_that_was_uploaded_to_the_hub_is_built_by_a_worker_that_was_just_started(
    api: Api, hub: HubProcess, processes: AsmanProcesses, tmp_path: Path, engine: Engine, busybox_image: str
) -> None:
    text = f"FROM {busybox_image}\nLABEL once={os.urandom(8).hex()}\nCOPY note /note\n"
    context = await put(api, packed({"Dockerfile": text, "note": "uploaded"}))
    queue = "builds"
    options = ("--executor", "docker", "--network", "none", "--pull", "never", "--local-images", busybox_image)
    folder = ("--data-dir", str(tmp_path / "worker"), "--cpus", "1")
    environment = {"DOCKER_HOST": engine.host}
    async with json_client(hub.url, queue) as client:
        build = {"context": f"{hub.url}/f/{context}.tar.gz"}
        job = await client.submit_new({"build": build, "command": "cat /note"})
        worker = await asyncio.to_thread(
            lambda: processes.worker(hub.queue(queue), *options, *folder, environment=environment)
        )
        await client.sees(job, "Finished")
        result = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finished"]["result"]
        assert (result.get("error"), result["StatusCode"]) == (None, 0)
        assert [line[0].rstrip("\n") for line in result["logs"]] == ["uploaded"]
        async with serving(packed({"Dockerfile": text})) as elsewhere:
            refused = await client.submit_new({"build": {"context": elsewhere}, "command": "true"})
            shown = await client.sees(refused, "Finished")
        token = await client.submit_new({"build": {"context": "https://t0ken@github.com/o/r.git"}, "command": "true"})
        await client.sees(token, "Finished")
        result = (await api.get(f"/q/{queue}/j/{token}/result.json")).json["data"]["finished"]["result"]
        assert "--git-credentials-for 'build:https://github.com/o/*'" in result["error"]
        assert "t0ken" not in str(result)
        result = (await api.get(f"/q/{queue}/j/{refused}/result.json")).json["data"]["finished"]["result"]
        assert f"'{elsewhere}' is not fetched: only https:// is" in result["error"], shown
        await asyncio.to_thread(worker.terminate)
