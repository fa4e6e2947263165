"""Calls the door with fastmcp, in its own environment; prints what came as JSON.

usage: run_fastmcp.py URL plain|tasks|start|resume [TASK]
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client
from fastmcp.exceptions import ToolError

COMMAND = 'sleep 1; echo hello; echo made > "$JOB_OUTPUTS/a.txt"'
SLEEP = {"command": ["sleep", "60"]}


async def plain(client: Client[Any]) -> dict[str, Any]:
    """Calls tools without the extension for tasks."""
    progress: list[str | None] = []

    async def told(_progress: float, _total: float | None, message: str | None) -> None:
        progress.append(message)

    answer = await client.call_tool("submit", {"command": ["sh", "-c", COMMAND]}, progress_handler=told)
    job = answer.structured_content["job"]
    read = await client.read_resource(f"asman://jobs/{job}/outputs/a.txt")
    try:
        await client.call_tool("submit", {"image": 5})
        wrong = ""
    except ToolError as error:
        wrong = str(error)
    return {
        "tools": [each.name for each in await client.list_tools()],
        "submitted": answer.structured_content,
        "wrong": wrong,
        "progress": progress,
        "text": read[0].text,
        "resources": len(await client.list_resources()),
    }


async def tasks(client: Client[Any]) -> dict[str, Any]:
    """Calls tools that go on as tasks."""
    from fastmcp_tasks.client import call_tool_task

    found = await plain(client)
    task = await call_tool_task(client, "submit", SLEEP)
    first = await task.status()
    await task.cancel()
    cancelled = await task.wait()
    try:
        await client.call_tool("submit", {"command": ["sleep", "59"]}, timeout=1)
        late = ""
    except TimeoutError as error:
        late = type(error).__name__
    jobs = (await client.call_tool("list", {"states": ["Running"]})).structured_content["jobs"]
    return {
        **found,
        "first": first.status,
        "cancelled": cancelled.status,
        "late": late,
        "running": [each["what"] for each in jobs],
    }


async def start(client: Client[Any]) -> dict[str, Any]:
    """Starts a task and leaves."""
    from fastmcp_tasks.client import call_tool_task

    task = await call_tool_task(client, "submit", {"command": ["sleep", "2"]})
    return {"task": task.create_result.model_dump(by_alias=True)}


async def resume(client: Client[Any]) -> dict[str, Any]:
    """Comes back to a task that another client started."""
    from fastmcp_tasks.client import ToolTask
    from fastmcp_tasks.client_models import ClientCreateTaskResult

    made = ClientCreateTaskResult.model_validate(json.loads(sys.argv[3]))
    result = await ToolTask(client, "submit", made).result()
    return {"result": result.structured_content}


async def main() -> None:
    """Does what the command line says."""
    what = sys.argv[2]
    if what != "plain":
        import fastmcp_tasks  # noqa: F401  (every client understands tasks from here on)
    async with Client(sys.argv[1]) as client:
        done = {"plain": plain, "tasks": tasks, "start": start, "resume": resume}[what]
        print(json.dumps(await done(client)))


asyncio.run(main())
