"""Settings of a queue that an operator may change."""

from __future__ import annotations

from msgspec import Struct

from asman_shared import limits


class QueuePolicy(Struct, frozen=True):
    """Settings that an operator may change; all times are in milliseconds.

    Attributes:
        grace: Time for a lost worker to come back before its jobs are given to others.
        assigned_limit: Longest silence about an assignment before it is taken back.
        run_slack: Time after a job's time limit that the hub waits for its worker to report the end.
        retention: Time that finished jobs are kept, unless their queue sets another.
        longest_retention: The longest retention that a queue may set.
        patience: Time that a job waits before smaller jobs stop overtaking it.
        finished_kept: Number of finished jobs held in memory; older ones are read from the store on demand. At least 1,
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
