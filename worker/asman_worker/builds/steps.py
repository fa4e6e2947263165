"""The running steps of a build: bounds their processes, and measures what they write."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import Final

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.errors import ExecutionError

from ..execution.disk_use import DiskUse, layer_files
from ..images.engine import LOST, cut_off
from ..images.engine_words import logged

log = logging.getLogger("asman.worker.builds")

_RUNNING: Final = re.compile(r" ---> Running in ([0-9a-f]{12,64})\b")
"""The line by which the engine's builder names the container of a step."""

_STEP: Final = re.compile(r"^Step (\d+/\d+) : ", re.MULTILINE)
"""The line with which the engine's builder begins a step."""


class BuildSteps:
    """The containers of one build's steps, as the builder names them.

    Args:
        docker: The engine.
        pids: Largest number of processes of a step.
    """

    def __init__(self, docker: Docker, pids: int) -> None:
        self._docker = docker
        self._pids = pids
        self._place = ""
        self._ended = DiskUse()
        self._step = ""
        self._last = DiskUse()

    @property
    def place(self) -> str:
        """Returns the place of the present step, such as `` at step 2/3``; empty before the first."""
        return f" at step {self._place}" if self._place else ""

    async def read(self, text: str) -> None:
        """Reads the builder's output; a step that begins gets its bound on processes.

        Raises:
            ExecutionError: The bound can't be set.
            DockerError: The engine went away.
        """
        for begun in _STEP.finditer(text):
            self._place = begun[1]
        for found in _RUNNING.finditer(text):
            self._ended += self._last
            self._last = DiskUse()
            self._step = found[1]
            if self._pids:
                await self._bound()

    async def _bound(self) -> None:
        """Sets the bound on processes of the present step.

        The builder has no option for it, and names a step's container before it starts it.

        Raises:
            ExecutionError: The engine does not set it, so the build must end.
            DockerError: The engine went away.
        """
        path = f"containers/{self._step}"
        try:
            answer = await self._docker._query_json(f"{path}/update", "POST", data={"PidsLimit": self._pids})
            why = "; ".join(each for each in answer.get("Warnings") or () if "pids" in each.lower())
            if not why or await self._has_ended(path):
                return
        except DockerError as error:
            if cut_off(error):
                raise
            if await self._has_ended(path):
                return
            why = error.message
        log.warning("the processes of the build step %s can't be bounded: the engine says %s", self._step, logged(why))
        raise ExecutionError(
            f"the build was stopped{self.place}: the engine can't bound the number of the step's processes "
            "(--pids); the worker's log says why",
            fault="worker",
        )

    async def _has_ended(self, path: str) -> bool:
        """Whether a step's container has ended: no step that is so short needs a bound any more."""
        try:
            found = await self._docker._query_json(f"{path}/json")
        except DockerError as error:
            return error.status == 404
        return str((found.get("State") or {}).get("Status")) in ("exited", "removing", "dead")

    async def use(self) -> DiskUse:
        """Measures what the steps have written; steps that have ended count as last measured."""
        if self._step:
            with suppress(*LOST):
                found = await self._docker._query_json(f"containers/{self._step}/json?size=1")
                files = await asyncio.to_thread(layer_files, found)
                self._last = DiskUse(int(found.get("SizeRw") or 0), files)
        return self._ended + self._last
