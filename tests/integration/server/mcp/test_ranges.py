"""Each argument of each tool, and each parameter of the methods, is fed its bounds and what is beyond, and answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from msgspec import inspect as shape

from asman_server.mcp.tools import TOOLS, Tool
from devtools.asman_processes import HubProcess
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import Door, opened_door
from tests.support.ranges import JOB, NUMBERS, OTHERS, Place, all_edges, named, parts, replaced
from tests.support.unharmed import unharmed

ODD: tuple[Any, ...] = (*NUMBERS, *OTHERS, "x" * 300, "x" * 70_000, [[]], [None], {"": ""}, {"a": None}, "\ud800")
FITTING: dict[str, dict[str, Any]] = {"submit": {"image": "a", "wait": 0}, "list": {}}
"""Arguments that fit; those of the others name a job that is not there, so that nothing waits for it."""
WAITS = ("submit", "wait")
"""The argument of a submission that makes the call wait."""


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    async with unharmed(hub_process) as started:
        yield started


@pytest.fixture
async def door(hub: HubProcess) -> AsyncIterator[Door]:
    async with opened_door(hub.queue(QUEUE)) as opened:
        yield opened


def cases(tool: Tool) -> Iterator[tuple[Place, Any, int | float | None]]:
    """Each part of a tool's arguments with its edges (and the bound that is broken), and with values of all sorts."""
    for path, info in parts(shape.type_info(tool.arguments)):
        for value, broken in all_edges(info):
            if (tool.name, path[0]) != WAITS or broken is not None or not value:
                yield path, value, broken
        if (tool.name, path[0]) != WAITS:
            yield from ((path, value, None) for value in ODD)


async def told(door: Door, method: str, params: Any) -> tuple[bool, str]:
    """Whether a request was carried out, and what it was told in words; it is answered in the form of the protocol."""
    message = door.message(method)
    message["params"] = {**message["params"], **params} if isinstance(params, dict) else params
    headers = door.headers(door.message(method, {"name": "list", "uri": "asman://x"}))
    named_by = params.get("name") if isinstance(params, dict) else None
    if isinstance(named_by, str) and named_by in TOOLS:
        headers["Mcp-Name"] = named_by
    answer = await door.send(json.dumps(message).encode(), headers)
    assert answer.status in (200, 400, 404), (answer.status, answer.messages)
    (said,) = answer.messages[-1:]
    if "error" in said:
        assert set(said["error"]) >= {"code", "message"}
        assert said["error"]["code"] != -32603, said
        return False, str(said["error"]["message"])
    text = "\n".join(each.get("text", "") for each in said["result"].get("content", ()))
    return not said["result"].get("isError", False), text


@pytest.mark.parametrize("name", TOOLS)
async def test_every_argument_of_a_tool_is_held_to_its_range(door: Door, name: str) -> None:
    tool = TOOLS[name]
    kind = shape.type_info(tool.arguments)
    fits = FITTING.get(name, {"job": JOB})
    refused = 0
    for path, value, broken in cases(tool):
        arguments = replaced(fits, kind, path, value)
        done, said = await told(door, "tools/call", {"name": name, "arguments": arguments})
        case = (named(path), str(value)[:60], broken, said[:300])
        if broken is not None:
            refused += 1
            assert not done, case
            assert str(path[0]) in said, case
        assert done or said, case
    assert refused >= 2
    for arguments in (None, [], "x", 5, {"nothing": 1}):
        done, said = await told(door, "tools/call", {"name": name, "arguments": arguments})
        assert done is (name == "list" and arguments is None), (arguments, said)


async def test_every_parameter_of_a_method_may_be_anything(door: Door) -> None:
    for method, names in {
        "tools/list": ("cursor",),
        "resources/list": ("cursor",),
        "resources/templates/list": ("cursor",),
        "resources/read": ("uri",),
        "tools/call": ("name", "arguments", "task", "requestState", "inputResponses"),
        "tasks/get": ("taskId",),
        "tasks/cancel": ("taskId",),
        "server/discover": ("_meta",),
    }.items():
        for value in ODD:
            await told(door, method, value)
            for name in names:
                await told(door, method, {name: value})
            await told(door, method, {"_meta": {**door.message(method)["params"]["_meta"], "progressToken": value}})
    for value in ODD:
        message = {**door.message("tools/list"), "id": value}
        answer = await door.send(json.dumps(message).encode(), door.headers(message))
        assert answer.status in (200, 202, 400), (value, answer.status)
