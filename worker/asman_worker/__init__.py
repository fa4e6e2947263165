"""The worker: dials a hub's queue, is pushed jobs, runs them in containers, and brings back lines and files.

Read in this order: `main` (one process from start to exit), `connection` (the socket), `agent` (which attempts are
held), `attempt` (the life of one), `executor` (what runs it). What the worker promises about a result is kept in
`spool`; what it promises about a job's files in `staging` and `outputs`.
"""

from .config import WorkerConfig, load_config
from .execution.interface import AttemptSpec, Ended, Executor, Reporter
from .main import run_worker

__all__ = [
    "AttemptSpec",
    "Ended",
    "Executor",
    "Reporter",
    "WorkerConfig",
    "load_config",
    "run_worker",
]
