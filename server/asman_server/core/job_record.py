"""The stored form of a job."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from asman_shared.definition import DEFAULT_SHAPE, Shape
from asman_shared.messages import Run, Summary, Verdict
from asman_shared.states import Phase, State

from .callbacks import Hook

PLAIN: Final = DEFAULT_SHAPE
"""The shape of a job that asks for nothing; a record leaves out this object, and no equal one."""
RECORD_VERSION = 1
"""The version written with each stored job."""


class JobRecord(Struct, gc=False, omit_defaults=True):
    """A job as it is stored; fields as in `Job`.

    Attributes:
        v: `RECORD_VERSION` of the stored record.
    """

    id: str
    number: int
    summary: Summary
    shape: Shape = PLAIN
    rev: int = 0
    state: State = State.QUEUED
    phase: Phase | None = None
    attempt: int = 0
    floor: int = 0
    losses: int = 0
    max_attempts: int = 3
    worker: str = ""
    worker_name: str = ""
    holders: tuple[str, ...] = ()
    lane: str = "_"
    priority: int = 0
    queued: int = 0
    returned: int = 0
    started: int = 0
    ran: int = 0
    finished: int = 0
    run_limit: int = 0
    queue_limit: int = 0
    phase_limits: dict[Phase, int] | None = None
    log_start: int = 0
    log_next: int = 0
    forced: bool = False
    verdict: Verdict | None = None
    previous: Verdict | None = None
    hooks: list[Hook] | None = None
    log_attempt: int = 0
    back: str = ""
    log_bytes: int = 0
    log_kept: int = 0
    runs: list[Run] | None = None
    kept: bool = False
    v: int = RECORD_VERSION
