"""What this machine gives to jobs, shared by all queues that one worker serves: never more than there is.

A hub knows only its own queue, so with several queues each may assign up to the whole. What does not fit waits here, in
the order it came; with a single queue nothing ever waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from asman_shared.definition import Shape
from asman_shared.errors import ExecutionError


@dataclass(frozen=True, slots=True)
class Share:
    """What one attempt has.

    Attributes:
        cpus: Thousandths of a cpu.
        memory: Bytes, 0 for a job that did not say.
        gpus: By id.
    """

    cpus: int
    memory: int
    gpus: tuple[str, ...] = ()


class Capacity:
    """All of a machine that is for jobs.

    Args:
        cpus: Thousandths of a cpu.
        memory: Bytes; 0 for unknown, which bounds nothing.
        gpus: Their ids.
        shared: Several hubs assign to it. A single one never assigns too much, so that only gpus are counted out here.
    """

    def __init__(self, cpus: int, memory: int, gpus: Sequence[str] = (), *, shared: bool = False) -> None:
        self._cpus = cpus
        self._memory = memory
        self._bounds_memory = memory > 0
        self._gpus = list(gpus)
        self._all = (cpus, memory, len(gpus))
        self._shared = shared
        self._waiting: deque[tuple[Shape, asyncio.Future[Share]]] = deque()

    @property
    def free(self) -> tuple[int, int, int]:
        """Thousandths of a cpu, bytes and gpus that nobody has."""
        return self._cpus, self._memory, len(self._gpus)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, shape: Shape) -> Share:
        """Takes what a job needs, once it is free and nobody waits who came before.

        Raises:
            ExecutionError: It is more than there is at all.
        """
        cpus, memory, gpus = self._all
        beyond = shape.cpus > cpus or (self._bounds_memory and shape.memory > memory)
        if shape.gpus > gpus or (self._shared and beyond):
            raise ExecutionError("the job needs more than this worker has", fault="worker")
        if not self._waiting and self._fits(shape):
            return self._grant(shape)
        turn: asyncio.Future[Share] = asyncio.get_running_loop().create_future()
        self._waiting.append((shape, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            else:
                self._waiting = deque(item for item in self._waiting if item[1] is not turn)
                self._serve()
            raise

    def retake(self, shape: Shape, gpus: Sequence[str]) -> Share:
        """Takes what an attempt has that went on through a restart, whatever else there is."""
        held = tuple(gpus)
        self._gpus = [gpu for gpu in self._gpus if gpu not in held]
        self._cpus -= shape.cpus
        self._memory -= shape.memory
        return Share(shape.cpus, shape.memory, held)

    def give_back(self, share: Share) -> None:
        """Frees a share for others."""
        self._cpus += share.cpus
        self._memory += share.memory
        self._gpus.extend(share.gpus)
        self._serve()

    def _fits(self, shape: Shape) -> bool:
        if not self._shared:
            return shape.gpus <= len(self._gpus)
        memory = not self._bounds_memory or shape.memory <= self._memory
        return shape.cpus <= self._cpus and memory and shape.gpus <= len(self._gpus)

    def _grant(self, shape: Shape) -> Share:
        self._cpus -= shape.cpus
        self._memory -= shape.memory
        taken, self._gpus = self._gpus[: shape.gpus], self._gpus[shape.gpus :]
        return Share(shape.cpus, shape.memory, tuple(taken))

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            shape, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._grant(shape))
