"""Follows one container from start to end: its output and its limits."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Final

from asman_shared.errors import ExecutionError

from ..execution.container_end import End, Limits
from .container import Container
from .log import ContainerLog

_KILL_SECONDS: Final = 30.0
"""Longest wait for the end of a container that was killed, in seconds."""


class ContainerRun:
    """Follows a container.

    Args:
        container: The container.
        lines: Reads its output.
        limits: What stops it.
    """

    def __init__(
        self,
        container: Container,
        lines: ContainerLog,
        limits: Limits,
    ) -> None:
        self._container = container
        self._lines = lines
        self._limits = limits

    async def to_its_end(self) -> End:
        """Waits until the container has ended and its output is read, whichever is later.

        Raises:
            MonitorLost: Nobody knows how it ended.
            ExecutionError: It can't be killed.
        """
        end = End()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lines.follow())
            await self._limits.hold(end, self._over(), self._stop, self._age)
        said = await self._container.ended()
        end.exit_code = int(said.get("code", 0))
        end.out_of_memory = bool(said.get("oom"))
        end.error = str(said.get("failed", ""))
        end.interrupted = "code" not in said
        return end

    @property
    def _age(self) -> float:
        """The time since the container was started, in seconds."""
        began = int(self._container.started.get("began", 0))
        return max(0.0, time.time() - began / 1000) if began else 0.0

    async def _over(self) -> None:
        await self._container.until(lambda: self._container.over)

    async def _stop(self, grace: int) -> bool:
        """Sends SIGTERM, and SIGKILL after ``grace`` milliseconds; returns whether SIGTERM was enough."""
        if grace and await self._signal(signal.SIGTERM, grace / 1000):
            return True
        if await self._signal(signal.SIGKILL, _KILL_SECONDS):
            return False
        raise ExecutionError("the container can't be stopped", fault="worker")

    async def _signal(self, number: int, seconds: float) -> bool:
        """Sends a signal, and waits for the end with a time limit; returns whether the container ended."""
        self._container.signal(number)
        try:
            async with asyncio.timeout(seconds):
                await self._over()
                return True
        except TimeoutError:
            return False
