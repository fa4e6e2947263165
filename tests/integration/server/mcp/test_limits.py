"""Each bound of the door, reached and exceeded."""

from __future__ import annotations

import asyncio
import json

import pytest

from asman_server.mcp.contents import LINKS, TEXTS
from asman_server.mcp.in_flight import WAITS, WAITS_OF_QUEUE, InFlight
from asman_server.mcp.protocol import ID_LENGTH, ID_NUMBER, METHOD_LENGTH
from asman_shared import limits
from asman_shared.errors import Overloaded
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.mcp.conftest import QUEUE
from tests.integration.server.mcp.test_streams import until_waiting
from tests.support.mcp_door import BOTH, Door
from tests.support.plain_worker import plain_worker


async def test_a_body_has_at_most_four_mebibytes(door: Door, hub: HubProcess) -> None:
    message = door.message(
        "tools/call", {"name": "submit", "arguments": {"image": "alpine", "wait": 0, "files": {"a": ""}}}
    )
    room = limits.FRAME_BYTES - len(json.dumps(message))
    message["params"]["arguments"]["files"]["a"] = "x" * room
    fits = await door.send(message, door.headers(message))
    assert fits.told["answer"] == "queued"
    # The hub answers as soon as the size is announced, so the rest is not sent here.
    host, _, port = hub.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /q/{QUEUE}/mcp HTTP/1.1\r\nHost: hub\r\nContent-Length: {limits.FRAME_BYTES + 1}\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE):
        status, _, body = (await reader.readuntil(b"}}")).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in status
    assert b"may have 4 MiB" in body


async def test_so_many_calls_of_a_queue_wait_and_no_more(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    waiting = [asyncio.create_task(door.tool("wait", job=job, seconds=300)) for _ in range(WAITS_OF_QUEUE)]
    await until_waiting(door, hub, WAITS_OF_QUEUE)
    beyond = await door.tool("wait", job=job, seconds=1)
    assert beyond.result["isError"] is True
    assert f"the job {job} goes on: ask for its status" in beyond.text
    assert (await door.tool("status", job=job)).told["state"] == "Queued"
    submitted = await door.tool("submit", image="alpine:2", wait=1)
    assert submitted.result["isError"] is True
    newest, _ = (await door.tool("list")).told["jobs"]
    assert newest["job"] in submitted.text  # so that its sender can ask for it
    door.url = f"{hub.queue('another')}/mcp"
    assert (await door.tool("submit", image="alpine", wait=1)).told["state"] == "Queued"
    door.url = f"{hub.queue(QUEUE)}/mcp"
    waiting.pop().cancel()
    await until_waiting(door, hub, WAITS_OF_QUEUE - 1)
    assert (await door.tool("wait", job=job, seconds=1)).told["state"] == "Queued"
    await door.tool("cancel", job=job)
    assert {each.told["reason"] for each in await asyncio.gather(*waiting)} == {"Cancelled"}


def test_so_many_calls_of_a_hub_wait_and_no_more() -> None:
    calls = InFlight()
    held = []
    for number in range(WAITS):
        held.append(calls.waits(f"queue-{number % (WAITS // WAITS_OF_QUEUE + 1)}", "job"))
        held[-1].__enter__()
    with pytest.raises(Overloaded, match=str(WAITS)), calls.waits("another", "job"):
        pass
    for each in held:
        each.__exit__(None, None, None)
    assert not calls.waiting
    with calls.waits("another", "job"):
        assert calls.waiting["another"] == 1


async def test_names_have_bounds(door: Door) -> None:
    longest = door.message("x" * METHOD_LENGTH)
    assert (await door.send(longest, door.headers(longest))).error["code"] == -32601
    beyond = door.message("x" * (METHOD_LENGTH + 1))
    assert (await door.send(beyond, door.headers(beyond))).error["code"] == -32600
    for length, status in ((ID_LENGTH, 200), (ID_LENGTH + 1, 400)):
        headers = {"Accept": BOTH, "Mcp-Session-Id": "s" * length}
        answer = await door.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers)
        assert answer.status == status
        answer = await door.send({"jsonrpc": "2.0", "id": "i" * length, "method": "ping"}, {"Accept": BOTH})
        assert answer.status == status
    for number, status in ((ID_NUMBER - 1, 200), (ID_NUMBER, 400), (-ID_NUMBER, 200), (-ID_NUMBER - 1, 400)):
        answer = await door.send({"jsonrpc": "2.0", "id": number, "method": "ping"}, {"Accept": BOTH})
        assert (answer.status, answer.messages[0]["id"]) == (status, number if status == 200 else None)
        token = {"_meta": {"progressToken": number}}
        answer = await door.send({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": token}, {"Accept": BOTH})
        assert answer.status == status


async def test_an_answer_about_a_job_has_bounds(door: Door, hub: HubProcess) -> None:
    long = "x" * 50_000
    outputs = {
        f"{i:04}.txt": {"ref": {"type": "utf8", "value": "y" * 1000}, "size": 1000, "sha256": "x"} for i in range(500)
    }
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    async with plain_worker(hub.url, QUEUE) as worker:
        about = await worker.assigned()
        await worker.phase(about)
        for i in range(40):
            await worker.log(about, i, f"Error {long}")
        await worker.finish(about, exit_code=1, lines=40, outputs=outputs)
    answer = await door.tool("status", job=job)
    assert len(answer.told["outputs"]) == LINKS
    assert answer.told["more_outputs"] == 500 - LINKS
    assert max(map(len, answer.told["log_tail"])) == 500
    assert len(json.dumps(answer.result)) < 200_000
    files = await door.tool("outputs", job=job, max_bytes=limits.TOOL_TEXT_BYTES)
    assert files.text.count(" ---\n") == TEXTS
    assert len([each for each in files.result["content"] if each["type"] == "resource_link"]) == LINKS - TEXTS
    logs = await door.tool("logs", job=job, max_bytes=limits.TOOL_TEXT_BYTES)
    assert limits.TOOL_TEXT_BYTES - 60_000 < len(logs.text) < limits.TOOL_TEXT_BYTES + 200
