"""The words for where a job is and how it ended, shared by hub, worker, client and page."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "Queued"
    RUNNING = "Running"
    FINISHED = "Finished"
    REMOVED = "Removed"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self in (State.FINISHED, State.REMOVED)


class Phase(StrEnum):
    """What is being done for a job that is Running."""

    ASSIGNED = "assigned"
    STAGING = "staging"
    PULLING = "pulling"
    BUILDING = "building"
    RUNNING = "running"
    UPLOADING = "uploading"

    @property
    def prepares(self) -> bool:
        """Whether the container does not run yet."""
        return self not in (Phase.RUNNING, Phase.UPLOADING)


class Reason(StrEnum):
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
        """Whether submitting the job again answers with this result instead of running it again."""
        return self in (Reason.SUCCESS, Reason.FAILED)


class Fault(StrEnum):
    """Whose fault an Error is."""

    JOB = "job"
    WORKER = "worker"
    HUB = "hub"
