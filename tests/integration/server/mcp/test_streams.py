"""Calls that take long: progress, comments, and both ways to cancel."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from asman_server.mcp.exchange import FIRST_SECONDS, PING_SECONDS
from devtools.asman_processes import AsmanProcess, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import BOTH, OLDER, Door, read_events
from tests.support.plain_worker import plain_worker


async def waiting_calls(door: Door, hub: HubProcess) -> int:
    """The number of connections to the queue, as its metrics show it: calls that wait are among them."""
    async with door.session.get(f"{hub.queue(QUEUE)}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith("asman_queue_connections{"):
                return int(float(line.rpartition(" ")[2]))
    return 0  # the queue is not there yet


async def until_waiting(door: Door, hub: HubProcess, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await waiting_calls(door, hub) != count:
            await asyncio.sleep(0.02)


async def test_progress_comes_to_whoever_asks_for_it(door: Door, hub: HubProcess) -> None:
    arguments = {"name": "submit", "arguments": {"image": "alpine", "wait": 30}}
    message = door.message("tools/call", arguments, progressToken="p")
    async with door.session.post(door.url, json=message, headers=door.headers(message)) as answer:
        assert answer.content_type == "text/event-stream"
        first = await answer.content.readuntil(b"\n\n")  # the stream is open before the job may run
        async with plain_worker(hub.url, QUEUE) as worker:
            about = await worker.assigned()
            await worker.phase(about, "pulling")
            await worker.finish(about)
            messages, _ = read_events((first + await answer.read()).decode())
    *notices, last = messages
    assert all(each["method"] == "notifications/progress" for each in notices)
    assert {each["params"]["progressToken"] for each in notices} == {"p"}
    steps = [each["params"]["progress"] for each in notices]
    assert steps == sorted(set(steps))
    assert notices[0]["params"]["message"] == "Queued"
    assert last["result"]["structuredContent"]["ok"] is True


async def test_nobody_else_gets_progress(door: Door, worker: AsmanProcess) -> None:
    assert len((await door.tool("submit", image="alpine", command=["true"])).messages) == 1


async def test_29_a_silent_call_is_kept_alive_by_comments(door: Door) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    answer = await door.tool("wait", job=job, seconds=int(FIRST_SECONDS + PING_SECONDS) + 1)
    assert answer.media == "text/event-stream"
    assert answer.comments == ["ping", "ping"]
    assert answer.told["state"] == "Queued"


async def test_29_a_call_that_waits_is_a_stream_soon(door: Door) -> None:
    """A client that has no first byte when the hub is killed ends with all that it does."""
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    answer = await door.tool("wait", job=job, seconds=int(PING_SECONDS) - 2)
    assert (answer.media, answer.comments) == ("text/event-stream", ["ping"])


async def test_29_whoever_reads_json_alone_gets_it_however_long_it_takes(door: Door) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    message = door.message("tools/call", {"name": "wait", "arguments": {"job": job, "seconds": int(PING_SECONDS) + 1}})
    answer = await door.send(message, {**door.headers(message), "Accept": "application/json"})
    assert (answer.status, answer.media, answer.told["state"]) == (200, "application/json", "Queued")


async def test_28_in_2026_a_closed_stream_cancels_the_call_and_not_the_job(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    calling = asyncio.create_task(door.tool("wait", job=job, seconds=300))
    await until_waiting(door, hub, 1)
    calling.cancel()
    await until_waiting(door, hub, 0)
    assert (await door.tool("status", job=job)).told["state"] == "Queued"


def older_wait(job: str, call_id: Any) -> dict[str, Any]:
    arguments = {"job": job, "seconds": 300}
    params = {"name": "wait", "arguments": arguments, "_meta": {"progressToken": 1}}
    return {"jsonrpc": "2.0", "id": call_id, "method": "tools/call", "params": params}


def of_session(session: str) -> dict[str, str]:
    return {"Accept": BOTH, "MCP-Protocol-Version": OLDER, "Mcp-Session-Id": session}


async def test_28_in_2025_a_message_cancels_the_call_while_its_stream_is_open(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    session, other = await door.begun(), await door.begun()
    async with door.session.post(door.url, json=older_wait(job, 7), headers=of_session(session)) as answer:
        assert (await answer.content.readuntil(b"\n\n")).startswith(b"event: message")  # progress: the stream is open
        for strange in ((other, 7), (session, "7"), (session, 8), ("", 7)):
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": strange[1]}}
            headers = {name: value for name, value in of_session(strange[0]).items() if value}
            assert (await door.send(note, headers)).status == 202
        assert await waiting_calls(door, hub) == 1
        note["params"] = {"requestId": 7, "reason": "no longer wanted"}
        assert (await door.send(note, of_session(session))).status == 202
        messages, comments = read_events((await answer.read()).decode())
    assert comments == ["cancelled"]
    assert all("id" not in each for each in messages)  # there is no answer to a cancelled call
    await until_waiting(door, hub, 0)
    assert (await door.tool("status", job=job)).told["state"] == "Queued"


async def test_28_in_2025_a_closed_stream_is_no_cancel(door: Door, hub: HubProcess) -> None:
    session = await door.begun()
    message = older_wait("", 1)
    message["params"] |= {"name": "submit", "arguments": {"image": "alpine", "wait": 300}}
    async with (
        aiohttp.ClientSession() as leaving,
        leaving.post(door.url, json=message, headers=of_session(session)) as answer,
    ):
        await answer.content.readuntil(b"\n\n")
    (job,) = (await door.tool("list")).told["jobs"]
    assert job["state"] == "Queued"  # it was submitted, and nobody waits for it any more
    await until_waiting(door, hub, 0)


async def test_a_hub_that_stops_lets_those_who_wait_go_with_what_it_knows(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    waiting = asyncio.create_task(door.tool("wait", job=job, seconds=300))
    await until_waiting(door, hub, 1)
    assert await asyncio.to_thread(hub.terminate) == 0
    assert (await waiting).told["state"] == "Queued"


@pytest.mark.parametrize("older", [False, True])
async def test_a_call_that_a_killed_hub_had_is_asked_again(door: Door, hub: HubProcess, older: bool) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    arguments = {"name": "wait", "arguments": {"job": job, "seconds": 300}}
    ask = door.older if older else door.ask
    waiting = asyncio.create_task(ask("tools/call", arguments))
    await until_waiting(door, hub, 1)
    await asyncio.to_thread(hub.restart)
    with pytest.raises(aiohttp.ClientError):
        await waiting
    again = asyncio.create_task(ask("tools/call", arguments))
    async with plain_worker(hub.url, QUEUE) as worker:
        await worker.finish(await worker.assigned())
        assert (await again).told["ok"] is True
