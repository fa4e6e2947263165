"""This machine's resources for jobs, shared by all queues that one worker serves.

A hub knows only its own queue, so with several queues each may assign up to the whole machine. An attempt that does not
fit waits here, in order of arrival. With a single queue no attempt ever waits.
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
    """The resources granted to one attempt.

    Attributes:
        cpus: Thousandths of a cpu.
        memory: Bytes; 0 for a job that did not ask for any.
        gpus: Ids of the gpus.
    """

    cpus: int
    memory: int
    gpus: tuple[str, ...] = ()


class Capacity:
    """The resources of a machine that jobs may use.

    Args:
        cpus: Thousandths of a cpu.
        memory: Bytes; 0 for unknown, which sets no bound.
        gpus: Ids of the gpus.
        shared: True if several queues assign jobs. A single one never assigns too much, so only gpus are counted.
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
        """Free resources: thousandths of a cpu, bytes of memory, number of gpus."""
        return self._cpus, self._memory, len(self._gpus)

    @property
    def waiting(self) -> int:
        """Number of waiting attempts."""
        return len(self._waiting)

    async def take(self, shape: Shape) -> Share:
        """Waits until a job's resources are free and all earlier attempts are served, and takes them.

        Raises:
            ExecutionError: The job needs more than the whole machine has.
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
        """Takes the resources of an attempt that survived a restart, even beyond the capacity."""
        held = tuple(gpus)
        self._gpus = [gpu for gpu in self._gpus if gpu not in held]
        self._cpus -= shape.cpus
        self._memory -= shape.memory
        return Share(shape.cpus, shape.memory, held)

    def give_back(self, share: Share) -> None:
        """Returns a share, and serves the waiting attempts."""
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
