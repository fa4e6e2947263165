"""A hub whose disk is nearly full takes nothing new, and finishes, cancels and shows what it has."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

NEARLY_FULL = "the hub's disk is nearly full: it has "


async def readiness(api: Api) -> tuple[int, str]:
    async with api.session.get(f"{api.url}/readyz") as answer:
        return answer.status, await answer.text()


async def asked(hub: HubProcess, message: dict[str, Any]) -> dict[str, Any]:
    """The first answer to a request over a client's websocket."""
    address = hub.url.replace("http", "ws", 1) + "/q/full/client"
    async with connect(address, subprotocols=[Subprotocol("asman.v1.msgpack")]) as client, asyncio.timeout(PATIENCE):
        await client.send(msgpack.packb([{"type": "hello"}, {**message, "ref": 7}]))
        while True:
            frame = await client.recv()
            assert isinstance(frame, bytes)
            for found in msgpack.unpackb(frame):
                if found.get("ref") == 7:
                    return dict(found)


@pytest.fixture
async def filled(hub_process: Callable[..., HubProcess]) -> HubProcess:
    """A hub with a finished job, two waiting ones and a file, that now wants more free space than any disk has."""
    hub = await asyncio.to_thread(hub_process)
    async with opened_api(hub.url) as api:
        async with plain_worker(hub.url, "full") as worker:
            await api.submit("full", "finished")
            await worker.finish(await worker.assigned())
        await api.submit("full", "running")
        await api.submit("full", "waiting")
        assert (await readiness(api))[0] == 200
        assert (await api.call("PUT", "/f/old.txt", data=b"old")).status == 201
    await asyncio.to_thread(hub.kill)
    return await asyncio.to_thread(lambda: hub_process("--data-dir", str(hub.data), "--disk-reserve", "4096TiB"))


async def test_nothing_new_is_taken_on_any_way_in(filled: HubProcess) -> None:
    key = hashlib.sha256(b"new").hexdigest()
    definition = {"image": "new"}
    async with opened_api(filled.url) as api:
        answers = [
            await api.post("/q/full/jobs", {"definition": definition}),
            await api.post("/q/full", {"definition": definition}),
            await api.call("PUT", f"/f/{key}", data=b"new"),
            await api.call("PUT", "/f/new.txt", data=b"new"),
        ]
        for answer in answers:
            assert (answer.status, answer.json["code"]) == (507, "quota_exceeded"), answer.text
            assert answer.json["error"].startswith(NEARLY_FULL)
    for message in (
        {"type": "submit", "namespace": "n", "definition": definition},
        {"type": "put_blobs", "blobs": [[key, 3]]},
        {"type": "put_blobs", "blobs": [[key, 100_000_000]]},
    ):
        error = await asked(filled, message)
        assert (error["type"], error["code"]) == ("error", "quota_exceeded"), error
        assert error["message"].startswith(NEARLY_FULL)


async def test_the_hub_says_that_it_is_not_ready_and_stays_healthy(filled: HubProcess) -> None:
    async with opened_api(filled.url) as api:
        status, why = await readiness(api)
        assert (status, why.startswith(NEARLY_FULL)) == (503, True), why
        assert (await api.get("/healthz")).status == 200


async def test_what_was_taken_is_finished_cancelled_and_read_and_its_log_says_what_is_missing(
    filled: HubProcess,
) -> None:
    async with opened_api(filled.url) as api, plain_worker(filled.url, "full") as worker:
        assert (await api.get("/f/old.txt")).body == b"old"
        again = await api.post("/q/full/jobs", {"definition": {"image": "finished"}})
        assert (again.status, again.json["answer"]) == (200, "cached")
        about = await worker.assigned()
        joined = await api.post("/q/full/jobs", {"definition": {"image": "running"}})
        assert (joined.json["answer"], joined.json["job"]["id"]) == ("joined", about["job"])
        for first in (0, 3):
            lines = [[seq, 1000, 0, f"line {seq}", "running"] for seq in range(first, first + 3)]
            await worker.send({"type": "log_batch", "lines": lines, **about})
        await worker.finish(about, lines=6)
        ended = (await api.get(f"/q/full/jobs/{about['job']}/wait")).json
        assert (ended["verdict"]["ok"], ended["verdict"]["lines"]) == (True, 6)
        page = (await api.get(f"/q/full/jobs/{about['job']}/log")).json
        (line,) = page["lines"]
        assert line["seq"] == 0
        assert line["text"].startswith(f"from here on, lines of this log are not kept: {NEARLY_FULL}")
        waiting = await worker.assigned()
        cancelled = await api.post(f"/q/full/jobs/{waiting['job']}/cancel")
        assert cancelled.status == 200
        # A new run of a finished job is new work.
        forced = await api.post("/q/full/jobs", {"definition": {"image": "finished"}, "reuse": "never"})
        assert forced.status == 507
