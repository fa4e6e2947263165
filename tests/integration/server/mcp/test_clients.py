"""Real clients, each in an environment of its own, against the real hub with a real worker."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from devtools.asman_processes import AsmanProcess, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.mcp.conftest import QUEUE
from tests.integration.server.mcp.test_streams import until_waiting
from tests.support.door_clients import told
from tests.support.mcp_clients import EXPLAINED, run_client, run_conformance, started
from tests.support.mcp_door import OLDER, VERSION, Door
from tests.support.plain_worker import plain_worker

TOOLS = ["submit", "status", "wait", "logs", "outputs", "cancel", "explain", "list"]
ERAS = {"auto": VERSION, "legacy": OLDER}


@pytest.mark.parametrize("mode", ERAS)
async def test_the_official_client_uses_all_that_there_is(door: Door, worker: AsmanProcess, mode: str) -> None:
    found = await run_client("mcp", door.url, mode, "calls")
    assert (found["server"], found["version"], found["tools"]) == ("asman", ERAS[mode], TOOLS)
    assert "running" in found["progress"]
    submitted = found["submitted"]
    assert (submitted["ok"], submitted["log_tail"], submitted["answer"]) == (True, ["hello"], "queued")
    assert [each["path"] for each in submitted["outputs"]] == ["a.txt", "b.bin"]
    assert found["kinds"] == ["text", "resource_link"]
    assert found["cached"] == "cached"
    assert found["wrong"] == [True, "Expected `str`, got `int` (argument: image)"]
    assert found["log"] == "[1 line, from 0 to 0]\nhello"
    assert (found["resources"], found["templates"]) == (1, 3)
    assert found["text"] == "made\n"
    assert base64.b64decode(found["blob"]) == b"\xff"
    assert found["unknown"] == -32602


@pytest.mark.parametrize("mode", ERAS)
async def test_the_official_client_gives_up_a_call(
    door: Door, hub: HubProcess, worker: AsmanProcess, mode: str
) -> None:
    await until_waiting(door, hub, 1)  # the worker
    client = await started("mcp", door.url, mode, "cancels")
    assert client.stdout is not None
    async with asyncio.timeout(PATIENCE):
        about = json.loads(await client.stdout.readline())
    assert (about["given_up"], about["state"]) == (True, "Running")
    await until_waiting(door, hub, 2)  # its second call alone: the first one is waited for no longer
    assert (await door.tool("cancel", job=about["job"])).told["released"] is True
    assert (await told(client))["reason"] == "Cancelled"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_hub_is_killed_while_the_official_client_waits(door: Door, hub: HubProcess, mode: str) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    client = await started("mcp", door.url, mode, "waits", job)
    assert client.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await client.stdout.readline() == b"waiting\n"
    await until_waiting(door, hub, 1)
    await asyncio.to_thread(hub.restart)
    await until_waiting(door, hub, 1)
    async with plain_worker(hub.url, QUEUE) as plain:
        await plain.finish(await plain.assigned(), exit_code=4)
        found = await told(client)
    assert found["exit_code"] == 4
    assert found["failures"] > 0


async def test_fastmcp_without_tasks(door: Door, worker: AsmanProcess) -> None:
    found = await run_client("fastmcp", door.url, "plain")
    assert found["tools"] == TOOLS
    assert (found["submitted"]["ok"], found["submitted"]["log_tail"]) == (True, ["hello"])
    assert found["wrong"] == "Expected `str`, got `int` (argument: image)"
    assert "running" in found["progress"]
    assert (found["text"], found["resources"]) == ("made\n", 1)


async def test_fastmcp_with_tasks(door: Door, worker: AsmanProcess) -> None:
    found = await run_client("fastmcp", door.url, "tasks")
    assert (found["submitted"]["ok"], found["submitted"]["log_tail"]) == (True, ["hello"])
    assert found["submitted"]["outputs"][0]["text"] == "made\n"
    assert (found["text"], found["resources"], found["progress"]) == ("made\n", 1, [])  # a task tells its state instead
    assert (found["first"], found["cancelled"]) == ("working", "cancelled")
    assert found["late"] == "TimeoutError"
    assert found["running"] == ["sleep 59"]  # a call that took too long is no reason to end its job


async def test_a_task_of_fastmcp_outlives_its_client_and_the_hub(
    door: Door, hub: HubProcess, worker: AsmanProcess
) -> None:
    task = (await run_client("fastmcp", door.url, "start"))["task"]
    await asyncio.to_thread(hub.restart)
    found = (await run_client("fastmcp", door.url, "resume", json.dumps(task)))["result"]
    assert (found["ok"], found["job"]) == (True, task["taskId"][:64])


async def test_the_conformance_suite_passes_but_for_what_is_explained(door: Door) -> None:
    """Its baseline, `expected-failures.yaml`, has a reason for each failure; it also fails for what passes by now."""
    assert await run_conformance(door.url) == EXPLAINED
