"""The address of the hub's own MCP server, where something else names the queue, and what tells about it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from devtools.asman_processes import AsmanProcesses, HubProcess
from tests.integration.server.mcp.conftest import QUEUE
from tests.integration.server.mcp.test_streams import older_wait, waiting_calls
from tests.support.mcp_door import BOTH, OLDER, Door, opened_door, read_events


@pytest.fixture
async def hub_door(hub: HubProcess, door: Door) -> Door:
    door.url = f"{hub.url}/mcp"
    return door


async def test_a_header_names_the_queue(hub_door: Door) -> None:
    message = hub_door.message("tools/call", {"name": "submit", "arguments": {"image": "alpine", "wait": 0}})
    answer = await hub_door.send(message, {**hub_door.headers(message), "X-Asman-Queue": QUEUE})
    assert answer.told["answer"] == "queued"
    message = hub_door.message("resources/read", {"uri": f"asman://jobs/{answer.told['job']}"})
    read = await hub_door.send(message, {**hub_door.headers(message), "X-Asman-Queue": QUEUE})
    assert answer.told["job"] in read.result["contents"][0]["text"]
    message = hub_door.message("tools/list")
    listed = await hub_door.send(message, {**hub_door.headers(message), "X-Asman-Queue": QUEUE})
    assert all("queue" not in each["inputSchema"]["properties"] for each in listed.result["tools"])


async def test_the_query_or_an_argument_names_the_queue(hub_door: Door) -> None:
    tools = (await hub_door.ask("tools/list")).result["tools"]
    assert all(each["inputSchema"]["required"][0] == "queue" for each in tools)
    submitted = await hub_door.tool("submit", queue=QUEUE, image="alpine", wait=0)
    job = submitted.told["job"]
    assert (await hub_door.tool("status", queue=QUEUE, job=job)).told["state"] == "Queued"
    assert (await hub_door.tool("status", queue="another", job=job)).text == "this queue has no jobs"
    older = await hub_door.older("tools/call", {"name": "status", "arguments": {"queue": QUEUE, "job": job}})
    assert older.told["state"] == "Queued"
    hub_door.url += f"?queue={QUEUE}"
    assert (await hub_door.tool("status", job=job)).told["state"] == "Queued"
    assert (await hub_door.ask("resources/list")).result["resources"] == []


@pytest.mark.parametrize("name", ["Übung für alle", "lab@home"])
async def test_an_older_name_is_the_same_queue_wherever_it_is(hub_door: Door, hub: HubProcess, name: str) -> None:
    job = (await hub_door.tool("submit", queue=name, image="alpine", wait=0)).told["job"]
    message = hub_door.message("tools/call", {"name": "status", "arguments": {"job": job}})
    for url, more in (
        (f"{hub.url}/mcp", {"X-Asman-Queue": name}),
        (f"{hub.url}/mcp?queue={quote(name)}", {}),
        (f"{hub.queue(quote(name))}/mcp", {}),
    ):
        hub_door.url = url
        assert (await hub_door.send(message, {**hub_door.headers(message), **more})).told["state"] == "Queued", url


async def test_who_names_no_queue_or_a_wrong_one_is_told_how(hub_door: Door) -> None:
    for method in ("server/discover", "tools/list", "resources/templates/list"):
        assert (await hub_door.ask(method)).status == 200
    session = await hub_door.begun()
    assert (await hub_door.older("ping", session=session)).result == {}
    nameless = await hub_door.tool("list")
    assert nameless.result["isError"] is True
    assert "X-Asman-Queue" in nameless.text
    for method in ("resources/list", "tasks/get"):
        refused = await hub_door.ask(method)
        assert (refused.status, refused.error["code"]) == (400, -32602)
        assert "X-Asman-Queue" in refused.error["message"]
    for wrong in ("-secret", "a/b", "x" * 129, 5, ["a"]):
        refused = await hub_door.tool("list", queue=wrong)
        assert (refused.status, "a queue name has 1 to 128" in refused.error["message"]) == (400, True)
        assert "secret" not in str(refused.messages)


async def test_the_queue_local_is_reached_at_its_own_address_alone(processes: AsmanProcesses) -> None:
    hub = await asyncio.to_thread(processes.hub, environment={"ASMAN_LOCAL_QUEUE": QUEUE})
    async with opened_door(hub.queue("local")) as door:
        job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
        message = door.message("tools/list")
        for strange in ({"Origin": "https://page.example"}, {"Host": "rebound.example"}):
            refused = await door.session.post(door.url, json=message, headers={**door.headers(message), **strange})
            assert refused.status == 403
            refused.close()
        door.url = f"{hub.url}/mcp"
        assert (await door.tool("status", queue=QUEUE, job=job)).told["state"] == "Queued"
        refused_name = await door.tool("status", queue="local", job=job)
        assert "/q/local/mcp" in refused_name.error["message"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp?queue=local", f"/mcp?queue={QUEUE}", "/q/local/mcp"])
async def test_pages_of_other_origins_use_no_door_of_a_machines_own_hub(processes: AsmanProcesses, path: str) -> None:
    hub = await asyncio.to_thread(processes.hub, environment={"ASMAN_LOCAL_QUEUE": QUEUE})
    async with opened_door(hub.queue("local")) as door:
        door.url = hub.url + path
        # A simple request: browsers send it without asking first.
        for page in ({"Origin": "https://page.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            for named in ({}, {"X-Asman-Queue": "local"}, {"X-Asman-Queue": QUEUE}):
                arguments = {"queue": "local", "image": "alpine", "wait": 0}
                call = {"name": "submit", "arguments": arguments}
                message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
                headers = {"Content-Type": "text/plain", **page, **named}
                async with door.session.post(door.url, json=message, headers=headers) as refused:
                    assert (refused.status, "Access-Control-Allow-Origin" in refused.headers) == (403, False)
            for told in ("/mcp/health", "/mcp/info", "/skill.md"):
                async with door.session.get(hub.url + told, headers=page) as refused:
                    assert refused.status == 403
        door.url = f"{hub.queue(QUEUE)}/mcp"
        assert (await door.tool("list")).told["jobs"] == []


@pytest.mark.parametrize("place", ["argument", "header", "query"])
async def test_a_message_cancels_a_call_wherever_the_queue_is_named(
    hub_door: Door, hub: HubProcess, place: str
) -> None:
    job = (await hub_door.tool("submit", queue=QUEUE, image="alpine", wait=0)).told["job"]
    session = await hub_door.begun()
    headers = {"Accept": BOTH, "MCP-Protocol-Version": OLDER, "Mcp-Session-Id": session}
    call = older_wait(job, 7)
    if place == "argument":
        call["params"]["arguments"]["queue"] = QUEUE
    elif place == "header":
        headers["X-Asman-Queue"] = QUEUE
    else:
        hub_door.url += f"?queue={QUEUE}"
    async with hub_door.session.post(hub_door.url, json=call, headers=headers) as answer:
        await answer.content.readuntil(b"\n\n")
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        strange = await hub_door.begun()
        assert (await hub_door.send(note, {**headers, "Mcp-Session-Id": strange})).status == 202
        assert await waiting_calls(hub_door, hub) == 1
        assert (await hub_door.send(note, headers)).status == 202
        messages, comments = read_events((await answer.read()).decode())
    assert comments == ["cancelled"]
    assert all("id" not in each for each in messages)


async def test_what_tells_about_the_server(hub_door: Door, hub: HubProcess) -> None:
    async with hub_door.session.get(f"{hub.url}/mcp/health") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    async with hub_door.session.get(f"{hub.url}/mcp/info") as answer:
        about = await answer.json()
    assert about["protocol_versions"][:2] == ["2026-07-28", "2025-11-25"]
    assert set(about["tools"]) == {each["name"] for each in (await hub_door.ask("tools/list")).result["tools"]}
    async with hub_door.session.get(hub.url + about["skill"]) as answer:
        assert answer.content_type == "text/markdown"
        skill = await answer.text()
    assert skill.startswith("---\nname: asman-queue\n")
    for tool in about["tools"]:
        assert f"`{tool}`" in skill or tool in ("status", "outputs", "list")


async def test_a_hub_that_can_take_no_jobs_says_why(processes: AsmanProcesses) -> None:
    hub = await asyncio.to_thread(processes.hub, "--disk-reserve", "1000000GiB")
    async with opened_door(hub.queue(QUEUE)) as door:
        async with door.session.get(f"{hub.url}/mcp/health") as answer:
            assert (answer.status, (await answer.json())["status"]) == (503, "unavailable")
        refused = await door.tool("submit", image="alpine")
        assert refused.result["isError"] is True
        assert "disk" in refused.text
