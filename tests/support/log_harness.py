"""A log with a group commit and a store that store its lines when the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from asman_server.core import Job, QueueCore, QueuePolicy
from asman_server.core import events as ev
from asman_server.queues.queue_logs import QueueLogs
from asman_server.storage.commit import LogChunk
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import ChunkHead, Reader
from asman_shared import limits
from asman_shared.definition import Shape
from asman_shared.errors import Unavailable
from asman_shared.messages import LogLine, Register, Summary

JOB = f"{1:064x}"
WORKER = "worker-000000000"

_lines = msgspec.msgpack.Decoder(list[LogLine]).decode


def line(seq: int, text: str = "") -> LogLine:
    return LogLine(seq, 1000 + seq, 0, text or f"line {seq}")


class Chunks:
    """The group commit and store of one log."""

    def __init__(self) -> None:
        self.waiting: list[tuple[LogChunk, Callable[[], None]]] = []
        self.stored: dict[int, LogChunk] = {}
        self.dropped: list[int] = []
        self.away = False
        self.reads = 0

    def full(self) -> str:
        return ""

    def lines(self, chunk: LogChunk, done: Callable[[], None]) -> None:
        self.waiting.append((chunk, done))

    def drop_lines(self, _queue: str, _job: str, first: int) -> None:
        self.dropped.append(first)

    def commit(self) -> None:
        """Stores all that was handed over."""
        waiting, self.waiting = self.waiting, []
        for chunk, _ in waiting:
            self.stored[chunk.first] = chunk
        for first in self.dropped:
            self.stored.pop(first, None)
        for _, done in waiting:
            done()

    def kept(self) -> list[int]:
        return [line.seq for _, chunk in sorted(self.stored.items()) for line in _lines(chunk.body)]

    async def page(self, _queue: str, _job: str, since: int, limit: int) -> list[LogLine]:
        self.reads += 1
        if self.away:
            raise Unavailable("the database is away")
        found = [line for _, chunk in sorted(self.stored.items()) for line in _lines(chunk.body)]
        return [line for line in found if line.seq >= since][:limit]

    async def page_before(self, _queue: str, _job: str, until: int, limit: int) -> list[LogLine]:
        self.reads += 1
        found = [line for _, chunk in sorted(self.stored.items()) for line in _lines(chunk.body)]
        return [line for line in found if line.seq < until][-limit:]

    async def heads(self, _queue: str, _job: str) -> list[ChunkHead]:
        return [ChunkHead(c.first, c.last, c.size) for _, c in sorted(self.stored.items())]


class LogHarness:
    """The logs of a queue in which one worker runs one job."""

    def __init__(self, log_bytes: int = limits.LOG_BYTES) -> None:
        self.chunks = Chunks()
        self.core = QueueCore(QueuePolicy(log_bytes=log_bytes))
        self.core.handle(ev.Submitted(JOB, Shape(), Summary()), 1)
        self.core.handle(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1)), 1)
        committer, store = cast(GroupCommitter, self.chunks), cast(Reader, _Store(self.chunks))
        self.logs = QueueLogs("q", self.core, committer, store)

    @property
    def job(self) -> Job:
        return self.core.jobs[JOB]

    async def add(self, *lines: LogLine) -> None:
        await self.logs.add(WORKER, JOB, self.job.attempt, list(lines))

    async def numbers(self, since: int = 0, limit: int = 1000) -> tuple[list[int], bool]:
        lines, at_end = await self.logs.read(JOB, since, limit)
        return [line.seq for line in lines], at_end


class _Store:
    def __init__(self, chunks: Chunks) -> None:
        self.lines = chunks.page
        self.lines_before = chunks.page_before
        self.chunk_heads = chunks.heads
