"""Settings of a queue that an operator may change."""

from __future__ import annotations

from msgspec import Struct

from asman_shared import limits


class QueuePolicy(Struct, frozen=True):
    """Settings that an operator may change; all times are in milliseconds.

    Attributes:
        grace: How long a lost worker may take to come back before its jobs are given to others.
        assigned_limit: How long an assignment may go without a word before it is taken back.
        run_slack: How far past a time limit of a job the hub waits for its worker to say so.
        retention: How long finished jobs are kept when their queue does not say.
        longest_retention: The longest that a queue may ask for.
        patience: How long a job waits before smaller jobs stop overtaking it.
        finished_kept: Most finished jobs held in memory; older ones are read from the store on demand. At least 1,
            for the job that is being read.
        log_bytes: Size in bytes of the log that is kept of each job. Of a longer log, the head and the tail are kept.
        private_webhooks: Submissions may name webhooks that are not on the public internet.
    """

    grace: int = 30_000
    assigned_limit: int = 60_000
    run_slack: int = 60_000
    retention: int = 7 * 24 * 3_600_000
    longest_retention: int = 365 * 24 * 3_600_000
    patience: int = 60_000
    finished_kept: int = 20_000
    log_bytes: int = limits.LOG_BYTES
    private_webhooks: bool = False
