"""Tools on a hub in this process: with the rights that a key may grant, fewer than all; and the memory of a call."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from asman.inputs import prepare
from asman_server.access import ALL_RIGHTS, Access, Right
from asman_server.config import HubConfig
from asman_server.hub import Hub
from asman_server.mcp import answers, tools
from asman_server.mcp.context import Context
from asman_server.mcp.exchange import Progress
from asman_server.mcp.in_flight import InFlight
from asman_server.mcp.protocol import Call
from asman_server.rest.given_files import AT_ONCE, SHORTER_INLINE
from asman_server.rest.guard import ACCESS
from asman_shared import limits
from devtools.patience import PATIENCE


class Doors:
    """Calls of tools on one queue, with any rights."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.in_flight = InFlight()

    async def call(
        self, rights: frozenset[Right], tool: str, *, tasks: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        return await tools.call(self.context(rights, tool, tasks=tasks, **arguments))

    def context(self, rights: frozenset[Right], tool: str, *, tasks: bool = False, **arguments: Any) -> Context:
        app = type("App", (), {"state": type("State", (), {"hub": self.hub})})
        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": "/q/rights/mcp", "query_string": b"", "headers": [],
            "server": ("hub", 80), "scheme": "http", "path_params": {"queue": "rights"}, "app": app,
        }  # fmt: skip
        call = Call(1, "tools/call", {"name": tool, "arguments": deepcopy(arguments)}, modern=True, tasks=tasks)
        access = scope[ACCESS] = Access("rights", rights)
        return Context(self.hub, Request(scope), access, call, Progress(call), self.in_flight)


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    hub = Hub(HubConfig(data_dir=tmp_path))
    async with hub.open():
        yield Doors(hub)


async def test_a_key_that_reads_changes_nothing(doors: Doors) -> None:
    job = (await doors.call(ALL_RIGHTS, "submit", image="alpine", wait=0))["structuredContent"]["job"]
    reading = frozenset({Right.READ})
    for tool in ("status", "wait", "logs", "explain"):
        more: dict[str, Any] = {"seconds": 0} if tool == "wait" else {}
        assert "isError" not in await doors.call(reading, tool, job=job, **more)
    for tool, arguments in (("submit", {"image": "alpine"}), ("cancel", {"job": job})):
        refused = await doors.call(reading, tool, **arguments)
        assert refused["isError"] is True
        assert "does not grant the right 'submit'" in refused["content"][0]["text"]
    assert (await doors.call(reading, "status", job=job))["structuredContent"]["state"] == "Queued"


async def test_a_key_that_submits_sees_how_its_job_is_and_no_more(doors: Doors) -> None:
    submitting = frozenset({Right.SUBMIT})
    answer = await doors.call(submitting, "submit", image="alpine", wait=1, tasks=True)
    told = answer["structuredContent"]
    assert told == {"job": told["job"], "state": "Queued", "answer": "queued"}
    assert "http" not in answer["content"][0]["text"]
    for tool in ("status", "wait", "logs", "outputs", "explain", "list"):
        arguments = {} if tool == "list" else {"job": told["job"]}
        refused = await doors.call(submitting, tool, **arguments)
        assert "does not grant the right 'read'" in refused["content"][0]["text"]
    assert (await doors.call(submitting, "cancel", job=told["job"]))["structuredContent"]["released"] is True
    again = await doors.call(frozenset({Right.READ, Right.SUBMIT}), "submit", image="alpine", wait=1, tasks=True)
    assert again["resultType"] == "task"


async def test_a_key_that_works_uses_no_tool(doors: Doors) -> None:
    for tool in tools.TOOLS:
        refused = await doors.call(frozenset({Right.WORK}), tool)
        assert "does not grant the right" in refused["content"][0]["text"]


async def test_a_job_that_ends_while_its_answer_is_made_is_answered_as_finished(doors: Doors) -> None:
    job = (await doors.call(ALL_RIGHTS, "submit", image="alpine", wait=0))["structuredContent"]["job"]
    context = doors.context(ALL_RIGHTS, "status", job=job)
    async with context.reading() as shell:
        before = await shell.durable(await shell.job(job))
        await doors.call(ALL_RIGHTS, "cancel", job=job)
        answer = await answers.about(context, shell, before)
    assert answer["structuredContent"] == (await doors.call(ALL_RIGHTS, "status", job=job))["structuredContent"]
    assert answer["structuredContent"]["reason"] == "Cancelled"
    assert "not finished" not in answer["content"][0]["text"]


async def test_files_are_stored_as_the_client_stores_them_in_any_order(doors: Doors) -> None:
    files = {f"{i:02}.txt": f"{i:04}" * 1000 for i in range(3 * AT_ONCE + 1)}
    files |= {"least.txt": "x" * SHORTER_INLINE, "largest.txt": "y" * limits.INLINE_BYTES, "same.txt": files["40.txt"]}
    files["beyond.txt"] = "z" * (limits.INLINE_BYTES + 1)
    prepared = prepare(files, where="inputs")
    assert len(prepared.blobs) > AT_ONCE
    for some in (files, dict(reversed(files.items()))):
        told = (await doors.call(ALL_RIGHTS, "submit", image="alpine", wait=0, files=some))["structuredContent"]
        async with doors.context(ALL_RIGHTS, "status").reading() as shell:
            definition = await shell.definition(told["job"])
        assert definition is not None
        assert definition.inputs == prepared.refs
    for sha256, blob in prepared.blobs.items():
        path = await doors.hub.blobs.file(sha256)
        assert path is not None
        assert path.read_bytes() == blob.source


async def test_a_call_that_waits_holds_nothing_of_what_was_sent(doors: Doors) -> None:
    text = "x" * 1_000_000
    files = {"a.txt": text}
    calling = asyncio.create_task(doors.call(ALL_RIGHTS, "submit", image="alpine", wait=300, files=files))
    async with asyncio.timeout(PATIENCE):
        while not doors.in_flight.waiting["rights"]:
            await asyncio.sleep(0.01)
    files.clear()
    gc.collect()
    assert sys.getrefcount(text) == 2  # the name here, and the argument of the question
    calling.cancel()
    await asyncio.wait([calling])
    assert not doors.in_flight.waiting
