"""The worker: connects to a hub's queue, receives jobs, runs them in containers, and sends back lines and files.

Read in this order: `main` (one process from start to exit), `hub_link.connection` (the socket), `attempts.agent` (the
attempts of one queue), `attempts.attempt` (one attempt), `execution.interface` (the executor that runs it). The
promises about a result are kept in `attempts.result_spool`, those about a job's files in `attempts.staging` and
`attempts.outputs`.
"""

from .config import WorkerConfig, load_config
from .execution.interface import AttemptSpec, Ended, JobExecutor, Reporter
from .main import run_worker

__all__ = [
    "AttemptSpec",
    "Ended",
    "JobExecutor",
    "Reporter",
    "WorkerConfig",
    "load_config",
    "run_worker",
]
