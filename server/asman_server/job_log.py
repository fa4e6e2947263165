"""The log of one job while it is alive: what is not yet stored, what is fresh, and who follows.

Lines are forwarded the moment they come and stored in chunks soon after. Whoever is behind reads from the store and
from here with the same `QueueLogs.read`; only followers that have all lines are pushed new ones, so nobody sees a
line twice or out of order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from asman_shared import limits
from asman_shared.codec import Packet
from asman_shared.messages import LogLine, LogLines

from .commit import LogChunk
from .journal import Journal
from .store import ChunkHead, pack_lines

RECENT_BYTES = 256 * 1024
"""Stored lines that are also kept here, for followers that are a little behind."""
CHUNK_BYTES = 64 * 1024
"""Size after which a chunk is stored without waiting for the clock."""
LINE_OVERHEAD = 32
"""Bytes counted for a line besides its text."""


JUMP = 2**32
"""Lines that may be missing before one; a seq further on was made up and would use up those of later runs."""


class Follower(Protocol):
    """Somebody who wants every line of a log."""

    def lines(self, packet: Packet, first: int, last: int) -> None:
        """New lines ``first`` to ``last`` are here; a follower that is not at ``first`` fetches them instead."""


class JobLog:
    """See the module.

    Args:
        queue: Name of the queue.
        job: Id of the job.
        journal: Stores the chunks.
        next_seq: The seq of the next line.
        heads: The chunks that are stored.
    """

    __slots__ = (
        "_head_bytes",
        "_journal",
        "_open",
        "_open_bytes",
        "_recent_bytes",
        "_tail",
        "_tail_bytes",
        "_waiters",
        "followers",
        "job",
        "next_seq",
        "queue",
        "recent",
        "stored_to",
        "unstored",
    )

    def __init__(self, queue: str, job: str, journal: Journal, next_seq: int, heads: list[ChunkHead]) -> None:
        self.queue = queue
        self.job = job
        self.next_seq = next_seq
        self.stored_to = next_seq
        self.unstored = 0
        self.recent: deque[LogLine] = deque()
        self.followers: dict[Follower, None] = {}
        self._journal = journal
        self._open: list[LogLine] = []
        self._open_bytes = 0
        self._recent_bytes = 0
        self._head_bytes = 0
        self._tail: deque[tuple[int, int]] = deque()
        self._tail_bytes = 0
        self._waiters: list[asyncio.Future[None]] = []
        for head in heads:
            self._count(head.first, head.size)

    def add(self, lines: list[LogLine]) -> None:
        """Takes new lines: those at or past the next seq; what was sent again, or out of order, is passed over."""
        fresh: list[LogLine] = []
        following = self.next_seq
        for line in lines:
            if following <= line.seq <= following + JUMP:
                if len(line.text) > limits.LOG_LINE_BYTES:
                    line.text = line.text[: limits.LOG_LINE_BYTES - 1] + "…"
                fresh.append(line)
                following = line.seq + 1
        if not fresh:
            return
        first, last = fresh[0].seq, fresh[-1].seq
        gap = first if first > self.next_seq else None
        self.next_seq = last + 1
        for line in fresh:
            size = len(line.text) + LINE_OVERHEAD
            self._recent_bytes += size
            self._open_bytes += size
            self.unstored += size
        self.recent.extend(fresh)
        self._open.extend(fresh)
        if self.followers:
            packet = Packet(LogLines(job=self.job, lines=fresh, gap=gap))
            for follower in list(self.followers):
                follower.lines(packet, first, last)
        if self._open_bytes >= CHUNK_BYTES:
            self.flush()

    def flush(self, then: Callable[[], None] | None = None) -> None:
        """Hands the open lines to the journal."""
        if not self._open:
            return
        lines, self._open = self._open, []
        size, self._open_bytes = self._open_bytes, 0
        first, last = lines[0].seq, lines[-1].seq

        def stored() -> None:
            self.stored_to = max(self.stored_to, last + 1)
            self.unstored -= size
            self._trim()
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if then is not None:
                then()

        self._journal.lines(LogChunk(self.queue, self.job, first, last, size, pack_lines(lines)), stored)
        self._count(first, size)
        while self._head_bytes + self._tail_bytes > limits.LOG_BYTES and len(self._tail) > 1:
            oldest, dropped = self._tail.popleft()
            self._tail_bytes -= dropped
            self._journal.drop_lines(self.queue, self.job, oldest)

    def clear(self) -> None:
        """Forgets all lines; the next one keeps its seq."""
        self.unstored -= self._open_bytes
        self._open.clear()
        self._open_bytes = 0
        self.recent.clear()
        self._recent_bytes = 0
        self._tail.clear()
        self._head_bytes = self._tail_bytes = 0

    async def stored(self) -> None:
        """Returns when a chunk that was handed over has been stored."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _count(self, first: int, size: int) -> None:
        """The first half of the cap is the head, which stays; the rest is the tail, which moves on."""
        if self._head_bytes + size <= limits.LOG_BYTES // 2 and not self._tail:
            self._head_bytes += size
        else:
            self._tail.append((first, size))
            self._tail_bytes += size

    def _trim(self) -> None:
        recent = self.recent
        while recent and self._recent_bytes > RECENT_BYTES and recent[0].seq < self.stored_to:
            self._recent_bytes -= len(recent.popleft().text) + LINE_OVERHEAD

    def fresh(self, since: int, limit: int) -> list[LogLine] | None:
        """Lines from ``since`` on if they are still here, a page of them; None when the store must be asked."""
        if since >= self.next_seq:
            return []
        if not self.recent or since < self.recent[0].seq:
            return None
        page: list[LogLine] = []
        size = 0
        for line in self.recent:
            if line.seq >= since:
                page.append(line)
                size += len(line.text) + LINE_OVERHEAD
                if len(page) == limit or size >= limits.LOG_PAGE_BYTES:
                    break
        return page
