"""Real hubs with blobs in a folder or in S3: killed in the middle, started again, and what they tell of themselves."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asman_shared import limits
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import opened_api
from tests.support.plain_worker import PlainWorker, plain_worker
from tests.support.s3 import S3Server

BIG = os.urandom(limits.PART_BYTES * 2 + 100)
KEY = hashlib.sha256(BIG).hexdigest()


@pytest.fixture(params=["folder", "s3"])
async def hub(request: pytest.FixtureRequest, hub_process: Callable[..., HubProcess]) -> HubProcess:
    if request.param == "folder":
        return await asyncio.to_thread(hub_process)
    s3: S3Server = request.getfixturevalue("s3")
    flags = ("--blobs", f"s3://{s3.new_bucket()}/asman")
    return await asyncio.to_thread(lambda: hub_process(*flags, environment=s3.environment))


async def ask(worker: PlainWorker, key: str = KEY, size: int = len(BIG)) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[key, size]]})
            ticket: dict[str, Any] = (await worker.next("blob_tickets"))["tickets"][0]
            if not ticket.get("pending"):
                return ticket


async def send(hub: HubProcess, ticket: dict[str, Any], part: dict[str, Any]) -> int:
    url = part["url"] if part["url"].startswith("http") else hub.url + part["url"]
    body = io.BytesIO(BIG[part["offset"] : part["offset"] + part["size"]])
    async with aiohttp.ClientSession() as http, http.put(url, data=body, headers=ticket.get("headers")) as answer:
        return answer.status


async def test_an_upload_goes_on_after_the_hub_was_killed(hub: HubProcess) -> None:
    async with plain_worker(hub.url, "blobs") as worker:
        ticket = await ask(worker)
        assert [part["number"] for part in ticket["parts"]] == [1, 2, 3]
        assert await send(hub, ticket, ticket["parts"][1]) in (200, 201)
        cut = asyncio.create_task(send(hub, ticket, ticket["parts"][0]))
        await asyncio.to_thread(hub.kill)
        await asyncio.gather(cut, return_exceptions=True)
    await asyncio.to_thread(hub.start)
    async with plain_worker(hub.url, "blobs") as worker, opened_api(hub.url) as api:
        ticket = await ask(worker)
        assert 2 not in [part["number"] for part in ticket["parts"]]
        for part in ticket["parts"]:
            assert await send(hub, ticket, part) in (200, 201)
        assert (await ask(worker))["exists"]
        assert (await api.get(f"/f/{KEY}/exists")).json == {"exists": True}
        told = (await api.get("/metrics")).text
        samples = dict(line.split(" ") for line in told.splitlines() if line.startswith(("asman_blob", "asman_upl")))
        for sample, value in (("asman_blobs", 1), ("asman_blob_bytes", len(BIG)), ("asman_uploads", 0)):
            assert float(samples[sample]) == value, sample
    await asyncio.to_thread(hub.kill)
    await asyncio.to_thread(hub.start)
    async with plain_worker(hub.url, "blobs") as worker, aiohttp.ClientSession() as http:
        await worker.send({"type": "get_blobs", "ref": 2, "keys": [KEY]})
        link = (await worker.next("blob_links"))["links"][0]
        url = link["url"] if link["url"].startswith("http") else hub.url + link["url"]
        async with http.get(url) as answer:
            assert hashlib.sha256(await answer.read()).hexdigest() == KEY


async def test_an_output_is_read_from_its_job_and_validate_knows_what_is_missing(hub: HubProcess) -> None:
    body = b"an output"
    key = hashlib.sha256(body).hexdigest()
    definition = {"image": "a", "inputs": {"x": {"type": "key", "value": key}}}
    async with opened_api(hub.url) as api, plain_worker(hub.url, "blobs") as worker:
        valid = await api.post("/q/blobs/validate", {"definition": definition})
        assert valid.json["missing_blobs"] == [key]
        async with api.session.put(f"{hub.url}/f/{key}.txt", data=body) as answer:
            assert answer.status in (200, 201)
        valid = await api.post("/q/blobs/validate", {"definition": definition})
        assert (valid.json["ok"], valid.json.get("missing_blobs", [])) == (True, [])
        job = await api.submit("blobs")
        about = await worker.assigned()
        outputs = {"o.txt": {"ref": {"type": "key", "value": key}, "size": len(body), "sha256": key}}
        await worker.finish(about, outputs=outputs)
        link = (await api.get(f"/q/blobs/jobs/{job}")).json["link"]
        for path in (f"/q/blobs/jobs/{job}/outputs/o.txt", f"{link}/outputs/o.txt"):
            async with api.session.get(hub.url + path) as answer:
                assert await answer.read() == body
                assert "o.txt" in answer.headers["Content-Disposition"]


async def test_the_files_of_an_older_hub_are_taken_over_and_a_quota_is_told(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = await asyncio.to_thread(lambda: hub_process("--blob-quota", "1KiB"))
    await asyncio.to_thread(hub.kill)
    for name in ("hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm"):
        (hub.data / name).unlink(missing_ok=True)
    body = b"x" * 1000
    key = hashlib.sha256(body).hexdigest()
    (hub.data / "blobs" / key[:2]).mkdir()
    (hub.data / "blobs" / key[:2] / key).write_bytes(body)
    await asyncio.to_thread(hub.start)
    async with opened_api(hub.url) as api, plain_worker(hub.url, "blobs") as worker:
        assert (await api.get(f"/f/{key}")).body == body
        await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[KEY, 25]]})
        error = await worker.next("error")
        assert (error["code"], error.get("retry", False)) == ("quota_exceeded", False)
        assert "quota for blobs is 1 KiB with 24 B left" in error["message"]
        refused = await api.call("PUT", "/f/other", data=bytes(25))
        assert (refused.status, refused.json["code"]) == (507, "quota_exceeded")


async def test_a_storage_that_does_not_answer_holds_up_nothing_else(hub_process: Callable[..., HubProcess]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = ("--blobs", "s3://bucket", "--s3-endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}")
        keys = {"ASMAN_S3_ACCESS_KEY": "key", "ASMAN_S3_SECRET_KEY": "secret"}
        hub = await asyncio.to_thread(lambda: hub_process(*flags, environment=keys))
        async with plain_worker(hub.url, "blobs") as worker, opened_api(hub.url) as api:
            await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[KEY, len(BIG)]]})
            await worker.send({"type": "ping", "ref": 2})
            assert (await worker.next("pong"))["ref"] == 2
            job = await api.submit("blobs")
            about = await worker.assigned()
            await worker.finish(about)
            assert (await api.get(f"/q/blobs/jobs/{job}/wait")).json["verdict"]["ok"] is True


async def test_a_storage_that_is_not_there_is_said_and_used_when_it_comes(
    s3: S3Server, hub_process: Callable[..., HubProcess]
) -> None:
    flags = ("--blobs", f"s3://{s3.new_bucket()}")
    await asyncio.to_thread(s3.kill)
    hub = await asyncio.to_thread(lambda: hub_process(*flags, environment=s3.environment))
    async with plain_worker(hub.url, "blobs") as worker:
        await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[KEY, len(BIG)]]})
        error = await worker.next("error")
        assert (error["code"], error["retry"], error["ref"]) == ("unavailable", True, 1)
        assert "the storage for blobs can't be reached now" in error["message"]
        await asyncio.to_thread(s3.start)
        assert (await ask(worker))["parts"]
