"""The TES clients that are installed in environments of their own (scripts/door_clients.sh tes)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.door_clients import start_client, told

GENERATIONS = ("pytes", "pytes_older")
"""Environments of py-tes 1.1.4 and 0.4.2, which one script uses."""


async def started(client: str, *arguments: str) -> asyncio.subprocess.Process:
    """Starts the script of a client."""
    return await start_client("tes", client, f"run_{client.removesuffix('_older')}.py", *arguments)


async def run_client(client: str, *arguments: str) -> dict[str, Any]:
    """Runs the script of a client to its end; returns what it printed last."""
    return await told(await started(client, *arguments))
