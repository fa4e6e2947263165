"""Notices a container engine that hangs or stays away, so that its worker takes no jobs meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger("asman.worker.engine")

LOOK_SECONDS: Final = 5.0
"""Time between two questions to the engine, in seconds."""
PATIENT_SECONDS: Final = 15.0
"""Time without an answer after which the engine counts as away, in seconds; restarts are shorter."""


class EngineHealth:
    """Whether the engine answers.

    Args:
        answers: Asks the engine; takes a bounded time.
    """

    def __init__(self, answers: Callable[[], Awaitable[bool]]) -> None:
        self._answers = answers
        self._problem = ""

    def problem(self) -> str:
        """The reason why no new job may begin, or an empty string."""
        return self._problem

    async def watch(self, tell: Callable[[], None]) -> None:
        """Asks the engine again and again.

        Args:
            tell: Called when the engine counts as away from now on.
        """
        loop = asyncio.get_running_loop()
        silent_since: float | None = None
        while True:
            asked = loop.time()
            if await self._answers():
                silent_since = None
                if self._problem:
                    self._problem = ""
                    log.warning("the container engine answers again")
            else:
                silent_since = asked if silent_since is None else silent_since
                if not self._problem and loop.time() - silent_since >= PATIENT_SECONDS:
                    self._problem = "the container engine does not answer"
                    log.error("%s: no new jobs are taken until it does; start it again if it hangs", self._problem)
                    tell()
            await asyncio.sleep(LOOK_SECONDS)
