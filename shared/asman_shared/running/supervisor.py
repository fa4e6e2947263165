"""Watches over the own tasks of a hub or worker: none ends unnoticed, since without it the rest only seems to work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from asman_shared.errors import AsmanError

TASK_FAILED: Final = 70
"""Exit code of a hub or worker that ended because one of its own tasks had (EX_SOFTWARE of sysexits)."""


class Supervisor:
    """Starts the own tasks of a hub or worker, and tells when one has ended that should not.

    Args:
        log: Where that is told.
        what: ``hub`` or ``worker``, for the message.

    Attributes:
        failed: Name of the first task that ended by itself; empty while all run.
        ended: Set when a task has ended by itself. Only a restart heals that.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self.failed = ""
        self._log = log
        self._what = what
        self.ended = asyncio.Event()
        self._closing = False

    def start(self, name: str, work: Coroutine[Any, Any, None], *, may_end: bool = False) -> asyncio.Task[None]:
        """Starts a task that is to run until it is cancelled or `close` was called.

        Args:
            name: Its name, for the message.
            work: The task.
            may_end: Whether it may also end by itself, when it has nothing left to do; it may never fail.
        """
        return asyncio.get_running_loop().create_task(self._watched(name, work, may_end), name=name)

    def close(self) -> None:
        """From now on tasks may end."""
        self._closing = True

    async def _watched(self, name: str, work: Coroutine[Any, Any, None], may_end: bool) -> None:
        try:
            await work
        except AsmanError as error:  # which has its sentence
            self._tell("has failed", name)
            self._log.error(error.message, extra={"task": name})
        except Exception:
            self._tell("has failed", name)
            self._log.exception("the failure of the task", extra={"task": name})
        else:
            if self._closing or may_end:
                return
            self._tell("has ended", name)
        self.failed = self.failed or name
        self.ended.set()

    def _tell(self, how: str, name: str) -> None:
        what = self._what
        self._log.critical(
            "the task '%s' of the %s %s; the %s ends and must be started again",
            name,
            what,
            how,
            what,
            extra={"task": name},
        )
