"""The log of one job while it is open: its unstored lines, its recent lines and its log followers.

Lines are forwarded as soon as they arrive and stored in chunks soon after. A log follower that is behind reads with
`QueueLogs.read`, from the store and from here alike. New lines are pushed only to followers that have all earlier ones,
so no follower sees a line twice or out of order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from asman_shared import limits
from asman_shared.encoded import EncodedMessage
from asman_shared.messages import SYSTEM, LogLine, LogLines
from asman_shared.units import KIB

from ..storage.commit import LogChunk
from ..storage.group_commit import GroupCommitter
from ..storage.reader import LINE_OVERHEAD, ChunkHead, pack_lines
from .log_backlog import LogBacklog

RECENT_BYTES: Final = 256 * KIB
"""Size of the recent lines that stay in memory though stored, for followers that are a little behind, in bytes."""
UNFOLLOWED_BYTES: Final = 32 * KIB
"""The same while the log has no followers, so that a thousand busy logs without readers take little memory."""
CHUNK_BYTES: Final = 64 * KIB
"""Size at which a chunk is stored at once instead of by the timer; followers get lines in pieces of about this size."""
SMALL_BYTES: Final = 8 * KIB
"""Size below which the newest chunk is rewritten with the lines after it, so that a sparse log has few chunks."""
NOT_KEPT: Final = "from here on, lines of this log are not kept"
"""Beginning of the line that stands for lines that could not be kept."""
JUMP: Final = 2**32
"""Largest gap before a line, in lines. A larger seq is bogus and would use up the numbers of later runs."""


def unbroken(lines: list[LogLine]) -> list[list[LogLine]]:
    """Cuts lines into parts without a missing seq, so that each gap can be announced before the next part."""
    if not lines or lines[-1].seq - lines[0].seq + 1 == len(lines):
        return [lines] if lines else []
    cuts = [at for at in range(1, len(lines)) if lines[at].seq != lines[at - 1].seq + 1]
    return [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]


class Follower(Protocol):
    """Receiver of every line of a log."""

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        """Takes the new lines ``first`` to ``last``; a follower that is not at ``first`` fetches them instead."""


class JobLog:
    """The open log of one job: stores its lines in chunks and pushes them to followers.

    Args:
        queue: Name of the queue.
        job: Id of the job.
        committer: Stores the chunks.
        next_seq: The seq of the next line.
        heads: The chunks that are stored.
        log_backlog: Counts the queue's log bytes that are not stored yet.
        most: Bytes of the log that are kept.

    Attributes:
        log_backlog: Bytes of this log that are not stored yet.
        stored_to: All lines before this seq are stored.
        recent: The newest lines, including all that are not stored yet.
    """

    __slots__ = (
        "_committer",
        "_counted",
        "_head_bytes",
        "_late",
        "_most",
        "_newest",
        "_newest_bytes",
        "_open",
        "_open_bytes",
        "_recent_bytes",
        "_tail",
        "_tail_bytes",
        "_writing",
        "followers",
        "job",
        "log_backlog",
        "next_seq",
        "queue",
        "recent",
        "stored_to",
    )

    def __init__(
        self,
        queue: str,
        job: str,
        committer: GroupCommitter,
        next_seq: int,
        heads: list[ChunkHead],
        log_backlog: LogBacklog,
        most: int = limits.LOG_BYTES,
    ) -> None:
        self.queue = queue
        self.job = job
        self.next_seq = next_seq
        self.stored_to = next_seq
        self.log_backlog = 0
        self.recent: deque[LogLine] = deque()
        self.followers: dict[Follower, None] = {}
        self._committer = committer
        self._counted = log_backlog
        self._most = most
        self._open: list[LogLine] = []
        self._open_bytes = 0
        self._recent_bytes = 0
        self._writing = 0
        self._late = False
        self._newest: list[LogLine] = []
        self._newest_bytes = 0
        self._head_bytes = 0
        self._tail: deque[tuple[int, int]] = deque()
        self._tail_bytes = 0
        for head in heads:
            self._count(head.first, head.size)

    def not_kept(self, lines: list[LogLine], why: str) -> list[LogLine]:
        """Returns what takes the place of new lines that can't be kept: one line that says so, once in a row.

        The lines after it are missing from the log as any others: readers are told a gap.
        """
        fresh = [line for line in lines if line.seq >= self.next_seq]
        newest = self.recent[-1] if self.recent else None
        if not fresh or (newest is not None and newest.stream == SYSTEM and newest.text.startswith(NOT_KEPT)):
            return []
        first = fresh[0]
        return [LogLine(first.seq, first.time, SYSTEM, f"{NOT_KEPT}: {why}", first.phase)]

    def add(self, lines: list[LogLine]) -> None:
        """Takes new lines at or past the next seq; repeated lines and lines out of order are skipped."""
        piece: list[LogLine] = []
        size = 0
        following = self.next_seq
        furthest = following + JUMP
        for line in lines:
            seq = line.seq
            if not following <= seq <= furthest:
                continue
            if len(line.text) > limits.LOG_LINE_BYTES:
                line.text = line.text[: limits.LOG_LINE_BYTES - 1] + "…"
            if piece and (size >= CHUNK_BYTES or seq != following):
                self._admit(piece, size)
                piece, size = [], 0
            piece.append(line)
            size += len(line.text) + LINE_OVERHEAD
            following, furthest = seq + 1, seq + 1 + JUMP
        if piece:
            self._admit(piece, size)

    def _admit(self, piece: list[LogLine], size: int) -> None:
        first, last = piece[0].seq, piece[-1].seq
        gap = first if first > self.next_seq else None
        self.next_seq = last + 1
        self._recent_bytes += size
        self._open_bytes += size
        self.log_backlog += size
        self._counted.add(size)
        self.recent.extend(piece)
        self._open.extend(piece)
        if self.followers:
            encoded = EncodedMessage(LogLines(job=self.job, lines=piece, gap=gap))
            for follower in list(self.followers):
                follower.lines(encoded, first, last)
        if self._open_bytes >= CHUNK_BYTES:
            self.flush()

    def flush(self, then: Callable[[], None] | None = None, *, now: bool = True) -> None:
        """Hands the open lines to the group commit.

        Args:
            then: Called when the lines are stored.
            now: False lets the lines wait for the chunk before them, so that a log has few chunks while commits fail.
        """
        if not self._open:
            return
        if not now and self._writing:
            self._late = True
            return
        fresh, self._open = self._open, []
        size, self._open_bytes = self._open_bytes, 0
        lines = self._newest + fresh
        first, last = lines[0].seq, lines[-1].seq

        self._writing += 1

        def stored() -> None:
            self._writing -= 1
            self.stored_to = max(self.stored_to, last + 1)
            self.log_backlog -= size
            self._counted.free(size)
            self._trim()
            if then is not None:
                then()
            if self._late and not self._writing:
                self._late = False
                self.flush()

        whole = self._newest_bytes + size
        self._committer.lines(LogChunk(self.queue, self.job, first, last, whole, pack_lines(lines)), stored)
        self._count(first, size, again=bool(self._newest))
        small = whole < min(SMALL_BYTES, self._most // 64)
        self._newest, self._newest_bytes = (lines, whole) if small else ([], 0)
        while self._head_bytes + self._tail_bytes > self._most and len(self._tail) > 1:
            oldest, dropped = self._tail.popleft()
            self._tail_bytes -= dropped
            self._committer.drop_lines(self.queue, self.job, oldest)

    @property
    def size(self) -> int:
        """Size in bytes of the lines of the present run that are kept."""
        return self._head_bytes + self._tail_bytes + self._open_bytes

    def begin(self) -> None:
        """Begins the log of the job's next run, which has chunks and a cap of its own."""
        self._newest, self._newest_bytes = [], 0
        self._tail.clear()
        self._head_bytes = self._tail_bytes = 0

    def clear(self) -> None:
        """Forgets all lines; the next one keeps its seq."""
        self.log_backlog -= self._open_bytes
        self._counted.free(self._open_bytes)
        self._open.clear()
        self._open_bytes = 0
        self._newest, self._newest_bytes = [], 0
        self.recent.clear()
        self._recent_bytes = 0
        self._tail.clear()
        self._head_bytes = self._tail_bytes = 0

    def _count(self, first: int, size: int, *, again: bool = False) -> None:
        """Counts a chunk as head or tail: the head takes up to half of the cap and stays, the tail moves on.

        Args:
            first: The seq of the chunk's first line.
            size: Size of the chunk, or the size that it has gained, in bytes.
            again: The chunk is the newest one counted, and has grown.
        """
        if again and self._tail:
            self._tail[-1] = (first, self._tail[-1][1] + size)
            self._tail_bytes += size
        elif not self._tail and (again or self._head_bytes + size <= self._most // 2):
            self._head_bytes += size
        else:
            self._tail.append((first, size))
            self._tail_bytes += size

    def _trim(self) -> None:
        recent = self.recent
        most = RECENT_BYTES if self.followers else UNFOLLOWED_BYTES
        while recent and self._recent_bytes > most and recent[0].seq < self.stored_to:
            self._recent_bytes -= len(recent.popleft().text) + LINE_OVERHEAD

    def fresh(self, since: int, limit: int) -> list[LogLine] | None:
        """Returns a page of lines from ``since`` on if they are in memory; None when the store must be read."""
        if since >= self.next_seq:
            return []
        recent = self.recent
        if not recent or since < recent[0].seq:
            return None
        page: list[LogLine] = []
        size = 0
        # Without gaps, the index of the first line follows from its seq.
        whole = recent[-1].seq - recent[0].seq + 1 == len(recent)
        for line in islice(recent, since - recent[0].seq if whole else 0, None):
            if line.seq >= since:
                page.append(line)
                size += len(line.text) + LINE_OVERHEAD
                if len(page) == limit or size >= limits.LOG_PAGE_BYTES:
                    break
        return page

    def fresh_before(self, until: int, limit: int) -> list[LogLine] | None:
        """Returns a page of the last lines before ``until``, in order; None when the store must be read."""
        recent = self.recent
        if not recent or until <= recent[0].seq:
            return None
        page: list[LogLine] = []
        size = 0
        for line in reversed(recent):
            if line.seq < until:
                page.append(line)
                size += len(line.text) + LINE_OVERHEAD
                if len(page) == limit or size >= limits.LOG_PAGE_BYTES:
                    break
        page.reverse()
        return page
