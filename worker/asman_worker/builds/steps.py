"""The running steps of a build: bounds their processes, and measures what they write."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Final

from aiodocker import Docker

from ..execution.disk_use import DiskUse
from ..images.engine import LOST

log = logging.getLogger("asman.worker.builds")

_RUNNING: Final = re.compile(r" ---> Running in ([0-9a-f]{12,64})\b")
"""The line by which the engine's builder names the container of a step."""


class BuildSteps:
    """The containers of one build's steps, as the builder names them.

    Args:
        docker: The engine.
        pids: Largest number of processes of a step.
    """

    def __init__(self, docker: Docker, pids: int) -> None:
        self._docker = docker
        self._pids = pids
        self._ended = DiskUse()
        self._step = ""
        self._last = DiskUse()

    async def read(self, text: str) -> None:
        """Reads the builder's output; a step that begins gets its bound on processes, which the builder can't set."""
        for found in _RUNNING.finditer(text):
            self._ended += self._last
            self._last = DiskUse()
            self._step = found[1]
            if self._pids:
                with suppress(*LOST):
                    path = f"containers/{self._step}/update"
                    await self._docker._query_json(path, "POST", data={"PidsLimit": self._pids})

    async def use(self) -> DiskUse:
        """Measures what the steps have written; steps that have ended count as last measured."""
        if self._step:
            with suppress(*LOST):
                found = await self._docker._query_json(f"containers/{self._step}/json?size=1")
                self._last = DiskUse(int(found.get("SizeRw") or 0))
        return self._ended + self._last
