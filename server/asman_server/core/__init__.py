"""The queue, as a pure state machine: events go in, effects come out.

Nothing here does I/O, reads a clock, awaits or draws random numbers; the same events at the same times give the same
effects, so a simulation or a bug report can be replayed. Everything that can go wrong between machines is decided
here: who runs what (`ready`), which attempt is the live one (`queue`), what a lost worker costs, and when a result
counts. The shell in `asman_server.queues.shell` feeds it and carries its effects out.
"""

from . import effects, events
from .job import Job
from .lease import Lease
from .policy import QueuePolicy
from .queue import QueueCore
from .worker import Worker

__all__ = ["Job", "Lease", "QueueCore", "QueuePolicy", "Worker", "effects", "events"]
