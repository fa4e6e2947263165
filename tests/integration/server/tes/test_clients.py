"""Real clients, each in an environment of its own, against the real hub with a real worker and containers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from devtools.asman_processes import AsmanProcess, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.tes.conftest import QUEUE
from tests.support.door_clients import told
from tests.support.plain_worker import plain_worker
from tests.support.tes_clients import GENERATIONS, run_client, started
from tests.support.tes_door import TesDoor


@pytest.mark.parametrize("client", GENERATIONS)
async def test_py_tes_uses_all_that_there_is(
    door: TesDoor, worker: AsmanProcess, busybox_image: str, client: str
) -> None:
    found = await run_client(client, door.url, busybox_image, "calls")
    service = found["service"]
    if client == "pytes":
        assert (service["id"], service["type"]["version"]) == ("asman", "1.1.0")
    else:
        assert set(service) == {"name", "doc", "storage"}
    assert found["state"] == "EXECUTOR_ERROR"
    full = found["full"]
    (log,) = full["logs"]
    (executor,) = log["logs"]
    assert (executor["exit_code"], executor["stdout"], executor["stderr"]) == (3, "out\n", "err\n")
    assert {each["path"]: each["size_bytes"] for each in log["outputs"]} == {"/out/b": 4, "/logs/o": 4}
    assert full["inputs"][0]["content"] == "text"
    assert full["tags"] == {"from": "py-tes"}
    assert "content" not in found["basic"]["inputs"][0]
    assert found["basic"]["logs"][0]["start_time"] == log["start_time"]
    steps = found["steps"]
    assert (steps["state"], [each["stdout"] for each in steps["logs"][0]["logs"]]) == ("COMPLETE", ["", "one\n"])
    assert found["cancelled"] == "CANCELED"
    assert "400" in found["refused"]
    assert found["pages"] == [found["ids"][:0:-1], found["ids"][:1]]


async def test_pydantic_tes_uses_all_that_there_is(door: TesDoor, worker: AsmanProcess, busybox_image: str) -> None:
    found = await run_client("pydantic_tes", door.url, busybox_image)
    full = found["full"]
    (log,) = full["logs"]
    assert (full["state"], log["logs"][0]["exit_code"], log["logs"][0]["stdout"]) == ("EXECUTOR_ERROR", 2, "out\n")
    assert [(each["path"], each["size_bytes"]) for each in log["outputs"]] == [("/out/b", "4")]
    assert (full["inputs"][0]["content"], full["tags"]) == ("text", {"from": "pydantic-tes"})
    assert found["basic"]["state"] == "EXECUTOR_ERROR"
    assert found["waiting"] in ("INITIALIZING", "RUNNING")
    assert found["cancelled"] == "CANCELED"
    assert "write s3://bucket/key, with the name of a bucket (outputs[0].url)" in found["refused"]
    assert found["listed"] == found["ids"][::-1]
    assert found["service"]["type"]["artifact"] == "tes"


@pytest.mark.parametrize("client", GENERATIONS)
async def test_the_hub_is_killed_while_py_tes_waits(hub: HubProcess, door: TesDoor, client: str) -> None:
    process = await started(client, door.url, "alpine", "waits")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        made = (await process.stdout.readline()).decode().strip()
    await asyncio.to_thread(hub.restart)
    assert (await door.get(made, "MINIMAL"))["state"] == "INITIALIZING"
    async with plain_worker(hub.url, QUEUE) as worker:
        await worker.finish(await worker.assigned())
        assert (await told(process))["state"] == "COMPLETE"


@asynccontextmanager
async def late(hub: HubProcess, between: Callable[[], None] = lambda: None) -> AsyncIterator[tuple[str, list[str]]]:
    """A way to the hub on which the first answer is late: it leaves when a second request has come.

    Args:
        hub: The hub.
        between: Is called when the hub has answered the first one.
    """
    second = asyncio.Event()
    paths: list[str] = []

    async def forward(request: web.Request) -> web.Response:
        paths.append(request.path)
        if len(paths) == 2:
            second.set()
        body = await request.read()
        async with (
            aiohttp.ClientSession(hub.url) as session,
            session.request(request.method, request.path_qs, data=body) as response,
        ):
            answer = await response.read()
        if len(paths) == 1:
            await asyncio.to_thread(between)
            async with asyncio.timeout(PATIENCE):
                await second.wait()
        return web.Response(body=answer, status=response.status, content_type=response.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port: int = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}", paths
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("killed", [False, True])
async def test_01_py_tes_that_gives_up_waiting_for_an_answer_gets_the_task_that_it_has_created(
    hub: HubProcess, door: TesDoor, killed: bool
) -> None:
    async with late(hub, hub.restart if killed else lambda: None) as (url, paths):
        found = await run_client("pytes", door.url.replace(hub.url, url), "alpine", "slow")
    assert [path.removeprefix(f"/q/{QUEUE}") for path in paths] == ["/ga4gh/tes/v1/tasks", "/v1/tasks"]
    status, listed = await door.ask("GET", "/tasks")
    assert (status, [each["id"] for each in listed["tasks"]]) == (200, [found["id"]])
