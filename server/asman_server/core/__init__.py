"""The queue core, a pure state machine: events go in, effects come out.

It does no I/O, reads no clock, awaits nothing and draws no random numbers, so the same events at the same times give
the same effects and a bug report can be replayed. It decides which worker runs which job, which attempt is live, what
a lost worker costs, and which result counts. Way in: `QueueCore.handle`; `explain` reads. The shell in
`asman_server.queues` calls it.
May import: `access` and all below, see the layers in `pyproject.toml`.
Nothing that does I/O, logs, reads a clock or draws random numbers.
"""

from . import effects, events
from .job import Job
from .job_record import JobRecord
from .policy import QueuePolicy
from .queue import QueueCore
from .worker import Lease, Worker

__all__ = ["Job", "JobRecord", "Lease", "QueueCore", "QueuePolicy", "Worker", "effects", "events"]
