"""Group commit: the newest row of every dirty job, in one transaction, as often as the database can.

Answers to clients and promises to workers wait here until the commit that holds them is durable. While one transaction
is being written, the next batch collects changes; a job that changes ten times meanwhile is written once. When the
database fails, the waiting answers are refused with `Unavailable`, the changes stay in the batch, and writing is
retried until it works. So nothing is lost, and nothing is promised before it is durable.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Set
from typing import Final, Protocol

import msgspec

from asman_shared.errors import AsmanError, Unavailable
from asman_shared.identity import Signatures
from asman_shared.messages import JobState, Result, Summary

from ..awaited import Awaited
from ..core import Job
from ..core.job_state import state_of
from ..meters import COMMIT_BUCKETS, Histogram
from . import row_kinds
from .as_result import as_result
from .blob_changes import BlobChange, blobs_of_result
from .commit import Commit, CommitWriter, JobRow, Key, LogChunk, QueueRow, WebhookRow
from .row_kinds import (
    ALIASES,
    DEFINITION_BLOBS,
    DEFINITIONS,
    JOBS,
    LOG_CHUNKS,
    RESULT_BLOBS,
    RESULTS,
    SIGNATURES,
    Puts,
    Row,
    RowKind,
)

log = logging.getLogger("asman.hub.group_commit")

PATIENCE: Final = 0.001
"""Time that a commit waits for the end of a job, in seconds; the event loop's clock has no shorter unit."""
RETRY_FIRST = 0.1
"""First pause between tries while the database fails, in seconds. It doubles after each try."""
RETRY_LAST = 5.0
"""Longest pause between tries while the database fails, in seconds."""

_encode = msgspec.msgpack.Encoder().encode
_NO_JOB = Job(id="", number=0, summary=Summary())


def _not_full() -> str:
    return ""


class Publisher(Protocol):
    """A queue that tells its followers about durable changes."""

    name: str

    def due(self, job: Job) -> int:
        """Time of the next timed step for a job, in epoch milliseconds; 0 for none."""

    def publish(self, changes: list[tuple[JobState, bool]]) -> None:
        """Tells followers about changes; each comes with whether it begins a run."""


class _Answer:
    """An answer that is given after a commit, with the job as committed, or refused."""

    __slots__ = ("job", "key", "refuse", "say")

    def __init__(
        self, key: Key, job: Job, say: Callable[[JobState], None], refuse: Callable[[AsmanError], None] | None
    ) -> None:
        self.key = key
        self.job = job
        self.say = say
        self.refuse = refuse


class Batch:
    """The contents of the next transaction, and the answers and changes that wait for it.

    The rows of jobs are made by `commit` from ``dirty``; all other rows stand in ``puts``.
    """

    __slots__ = (
        "answers",
        "blobs",
        "clear",
        "dirty",
        "done",
        "drop_chunks",
        "forget",
        "forget_queues",
        "patient",
        "puts",
        "queues",
        "settings",
        "webhooks",
        "webhooks_done",
        "webhooks_later",
    )

    def __init__(self) -> None:
        self.dirty: dict[Key, tuple[Publisher, Job, bool]] = {}
        self.puts: Puts = {kind: {} for kind in row_kinds.KINDS}
        self.forget: dict[Key, tuple[Publisher, Job]] = {}
        self.clear: dict[Key, None] = {}
        self.drop_chunks: list[tuple[str, str, int]] = []
        self.webhooks: list[WebhookRow] = []
        self.webhooks_later: dict[str, tuple[int, int]] = {}
        self.webhooks_done: dict[str, None] = {}
        self.settings: dict[str, QueueRow] = {}
        self.forget_queues: dict[str, None] = {}
        self.blobs: list[BlobChange] = []
        self.answers: list[_Answer] = []
        self.done: list[Callable[[], None]] = []
        self.queues: set[str] = set()
        self.patient = False

    @property
    def writes(self) -> bool:
        """Returns whether there is anything to write, besides answers to give."""
        return bool(
            self.dirty
            or self.forget
            or any(self.puts.values())
            or self.clear
            or self.drop_chunks
            or self.webhooks
            or self.webhooks_later
            or self.webhooks_done
            or self.settings
            or self.forget_queues
            or self.blobs
        )

    def put(self, kind: RowKind, row: Row) -> None:
        """Adds a row in the place of an older one with the same key."""
        self.puts[kind][row[: kind.width]] = row

    def put_parts(self, kind: RowKind, key: Key, rows: list[Row]) -> None:
        """Adds all parts of a row in the place of its older parts."""
        self.puts[kind][key] = rows

    def commit(self) -> Commit:
        """Returns the contents of the batch as they are now."""
        puts = self.puts.copy()
        puts[JOBS] = {
            key: JobRow(key[0], job.id, job.number, job.state.value, job.finished, _encode(job), publisher.due(job))
            for key, (publisher, job, _) in self.dirty.items()
        }
        return Commit(
            puts=puts,
            forget=list(self.forget),
            clear=list(self.clear),
            drop_chunks=self.drop_chunks,
            webhooks=self.webhooks,
            webhooks_later=[(key, tries, due) for key, (tries, due) in self.webhooks_later.items()],
            webhooks_done=list(self.webhooks_done),
            forget_queues=list(self.forget_queues),
            queues=list(self.settings.values()),
            blobs=self.blobs,
        )

    def drop_rows(self, kind: RowKind, jobs: Set[Key]) -> None:
        """Removes the rows of a kind that belong to some jobs."""
        rows = self.puts[kind]
        if kind.width == 2:
            for key in jobs:
                rows.pop(key, None)
        elif rows:
            self.puts[kind] = {key: row for key, row in rows.items() if key[:2] not in jobs}

    def drop_log(self, jobs: Set[Key]) -> None:
        """Removes all changes to the logs of some jobs."""
        self.drop_rows(LOG_CHUNKS, jobs)
        self.drop_chunks = [d for d in self.drop_chunks if d[:2] not in jobs]

    def drop_jobs(self, jobs: Set[Key]) -> None:
        """Removes the rows that belong to some jobs, and all changes to their logs."""
        for kind in row_kinds.KINDS:
            if kind.of_job:
                self.drop_rows(kind, jobs)
        self.drop_log(jobs)

    def absorb(self, newer: Batch) -> None:
        """Takes over a newer batch, because this one could not be written."""
        for key, (publisher, job, first) in newer.dirty.items():
            was_first = self.dirty[key][2] if key in self.dirty else False
            self.dirty[key] = (publisher, job, first or was_first)
        for key, forgotten in newer.forget.items():
            self.forget[key] = forgotten
            if key not in newer.dirty:
                self.dirty.pop(key, None)
        self.drop_jobs(newer.forget.keys())
        self.drop_log(newer.clear.keys())
        for kind, rows in newer.puts.items():
            self.puts[kind] = self.puts[kind] | rows
        self.clear |= newer.clear
        self.drop_chunks = self.drop_chunks + newer.drop_chunks
        self.webhooks += newer.webhooks
        self.webhooks_later |= newer.webhooks_later
        self.webhooks_done |= newer.webhooks_done
        self.settings |= newer.settings
        self.forget_queues |= newer.forget_queues
        self.blobs += newer.blobs
        self.answers += newer.answers
        self.done += newer.done
        self.queues |= newer.queues


class GroupCommitter:
    """Collects the changes of all queues in batches and commits them one after the other.

    Args:
        writer: The writer that makes commits durable.

    Attributes:
        failing: The reason why the database can't be written now; None while it can.
        seconds: Durations of the successful commits, in seconds.
        job_rows: Number of job rows written.
        failures: Number of commits that failed.
        on_webhooks: Called after a commit with new webhooks.
        full: Returns why the database should take no new jobs and log lines; empty if it may.
    """

    def __init__(self, writer: CommitWriter) -> None:
        self._writer = writer
        self._next = Batch()
        self._wake = asyncio.Event()
        self._closing = False
        self._written = Batch()
        self._writing = False
        self.failing: str | None = None
        self.seconds = Histogram(COMMIT_BUCKETS)
        self.job_rows = 0
        self.failures = 0
        self.on_webhooks: Callable[[], None] | None = None
        self.full: Callable[[], str] = _not_full

    # -------------------------------------------------------------------------------------------- collecting changes

    def changed(self, publisher: Publisher, job: Job, *, first: bool) -> None:
        """Writes a job's newest state and publishes it afterwards."""
        key = (publisher.name, job.id)
        known = self._next.dirty.get(key)
        self._next.dirty[key] = (publisher, job, first or (known is not None and known[2]))
        self._next.queues.add(publisher.name)
        self._wake.set()

    def put(self, kind: RowKind, row: Row) -> None:
        """Writes a row of any kind with the next commit, in the place of an older one with the same key."""
        self._next.put(kind, row)
        self._wake.set()

    def sign(self, queue: str, job_id: str, ends: Signatures) -> None:
        """Writes the signatures of a job's addresses, in the place of those of an older submission."""
        self.put(SIGNATURES, (queue, job_id, msgspec.msgpack.encode(ends)))

    def define(self, job_id: str, body: bytes, blobs: list[str]) -> None:
        """Writes a definition and the blobs that it names, with the jobs that need it."""
        self._next.put(DEFINITIONS, (job_id, body))
        for sha256 in blobs:
            self._next.put(DEFINITION_BLOBS, (job_id, sha256))
        self._wake.set()

    def alias(self, alias: str, job_id: str) -> None:
        """Writes another id of a definition, with the jobs that need it."""
        self._next.put(ALIASES, (alias, job_id))
        self._wake.set()

    def result(self, queue: str, job_id: str, result: Result) -> None:
        """Writes a result with its job."""
        self._next.put(RESULTS, (queue, job_id, _encode(result)))
        parts: list[Row] = [(queue, job_id, sha256) for sha256 in blobs_of_result(result)]
        self._next.put_parts(RESULT_BLOBS, (queue, job_id), parts)
        self._wake.set()

    def forget(self, publisher: Publisher, job: Job) -> None:
        """Removes a job with its result and its log."""
        key = (publisher.name, job.id)
        batch = self._next
        batch.dirty.pop(key, None)
        batch.drop_jobs({key})
        batch.forget[key] = (publisher, job)
        batch.queues.add(publisher.name)
        self._wake.set()

    def clear_log(self, queue: str, job_id: str) -> None:
        """Removes the log of a job's earlier run."""
        batch = self._next
        batch.drop_log({(queue, job_id)})
        batch.clear[queue, job_id] = None
        self._wake.set()

    def lines(self, chunk: LogChunk, done: Callable[[], None]) -> None:
        """Writes log lines, in the place of a chunk with the same first line. Calls ``done`` when they are durable."""
        self._next.put(LOG_CHUNKS, chunk)
        self._next.queues.add(chunk.queue)
        self._next.done.append(done)
        self._wake.set()

    def drop_lines(self, queue: str, job_id: str, first: int) -> None:
        """Removes a chunk of log lines that the log no longer keeps."""
        self._next.drop_chunks.append((queue, job_id, first))
        self._wake.set()

    def webhook(self, row: WebhookRow) -> None:
        """Writes a webhook to call in the same commit as its job, and calls `on_webhooks` afterwards."""
        self._next.webhooks.append(row)
        self._wake.set()

    def webhook_later(self, row: WebhookRow, tries: int, due: int, done: Callable[[], None]) -> None:
        """Writes the time at which a failed call is made again; ``done`` is called when that is durable."""
        self._next.webhooks_later[row.id] = (tries, due)
        self._next.done.append(done)
        self._wake.set()

    def webhook_done(self, row: WebhookRow, done: Callable[[], None]) -> None:
        """Removes a webhook that was delivered or given up. Calls ``done`` when that is durable."""
        self._next.webhooks_done[row.id] = None
        self._next.done.append(done)
        self._wake.set()

    def configure(self, row: QueueRow) -> None:
        """Writes a queue's configuration."""
        self._next.settings[row.queue] = row
        self._next.queues.add(row.queue)
        self._wake.set()

    def forget_queue(self, queue: str) -> None:
        """Removes a queue's configuration, unless the queue has jobs by then."""
        self._next.forget_queues[queue] = None
        self._wake.set()

    def afterwards(self, queue: str, say: Callable[[], None], refuse: Callable[[AsmanError], None] | None) -> None:
        """Gives an answer that is not about a job once all earlier changes are durable; see `answer`."""
        self.answer(queue, _NO_JOB, lambda _state: say(), refuse)

    async def written(self) -> None:
        """Returns when all earlier changes are durable.

        Raises:
            Unavailable: The database can't be written now.
        """
        durable: Awaited[None] = Awaited()
        self.afterwards("", lambda: durable.say(None), durable.refuse)
        await durable

    async def blobs(self, *changes: BlobChange) -> None:
        """Changes the blob catalogue; returns when the changes are durable.

        Raises:
            Unavailable: The database can't be written now. Writing the changes is retried all the same.
        """
        if changes:
            self._next.blobs += changes
            await self.written()

    def answer(
        self,
        queue: str,
        job: Job,
        say: Callable[[JobState], None],
        refuse: Callable[[AsmanError], None] | None,
    ) -> None:
        """Gives an answer once all earlier changes are durable.

        If the commit fails, ``refuse`` is called instead. Without ``refuse``, the answer waits until a commit works.
        """
        self._next.answers.append(_Answer((queue, job.id), job, say, refuse))
        self._next.queues.add(queue)
        self._wake.set()

    def patient(self) -> None:
        """Notes that a job was handed out that is likely to end immediately.

        If nothing else is to be written, the commit waits `PATIENCE` for the end of the job, so that submission and end
        share a commit. A commit in progress when the job ends would double the latency of its result.
        """
        self._next.patient = True

    # ------------------------------------------------------------------------------------------------- writing

    async def run(self) -> None:
        """Writes batches until `close`, the last batch included."""
        pause = RETRY_FIRST
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._next.patient and len(self._next.dirty) == 1 and not self._closing:
                await self._moment()
            batch, self._next = self._next, Batch()
            self._written = batch
            states = {key: state_of(job) for key, (_, job, _) in batch.dirty.items()}
            said = [states.get(a.key) or state_of(a.job) for a in batch.answers]
            self._writing = batch.writes
            failure = await self._commit(batch) if batch.writes else None
            self._writing = False
            if failure is not None:
                self._failed(batch, failure.message)
                if self._closing:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LAST)
                continue
            if self.failing is not None:
                log.warning("the database works again")
                self.failing = None
            pause = RETRY_FIRST
            self._release(batch, states, said)
            self._written = Batch()
            if self._closing and not self._wake.is_set():
                return

    async def _commit(self, batch: Batch) -> AsmanError | None:
        """Writes a batch, and measures that; returns the error if that fails."""
        began = time.perf_counter()
        failure = await as_result(self._writer.commit(batch.commit()))
        if failure is not None:
            self.failures += 1
            return failure
        self.seconds.observe(time.perf_counter() - began)
        self.job_rows += len(batch.dirty)
        return None

    async def _moment(self) -> None:
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()

    def _failed(self, batch: Batch, reason: str) -> None:
        if self.failing is None:
            log.error("the database can't be written; trying again until it can", extra={"error": reason})
        self.failing = reason
        refused = Unavailable(f"the hub can't write to its database now ({reason}); try again")
        answers = [answer for answer in batch.answers if answer.refuse is not None]
        batch.answers = [answer for answer in batch.answers if answer.refuse is None]
        batch.absorb(self._next)
        self._next = batch
        self._wake.set()
        for answer in answers:
            if answer.refuse is not None:
                answer.refuse(refused)

    def _release(self, batch: Batch, states: dict[Key, JobState], said: list[JobState]) -> None:
        """Gives the answers that waited for this commit, then publishes the changes of each queue."""
        for done in batch.done:
            done()
        if batch.webhooks and self.on_webhooks is not None:
            self.on_webhooks()
        for answer, state in zip(batch.answers, said, strict=True):
            answer.say(state)
        changes_of: dict[Publisher, list[tuple[JobState, bool]]] = {}
        for publisher, job in batch.forget.values():
            changes_of.setdefault(publisher, []).append((state_of(job, summary=False), False))
        for key, (publisher, _, first) in batch.dirty.items():
            changes_of.setdefault(publisher, []).append((states[key], first))
        for publisher, changes in changes_of.items():
            publisher.publish(changes)

    @property
    def busy(self) -> bool:
        """Returns whether any change is not durable yet."""
        return self._writing or self._next.writes or bool(self._next.answers)

    def holds(self, queue: str) -> bool:
        """Returns whether any change of a queue is not durable or not published yet."""
        return queue in self._next.queues or queue in self._written.queues

    def close(self) -> None:
        """Asks `run` to write the last batch and return."""
        self._closing = True
        self._wake.set()
