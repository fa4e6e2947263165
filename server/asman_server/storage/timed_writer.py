"""How long commits take, how many rows they have and how often they fail."""

from __future__ import annotations

import time

from ..meters import COMMIT_BUCKETS, Histogram
from .commit import Commit, Ledger


class TimedLedger:
    """A ledger whose commits are timed.

    Args:
        ledger: Makes them.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.seconds = Histogram(COMMIT_BUCKETS)
        self.rows = 0
        self.failures = 0
        self._ledger = ledger

    async def commit(self, commit: Commit) -> None:
        """See `asman_server.storage.commit.Ledger`."""
        began = time.perf_counter()
        try:
            await self._ledger.commit(commit)
        except BaseException:
            self.failures += 1
            raise
        self.seconds.observe(time.perf_counter() - began)
        self.rows += len(commit.jobs)
