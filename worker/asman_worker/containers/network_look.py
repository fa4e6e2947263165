"""Looks after the network of containers: checks of it that calls at the same time share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asman_shared.errors import ExecutionError

log = logging.getLogger("asman.worker.network")


class NetworkLook:
    """Checks a network and its rules, one check at a time.

    Args:
        look: Checks them, and sets them up again if they changed.
        failures: The errors of ``look`` after which no container may start.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], failures: tuple[type[Exception], ...]) -> None:
        self._look = look
        self._failures = failures
        self._turn = asyncio.Lock()
        self._done = 0

    async def hold(self) -> None:
        """Checks the network. A call during a check waits for the next check, which all waiting calls share.

        Raises:
            ExecutionError: It can't be set up again, so no container may start.
        """
        wanted = self._done + (2 if self._turn.locked() else 1)
        async with self._turn:
            if self._done >= wanted:
                return
            try:
                await self._look()
            except self._failures as error:
                log.warning("the containers' network can't be set up again: %s", error)
                raise ExecutionError(
                    "the containers' network or its rules were removed, and can't be set up again: "
                    "the reason is in the worker's log",
                    fault="worker",
                ) from error
            self._done += 1
