"""One worker as the queue sees it: its resources, its leases and its presence."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mypy_extensions import mypyc_attr

from asman_shared.definition import OWN_TAGS, Shape
from asman_shared.messages import Register, WorkerState
from asman_shared.states import Phase

NO_SHAPE: Final = Shape(cpus=0)
"""The shape of an attempt whose container has ended or never existed."""


class Presence(StrEnum):
    """Whether a worker can be given work."""

    READY = "ready"
    DRAINING = "draining"
    AWAY = "away"
    GONE = "gone"


@mypyc_attr(acyclic=True)
class Lease:
    """One attempt that a worker holds. Its capacity is in use until the worker has let go of it.

    Attributes:
        live: Whether it is the job's current attempt. A lease that is not live only waits for the worker's `Released`.
        since: Time at which its phase began, in epoch milliseconds.
        phase: The phase that was reported last.
    """

    __slots__ = ("attempt", "job", "live", "phase", "shape", "since")

    def __init__(
        self,
        job: str,
        attempt: int,
        shape: Shape,
        since: int,
        *,
        live: bool = True,
        phase: Phase = Phase.ASSIGNED,
    ) -> None:
        self.job = job
        self.attempt = attempt
        self.shape = shape
        self.since = since
        self.live = live
        self.phase = phase


class Worker:
    """A worker process, identified by its incarnation across its connections.

    Args:
        session: The number of its newest connection; messages of older ones are ignored.
        info: Its registration.
        now: Epoch milliseconds.
        chooses: Whether it picks its jobs itself. Such a worker states cpus, gpus and a longest duration. Before it
            claims a job, it checks by itself that it has the memory, tags and platform that the job asks for.
    """

    __slots__ = (
        "away_since",
        "chooses",
        "drained",
        "free_cpus",
        "free_gpus",
        "free_memory",
        "incarnation",
        "info",
        "leases",
        "leaving",
        "presence",
        "rev",
        "session",
        "since",
        "sources",
        "tags",
    )

    def __init__(self, session: int, info: Register, now: int, *, chooses: bool = False) -> None:
        self.incarnation = info.incarnation
        self.chooses = chooses
        self.session = session
        self.since = now
        self.rev = 0
        self.away_since = 0
        self.drained = False
        self.leaving = 0  # time at which its queue's owner has drained it, in epoch milliseconds; 0 if not
        self.presence = Presence.DRAINING if info.draining else Presence.READY
        self.leases: dict[tuple[str, int], Lease] = {}
        self.equip(info)

    def equip(self, info: Register) -> None:
        """Takes over a new registration; the capacity that its leases use stays in use."""
        self.info = info
        self.tags = frozenset(info.tags)
        self.sources = frozenset(info.sources)
        self.free_cpus = round(info.cpus * 1000)
        self.free_memory = info.memory
        self.free_gpus = info.gpus
        for lease in self.leases.values():
            self._use(lease.shape, 1)

    @property
    def done(self) -> bool:
        """Whether it was drained by the queue's owner and has nothing left."""
        return self.leaving > 0 and not self.leases and self.presence is Presence.DRAINING

    def _use(self, shape: Shape, sign: int) -> None:
        self.free_cpus -= sign * shape.cpus
        self.free_memory -= sign * shape.memory
        self.free_gpus -= sign * shape.gpus

    def hold(self, lease: Lease) -> None:
        """Adds a lease and the capacity it uses."""
        self.leases[lease.job, lease.attempt] = lease
        self._use(lease.shape, 1)

    def vacate(self, lease: Lease) -> None:
        """Frees the capacity of a lease whose container has ended; the lease stays until its result has arrived."""
        self._use(lease.shape, -1)
        lease.shape = NO_SHAPE

    def let_go(self, job: str, attempt: int) -> Lease | None:
        """Ends a lease and frees its capacity."""
        lease = self.leases.pop((job, attempt), None)
        if lease is not None:
            self._use(lease.shape, -1)
        return lease

    def forget_dead(self) -> None:
        """Ends the leases of aborted attempts; a worker that comes back reports those that it still holds."""
        for lease in list(self.leases.values()):
            if not lease.live:
                self.let_go(lease.job, lease.attempt)

    def lacks(self, shape: Shape) -> str:
        """Names the resource that even the idle worker lacks for a job of this shape; empty when it lacks none.

        A worker that doesn't run jobs of the shape's source lacks the ``source``, whatever else it lacks.
        """
        info = self.info
        if self.sources and shape.source not in self.sources:
            return "source"
        if shape.gpus > info.gpus:
            return "gpus"
        if shape.cpus > round(info.cpus * 1000):
            return "cpus"
        if not self.chooses:
            if shape.memory > info.memory:
                return "memory"
            if not shape.tags <= self.tags:
                return "tags"
            if shape.platform and shape.platform != info.platform:
                return "platform"
        if info.max_duration and shape.duration > info.max_duration:
            return "duration"
        return ""

    def fits(self, shape: Shape) -> bool:
        """Whether a job of this shape can start here now."""
        return (
            shape.cpus <= self.free_cpus
            and (shape.memory <= self.free_memory or self.chooses)
            and shape.gpus <= self.free_gpus
            and not self.lacks(shape)
        )

    def wire(self) -> WorkerState:
        """Returns the worker as clients see it. Its incarnation stays a secret between worker and hub."""
        info = self.info
        return WorkerState(
            id=info.incarnation[:8],
            rev=self.rev,
            state=self.presence.value,
            name=info.name,
            agent=info.agent,
            cpus=info.cpus,
            memory=info.memory,
            gpus=info.gpus,
            tags=[tag for tag in info.tags if not tag.startswith(OWN_TAGS)],
            platform=info.platform,
            max_duration=info.max_duration,
            executor=info.executor,
            jobs=len(self.leases),
            used_cpus=round(info.cpus - self.free_cpus / 1000, 3) if info.executor else 0,
            used_memory=info.memory - self.free_memory if info.executor else 0,
            used_gpus=info.gpus - self.free_gpus if info.executor else 0,
            since=self.since,
            remark=info.remark,
        )
