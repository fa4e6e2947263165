"""One transaction as plain data, and the interface that makes it durable."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from asman_shared.errors import AsmanError, BadRequest, Unavailable

from .blob_changes import BlobChange
from .row_kinds import FIRST_RESULTS, JOBS, RESULTS, Puts

Key = tuple[str, str]
"""(queue, job id)."""


class JobRow(NamedTuple):
    """A job as it is stored, in `asman_server.storage.tables.jobs`."""

    queue: str
    id: str
    number: int
    state: str
    finished: int
    record: bytes
    due: int = 0


_FINISHED: Final = JobRow._fields.index("finished")


class LogChunk(NamedTuple):
    """A run of log lines, in `asman_server.storage.tables.log_chunks`."""

    queue: str
    job: str
    first: int
    last: int
    size: int
    body: bytes


class WebhookRow(Struct, gc=False):
    """A webhook to call, in `asman_server.storage.tables.webhooks`.

    Attributes:
        id: A random id that the receiver sees with every try.
        queue: The queue whose key signs it.
        event: ``queued`` or ``finished``.
        host: Host and port of the URL, for the limit on concurrent calls to one host.
        url: The URL to call.
        body: The body to send.
        created: Time of the event, in epoch milliseconds.
        tries: Number of tries so far.
        due: Time of the next try, in epoch milliseconds.
    """

    id: str
    queue: str
    event: str
    host: str
    url: str
    body: bytes
    created: int
    tries: int
    due: int


class QueueRow(Struct, gc=False):
    """The configuration of a queue, in `asman_server.storage.tables.queues`.

    ``kept`` is how long the queue keeps finished jobs from now on, in milliseconds: its own retention or the hub's.
    ``paused`` is the time since which it is paused, or 0.
    """

    queue: str
    retention: int
    touched: int
    kept: int
    paused: int = 0


class KeyRow(NamedTuple):
    """A key to a queue, in `asman_server.storage.tables.queue_keys`."""

    hash: str
    queue: str
    kind: str
    used: int


class Commit(Struct):
    """Everything that one transaction writes.

    Removals come first, so that one commit can remove a job and store it again. Blob changes come last.

    Attributes:
        puts: Rows to store, by kind (`row_kinds`).
        erase: Queues of which everything is removed, before all else. What is put of them is left out by the batch.
        forget_queues: Queues whose configuration is removed, unless they have jobs.
        forget: Jobs to remove with their results and logs.
        trim: (queue, job, first) of jobs whose log lines before a seq are removed.
        drop_chunks: (queue, job, first) of log chunks to remove.
        webhooks: Webhooks to store unless they are stored already.
        webhooks_later: (id, tries, due) of webhooks to try again later.
        webhooks_done: Ids of webhooks to remove.
        queues: Configurations to store or replace. Finished jobs of the queue get a new due time.
        keys: Keys to queues to store, in the place of those with the same hash.
        forget_keys: (queue, time) of queues whose keys are removed, unless they have jobs or a configuration, or were
            used since that time.
        blobs: Changes to the blob catalogue, in this order.
    """

    puts: Puts
    forget: list[Key] = []
    trim: list[tuple[str, str, int]] = []
    drop_chunks: list[tuple[str, str, int]] = []
    webhooks: list[WebhookRow] = []
    webhooks_later: list[tuple[str, int, int]] = []
    webhooks_done: list[str] = []
    erase: list[str] = []
    forget_queues: list[str] = []
    queues: list[QueueRow] = []
    keys: list[KeyRow] = []
    forget_keys: list[tuple[str, int]] = []
    blobs: list[BlobChange] = []

    def __post_init__(self) -> None:
        """Adds when each result was accepted. A result whose job runs again in the same commit was seen by nobody."""
        jobs = self.puts.get(JOBS) or {}
        accepted = {key: jobs[key][_FINISHED] for key in self.puts.get(RESULTS) or () if key in jobs}
        first = {key: (*key, at) for key, at in accepted.items() if at}
        if first:
            self.puts = {**self.puts, FIRST_RESULTS: {**first, **self.puts.get(FIRST_RESULTS, {})}}

    @property
    def in_any_order(self) -> bool:
        """Returns whether all that the commit does may be done at once."""
        return not (
            self.erase
            or self.forget
            or self.trim
            or self.forget_queues
            or self.queues
            or self.forget_keys
            or self.blobs
        )

    @property
    def only_puts(self) -> bool:
        """Returns whether the commit does nothing but put rows."""
        return not (
            self.erase
            or self.forget
            or self.trim
            or self.drop_chunks
            or self.webhooks
            or self.webhooks_later
            or self.webhooks_done
            or self.forget_queues
            or self.queues
            or self.keys
            or self.forget_keys
            or self.blobs
        )


class Unwritable(BadRequest):
    """The database refuses the contents of a commit, and will refuse them again."""


class OutcomeUnknown(Unavailable):
    """The database was told of a commit, and nobody knows whether it has written it."""


class ShardsLost(AsmanError):
    """Another hub has taken queues over from this one, whose commits don't count any more. Nothing was written."""


class CommitWriter(Protocol):
    """A writer that makes commits durable."""

    async def commit(self, commit: Commit) -> None:
        """Writes all of a commit or nothing. A commit survives a power cut once this returns.

        Raises:
            Unavailable: The database can't be written now.
            OutcomeUnknown: The commit may have been written all the same. Writing it again does no harm.
            ShardsLost: Another hub owns what the commit is about. Nothing was written, and nothing will be.
            Unwritable: The database works, and refuses something in the commit. Nothing of it was written.
        """
