"""How long commits take, how many rows they have and how often they fail."""

from __future__ import annotations

import time

from ..meters import COMMIT_BUCKETS, Histogram
from .commit import Commit, CommitWriter


class TimedWriter:
    """A ledger whose commits are timed.

    Args:
        writer: Makes them.
    """

    def __init__(self, writer: CommitWriter) -> None:
        self.seconds = Histogram(COMMIT_BUCKETS)
        self.rows = 0
        self.failures = 0
        self._writer = writer

    async def commit(self, commit: Commit) -> None:
        """See `asman_server.storage.commit.CommitWriter`."""
        began = time.perf_counter()
        try:
            await self._writer.commit(commit)
        except BaseException:
            self.failures += 1
            raise
        self.seconds.observe(time.perf_counter() - began)
        self.rows += len(commit.jobs)
