"""The workers of a queue, and the choice of a worker for a job and of a job for a worker."""

from __future__ import annotations

from typing import Final

from asman_shared.definition import Shape

from .able import Able
from .job import Job
from .ready import Rank, Ready, ReadyLine
from .worker import Presence, Worker

LOOK: Final = 16
"""Number of fitting workers that are compared before the best of them is taken."""


class Fleet:
    """The workers of a queue, those with room, and the room kept for large jobs.

    Args:
        ready: The waiting jobs.
        patience: Time in milliseconds that a job waits before smaller jobs stop overtaking it.
    """

    def __init__(self, ready: Ready, patience: int) -> None:
        self.workers: dict[str, Worker] = {}
        self.able = Able(self.workers)
        self._ready = ready
        self._patience = patience
        self._open: dict[str, Worker] = {}
        self._reserved: dict[Shape, str] = {}
        self._freed: list[Worker] = []

    def open(self, worker: Worker) -> bool:
        """Offers a worker for new jobs; returns false when it takes none."""
        if worker.presence is not Presence.READY or worker.chooses:
            return False
        self._open[worker.incarnation] = worker
        return True

    @property
    def keeping_room(self) -> bool:
        """Whether room on a worker is being kept for a large job."""
        return bool(self._reserved)

    def keeper(self, shape: Shape) -> Worker | None:
        """Returns the worker on which room is being kept for jobs of this shape."""
        return self.workers.get(self._reserved.get(shape, ""))

    def with_room(self) -> list[Worker]:
        """Workers that may have room."""
        return list(self._open.values())

    def close(self, worker: Worker) -> None:
        """Stops offering a worker for new jobs, and keeps no room on it."""
        self._open.pop(worker.incarnation, None)
        for shape in self.kept_on(worker):
            del self._reserved[shape]

    def assigned(self, worker: Worker, shape: Shape) -> None:
        """Notes that a job of this shape was assigned to a worker."""
        self.withdrawn(shape)
        if worker.free_cpus <= 0:
            self._open.pop(worker.incarnation, None)

    def withdrawn(self, shape: Shape) -> None:
        """Frees the room that was kept for a waiting job of this shape, which waits no longer."""
        incarnation = self._reserved.pop(shape, None)
        keeper = self.workers.get(incarnation) if incarnation is not None else None
        if keeper is not None:
            self._freed.append(keeper)

    @property
    def freed(self) -> bool:
        """Whether room that is no longer kept for a job has yet to be offered to others."""
        return bool(self._freed)

    def take_freed(self) -> list[Worker]:
        """Returns the workers on which room was freed since the last call."""
        freed, self._freed = self._freed, []
        return freed

    def choose(self, line: ReadyLine) -> Worker | None:
        """Returns the best worker for the head of a line: the one that wastes the fewest gpus, then the emptiest."""
        best: Worker | None = None
        best_score: tuple[int, int] = (0, 0)
        seen = 0
        shape = line.shape
        for worker in self._open.values():
            if not worker.fits(shape) or (self._reserved and self._kept_for_others(worker, line)):
                continue
            score = (-worker.info.gpus if not shape.gpus else 0, worker.free_cpus)
            if best is None or score > best_score:
                best, best_score = worker, score
            seen += 1
            if seen == LOOK:
                break
        return best

    def _kept_for_others(self, worker: Worker, line: ReadyLine) -> bool:
        """Whether room is kept on a worker for a job that comes before the head of this line."""
        turns = self._ready.turns
        head = line.head(turns)
        for shape, incarnation in self._reserved.items():
            if incarnation == worker.incarnation and shape != line.shape:
                other = self._ready.lines.get(shape)
                kept = other.head(turns) if other is not None else None
                if kept is not None and (head is None or kept[0] < head[0]):
                    return True
        return False

    def kept_on(self, worker: Worker) -> list[Shape]:
        """Returns the shapes for whose jobs room is being kept on a worker."""
        return [shape for shape, incarnation in self._reserved.items() if incarnation == worker.incarnation]

    def next_for(self, worker: Worker, now: int) -> Job | None:
        """Returns the best job that fits a worker now; none while room is kept on it for an older, larger job."""
        best: tuple[Rank, Job] | None = None
        starving: tuple[Rank, Job] | None = None
        turns = self._ready.turns
        for line in list(self._ready.lines.values()):
            head = line.head(turns)
            if head is None:
                continue
            if worker.fits(line.shape):
                if best is None or head[0] < best[0]:
                    best = head
            elif (
                now - head[1].queued > self._patience
                and (starving is None or head[0] < starving[0])
                and self._reserved.get(line.shape, worker.incarnation) == worker.incarnation
                and not worker.lacks(line.shape)
            ):
                starving = head
        if starving is not None and (best is None or starving[0] < best[0]):
            self._reserved[starving[1].shape] = worker.incarnation
            return None
        return best[1] if best is not None else None
