"""Arguments of tools and parts of messages are fed odd values; each call is answered, and the hub lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from asman_server.mcp.tools import TOOLS
from devtools.asman_processes import HubProcess
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import BOTH, OLDER, TASKS, VERSION, Door, opened_door
from tests.support.unharmed import unharmed

JOB = "0" * 64
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 1.5, -0.0, 1e308,
    "", " ", "\0", "a\nb", "\x7f", "ä", "𝄞", "~", "..", "/", "%00", "x" * 1025, "{", "null", "\u2028",
    [], [None], [[]], ["x"], [0], {}, {"": ""}, {"a": None}, {"value": 1, "type": "json"}, {"base64": "%"},
]  # fmt: skip
METHODS = [
    "server/discover", "initialize", "ping", "tools/list", "tools/call", "resources/list", "resources/read",
    "resources/templates/list", "tasks/get", "tasks/cancel", "tasks/update", "notifications/cancelled",
]  # fmt: skip
PARAMS = ["name", "arguments", "uri", "cursor", "taskId", "protocolVersion", "requestId", "_meta"]
FIRST = {"submit": {"image": "alpine", "wait": 0}}


@pytest.fixture
async def wild(hub_process: Callable[..., HubProcess]) -> AsyncIterator[Door]:
    async with unharmed(hub_process) as hub, opened_door(hub.queue(QUEUE)) as door:
        await door.tool("submit", image="alpine", wait=0)
        yield door


@pytest.mark.parametrize("tool", TOOLS)
async def test_every_argument_is_read_or_refused_in_a_sentence(wild: Door, tool: str) -> None:
    calls = []
    for name in [each.encode_name for each in msgspec.structs.fields(TOOLS[tool].arguments)] + ["unknown"]:
        for value in ODD:
            if name in ("wait", "seconds") and isinstance(value, int) and value > 1:
                continue  # it would be waited for
            first = FIRST.get(tool, {"job": JOB} if tool != "list" else {})
            calls.append(wild.tool(tool, **{**first, name: value}))
    for begun in range(0, len(calls), 25):
        for answer in await asyncio.gather(*calls[begun : begun + 25]):
            assert answer.status == 200, answer.messages
            assert answer.result["content"][0]["text"]


async def test_every_part_of_a_message_is_read_or_refused(wild: Door) -> None:
    wild.capabilities = TASKS
    for method in METHODS:
        calls = []
        for name in PARAMS:
            for value in ODD:
                modern = wild.message(method, {name: value})
                headers = {"Accept": BOTH, "MCP-Protocol-Version": VERSION, "Mcp-Method": method}
                if name in ("name", "uri") and isinstance(value, str) and value.isprintable() and value.isascii():
                    headers["Mcp-Name"] = value
                calls.append(wild.send(modern, headers))
                calls.append(wild.older(method, {name: value}))
        for begun in range(0, len(calls), 25):
            for answer in await asyncio.gather(*calls[begun : begun + 25]):
                assert answer.status in (200, 400, 404), answer.messages
                message = answer.messages[0]
                assert ("result" in message) != ("error" in message)
                if "error" in message:
                    assert message["error"]["message"] != "an error in the hub; it was logged"


@pytest.mark.parametrize("member", ["jsonrpc", "id", "method", "params"])
async def test_every_member_of_a_message_is_read_or_refused(wild: Door, member: str) -> None:
    for value in ODD:
        for headers in ({"MCP-Protocol-Version": OLDER}, {"MCP-Protocol-Version": VERSION, "Mcp-Method": "ping"}):
            message = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}, member: value}
            answer = await wild.send(message, {"Accept": BOTH, **headers})
            assert answer.status in (200, 400, 404)
            assert answer.messages[0]["jsonrpc"] == "2.0"


async def test_odd_headers_are_read_or_refused(wild: Door) -> None:
    message = wild.message("tools/call", {"name": "list"})
    for name in ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id", "Accept", "Content-Type"):
        for value in (
            "",
            " ",
            "ä",
            "x" * 5000,
            "=?base64?",
            "=?base64??=",
            "*",
            ",,;q=",
            "\t",
            "0",
            "2026-07-28,2026-07-28",
        ):
            for body in (message, {"jsonrpc": "2.0", "id": 1, "method": "ping"}):
                answer = await wild.send(body, {**wild.headers(message), name: value})
                assert answer.status in (200, 400, 404, 406), (name, value, answer.messages)
