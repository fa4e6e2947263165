"""Reads the durable state. Everything that is read is committed, so clients may see it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from sqlalchemy import ColumnElement, and_, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.identity import Signatures, unsigned
from asman_shared.messages import Counts, LogLine, Result
from asman_shared.states import State

from ..core import Job
from ..core.sharing import Shared
from .commit import WebhookRow
from .database import Unreadable, unavailable
from .tables import (
    aliases,
    definitions,
    door_notes,
    first_results,
    jobs,
    log_chunks,
    queues,
    results,
    signatures,
    webhooks,
)

log = logging.getLogger("asman.hub.storage")

_decode_definition = msgspec.msgpack.Decoder(Definition).decode
_decode_signatures = msgspec.msgpack.Decoder(Signatures).decode
_decode_result = msgspec.msgpack.Decoder(Result).decode
_decode_lines = msgspec.msgpack.Decoder(list[LogLine]).decode
_encode = msgspec.msgpack.Encoder().encode

IN_LIST = 500
"""Largest number of ids in one statement."""
LINE_OVERHEAD = 32
"""Size that a log line counts for besides its text, in bytes."""
CHUNKS_AT_ONCE = 64
"""Largest number of log chunks that one statement reads."""
ROWS_AT_ONCE = 2000
"""Rows of a long result that are decoded before the event loop may run other tasks."""


def pack_definition(definition: Definition) -> bytes:
    """Encodes a definition for storage, without what the id leaves out."""
    return _encode(unsigned(definition))


def pack_lines(lines: list[LogLine]) -> bytes:
    """Encodes log lines for storage."""
    return _encode(lines)


def page_full(lines: list[LogLine], limit: int) -> bool:
    """Returns whether a page of a log has its full size, so that more lines may follow."""
    return len(lines) >= limit or size_of(lines) >= limits.LOG_PAGE_BYTES


def size_of(lines: list[LogLine]) -> int:
    """The size of lines in a log, in bytes."""
    return sum([len(line.text) for line in lines]) + LINE_OVERHEAD * len(lines)


class Unfinished(msgspec.Struct):
    """The state from which a queue resumes when it is loaded."""

    jobs: list[Job]
    finished: int
    number: int
    retention: int = 0
    paused: int = 0


class ChunkHead(msgspec.Struct):
    """The first and last line of a stored log chunk, and its size in bytes."""

    first: int
    last: int
    size: int


class Reader(Protocol):
    """The reads that queues need; the simulation has its own instead of `Store`."""

    async def queues_at_work(self) -> list[str]:
        """Queues with running jobs."""

    async def unfinished(self, queue: str) -> Unfinished:
        """Every unfinished job of a queue, with the end of its log."""

    async def due(self, now: int, limit: int) -> list[tuple[str, str]]:
        """(queue, id) of jobs whose time has come, ordered by due time."""

    async def idle_queues(self, before: int, after: str, limit: int) -> list[str]:
        """Queues without jobs that were configured before a time (epoch milliseconds), by name, after ``after``."""

    async def jobs(self, queue: str, ids: Sequence[str]) -> list[Job]:
        """The stored jobs of these ids in a queue."""

    async def ids(self, queue: str, after: str, limit: int) -> list[str]:
        """Ids of stored jobs of a queue, in their order."""

    async def page(self, queue: str, states: Sequence[State], before: int | None, limit: int) -> list[Job]:
        """Jobs of a queue, newest first."""

    async def definition(self, job_id: str) -> Definition | None:
        """A definition by its id, without the signatures of its addresses."""

    async def definitions(self, ids: Sequence[str]) -> dict[str, Definition]:
        """Definitions by their ids, without the signatures of their addresses; missing ones are left out."""

    async def signatures(self, queue: str, ids: Sequence[str]) -> dict[str, Signatures]:
        """Signatures of the addresses of a queue's jobs, by id; a job without any is left out."""

    async def unaliased(self, alias: str) -> str | None:
        """The id of the definition that an alias stands for."""

    async def result(self, queue: str, job_id: str) -> Result | None:
        """The accepted result of a job."""

    async def lines(self, queue: str, job_id: str, since: int, limit: int) -> list[LogLine]:
        """Stored log lines from seq ``since`` on: a full page (`page_full`), or all there are."""

    async def lines_before(self, queue: str, job_id: str, until: int, limit: int) -> list[LogLine]:
        """The last stored log lines before seq ``until``, in order: a page of them; empty when there is none."""

    async def chunk_heads(self, queue: str, job_id: str) -> list[ChunkHead]:
        """The stored chunks of a job's log, in order."""


class Flushed(Protocol):
    """Returns when committed rows are in their tables; see `sqlite.buffered_writer.BufferedWriter.flushed`."""

    async def __call__(self, ids: Sequence[str] | None = None) -> None:
        """Flushes rows about some ids (of jobs, definitions or aliases); None for all rows."""


async def _at_once(ids: Sequence[str] | None = None) -> None:
    """Returns at once, for a writer that writes to the tables themselves."""


class Store:
    """Reads the tables.

    Args:
        engine: The database.
        flushed: Flushes buffered rows before the tables are read.
    """

    def __init__(self, engine: AsyncEngine, flushed: Flushed = _at_once) -> None:
        self._engine = engine
        self._flushed = flushed

    @asynccontextmanager
    async def _reading(self, ids: Sequence[str] | None = None) -> AsyncIterator[AsyncConnection]:
        await self._flushed(ids)
        with unavailable("the hub can't read its database now ({}); try again"):
            async with self._engine.connect() as connection:
                try:
                    yield connection
                except msgspec.MsgspecError as error:
                    log.exception("a stored row can't be read", extra={"ids": [each[:12] for each in (ids or ())[:5]]})
                    raise Unreadable(
                        f"the hub can't read what it has stored of this ({error}): the row is damaged, or of another "
                        "version; run the job again, or tell the hub's operator"
                    ) from error

    async def unfinished(self, queue: str) -> Unfinished:
        """Every unfinished job of a queue, with the end of its log."""
        mine = jobs.c.queue == queue
        # One state at a time, so that the index on states is used and finished jobs are not read.
        shared = Shared()
        found: list[Job] = []
        async with self._reading() as connection:
            for state in (State.RUNNING, State.QUEUED):
                query = select(jobs.c.record).where(mine, jobs.c.state == state.value).order_by(jobs.c.number)
                rows = await connection.stream(query)
                async for part in rows.partitions(ROWS_AT_ONCE):
                    for row in part:
                        job = Job.unpack(row[0])
                        shared.slim(job)
                        found.append(job)
            found.sort(key=_number)
            number = await connection.scalar(select(func.max(jobs.c.number)).where(mine))
            finished = await connection.scalar(
                select(func.count()).select_from(jobs).where(mine, jobs.c.state == State.FINISHED.value)
            )
            settings = select(queues.c.retention, queues.c.paused).where(queues.c.queue == queue)
            retention, paused = (await connection.execute(settings)).first() or (0, 0)
            started = {job.id: job for job in found if job.attempt}
            for job in started.values():
                job.log_next = job.log_start
            for ids in _slices(list(started)):
                ends = await connection.execute(
                    select(log_chunks.c.job, func.max(log_chunks.c.last))
                    .where(log_chunks.c.queue == queue, log_chunks.c.job.in_(ids))
                    .group_by(log_chunks.c.job)
                )
                for job_id, last in ends:
                    started[job_id].log_next = max(last + 1, started[job_id].log_start)
        return Unfinished(found, int(finished or 0), int(number or 0), int(retention), int(paused))

    async def due(self, now: int, limit: int) -> list[tuple[str, str]]:
        """(queue, id) of waiting or finished jobs that are due, ordered by due time."""
        query = (
            select(jobs.c.queue, jobs.c.id)
            .where(jobs.c.due > literal_column("0"), jobs.c.due <= now)
            .order_by(jobs.c.due)
            .limit(limit)
        )
        async with self._reading() as connection:
            return [(row[0], row[1]) for row in await connection.execute(query)]

    async def idle_queues(self, before: int, after: str, limit: int) -> list[str]:
        """Queues without jobs that were configured before a time (epoch milliseconds), by name, after ``after``."""
        query = (
            select(queues.c.queue)
            .where(queues.c.touched < before, queues.c.queue > after, queues.c.paused == 0)
            .where(~select(jobs.c.id).where(jobs.c.queue == queues.c.queue).exists())
            .order_by(queues.c.queue)
            .limit(limit)
        )
        async with self._reading() as connection:
            return [row[0] for row in await connection.execute(query)]

    async def queues_at_work(self) -> list[str]:
        """Queues with running jobs, whose workers reconnect after a restart."""
        async with self._reading() as connection:
            rows = await connection.execute(select(jobs.c.queue).where(jobs.c.state == State.RUNNING.value).distinct())
            return [row[0] for row in rows]

    async def jobs(self, queue: str, ids: Sequence[str]) -> list[Job]:
        """The stored jobs of these ids in a queue; missing ones are left out."""
        found: list[Job] = []
        async with self._reading(ids) as connection:
            for part in _slices(ids):
                rows = await connection.execute(select(jobs.c.record).where(jobs.c.queue == queue, jobs.c.id.in_(part)))
                found.extend(Job.unpack(row[0]) for row in rows)
        return found

    async def ids(self, queue: str, after: str, limit: int) -> list[str]:
        """Ids of stored jobs of a queue, in their order, after ``after``.

        Jobs that are committed after the first page (with an empty ``after``) may be left out.
        """
        query = select(jobs.c.id).where(jobs.c.queue == queue, jobs.c.id > after).order_by(jobs.c.id).limit(limit)
        async with self._reading(() if after else None) as connection:
            return list((await connection.execute(query)).scalars())

    async def knows(self, queue: str) -> bool:
        """Returns whether a queue has any job."""
        async with self._reading() as connection:
            return await connection.scalar(select(jobs.c.id).where(jobs.c.queue == queue).limit(1)) is not None

    async def counts(self, queue: str) -> Counts:
        """The number of a queue's jobs in each state."""
        query = select(jobs.c.state, func.count()).where(jobs.c.queue == queue).group_by(jobs.c.state)
        async with self._reading() as connection:
            found = {state: int(count) for state, count in await connection.execute(query)}
        return Counts(
            queued=found.get(State.QUEUED.value, 0),
            running=found.get(State.RUNNING.value, 0),
            finished=found.get(State.FINISHED.value, 0),
        )

    async def page(self, queue: str, states: Sequence[State], before: int | None, limit: int) -> list[Job]:
        """Jobs of a queue with numbers below ``before``, newest first."""
        conditions: list[ColumnElement[bool]] = [jobs.c.queue == queue]
        if states:
            conditions.append(jobs.c.state.in_([state.value for state in states]))
        if before is not None:
            conditions.append(jobs.c.number < before)
        query = select(jobs.c.record).where(*conditions).order_by(jobs.c.number.desc()).limit(limit)
        async with self._reading() as connection:
            return [Job.unpack(row[0]) for row in await connection.execute(query)]

    async def note(self, queue: str, job_id: str) -> bytes | None:
        """Returns the note of a door about a job."""
        query = select(door_notes.c.body).where(door_notes.c.queue == queue, door_notes.c.id == job_id)
        async with self._reading([job_id]) as connection:
            found: bytes | None = await connection.scalar(query)
        return found

    async def noted_page(self, queue: str, before: int | None, limit: int) -> list[tuple[Job, bytes]]:
        """Jobs of a queue that a door keeps something about, with that, newest first; as `page`."""
        conditions: list[ColumnElement[bool]] = [jobs.c.queue == queue]
        if before is not None:
            conditions.append(jobs.c.number < before)
        mine = and_(door_notes.c.queue == jobs.c.queue, door_notes.c.id == jobs.c.id)
        query = select(jobs.c.record, door_notes.c.body).join_from(jobs, door_notes, mine).where(*conditions)
        query = query.order_by(jobs.c.number.desc()).limit(limit)
        async with self._reading() as connection:
            return [(Job.unpack(record), body) for record, body in await connection.execute(query)]

    async def queues_of(self, job_id: str) -> list[str]:
        """The queues that have a job of this id, in no order."""
        async with self._reading([job_id]) as connection:
            return list(await connection.scalars(select(jobs.c.queue).where(jobs.c.id == job_id)))

    async def anywhere(self, job_id: str) -> tuple[str, Job] | None:
        """A job by its id in any queue: that whose first result was accepted first, or any where none has a result."""
        first = first_results.c
        query = (
            select(jobs.c.queue, jobs.c.record)
            .outerjoin_from(jobs, first_results, and_(first.queue == jobs.c.queue, first.id == jobs.c.id))
            .where(jobs.c.id == job_id)
            .order_by(
                first.at.is_(None),
                first.at,
                (jobs.c.state == State.FINISHED.value).desc(),
                jobs.c.finished,
                jobs.c.number,
            )
            .limit(1)
        )
        async with self._reading([job_id]) as connection:
            row = (await connection.execute(query)).first()
            return None if row is None else (row[0], Job.unpack(row[1]))

    async def unaliased(self, alias: str) -> str | None:
        """The id of the definition that an alias stands for."""
        async with self._reading([alias]) as connection:
            found: str | None = await connection.scalar(select(aliases.c.id).where(aliases.c.alias == alias))
        return found

    async def definition(self, job_id: str) -> Definition | None:
        """A definition by its id, without the signatures of its addresses."""
        async with self._reading([job_id]) as connection:
            body = await connection.scalar(select(definitions.c.body).where(definitions.c.id == job_id))
            return None if body is None else unsigned(_decode_definition(body))

    async def definitions(self, ids: Sequence[str]) -> dict[str, Definition]:
        """Definitions by their ids, without the signatures of their addresses; missing ones are left out."""
        found: dict[str, Definition] = {}
        async with self._reading(ids) as connection:
            for part in _slices(ids):
                rows = await connection.execute(
                    select(definitions.c.id, definitions.c.body).where(definitions.c.id.in_(part))
                )
                found.update((row[0], unsigned(_decode_definition(row[1]))) for row in rows)
        return found

    async def signatures(self, queue: str, ids: Sequence[str]) -> dict[str, Signatures]:
        """Signatures of the addresses of a queue's jobs, by id; a job without any is left out."""
        found: dict[str, Signatures] = {}
        async with self._reading(ids) as connection:
            for part in _slices(ids):
                rows = await connection.execute(
                    select(signatures.c.id, signatures.c.body).where(
                        signatures.c.queue == queue, signatures.c.id.in_(part)
                    )
                )
                found.update((row[0], _decode_signatures(row[1])) for row in rows)
        return found

    async def result(self, queue: str, job_id: str) -> Result | None:
        """The accepted result of a job; None if its outputs are those of an earlier run than the one that has ended.

        A run that was cancelled or whose worker was lost leaves the result of the run before it, which counts again
        where that run's verdict does.
        """
        mine = and_(jobs.c.queue == results.c.queue, jobs.c.id == results.c.id)
        query = select(results.c.body, jobs.c.record).outerjoin_from(results, jobs, mine)
        async with self._reading([job_id]) as connection:
            found = (
                await connection.execute(query.where(results.c.queue == queue, results.c.id == job_id))
            ).one_or_none()
            if found is None:
                return None
            result = _decode_result(found.body)
            verdict = Job.unpack(found.record).verdict if found.record is not None else None
        return result if verdict is None or not result.outputs or verdict.outputs == len(result.outputs) else None

    async def lines(self, queue: str, job_id: str, since: int, limit: int) -> list[LogLine]:
        """Stored log lines from seq ``since`` on: at most ``limit``, and about `limits.LOG_PAGE_BYTES` of text.

        A page is shorter only at the end of the log.
        """
        mine = and_(log_chunks.c.queue == queue, log_chunks.c.job == job_id)
        # The chunk that holds a line is the last one that begins at or before it, so the primary key's index is used.
        start = select(func.max(log_chunks.c.first)).where(mine, log_chunks.c.first <= since).scalar_subquery()
        query = select(log_chunks.c.first, log_chunks.c.body).where(mine).order_by(log_chunks.c.first)
        query = query.where(log_chunks.c.first >= func.coalesce(start, since))
        found: list[LogLine] = []
        size = 0
        async with self._reading([job_id]) as connection:
            for most in _growing(limit):
                rows = (await connection.execute(query.limit(most))).all()
                for _, body in rows:
                    part = _decode_lines(body)
                    if part[0].seq < since:
                        part = [line for line in part if line.seq >= since]
                    found += part
                    size += size_of(part)
                    if len(found) >= limit or size >= limits.LOG_PAGE_BYTES:
                        return found[:limit]
                if len(rows) < most:
                    break
                query = select(log_chunks.c.first, log_chunks.c.body).where(mine).order_by(log_chunks.c.first)
                query = query.where(log_chunks.c.first > rows[-1][0])
        return found

    async def lines_before(self, queue: str, job_id: str, until: int, limit: int) -> list[LogLine]:
        """The last stored log lines before seq ``until``, in order, with the limits of `lines`."""
        query = (
            select(log_chunks.c.first, log_chunks.c.body)
            .where(log_chunks.c.queue == queue, log_chunks.c.job == job_id, log_chunks.c.first < until)
            .order_by(log_chunks.c.first.desc())
            .limit(1 + limit // limits.LOG_BATCH_LINES)
        )
        parts: list[list[LogLine]] = []
        count = size = 0
        async with self._reading([job_id]) as connection:
            for _, body in await connection.execute(query):
                part = [line for line in _decode_lines(body) if line.seq < until]
                parts.append(part)
                count += len(part)
                size += size_of(part)
                if count >= limit or size >= limits.LOG_PAGE_BYTES:
                    break
        return [line for part in reversed(parts) for line in part][-limit:]

    async def chunk_heads(self, queue: str, job_id: str) -> list[ChunkHead]:
        """The stored chunks of a job's log, in order."""
        query = (
            select(log_chunks.c.first, log_chunks.c.last, log_chunks.c.size)
            .where(log_chunks.c.queue == queue, log_chunks.c.job == job_id)
            .order_by(log_chunks.c.first)
        )
        async with self._reading([job_id]) as connection:
            return [ChunkHead(*row) for row in await connection.execute(query)]

    async def webhooks(self, limit: int, ids: Collection[str], hosts: Collection[str]) -> list[WebhookRow]:
        """The webhooks with the earliest due times, except those of some ids and hosts."""
        query = (
            select(webhooks)
            .where(webhooks.c.id.not_in(list(ids)), webhooks.c.host.not_in(list(hosts)))
            .order_by(webhooks.c.due)
            .limit(limit)
        )
        async with self._reading(()) as connection:
            return [WebhookRow(**row._mapping) for row in await connection.execute(query)]


def _number(job: Job) -> int:
    return job.number


def _growing(limit: int) -> Iterator[int]:
    """Yields growing numbers of chunks to read, for a page of ``limit`` lines."""
    most = 1 + limit // limits.LOG_BATCH_LINES
    while True:
        yield min(most, CHUNKS_AT_ONCE)
        most *= 4


def _slices(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[at : at + IN_LIST] for at in range(0, len(ids), IN_LIST)]
