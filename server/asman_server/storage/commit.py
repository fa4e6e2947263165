"""One transaction of the journal, as plain data, and the port that makes it durable."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from .blob_changes import BlobChange

Key = tuple[str, str]
"""(queue, job id)."""


class JobRow(Struct, gc=False, array_like=True):
    """A job as it is stored; see `asman_server.storage.tables.jobs`."""

    queue: str
    id: str
    number: int
    state: str
    finished: int
    record: bytes
    due: int = 0


class LogChunk(Struct, gc=False, array_like=True):
    """A run of log lines to store; see `asman_server.storage.tables.log_chunks`."""

    queue: str
    job: str
    first: int
    last: int
    size: int
    body: bytes


class WebhookRow(Struct, gc=False):
    """A webhook to be called; see `asman_server.storage.tables.webhooks`.

    Attributes:
        id: Random; the receiver sees it with every try.
        queue: Whose key signs it.
        event: ``queued`` or ``finished``.
        host: Host and port of the URL, for the bound on calls to one host.
        url: Where it goes.
        body: What is sent.
        created: When it was decided, in epoch milliseconds.
        tries: How often it was tried.
        due: When it is to be tried next, in epoch milliseconds.
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
    """How a queue was configured; see `asman_server.storage.tables.queues`.

    ``kept`` is how long it keeps finished jobs from now on, by its own word or the hub's.
    """

    queue: str
    retention: int
    touched: int
    kept: int


class Commit(Struct):
    """What is written together, in this order: removals first, so that what was removed may be made anew.

    Attributes:
        forget_queues: Queues whose configuration is to be removed, unless they have jobs.
        forget: Jobs to remove with their results and logs.
        clear: Jobs whose log is to be removed.
        definitions: (id, body) to store unless they are there.
        jobs: Rows to store or replace.
        results: (queue, id, body) to store or replace.
        chunks: Log chunks to store or replace.
        drop_chunks: (queue, job, first) of log chunks to remove.
        definition_blobs: (definition, sha256) for each blob that those definitions name.
        result_blobs: (queue, id, sha256) for each blob that those results name; older ones of the job are removed.
        webhooks: Webhooks to store unless they are there.
        webhooks_later: (id, tries, due) of webhooks that are to be tried again.
        webhooks_done: Ids of webhooks to remove.
        queues: Configurations to store or replace; the finished jobs of the queue are due anew.
        blobs: What changes in the catalogue of blobs, in this order, after all the rest.
        aliases: (alias, id) of definitions that are also known by another id, to store unless they are there.
    """

    forget: list[Key]
    clear: list[Key]
    definitions: list[tuple[str, bytes]]
    jobs: list[JobRow]
    results: list[tuple[str, str, bytes]]
    chunks: list[LogChunk]
    drop_chunks: list[tuple[str, str, int]]
    webhooks: list[WebhookRow] = []
    webhooks_later: list[tuple[str, int, int]] = []
    webhooks_done: list[str] = []
    forget_queues: list[str] = []
    queues: list[QueueRow] = []
    definition_blobs: list[tuple[str, str]] = []
    result_blobs: list[tuple[str, str, str]] = []
    blobs: list[BlobChange] = []
    aliases: list[tuple[str, str]] = []


class CommitWriter(Protocol):
    """Where commits are made durable."""

    async def commit(self, commit: Commit) -> None:
        """Writes all of it or nothing; when this returns it survives a power cut.

        Raises:
            Unavailable: It can't be written now. It may have been written all the same (a connection that broke
                after the commit); writing it again does no harm.
        """
