"""Clients of the doors that are installed in environments of their own (scripts/door_clients.sh)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from devtools.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2 * PATIENCE
"""Time for a client to start and to do its work."""


async def start_client(door: str, client: str, script: str, *arguments: str) -> asyncio.subprocess.Process:
    """Starts a script of a door's clients in the environment of one of them."""
    python = ROOT / f".run/{door}-clients" / client / "bin/python"
    assert python.exists(), f"the client {client} is not installed: run scripts/door_clients.sh {door} {client}"
    return await asyncio.create_subprocess_exec(
        str(python),
        str(ROOT / f"tests/data/{door}_clients" / script),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Waits for the end of a script; returns what it printed last."""
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode(errors="replace")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
