"""The door of a hub whose blobs are in S3: files go in and come out as they do where blobs are in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from devtools.asman_processes import AsmanProcesses, HubProcess
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import opened_door
from tests.support.s3 import S3Server


async def test_files_go_in_and_come_out_by_way_of_s3(
    s3: S3Server, hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path
) -> None:
    flags = ("--blobs", f"s3://{s3.new_bucket()}/asman")
    hub = await asyncio.to_thread(lambda: hub_process(*flags, environment=s3.environment))
    options = ("--executor", "process", "--drain-timeout", "0.1s", "--data-dir", str(tmp_path / "worker"))
    await asyncio.to_thread(processes.worker, hub.queue(QUEUE), *options)
    async with opened_door(hub.queue(QUEUE)) as door:
        text = "a line of text\n" * 1000
        command = ["sh", "-c", 'cp "$JOB_INPUTS/a.txt" "$JOB_OUTPUTS/b.txt"']
        answer = await door.tool("submit", command=command, files={"a.txt": text})
        told = answer.told
        assert told["ok"] is True, answer.text
        (listed,) = told["outputs"]
        assert listed["text"] == text
        async with door.session.get(listed["url"]) as file:
            assert await file.text() == text
        job = told["job"]
        assert (await door.tool("outputs", job=job, path="b.txt")).text == text
        too_long = await door.tool("outputs", job=job, path="b.txt", max_bytes=len(text) - 1)
        assert "fetch it at http" in too_long.text
        uri = f"asman://jobs/{job}/outputs/b.txt"
        assert (await door.ask("resources/read", {"uri": uri})).result["contents"][0]["text"] == text
        await asyncio.to_thread(s3.kill)
        away = (await door.tool("status", job=job)).told
        assert (away["ok"], "text" in away["outputs"][0], away["outputs"][0]["url"]) == (True, False, listed["url"])
        refused = await door.tool("outputs", job=job, path="b.txt")
        assert (refused.result["isError"], "trying again may help" in refused.text) == (True, True)
        assert (await door.ask("resources/read", {"uri": uri})).error["code"] == -32603
