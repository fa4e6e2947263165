"""A database that keeps everything it committed; the seed makes it slow or unreachable, or has it refuse some rows."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Collection, Sequence
from random import Random

import msgspec

from asman_server.core import Job
from asman_server.storage import row_kinds
from asman_server.storage.commit import Commit, JobRow, Key, LogChunk, QueueRow, Unwritable, WebhookRow
from asman_server.storage.reader import ChunkHead, Unfinished
from asman_server.storage.row_kinds import ALIASES, DEFINITIONS, JOBS, LOG_CHUNKS, RESULTS, SIGNATURES
from asman_shared.definition import Definition
from asman_shared.errors import Unavailable
from asman_shared.identity import Signatures
from asman_shared.messages import LogLine, Result
from asman_shared.states import State

_definition = msgspec.msgpack.Decoder(Definition).decode
_lines = msgspec.msgpack.Decoder(list[LogLine]).decode

REFUSED_SHARE = 6
"""One of this many rows is refused while the database refuses rows."""
_UNFINISHED = frozenset(state.value for state in State if not state.over)


class SimDatabase:
    """The commit writer and the store in one; it outlives the hubs of a simulation."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.away = False
        self.refusing: int | None = None
        self.refused: set[str] = set()
        self.slow = 0.002
        self.reading = 0.002
        self.commits = 0
        self.rows: dict[Key, JobRow] = {}
        self.bodies: dict[str, bytes] = {}
        self.aliases: dict[str, str] = {}
        self.results: dict[Key, bytes] = {}
        self.ends: dict[Key, Signatures] = {}
        self.chunks: dict[tuple[str, str, int], LogChunk] = {}
        self.queues: dict[str, QueueRow] = {}
        self.calls: dict[str, WebhookRow] = {}
        self._read_jobs: dict[Key, tuple[JobRow, Job]] = {}
        self.on_row: Callable[[JobRow], None] = _unseen
        self.on_forget: Callable[[JobRow], None] = _unseen
        self.on_unstored: Callable[[str], None] = _unseen
        self.on_lines: Callable[[LogChunk], None] = _unseen
        self.on_trim: Callable[[str, str, int], None] = _untold

    async def commit(self, commit: Commit) -> None:
        """Commits like `asman_server.storage.commit.CommitWriter`; sometimes the answer is lost after the commit."""
        calls = [msgspec.structs.replace(call) for call in commit.webhooks]
        copied = msgspec.structs.replace(commit, webhooks=calls, drop_chunks=list(commit.drop_chunks))
        await asyncio.sleep(self.random.expovariate(1 / self.slow))
        if self.away and self.random.random() < 0.8:
            raise Unavailable("the database is away")
        if self.refusing is not None:
            self._refuse(copied, self.refusing)
        self._apply(copied)
        self.commits += 1
        await asyncio.sleep(self.random.expovariate(1 / self.slow))
        if self.away:
            raise Unavailable("the connection broke after the commit")

    def _refuse(self, commit: Commit, draw: int) -> None:
        """Refuses a commit for some of its rows; the contents of a row decide, so it is refused again."""
        rows = [(row[kind.about], repr(row)) for kind in row_kinds.KINDS for row in kind.rows(commit.puts)]
        rows += [(json.loads(call.body)["jobId"], f"{call.url} {call.body!r}") for call in commit.webhooks]
        found = {job for job, row in rows if (zlib.crc32(row.encode()) ^ draw) % REFUSED_SHARE == 0}
        self.refused |= found
        if found:
            raise Unwritable(f"{len(found)} rows hold what no column can")

    def _apply(self, commit: Commit) -> None:
        for key in commit.forget:
            row = self.rows.pop(key, None)
            if row is not None:
                self.on_forget(row)
            elif key[1] in self.refused:
                self.on_unstored(key[1])
            self.results.pop(key, None)
            self.ends.pop(key, None)
        for gone in [c for key in commit.forget for c in self.chunks if c[:2] == key]:
            del self.chunks[gone]
        for queue, job, first in commit.trim:
            for old in [c for c in self.chunks if c[:2] == (queue, job) and c[2] < first]:
                del self.chunks[old]
        for job_id, body in DEFINITIONS.rows(commit.puts):
            self.bodies.setdefault(job_id, body)
        for alias, job_id in ALIASES.rows(commit.puts):
            self.aliases.setdefault(alias, job_id)
        for row in JOBS.rows(commit.puts):
            self.rows[row.queue, row.id] = row
            self.on_row(row)
        for trim in commit.trim:
            self.on_trim(*trim)
        for queue, job, body in SIGNATURES.rows(commit.puts):
            self.ends[queue, job] = msgspec.msgpack.decode(body, type=Signatures)
        for queue, job, body in RESULTS.rows(commit.puts):
            self.results[queue, job] = body
        for stored in LOG_CHUNKS.rows(commit.puts):
            self.chunks[stored.queue, stored.job, stored.first] = stored
            self.on_lines(stored)
        for dropped in commit.drop_chunks:
            self.chunks.pop(dropped, None)
        for call in commit.webhooks:
            self.calls.setdefault(call.id, call)
        for call_id, tries, due in commit.webhooks_later:
            self.calls[call_id].tries, self.calls[call_id].due = tries, due
        for call_id in commit.webhooks_done:
            self.calls.pop(call_id, None)
        for settings in commit.queues:
            self.queues[settings.queue] = settings

    async def _read(self) -> None:
        await asyncio.sleep(self.random.expovariate(1 / self.reading))
        if self.away:
            raise Unavailable("the database is away")

    def job_now(self, queue: str, job_id: str) -> Job:
        """Returns a committed job at once; for the judge of the simulation, which must not change it."""
        key = (queue, job_id)
        row = self.rows[key]
        known = self._read_jobs.get(key)
        if known is None or known[0] is not row:
            known = self._read_jobs[key] = row, Job.unpack(row.record)
        return known[1]

    def jobs_now(self, queue: str) -> dict[str, Job]:
        """Returns all committed jobs at once; see `job_now`."""
        return {key[1]: self.job_now(*key) for key in self.rows if key[0] == queue}

    @property
    def unfinished_now(self) -> bool:
        """Whether a committed job is unfinished."""
        return any(row.state in _UNFINISHED for row in self.rows.values())

    async def queues_at_work(self) -> list[str]:
        await self._read()
        return sorted({row.queue for row in self.rows.values() if row.state == State.RUNNING.value})

    async def unfinished(self, queue: str) -> Unfinished:
        await self._read()
        found = [row for row in self.rows.values() if row.queue == queue]
        live = sorted((Job.unpack(row.record) for row in found if row.state in _UNFINISHED), key=lambda j: j.number)
        for job in live:
            if job.attempt:
                ends = [c.last + 1 for key, c in self.chunks.items() if key[:2] == (queue, job.id)]
                job.log_next = max([job.log_start, *ends])
        finished = sum(row.state == State.FINISHED.value for row in found)
        settings = self.queues.get(queue)
        paused = settings.paused if settings is not None else 0
        return Unfinished(live, finished, max((row.number for row in found), default=0), paused=paused)

    async def due(self, now: int, limit: int) -> list[tuple[str, str]]:
        await self._read()
        found = sorted((row.due, key) for key, row in self.rows.items() if 0 < row.due <= now)
        return [key for _, key in found[:limit]]

    async def idle_queues(self, before: int, after: str, limit: int) -> list[str]:
        await self._read()
        del before, after, limit
        return []

    async def webhooks(self, limit: int, ids: Collection[str], hosts: Collection[str]) -> list[WebhookRow]:
        await self._read()
        found = sorted((c for c in self.calls.values() if c.id not in ids and c.host not in hosts), key=_due)
        return [msgspec.structs.replace(call) for call in found[:limit]]

    async def jobs(self, queue: str, ids: Sequence[str]) -> list[Job]:
        await self._read()
        return [Job.unpack(self.rows[queue, job_id].record) for job_id in ids if (queue, job_id) in self.rows]

    async def ids(self, queue: str, after: str, limit: int) -> list[str]:
        await self._read()
        return sorted(job_id for name, job_id in self.rows if name == queue and job_id > after)[:limit]

    async def definition(self, job_id: str) -> Definition | None:
        await self._read()
        body = self.bodies.get(job_id)
        return None if body is None else _definition(body)

    async def definitions(self, ids: Sequence[str]) -> dict[str, Definition]:
        await self._read()
        return {job_id: _definition(self.bodies[job_id]) for job_id in ids if job_id in self.bodies}

    async def signatures(self, queue: str, ids: Sequence[str]) -> dict[str, Signatures]:
        await self._read()
        return {job_id: self.ends[queue, job_id] for job_id in ids if (queue, job_id) in self.ends}

    async def unaliased(self, alias: str) -> str | None:
        await self._read()
        return self.aliases.get(alias)

    async def result(self, queue: str, job_id: str) -> Result | None:
        await self._read()
        body = self.results.get((queue, job_id))
        return None if body is None else msgspec.msgpack.decode(body, type=Result)

    async def lines(self, queue: str, job_id: str, since: int, limit: int) -> list[LogLine]:
        await self._read()
        chunks = sorted((k, c) for k, c in self.chunks.items() if k[:2] == (queue, job_id))
        return [line for _, chunk in chunks for line in _lines(chunk.body) if line.seq >= since][:limit]

    async def lines_before(self, queue: str, job_id: str, until: int, limit: int) -> list[LogLine]:
        await self._read()
        chunks = sorted((k, c) for k, c in self.chunks.items() if k[:2] == (queue, job_id))
        return [line for _, chunk in chunks for line in _lines(chunk.body) if line.seq < until][-limit:]

    async def chunk_heads(self, queue: str, job_id: str) -> list[ChunkHead]:
        await self._read()
        chunks = sorted((k, c) for k, c in self.chunks.items() if k[:2] == (queue, job_id))
        return [ChunkHead(c.first, c.last, c.size) for _, c in chunks]

    async def page(self, queue: str, states: Sequence[State], before: int | None, limit: int) -> list[Job]:
        await self._read()
        jobs = [Job.unpack(row.record) for row in self.rows.values() if row.queue == queue]
        found = sorted(jobs, key=lambda j: -j.number)
        wanted = [j for j in found if (not states or j.state in states) and (before is None or j.number < before)]
        return wanted[:limit]


def _due(call: WebhookRow) -> tuple[int, int]:
    return call.due, call.created


def _unseen(_row: JobRow | LogChunk | str) -> None:
    """Ignores a row, or an id."""


def _untold(_queue: str, _job: str, _first: int) -> None:
    """Ignores that lines are removed."""
