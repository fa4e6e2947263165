"""The extension for tasks: a task is a job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from devtools.asman_processes import AsmanProcess, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import OLDER, TASKS, Door
from tests.support.plain_worker import plain_worker

WITHOUT: list[Any] = [{}, {"extensions": {}}, {"extensions": {"io.modelcontextprotocol/tasks": None}}, {"tasks": {}}]


@pytest.mark.parametrize("capabilities", WITHOUT)
async def test_20_only_whoever_says_so_in_this_request_gets_a_task(door: Door, capabilities: dict[str, Any]) -> None:
    door.capabilities = TASKS
    task = (await door.tool("submit", image="alpine")).result
    assert (task["resultType"], task["status"]) == ("task", "working")
    door.capabilities = capabilities
    job = task["taskId"][:64]
    for answer in (
        await door.tool("submit", image="alpine", wait=1),
        await door.tool("wait", job=job, seconds=1),
        await door.older("tools/call", {"name": "submit", "arguments": {"image": "alpine", "wait": 1}}),
    ):
        assert answer.result.get("resultType", "complete") == "complete"
        assert answer.told["job"] == job
    refused = await door.ask("tasks/get", {"taskId": task["taskId"]})
    assert (refused.status, refused.error["code"]) == (400, -32021)
    assert refused.error["data"] == {"requiredCapabilities": TASKS}


async def test_20_a_job_that_is_cached_and_a_call_that_does_not_wait_are_no_tasks(
    door: Door, worker: AsmanProcess
) -> None:
    first = await door.tool("submit", image="alpine", command=["true"])
    door.capabilities = TASKS
    cached = await door.tool("submit", image="alpine", command=["true"])
    assert cached.told == {**first.told, "answer": "cached"}
    assert (await door.tool("wait", job=first.told["job"])).told["ok"] is True
    assert (await door.tool("submit", image="alpine", command=["sleep", "1"], wait=0)).told["answer"] == "queued"


async def test_21_a_task_is_asked_about_as_often_as_a_client_likes(door: Door, hub: HubProcess) -> None:
    door.capabilities = TASKS
    task = (await door.tool("submit", image="alpine")).result
    assert task["pollIntervalMs"] == 1000
    assert task["createdAt"].endswith("Z")
    answers = await asyncio.gather(*(door.ask("tasks/get", {"taskId": task["taskId"]}) for _ in range(50)))
    assert {each.result["status"] for each in answers} == {"working"}
    async with plain_worker(hub.url, QUEUE) as worker:
        about = await worker.assigned()
        await worker.phase(about, "pulling")
        async with asyncio.timeout(PATIENCE):
            while (await door.ask("tasks/get", {"taskId": task["taskId"]})).result["statusMessage"] != "pulling":
                await asyncio.sleep(0.02)
        await worker.finish(about, exit_code=3)
    ended = (await door.ask("tasks/get", {"taskId": task["taskId"]})).result
    assert (ended["status"], ended["resultType"]) == ("completed", "complete")
    assert ended["result"]["structuredContent"]["exit_code"] == 3
    assert "_meta" not in ended
    status = await door.tool("status", job=task["taskId"][:64])
    assert ended["result"]["structuredContent"] == status.told


async def test_22_a_task_outlives_its_client_and_the_hub(door: Door, hub: HubProcess) -> None:
    door.capabilities = TASKS
    task = (await door.tool("submit", image="alpine")).result
    assert task["ttlMs"] > 24 * 3600 * 1000
    await asyncio.to_thread(hub.restart)
    found = (await door.ask("tasks/get", {"taskId": task["taskId"]})).result
    assert (found["status"], found["createdAt"]) == ("working", task["createdAt"])
    async with plain_worker(hub.url, QUEUE) as worker:
        await worker.finish(await worker.assigned())
    assert (await door.ask("tasks/get", {"taskId": task["taskId"]})).result["status"] == "completed"


async def test_27_a_task_is_cancelled_and_says_so_when_asked(door: Door) -> None:
    door.capabilities = TASKS
    task = (await door.tool("submit", image="alpine")).result
    cancelled = (await door.ask("tasks/cancel", {"taskId": task["taskId"]})).result
    assert cancelled == {"resultType": "complete"}
    ended = (await door.ask("tasks/get", {"taskId": task["taskId"]})).result
    assert ended["status"] == "cancelled"
    assert "result" not in ended
    again = await door.ask("tasks/cancel", {"taskId": task["taskId"]})
    assert again.result == {"resultType": "complete"}
    assert (await door.ask("tasks/update", {"taskId": task["taskId"], "inputResponses": {}})).result == cancelled


async def test_27_ids_of_tasks_can_not_be_guessed(door: Door, hub: HubProcess) -> None:
    door.capabilities = TASKS
    given = (await door.tool("submit", image="alpine")).result["taskId"]
    job, _, key = given.partition("~")
    assert len(key) == 32
    other = "0" if key[-1] != "0" else "1"
    for wrong in (job, f"{job}~", f"{job}~{key[:-1]}{other}", f"{'0' * 64}~{key}", "", 5, None, "x" * 10_000):
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            answer = await door.ask(method, {"taskId": wrong})
            assert (answer.status, answer.error["code"]) == (400, -32602), wrong
    door.url = f"{hub.queue('another')}/mcp"
    assert (await door.ask("tasks/get", {"taskId": given})).error["code"] == -32602
    door.url = f"{hub.queue(QUEUE)}/mcp"
    assert (await door.ask("tasks/get", {"taskId": given})).result["status"] == "working"
    async with door.session.delete(f"{hub.queue(QUEUE)}/jobs/{job}") as deleted:
        assert deleted.status == 200
    assert (await door.ask("tasks/get", {"taskId": given})).error["code"] == -32602


async def test_26_there_are_no_tasks_in_the_older_era(door: Door) -> None:
    capabilities = {"tasks": {"requests": {"tools": {"call": {}}}}, **TASKS}
    begun = await door.older(
        "initialize",
        {"protocolVersion": OLDER, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}},
    )
    assert "tasks" not in begun.result["capabilities"]
    answer = await door.older("tools/call", {"name": "submit", "arguments": {"image": "alpine", "wait": 1}, "task": {}})
    assert answer.told["state"] == "Queued"
    assert (await door.older("tasks/get", {"taskId": "x"})).error["code"] == -32601
