"""Watches over the hub's own tasks: none may end unnoticed, since without any of them the hub only seems to work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("asman.hub")


class Supervisor:
    """Starts the hub's own tasks, and tells when one has ended that should not.

    Attributes:
        failed: Name of the first task that ended by itself; empty while all run.
        ended: Set when a task has ended by itself. Only a restart of the hub heals that.
    """

    def __init__(self) -> None:
        self.failed = ""
        self.ended = asyncio.Event()
        self._closing = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task that is to run until it is cancelled or `close` was called."""
        return asyncio.get_running_loop().create_task(self._watched(name, work), name=name)

    def close(self) -> None:
        """From now on tasks may end."""
        self._closing = True

    async def _watched(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.critical("a task of the hub has failed; the hub ends and must be started again", extra={"task": name})
            log.exception("the failure of the task", extra={"task": name})
        else:
            if self._closing:
                return
            log.critical("a task of the hub has ended; the hub ends and must be started again", extra={"task": name})
        self.failed = self.failed or name
        self.ended.set()
