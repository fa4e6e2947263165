"""The contents of the next transaction, and all that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Final, Protocol

from asman_shared.errors import AsmanError
from asman_shared.messages import JobState

from ..core import Job
from . import row_kinds
from .blob_changes import BlobChange
from .commit import Commit, JobRow, Key, KeyRow, QueueRow, WebhookRow
from .row_kinds import JOBS, LOG_CHUNKS, Puts, Row, RowKind
from .salvage import About, Part, Refused

_tuple: Final = tuple.__new__
"""Makes a row without the function of a named tuple, which runs as Python for each job."""


class Publisher(Protocol):
    """A queue that tells its followers about durable changes."""

    name: str

    def due(self, job: Job) -> int:
        """Time of the next timed step for a job, in epoch milliseconds; 0 for none."""

    def publish(self, changes: list[tuple[JobState, bool]]) -> None:
        """Tells followers about changes; each comes with whether it begins a run."""

    def not_stored(self, job: JobState, why: str, calls: list[WebhookRow], *, ended: bool, whole: bool) -> None:
        """Ends or removes a job that the database refuses.

        Args:
            job: The refused state.
            why: The reason, in a sentence for people.
            calls: The webhooks that tell of the refused state, which were not stored either.
            ended: Whether that state was the first after the end of a run.
            whole: Whether no state of the job can be stored, because its definition can't.
        """


class Answer:
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

    Attributes:
        callers: The job of each webhook, by the webhook's id.
        calls_of: The webhooks of each job's present run, by their ids.
        parting: Webhooks of runs that ended because their job was removed; they are written with the removal.
    """

    __slots__ = (
        "answers",
        "blobs",
        "callers",
        "calls_of",
        "dirty",
        "done",
        "drop_chunks",
        "erase",
        "forget",
        "forget_keys",
        "forget_queues",
        "keys",
        "parting",
        "patient",
        "puts",
        "queues",
        "settings",
        "trim",
        "webhooks",
        "webhooks_done",
        "webhooks_later",
    )

    def __init__(self) -> None:
        self.dirty: dict[Key, tuple[Publisher, Job, bool, bool]] = {}
        self.puts: Puts = {kind: {} for kind in row_kinds.KINDS}
        self.forget: dict[Key, tuple[Publisher, Job]] = {}
        self.trim: dict[Key, int] = {}
        self.erase: dict[str, Callable[[bool], None]] = {}
        self.drop_chunks: list[tuple[str, str, int]] = []
        self.webhooks: list[WebhookRow] = []
        self.callers: dict[str, Key] = {}
        self.calls_of: dict[Key, list[str]] = {}
        self.parting: set[str] = set()
        self.webhooks_later: dict[str, tuple[int, int]] = {}
        self.webhooks_done: dict[str, None] = {}
        self.settings: dict[str, QueueRow] = {}
        self.forget_queues: dict[str, None] = {}
        self.keys: dict[str, KeyRow] = {}
        self.forget_keys: dict[str, int] = {}
        self.blobs: list[BlobChange] = []
        self.answers: list[Answer] = []
        self.done: list[Callable[[], None]] = []
        self.queues: set[str] = set()
        self.patient = False

    @property
    def writes(self) -> bool:
        """Returns whether there is anything to write, besides answers to give."""
        return bool(
            self.dirty
            or self.forget
            or self.erase
            or any(self.puts.values())
            or self.trim
            or self.drop_chunks
            or self.webhooks
            or self.webhooks_later
            or self.webhooks_done
            or self.settings
            or self.forget_queues
            or self.keys
            or self.forget_keys
            or self.blobs
        )

    def put(self, kind: RowKind, row: Row) -> None:
        """Adds a row in the place of an older one with the same key."""
        self.puts[kind][row[: kind.width]] = row

    def put_parts(self, kind: RowKind, key: Key, rows: list[Row]) -> None:
        """Adds all parts of a row in the place of its older parts."""
        self.puts[kind][key] = rows

    def commit(self, without: Set[Key] = frozenset()) -> Commit:
        """Returns the contents of the batch as they are now, without the states and lines of some jobs."""
        self.drop_queues(self.erase.keys())  # none is used before that is durable
        puts = self.puts.copy()
        if without:
            puts[LOG_CHUNKS] = {key: chunk for key, chunk in puts[LOG_CHUNKS].items() if key[:2] not in without}
        puts[JOBS] = {
            key: _tuple(
                JobRow,
                (key[0], job.id, job.number, job.state.value, job.finished, job.pack(), publisher.due(job)),
            )
            for key, (publisher, job, _, _) in self.dirty.items()
            if key not in without
        }
        return Commit(
            puts=puts,
            forget=list(self.forget),
            trim=[(*key, first) for key, first in self.trim.items()],
            drop_chunks=self.drop_chunks,
            webhooks=self.webhooks,
            webhooks_later=[(key, tries, due) for key, (tries, due) in self.webhooks_later.items()],
            webhooks_done=list(self.webhooks_done),
            erase=list(self.erase),
            forget_queues=list(self.forget_queues),
            queues=list(self.settings.values()),
            keys=list(self.keys.values()),
            forget_keys=list(self.forget_keys.items()),
            blobs=self.blobs,
        )

    def erased(self, newer: Batch) -> None:
        """Tells of the erasures of this batch, which are durable. What came of their queues meanwhile is dropped."""
        newer.drop_queues(self.erase.keys())
        for done in self.erase.values():
            done(True)

    def not_erased(self, queue: str) -> None:
        """Gives up the erasure of a queue, which the database refuses, and tells of that."""
        done = self.erase.pop(queue, None)
        if done is not None:
            done(False)

    def drop_queues(self, erase: Set[str]) -> None:
        """Removes all changes of queues that are erased, and leaves the answers about them."""
        if not erase:
            return
        self.dirty = {key: each for key, each in self.dirty.items() if key[0] not in erase}
        self.forget = {key: each for key, each in self.forget.items() if key[0] not in erase}
        for kind, rows in self.puts.items():
            if kind.group[0] == "queue":
                self.puts[kind] = {key: row for key, row in rows.items() if key[0] not in erase}
        self.trim = {key: first for key, first in self.trim.items() if key[0] not in erase}
        self.drop_chunks = [dropped for dropped in self.drop_chunks if dropped[0] not in erase]
        self.webhooks = [row for row in self.webhooks if row.queue not in erase]
        self.settings = {queue: row for queue, row in self.settings.items() if queue not in erase}
        self.forget_queues = {queue: None for queue in self.forget_queues if queue not in erase}
        self.keys = {key: row for key, row in self.keys.items() if row.queue not in erase}
        self.forget_keys = {queue: at for queue, at in self.forget_keys.items() if queue not in erase}

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
        for key in jobs:
            self.trim.pop(key, None)

    def trim_log(self, key: Key, first: int) -> None:
        """Removes a job's log lines before a seq, here and in the store."""
        chunks = self.puts[LOG_CHUNKS]
        for old in [at for at in chunks if at[:2] == key and at[2] < first]:
            del chunks[old]
        self.drop_chunks = [d for d in self.drop_chunks if d[:2] != key or d[2] >= first]
        self.trim[key] = first

    def drop_jobs(self, jobs: Set[Key]) -> None:
        """Removes the rows that belong to some jobs, and all changes to their logs."""
        for kind in row_kinds.KINDS:
            if kind.of_job:
                self.drop_rows(kind, jobs)
        self.drop_log(jobs)

    def absorb(self, newer: Batch) -> None:
        """Takes over a newer batch, because this one could not be written."""
        for key, (publisher, job, first, ended) in newer.dirty.items():
            known = self.dirty.get(key)
            self.dirty[key] = (
                publisher,
                job,
                first or (known is not None and known[2]),
                ended or (known is not None and known[3]),
            )
        for key, forgotten in newer.forget.items():
            self.forget[key] = forgotten
            if key not in newer.dirty:
                self.dirty.pop(key, None)
        self.drop_jobs(newer.forget.keys())
        for kind, rows in newer.puts.items():
            self.puts[kind] = self.puts[kind] | rows
        for key, first_kept in newer.trim.items():
            self.trim_log(key, first_kept)
        self.drop_chunks = self.drop_chunks + newer.drop_chunks
        self.webhooks += newer.webhooks
        self.callers |= newer.callers
        for key in newer.forget:
            self.parting.update(self.calls_of.pop(key, ()))
        for key, calls in newer.calls_of.items():
            self.calls_of.setdefault(key, []).extend(calls)
        self.parting |= newer.parting
        self.webhooks_later |= newer.webhooks_later
        self.webhooks_done |= newer.webhooks_done
        self.settings |= newer.settings
        self.erase |= newer.erase
        self.forget_queues |= newer.forget_queues
        self.keys |= newer.keys
        self.forget_keys |= newer.forget_keys
        self.blobs += newer.blobs
        self.answers += newer.answers
        self.done += newer.done
        self.queues |= newer.queues


def commit_of(batch: Batch, refused: list[Refused]) -> Commit:
    """Returns the contents of a batch.

    Jobs that can't even be encoded are left out with their lines, and added to ``refused``.
    """
    try:
        return batch.commit()
    except (UnicodeError, OverflowError):
        broken: dict[Key, str] = {}
        for key, (_, job, _, _) in batch.dirty.items():
            try:
                job.pack()
            except (UnicodeError, OverflowError) as error:
                broken[key] = str(error)
        for key, reason in broken.items():
            chunks = {at: chunk for at, chunk in batch.puts[LOG_CHUNKS].items() if at[:2] == key}
            refused.append(Refused(Part(About.JOB, key, Commit({})), reason))
            if chunks:
                refused.append(Refused(Part(About.LOG, key, Commit({LOG_CHUNKS: chunks})), reason))
        return batch.commit(broken.keys())
