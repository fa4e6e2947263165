"""Leases: attempts that workers hold."""

from __future__ import annotations

from msgspec import Struct

from asman_shared.definition import Shape
from asman_shared.states import Phase


class Lease(Struct, gc=False):
    """One attempt that a worker holds. Its capacity is in use until the worker has let go of it.

    Attributes:
        live: Whether it is the job's current attempt. A lease that is not live only waits for the worker's `Released`.
        since: Time at which its phase began, in epoch milliseconds.
        phase: The phase that was reported last.
    """

    job: str
    attempt: int
    shape: Shape
    since: int
    live: bool = True
    phase: Phase = Phase.ASSIGNED
