"""Group commit: the newest row of every dirty job, in one transaction, as often as the database can.

Answers to clients and promises to workers wait here until the commit that holds them is durable. While one transaction
is being written, the next batch collects changes; a job that changes ten times meanwhile is written once. When the
database fails, the waiting answers are refused with `Unavailable`, the changes stay in the batch, and writing is
retried until it works. So nothing is lost, and nothing is promised before it is durable.

A database that works but refuses a row refuses it for ever. The rest of its batch is written without it (`salvage`),
and its queue hears of the job that could not be stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec

from asman_shared.errors import AsmanError, Unavailable
from asman_shared.identity import Signatures
from asman_shared.messages import JobState, Result, Summary

from ..awaited import Awaited
from ..core import Job
from ..core.job_state import state_of
from ..meters import COMMIT_BUCKETS, Histogram
from .as_result import as_result
from .batch import Answer, Batch, Publisher, commit_of
from .blob_changes import BlobChange, blobs_of_result
from .commit import CommitWriter, Key, KeyRow, LogChunk, OutcomeUnknown, QueueRow, ShardsLost, Unwritable, WebhookRow
from .row_kinds import (
    ALIASES,
    DEFINITION_BLOBS,
    DEFINITIONS,
    LOG_CHUNKS,
    NOTES,
    RESULT_BLOBS,
    RESULTS,
    SIGNATURES,
    Row,
    RowKind,
)
from .salvage import About, Part, Refused, salvage

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


class GroupCommitter:
    """Collects the changes of all queues in batches and commits them one after the other.

    Args:
        writer: The writer that makes commits durable.

    Attributes:
        failing: The reason why the database can't be written now; None while it can.
        seconds: Durations of the successful commits, in seconds.
        job_rows: Number of job rows written.
        failures: Number of commits that failed.
        refused: Number of jobs and other parts of commits that the database refused for good.
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
        self.refused = 0
        self.on_webhooks: Callable[[], None] | None = None
        self.full: Callable[[], str] = _not_full

    # -------------------------------------------------------------------------------------------- collecting changes

    def changed(self, publisher: Publisher, job: Job, *, first: bool, ended: bool = False) -> None:
        """Writes a job's newest state and publishes it afterwards.

        Args:
            publisher: Its queue.
            job: The job.
            first: Whether this change begins a run.
            ended: Whether it ends a run.
        """
        key = (publisher.name, job.id)
        known = self._next.dirty.get(key)
        if known is not None:
            first, ended = first or known[2], ended or known[3]
        self._next.dirty[key] = publisher, job, first, ended
        self._next.queues.add(publisher.name)
        self._wake.set()

    def put(self, kind: RowKind, row: Row) -> None:
        """Writes a row of any kind with the next commit, in the place of an older one with the same key."""
        self._next.put(kind, row)
        self._wake.set()

    def sign(self, queue: str, job_id: str, ends: Signatures) -> None:
        """Writes the signatures of a job's addresses, in the place of those of an older submission."""
        self.put(SIGNATURES, (queue, job_id, msgspec.msgpack.encode(ends)))

    def note(self, queue: str, job_id: str, body: bytes) -> None:
        """Writes what a door keeps about a job, in the place of what it kept of an older submission."""
        self.put(NOTES, (queue, job_id, body))

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
        batch.parting.update(batch.calls_of.pop(key, ()))
        batch.queues.add(publisher.name)
        self._wake.set()

    def trim_log(self, queue: str, job_id: str, first: int) -> None:
        """Removes a job's log lines before a seq, which are of runs long ago."""
        self._next.trim_log((queue, job_id), first)
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

    def webhook(self, row: WebhookRow, job_id: str) -> None:
        """Writes a webhook to call in the same commit as its job, and calls `on_webhooks` afterwards."""
        self._next.webhooks.append(row)
        key = (row.queue, job_id)
        self._next.callers[row.id] = key
        self._next.calls_of.setdefault(key, []).append(row.id)
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

    def erase(self, queue: str, done: Callable[[bool], None]) -> None:
        """Removes a queue; nobody may use it until ``done`` hears True (it is durable) or False (refused for good)."""
        self._next.erase[queue] = done
        self._wake.set()

    def forget_queue(self, queue: str) -> None:
        """Removes a queue's configuration, unless the queue has jobs by then."""
        self._next.forget_queues[queue] = None
        self._wake.set()

    def key(self, row: KeyRow) -> None:
        """Writes a key to a queue, with the jobs of the same commit."""
        self._next.keys[row.hash] = row
        self._wake.set()

    def forget_keys(self, queue: str, before: int) -> None:
        """Removes the keys to a queue, unless it has jobs or a configuration by then, or was used since ``before``."""
        self._next.forget_keys[queue] = before
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
        self._next.answers.append(Answer((queue, job.id), job, say, refuse))
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
        """Writes batches until `close`, the last batch included.

        Raises:
            ShardsLost: Another hub owns the queues. What waits for an answer gets none.
        """
        pause = RETRY_FIRST
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._next.patient and len(self._next.dirty) == 1 and not self._closing:
                await self._moment()
            batch, self._next = self._next, Batch()
            self._written = batch
            states = {key: state_of(job) for key, (_, job, _, _) in batch.dirty.items()}
            said = [_told_by(answer, states.get(answer.key)) for answer in batch.answers]
            self._writing = batch.writes
            refused: list[Refused] = []
            failure = await self._commit(batch, refused) if batch.writes else None
            self._writing = False
            if isinstance(failure, ShardsLost):
                raise failure  # nobody is told anything any more
            if failure is not None:
                self._failed(batch, failure)
                if self._closing:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LAST)
                continue
            if self.failing is not None:
                log.warning("the database works again")
                self.failing = None
            pause = RETRY_FIRST
            if refused:
                said = self._give_up(batch, refused, states, said)
            self._release(batch, states, said)
            self._written = Batch()
            if self._closing and not self._wake.is_set():
                return

    async def _commit(self, batch: Batch, refused: list[Refused]) -> AsmanError | None:
        """Writes a batch, and measures that; returns the error if that fails.

        Parts that the database refuses are added to ``refused``, and the rest is written.
        """
        began = time.perf_counter()
        commit = commit_of(batch, refused)
        failure = await as_result(self._writer.commit(commit))
        if isinstance(failure, Unwritable):
            found = await as_result(salvage(self._writer.commit, commit, batch.callers, batch.parting))
            if isinstance(found, list):
                refused += found
                failure = None
            else:
                failure = found
        if failure is not None:
            self.failures += 1
            return failure
        self.seconds.observe(time.perf_counter() - began)
        self.job_rows += len(batch.dirty)
        return None

    def _give_up(
        self, batch: Batch, refused: list[Refused], states: dict[Key, JobState], said: list[JobState]
    ) -> list[JobState]:
        """Takes the refused parts out of a batch, refuses what waits for them, and tells their queues.

        Returns:
            The states for the answers that are left.
        """
        lost = {each.part.key: each for each in refused if each.part.about is About.JOB}
        for each in [each for each in refused if each.part.about is About.LOG and each.part.key in lost]:
            self._lines_again(each.part)
            refused.remove(each)
        self.refused += len(refused)
        other = [each for each in refused if each.part.about in (About.QUEUE, About.BLOBS)]
        stay = {each.part.key: each for each in refused if each.part.about is About.REMOVAL}
        for key in stay:
            batch.forget.pop(key, None)
            batch.not_erased(key[0] if not key[1] else "")
        for each in refused:
            about = {"about": each.part.about.value, "job": each.part.key[1][:12], "error": each.reason}
            log.error("the database refuses a part of a commit, which is given up", extra=about)
        kept, states_kept, told = [], [], []
        for answer, state in zip(batch.answers, said, strict=True):
            found = lost.get(answer.key) or stay.get(answer.key) or stay.get((answer.key[0], ""))
            found = found or (other[0] if other and not answer.key[1] else None)
            if found is None:
                kept.append(answer)
                states_kept.append(state)
            else:
                told.append((answer, found))
        batch.answers = kept
        ahead = [answer for answer in self._next.answers if answer.key in lost and answer.refuse is not None]
        self._next.answers = [answer for answer in self._next.answers if answer not in ahead]
        told += [(answer, lost[answer.key]) for answer in ahead]
        gone = {key: batch.dirty.pop(key) for key in lost if key in batch.dirty}
        whole = {each.part.key[1] for each in refused if each.part.about is About.DEFINITION}
        for key, (publisher, _, first, ended) in gone.items():
            part, reason = lost[key]
            self._after(part, key)
            why, calls = _not_stored(reason), part.commit.webhooks
            publisher.not_stored(states[key], why, calls, ended=ended, whole=key[1] in whole)
            newer = self._next.dirty.get(key)
            if first and newer is not None:
                self.changed(newer[0], newer[1], first=True)
        for answer, found in told:
            if answer.refuse is not None:
                answer.refuse(Unwritable(_not_stored(found.reason)))
            else:
                self._next.answers.append(answer)
        self._wake.set()
        return states_kept

    def _lines_again(self, part: Part) -> None:
        """Writes lines of a refused job with what takes the job's place, unless they are no longer kept by then."""
        batch = self._next
        if part.key in batch.forget:
            return
        first = batch.trim.get(part.key, 0)
        for chunk in part.commit.puts.get(LOG_CHUNKS, {}).values():
            if not isinstance(chunk, LogChunk) or chunk.first < first:
                continue
            if chunk[: LOG_CHUNKS.width] not in batch.puts[LOG_CHUNKS]:
                batch.put(LOG_CHUNKS, chunk)
        batch.drop_chunks += part.commit.drop_chunks

    def _after(self, part: Part, key: Key) -> None:
        """Does with the next commit what a refused part should have done beside its rows."""
        batch = self._next
        if key in batch.forget:
            return
        for _, _, first in part.commit.trim:
            batch.trim[key] = max(first, batch.trim.get(key, 0))
        if RESULTS in part.commit.puts and key not in batch.puts[RESULTS]:
            batch.put(RESULTS, (*key, _encode(Result())))
            batch.put_parts(RESULT_BLOBS, key, [])

    async def _moment(self) -> None:
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()

    def _failed(self, batch: Batch, failure: AsmanError) -> None:
        reason = failure.message
        if self.failing is None:
            log.error("the database can't be written; trying again until it can", extra={"error": reason})
        self.failing = reason
        refused = Unavailable(_not_written(failure))
        answers = [answer for answer in batch.answers if answer.refuse is not None]
        batch.answers = [answer for answer in batch.answers if answer.refuse is None]
        batch.absorb(self._next)
        self._next = batch
        self._wake.set()
        for answer in answers:
            if answer.refuse is not None:
                answer.refuse(refused)

    def _release(self, batch: Batch, states: dict[Key, JobState], said: list[JobState]) -> None:
        """Gives the answers that waited for this commit, then publishes the changes of each queue.

        The removal of a job is published before an answer about a later job with its id: what clients are told of a
        job is ever newer.
        """
        batch.erased(self._next)
        for done in batch.done:
            done()
        if batch.webhooks and self.on_webhooks is not None:
            self.on_webhooks()
        removals = batch.forget
        for answer, state in zip(batch.answers, said, strict=True):
            if removals and answer.key in removals and state.queued > removals[answer.key][1].queued:
                publisher, job = removals.pop(answer.key)
                publisher.publish([(state_of(job, summary=False), False)])
            answer.say(state)
        changes_of: dict[Publisher, list[tuple[JobState, bool]]] = {}
        for publisher, job in removals.values():
            changes_of.setdefault(publisher, []).append((state_of(job, summary=False), False))
        for key, (publisher, _, first, _) in batch.dirty.items():
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

    def settled(self, queue: str, job_id: str) -> bool:
        """Returns whether all changes of a job are durable and published, while the database can be written."""
        if self.failing is not None:
            return False
        key = (queue, job_id)
        batches = (self._next, self._written)
        return not any(key in batch.dirty or key in batch.forget for batch in batches)

    def close(self) -> None:
        """Asks `run` to write the last batch and return."""
        self._closing = True
        self._wake.set()


def _not_written(failure: AsmanError) -> str:
    """The sentence for answers that a failed commit leaves without one. All of the commit is tried again."""
    if isinstance(failure, OutcomeUnknown):
        return f"the hub does not know yet whether its database has this ({failure.message}); ask again"
    return f"the hub can't write to its database now ({failure.message}); try again"


def _told_by(answer: Answer, changed: JobState | None) -> JobState:
    """Returns the state that an answer tells.

    An answer is about the run that its job had when it was made. The job may have left memory since, or may have been
    removed, and another with its id may be in this commit.

    Args:
        answer: The answer.
        changed: The state of the job with that id in this commit, if it changed.
    """
    job = answer.job
    return changed if changed is not None and changed.queued == job.queued else state_of(job)


def _not_stored(reason: str) -> str:
    return f"the hub's database can't store what this job holds ({reason}); tell the hub's operator"
