"""Follows one container from start to end: its log, its limits, and restarts of the engine."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Final

from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from asman_shared.errors import ExecutionError

from ..execution.container_end import End, Limits
from ..images.engine import CALL, LOST, refused
from .log import EngineLog
from .shared_engine import AWAY_SECONDS, SharedEngine

log = logging.getLogger("asman.worker.run")

_ASK_AGAIN_SECONDS: Final = 0.5
_KILLS: Final = 60


class ContainerRun:
    """Follows a started container.

    Args:
        engine: The engine.
        container: The container.
        lines: Reads its log.
        limits: What stops it.
    """

    def __init__(
        self,
        engine: SharedEngine,
        container: DockerContainer,
        lines: EngineLog,
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._container = container
        self._lines = lines
        self._limits = limits
        self._away = False

    async def to_its_end(self, started: str | None) -> End:
        """Waits until the container has ended and its log is read, whichever is later.

        Args:
            started: Start time in the engine's form; None for now.

        Raises:
            ExecutionError: The container does not exist any more, or the engine stays away.
        """
        end = End()
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lines.follow(ended))
            try:
                await self._limits.hold(end, self._ended(), self._stop, _age(started))
                # An engine that is being stopped stops its containers first, and reports only that they have ended.
                if not (end.timed_out or end.outgrown) and not await self._engine.accepts():
                    self._away = True
            finally:
                ended.set()
        state = (await self._inspect())["State"]
        end.exit_code = int(state["ExitCode"])
        end.out_of_memory = bool(state.get("OOMKilled"))
        end.error = str(state.get("Error") or "")
        end.interrupted = self._away and not end.timed_out and not self._engine.info.get("LiveRestoreEnabled")
        return end

    async def _ended(self) -> None:
        """Waits until the container has ended, even if the engine restarts."""
        while True:
            try:
                await self._container.wait()
            except LOST as error:
                log.debug("waiting for %s failed: %s", self._container.id[:12], error)
                self._away = True
            if not (await self._inspect())["State"]["Running"]:
                return
            # The engine did not end after all, or it kept its containers running.
            self._away = False

    async def _inspect(self) -> dict[str, Any]:
        """Returns the engine's state of the container; waits while the engine is away.

        Raises:
            ExecutionError: The container does not exist any more, or the engine stays away.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AWAY_SECONDS
        while True:
            try:
                return await self._container.show()
            except LOST as error:
                if isinstance(error, DockerError) and error.status == 404:
                    raise ExecutionError("the container was removed while it ran", fault="worker") from error
                if loop.time() > deadline:
                    raise refused("the container can't be followed any more", error, fault="worker") from error
                self._away = True
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _stop(self, grace: int) -> bool:
        """Sends SIGTERM, and SIGKILL after ``grace`` milliseconds; returns whether SIGTERM was enough."""
        if grace and await self._signal("SIGTERM", grace / 1000):
            return True
        for _ in range(_KILLS):
            if await self._signal("SIGKILL", _ASK_AGAIN_SECONDS):
                return False
        raise ExecutionError("the engine can't stop the container", fault="worker")

    async def _signal(self, name: str, seconds: float) -> bool:
        """Sends a signal, and waits for the end with a time limit; returns whether the container ended."""
        try:
            await self._container.kill(signal=name, timeout=CALL)
        except LOST as error:
            log.debug("sending %s to %s failed: %s", name, self._container.id[:12], error)
        waiting = asyncio.create_task(self._ended())
        try:
            done, _ = await asyncio.wait((waiting,), timeout=seconds)
            return bool(done)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


def _age(started: str | None) -> float:
    """Returns the time since a container's ``StartedAt`` (RFC 3339, with any offset), in seconds."""
    if not started:
        return 0.0
    try:
        # Of a fraction, which may have nine digits, the first six are read.
        then = datetime.fromisoformat(started)
        then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
        return max(0.0, (datetime.now(UTC) - then).total_seconds())
    except (ValueError, OverflowError):
        return 0.0
