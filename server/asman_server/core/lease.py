"""Leases: attempts that workers hold."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from asman_shared.definition import Shape
from asman_shared.states import Phase


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
