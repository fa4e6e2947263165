"""The states, phases and reasons of jobs, shared by hub, worker, client and page."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Word(StrEnum):
    """Base of these enums, with a fast hash: they are looked up often, and an enum's own hash is a Python function."""

    __hash__ = str.__hash__


class State(Word):
    """Stage of a job's life."""

    QUEUED = "Queued"
    RUNNING = "Running"
    FINISHED = "Finished"
    REMOVED = "Removed"

    @property
    def over(self) -> bool:
        """Whether the job does not change any more by itself."""
        return self is State.FINISHED or self is State.REMOVED


class Phase(Word):
    """Present work for a job that is Running."""

    ASSIGNED = "assigned"
    STAGING = "staging"
    PULLING = "pulling"
    BUILDING = "building"
    RUNNING = "running"
    UPLOADING = "uploading"

    @property
    def prepares(self) -> bool:
        """Whether the container does not run yet."""
        return self is not Phase.RUNNING and self is not Phase.UPLOADING


class Reason(Word):
    """Why a job is Finished."""

    SUCCESS = "Success"
    FAILED = "Failed"
    ERROR = "Error"
    TIMED_OUT = "TimedOut"
    OUT_OF_MEMORY = "OutOfMemory"
    CANCELLED = "Cancelled"
    REPLACED = "Replaced"
    WORKER_LOST = "WorkerLost"
    DELETED = "Deleted"

    @property
    def cacheable(self) -> bool:
        """Whether the run ended by itself, so that its end can be the answer to a later submission (`Reuse`)."""
        return self is Reason.SUCCESS or self is Reason.FAILED


Reuse = Literal["success", "any", "never"]
"""The results that may answer a submission: that of a success; any that has an exit code; or none."""
AnyReuse = Literal["success", "any", "never", "cached"]
"""The words for `Reuse` in messages; ``cached`` is an older one for ``any``."""


class Fault(Word):
    """The party at fault for an Error."""

    JOB = "job"
    WORKER = "worker"
    HUB = "hub"
