"""Both eras of MCP at one address, by plain HTTP.

The numbers in the names of tests are those of the recorded findings about clients.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from multidict import CIMultiDict

from devtools.asman_processes import HubProcess
from tests.support.mcp_door import BOTH, OLDER, TASKS, VERSION, Door

LISTS = ("server/discover", "tools/list", "resources/list", "resources/templates/list")


async def test_18_a_request_of_2026_stands_alone(door: Door) -> None:
    found = (await door.ask("server/discover")).result
    assert found["supportedVersions"] == [VERSION]
    assert found["capabilities"] == {
        "tools": {},
        "resources": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "asman"
    assert "submit" in found["instructions"]
    assert [each["name"] for each in (await door.ask("tools/list")).result["tools"]] == [
        "submit", "status", "wait", "logs", "outputs", "cancel", "explain", "list"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "given"),
    [(OLDER, OLDER), ("2025-06-18", "2025-06-18"), ("2025-03-26", "2025-03-26"), ("2024-01-01", OLDER)],
)
async def test_18_the_older_era_begins_with_initialize(door: Door, asked: str, given: str) -> None:
    client = {"name": "test", "version": "1"}
    begun = await door.older("initialize", {"protocolVersion": asked, "capabilities": {}, "clientInfo": client})
    assert begun.result["protocolVersion"] == given
    assert begun.result["capabilities"] == {"tools": {}, "resources": {}}
    assert begun.result["serverInfo"]["name"] == "asman"
    session = begun.headers["Mcp-Session-Id"]
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    noted = await door.send(note, {"Accept": BOTH, "MCP-Protocol-Version": OLDER, "Mcp-Session-Id": session})
    assert (noted.status, noted.messages) == (202, [])
    assert (await door.older("ping", session=session)).result == {}
    tools = (await door.older("tools/list", session=session)).result
    assert tools.keys() == {"tools"}
    assert len(tools["tools"]) == 8


async def test_18_a_session_of_the_older_era_is_remembered_by_nobody(door: Door, hub: HubProcess) -> None:
    session = await door.begun()
    await asyncio.to_thread(hub.restart)
    for known in (session, "another", ""):
        assert (await door.older("ping", session=known)).result == {}


async def test_18_no_version_at_all_is_the_older_era(door: Door) -> None:
    answer = await door.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Accept": BOTH})
    assert answer.result == {}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_18_there_is_no_stream_of_the_hubs_own_and_nothing_to_delete(door: Door, method: str) -> None:
    async with door.session.request(method, door.url, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 405
        assert "POST" in answer.headers["Allow"]
        assert "not allowed" in (await answer.json())["error"]


@pytest.mark.parametrize("method", LISTS)
async def test_19_lists_of_2026_say_that_they_are_complete_and_how_long_they_keep(door: Door, method: str) -> None:
    modern = (await door.ask(method)).result
    assert modern["resultType"] == "complete"
    assert isinstance(modern["ttlMs"], int)
    assert modern["cacheScope"] == "private"
    if method != "server/discover":
        older = (await door.older(method)).result
        assert not older.keys() & {"resultType", "ttlMs", "cacheScope", "_meta"}


async def test_19_every_result_of_2026_has_its_type(door: Door) -> None:
    assert (await door.tool("list")).result["resultType"] == "complete"
    assert (await door.tool("status", job="x")).result["resultType"] == "complete"
    assert "resultType" not in (await door.older("tools/call", {"name": "list"})).result


@pytest.mark.parametrize(
    "change",
    [
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": None},
        {"Mcp-Name": "wait"},
        {"Mcp-Name": None},
        {"MCP-Protocol-Version": None},
        {"MCP-Protocol-Version": OLDER},
        {"Mcp-Name": "=?base64?!?="},
        {"Mcp-Name": "=?base64?/w==?="},
    ],
)
async def test_23_headers_must_repeat_the_body(door: Door, change: dict[str, str | None]) -> None:
    message = door.message("tools/call", {"name": "list"})
    headers = {name: value for name, value in {**door.headers(message), **change}.items() if value is not None}
    answer = await door.send(message, headers)
    assert (answer.status, answer.error["code"]) == (400, -32020)
    assert answer.messages[0]["id"] == message["id"]


async def test_23_a_header_that_comes_twice_is_refused(door: Door) -> None:
    message = door.message("tools/list")
    headers = CIMultiDict([*door.headers(message).items(), ("Mcp-Method", "tools/list")])
    async with door.session.post(door.url, json=message, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, -32020)


async def test_23_tasks_may_come_without_a_name_but_not_with_a_wrong_one(door: Door) -> None:
    door.capabilities = TASKS
    message = door.message("tasks/get", {"taskId": "unknown"})
    without = await door.send(message, door.headers(message))
    assert (without.status, without.error["code"]) == (400, -32602)
    wrong = await door.send(message, {**door.headers(message), "Mcp-Name": "other"})
    assert (wrong.status, wrong.error["code"]) == (400, -32020)
    right = await door.send(message, {**door.headers(message), "Mcp-Name": "unknown"})
    assert right.error["code"] == -32602


async def test_24_values_of_headers_may_be_base64(door: Door) -> None:
    uri = "asman://jobs/ä"
    message = door.message("resources/read", {"uri": uri})
    encoded = f"=?base64?{base64.b64encode(uri.encode()).decode()}?="
    answer = await door.send(message, {**door.headers(message), "Mcp-Name": encoded})
    assert (answer.status, answer.error["code"]) == (400, -32602)  # it is understood, and there is no such resource


async def test_25_no_argument_is_wanted_in_a_header(door: Door) -> None:
    assert "x-mcp-header" not in str((await door.ask("tools/list")).result)


async def test_26_errors_have_the_codes_and_statuses_that_clients_know(door: Door) -> None:
    message = door.message("tools/list")
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2027-01-01"
    unknown = await door.send(message, {**door.headers(message), "MCP-Protocol-Version": "2027-01-01"})
    assert (unknown.status, unknown.error["code"]) == (400, -32022)
    assert unknown.error["data"] == {"supported": [VERSION], "requested": "2027-01-01"}

    for missing in ("protocolVersion", "clientCapabilities"):
        message = door.message("tools/list")
        del message["params"]["_meta"][f"io.modelcontextprotocol/{missing}"]
        lacking = await door.send(message, door.headers(message))
        assert (lacking.status, lacking.error["code"]) == (400, -32602)
        assert missing in lacking.error["message"]

    for method in ("tasks/list", "tasks/result", "initialize", "ping", "prompts/list", "subscriptions/listen", "x"):
        absent = await door.ask(method)
        assert (absent.status, absent.error["code"]) == (404, -32601), method
    for method in ("server/discover", "tasks/get", "logging/setLevel", "x"):
        absent = await door.older(method)
        assert (absent.status, absent.error["code"]) == (200, -32601), method

    no_tool = await door.tool("nothing")
    assert (no_tool.status, no_tool.error["code"]) == (400, -32602)
    assert "submit" in no_tool.error["message"]
    wrong = await door.tool("submit", imge="alpine")
    assert (wrong.status, wrong.result["isError"]) == (200, True)


async def test_30_ids_come_back_with_their_type(door: Door) -> None:
    for given in (1, 0, -5, 2**53, "1", "listen-1", ""):
        message = {**door.message("tools/list"), "id": given}
        answer = await door.send(message, door.headers(message))
        assert answer.messages[0]["id"] == given
        assert type(answer.messages[0]["id"]) is type(given)
        assert (await door.older("ping", call_id=given)).messages[0]["id"] == given


@pytest.mark.parametrize("given", [None, True, 1.5, [1], {"a": 1}, "x" * 257])
async def test_30_other_ids_are_refused(door: Door, given: Any) -> None:
    message = {**door.message("tools/list"), "id": given}
    answer = await door.send(message, door.headers(message))
    assert (answer.status, answer.error["code"], answer.messages[0]["id"]) == (400, -32600, None)


async def test_31_no_tool_promises_a_shape_of_its_results(door: Door) -> None:
    assert all("outputSchema" not in each for each in (await door.ask("tools/list")).result["tools"])


@pytest.mark.parametrize("accept", [BOTH, "*/*", "application/json", "application/json;q=0.5, */*;q=0.1", None])
async def test_33_whoever_reads_json_is_answered(door: Door, accept: str | None) -> None:
    message = door.message("tools/list")
    headers = {**door.headers(message), "Accept": accept or ""}
    if accept is None:
        del headers["Accept"]
    answer = await door.send(message, headers)
    assert (answer.status, answer.media) == (200, "application/json")


async def test_33_whoever_reads_neither_is_told_so(door: Door) -> None:
    message = door.message("tools/list")
    answer = await door.send(message, {**door.headers(message), "Accept": "text/html"})
    assert (answer.status, answer.error["code"]) == (406, -32600)


NOT_A_MESSAGE = {
    b"": -32700,
    b"{": -32700,
    b"\xff": -32700,
    b"null": -32600,
    b"[]": -32600,
    b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]': -32600,
    b"{}": -32600,
    b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}': -32600,
    b'{"jsonrpc": "2.0", "id": 1}': -32600,
    b'{"jsonrpc": "2.0", "id": 1, "method": 5}': -32600,
    b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}': -32602,
    b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": {"progressToken": true}}}': -32602,
    b"[" * 100_000: -32700,
}


@pytest.mark.parametrize("body", NOT_A_MESSAGE, ids=lambda body: body[:70].decode("latin-1"))
async def test_what_is_no_message_is_refused_in_a_sentence(door: Door, hub: HubProcess, body: bytes) -> None:
    for headers in ({"Accept": BOTH}, {"Accept": BOTH, "MCP-Protocol-Version": VERSION, "Mcp-Method": "ping"}):
        answer = await door.send(body, headers)
        assert answer.error["code"] == NOT_A_MESSAGE[body]
        assert answer.status == 400
        assert len(answer.error["message"]) > 10
    assert "Traceback" not in hub.output()


async def test_notes_are_taken_and_answers_are_not_wanted(door: Door) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
    assert (await door.send(note, {"Accept": BOTH})).status == 202
    assert (await door.send(note, {"Accept": BOTH, "MCP-Protocol-Version": VERSION})).status == 202
    unknown = await door.send(note, {"Accept": BOTH, "MCP-Protocol-Version": "2027-01-01"})
    assert (unknown.status, unknown.error["code"]) == (400, -32022)
    reply = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await door.send(reply, {"Accept": BOTH, "MCP-Protocol-Version": OLDER})).status == 202
    assert (await door.send(reply, {"Accept": BOTH, "MCP-Protocol-Version": VERSION})).status == 400


async def test_a_name_that_no_queue_can_have_is_refused_without_being_repeated(hub: HubProcess, door: Door) -> None:
    door.url = f"{hub.url}/q/-secret-name/mcp"
    answer = await door.ask("tools/list")
    assert (answer.status, answer.error["code"]) == (400, -32602)
    assert "secret" not in str(answer.messages)


async def test_pages_of_other_origins_may_use_a_queue_whose_name_they_know(door: Door) -> None:
    answer = await door.ask("tools/list")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    async with door.session.options(door.url, headers={"Access-Control-Request-Method": "POST"}) as preflight:
        assert preflight.status == 204
