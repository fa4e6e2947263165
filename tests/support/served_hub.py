"""A hub in the process of the test, so that its limits can be changed and its parts looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asman_server.config import HubConfig
from asman_server.main import HubServer
from devtools.patience import PATIENCE


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[HubServer]:
    """A hub that listens while the block lasts."""
    server = HubServer(HubConfig(port=0, data_dir=folder / "data", shutdown_timeout=1, **settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def gone(server: HubServer) -> None:
    """Waits until no connection is left."""
    async with asyncio.timeout(PATIENCE):
        while server._server.server_state.connections:
            await asyncio.sleep(0.01)
