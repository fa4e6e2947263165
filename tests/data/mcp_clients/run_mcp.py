"""Calls the door with the official client, in its own environment; prints what came as JSON.

usage: run_mcp.py URL MODE calls|cancels|waits [JOB]
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import anyio
from mcp import Client
from mcp.shared.exceptions import MCPError

COMMAND = 'sleep 0.5; echo hello; echo made > "$JOB_OUTPUTS/a.txt"; printf "\\377" > "$JOB_OUTPUTS/b.bin"'


async def calls(client: Client) -> dict[str, Any]:
    """Uses all that the door has."""
    progress: list[str | None] = []

    async def told(_progress: float, _total: float | None, message: str | None) -> None:
        progress.append(message)

    arguments = {"image": "alpine", "command": ["sh", "-c", COMMAND], "env": {"MODE": str(client.protocol_version)}}
    submitted = await client.call_tool("submit", arguments, progress_callback=told)
    job = submitted.structured_content["job"]
    cached = await client.call_tool("submit", arguments)
    wrong = await client.call_tool("submit", {"image": 5})
    logs = await client.call_tool("logs", {"job": job})
    text = await client.read_resource(f"asman://jobs/{job}/outputs/a.txt")
    data = await client.read_resource(f"asman://jobs/{job}/outputs/b.bin")
    try:
        await client.read_resource("asman://jobs/ä")
        unknown = 0
    except MCPError as error:
        unknown = error.error.code
    return {
        "server": client.server_info.name,
        "version": client.protocol_version,
        "tools": [each.name for each in (await client.list_tools()).tools],
        "progress": progress,
        "submitted": submitted.structured_content,
        "kinds": [each.type for each in submitted.content],
        "cached": cached.structured_content["answer"],
        "wrong": [wrong.is_error, wrong.content[0].text],
        "log": logs.content[0].text,
        "resources": len((await client.list_resources()).resources),
        "templates": len((await client.list_resource_templates()).resource_templates),
        "text": text.contents[0].text,
        "blob": data.contents[0].blob,
        "unknown": unknown,
    }


async def cancels(client: Client) -> dict[str, Any]:
    """Gives up a call that waits, says so, and waits again on the same connection."""
    job = (await client.call_tool("submit", {"command": ["sleep", "60"], "wait": 0})).structured_content["job"]
    with anyio.move_on_after(2) as scope:
        await client.call_tool("wait", {"job": job, "seconds": 300})
    status = await client.call_tool("status", {"job": job})
    print(json.dumps({"given_up": scope.cancelled_caught, **status.structured_content}), flush=True)
    ended = await client.call_tool("wait", {"job": job, "seconds": 300})
    return {"reason": ended.structured_content["reason"]}


async def main() -> None:
    """Does what the command line says."""
    url, mode, what = sys.argv[1:4]
    if what == "waits":
        print(json.dumps(await waits(url, mode, sys.argv[4])))
        return
    async with Client(url, mode=mode) as client:
        print(json.dumps(await (calls if what == "calls" else cancels)(client)))


async def waits(url: str, mode: str, job: str) -> dict[str, Any]:
    """Waits for a job, with a new client each time that the hub goes away."""
    failures = 0
    while True:
        try:
            async with Client(url, mode=mode) as client:
                print("waiting", flush=True)
                answer = await client.call_tool("wait", {"job": job, "seconds": 300})
                if not answer.is_error and answer.structured_content["state"] == "Finished":
                    return {"failures": failures, "exit_code": answer.structured_content["exit_code"]}
        except Exception:
            failures += 1
        await asyncio.sleep(0.2)


asyncio.run(main())
