"""The worker: dials a hub's queue, is pushed jobs, runs them in containers, and brings back lines and files.

Read in this order: `main` (one process from start to exit), `hub_link.connection` (the socket), `attempts.agent` (which
attempts are held), `attempts.attempt` (the life of one), `execution.interface` (what runs it). What the worker promises
about a result is kept in `attempts.result_spool`; what it promises about a job's files in `attempts.staging` and
`attempts.outputs`.
"""

from .config import WorkerConfig, load_config
from .execution.interface import AttemptSpec, Ended, JobExecutor, Reporter
from .hub_link.target import QueueTarget
from .main import run_worker

__all__ = [
    "AttemptSpec",
    "Ended",
    "JobExecutor",
    "QueueTarget",
    "Reporter",
    "WorkerConfig",
    "load_config",
    "run_worker",
]
