"""One attempt that a worker holds."""

from __future__ import annotations

from msgspec import Struct

from asman_shared.definition import Shape
from asman_shared.states import Phase


class Lease(Struct, gc=False):
    """One attempt that a worker holds; its capacity is in use until the worker has let go of it.

    Attributes:
        live: It is the job's current attempt. A lease that is not live only waits for the worker's `Released`.
        since: When it reached the phase that it is in, ms.
        phase: As last reported.
    """

    job: str
    attempt: int
    shape: Shape
    since: int
    live: bool = True
    phase: Phase = Phase.ASSIGNED
