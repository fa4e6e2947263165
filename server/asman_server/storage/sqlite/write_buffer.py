"""What is durable but not yet in its tables: the entries of the daybook, by the ids that they are about.

Ids are hashes, so each new job belongs on a page of its own in every index. A commit of 1,000 jobs into a database of
100,000 wrote 21 KiB for each job. Here, entries are kept by the first digits of their ids instead, and posted a section
at a time: rows of many commits that belong on the same few pages (`buffered_writer`).

A section that is large for what posts it is posted in pieces, in the order of its ids: a piece is all about some ids.
What is noted meanwhile waits for the section's next turn, so what is newer is always posted later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from asman_shared.units import KIB

from ..commit import Commit, JobRow, Key, LogChunk

PARTITIONS: Final = 32
"""Sections of a daybook: when so many more were posted, nothing of an entry is left."""
CHUNK_BYTES: Final = 32 * KIB
"""Log bytes of an entry at most: lines of one job belong together as they come, and would only be written twice."""
VERSION: Final = 1

PAGE: Final = 4 * KIB
"""Bytes that weigh as much as a row: what is larger takes pages of its own."""

_Row = tuple[str, str, Any, int]
_PARTITION_OF: Final = {f"{first:02x}": first * PARTITIONS // 256 for first in range(256)}


class Entry(msgspec.Struct, array_like=True):
    """One commit as it stands in the daybook; see `Commit`."""

    v: int
    definitions: list[tuple[str, bytes]]
    definition_blobs: list[tuple[str, str]]
    aliases: list[tuple[str, str]]
    jobs: list[JobRow]
    results: list[tuple[str, str, bytes]]
    result_blobs: list[tuple[str, str, str]]
    chunks: list[LogChunk]


def entry_of(commit: Commit) -> Entry | None:
    """A commit as an entry; None when it does more than to put rows in their places."""
    c = commit
    if c.forget or c.clear or c.drop_chunks or c.forget_queues or c.queues or c.blobs:
        return None
    if c.webhooks or c.webhooks_later or c.webhooks_done:
        return None
    if c.chunks and sum(len(chunk.body) for chunk in c.chunks) > CHUNK_BYTES:
        return None
    return Entry(VERSION, c.definitions, c.definition_blobs, c.aliases, c.jobs, c.results, c.result_blobs, c.chunks)


def weight_of(entry: Entry, size: int) -> int:
    """What posting an entry of so many bytes weighs; see `WriteBuffer.batch`."""
    rows = len(entry.jobs) + len(entry.definitions) + len(entry.results) + len(entry.chunks) + len(entry.aliases)
    return rows + size // PAGE


class _Partition:
    """The newest of everything about some ids."""

    __slots__ = ("aliases", "chunks", "definition_blobs", "definitions", "ids", "jobs", "result_blobs", "results")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.definitions: dict[str, bytes] = {}
        self.definition_blobs: dict[tuple[str, str], None] = {}
        self.aliases: dict[str, str] = {}
        self.jobs: dict[Key, JobRow] = {}
        self.results: dict[Key, bytes] = {}
        self.result_blobs: dict[Key, list[str]] = {}
        self.chunks: dict[tuple[str, str, int], LogChunk] = {}

    def __bool__(self) -> bool:
        return bool(self.ids or self.definition_blobs)

    @property
    def weight(self) -> int:
        """Of all of it; see `WriteBuffer.batch`."""
        size = sum(map(len, self.definitions.values())) + sum(map(len, self.results.values()))
        size += sum(len(row.record) for row in self.jobs.values()) + sum(len(c.body) for c in self.chunks.values())
        rows = len(self.jobs) + len(self.definitions) + len(self.results) + len(self.chunks) + len(self.aliases)
        return rows + size // PAGE

    def about(self) -> Iterator[_Row]:
        """The rows, each with the id that it is about, the part of a commit where it belongs, and its weight."""
        made = _commit([self])
        for job_id, body in made.definitions:
            yield job_id, "definitions", (job_id, body), 1 + len(body) // PAGE
        for pair in made.definition_blobs:
            yield pair[0], "definition_blobs", pair, 0
        for pair in made.aliases:
            yield pair[0], "aliases", pair, 1
        for job in made.jobs:
            yield job.id, "jobs", job, 1 + len(job.record) // PAGE
        for result in made.results:
            yield result[1], "results", result, 1 + len(result[2]) // PAGE
        for blob in made.result_blobs:
            yield blob[1], "result_blobs", blob, 0
        for chunk in made.chunks:
            yield chunk.job, "chunks", chunk, 1 + len(chunk.body) // PAGE


class _Taken:
    """The section whose turn it is, or what is left of it."""

    def __init__(self, partition: _Partition) -> None:
        self.partition = partition
        self._about: list[_Row] | None = None
        """In the order of ids; None before the first piece, empty when that is the whole section."""
        self._at = 0
        self._end = 0

    def batch(self, weight: int) -> Commit:
        """What is to be posted next, the same until `flushed`; see `WriteBuffer.batch`."""
        if self._end == self._at:
            if self._about is None:
                whole = self.partition.weight <= weight
                self._about = [] if whole else sorted(self.partition.about(), key=_id_of)
            self._end = self._until(self._about, weight)
        if not self._about:
            return _commit([self.partition])
        return _rows(self._about[self._at : self._end])

    def _until(self, about: list[_Row], weight: int) -> int:
        end = self._at
        while end < len(about) and (weight > 0 or about[end][0] == about[end - 1][0]):
            weight -= about[end][3]
            end += 1
        return end

    @property
    def last(self) -> bool:
        """Whether nothing is left when the piece is posted."""
        return self._about is not None and self._end == len(self._about)

    def flushed(self) -> None:
        """The piece is posted."""
        self._at = self._end

    def left(self) -> Commit:
        """What is not posted yet."""
        return _rows(self._about[self._at :]) if self._about else _commit([self.partition])


class WriteBuffer:
    """See the module.

    Attributes:
        number: Of the newest entry.
        bytes: Of the entries that are not all posted yet.
        rounds: Sections whose turn has come so far.
    """

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0
        self.rounds = 0
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        self._taken: _Taken | None = None
        self._entries: deque[tuple[int, int, int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def holds(self, ids: Iterable[str]) -> bool:
        """Whether anything about one of these jobs, definitions or aliases is not posted yet.

        Other threads may ask as well.
        """
        for i in ids:
            if i in self._partition(i).ids:
                return True
            # Only now: what leaves its place there has been taken before.
            taken = self._taken
            if taken is not None and i in taken.partition.ids:
                return True
        return False

    def _partition(self, about: str) -> _Partition:
        return self._partitions[_PARTITION_OF.get(about[:2], 0)]

    def note(self, entry: Entry, size: int) -> None:
        """Takes the next entry in: it is durable, and has so many bytes."""
        self.number += 1
        self.bytes += size
        self._entries.append((self.number, self.rounds, size))
        for job_id, body in entry.definitions:
            partition = self._partition(job_id)
            partition.definitions.setdefault(job_id, body)
            partition.ids.add(job_id)
        for pair in entry.definition_blobs:
            self._partition(pair[0]).definition_blobs[pair] = None
        for alias, job_id in entry.aliases:
            partition = self._partition(alias)
            partition.aliases.setdefault(alias, job_id)
            partition.ids.add(alias)
        for row in entry.jobs:
            partition = self._partition(row.id)
            partition.jobs[row.queue, row.id] = row
            partition.ids.add(row.id)
        for queue, job_id, body in entry.results:
            partition = self._partition(job_id)
            partition.results[queue, job_id] = body
            partition.result_blobs[queue, job_id] = []
            partition.ids.add(job_id)
        for queue, job_id, sha256 in entry.result_blobs:
            self._partition(job_id).result_blobs[queue, job_id].append(sha256)
        for chunk in entry.chunks:
            partition = self._partition(chunk.job)
            partition.chunks[chunk.queue, chunk.job, chunk.first] = chunk
            partition.ids.add(chunk.job)

    def batch(self, weight: int) -> Commit:
        """What is to be posted next; the same again until it is.

        Args:
            weight: Rows, and one more for each `PAGE` of them; at least 1. It is less where a section ends, and all
                about an id stays together.
        """
        if self._taken is None:
            last = self.rounds + PARTITIONS - 1
            while self.rounds < last and not self._partitions[self.rounds % PARTITIONS]:
                self.rounds += 1
            at = self.rounds % PARTITIONS
            # In this order: see `holds`.
            self._taken = _Taken(self._partitions[at])
            self._partitions[at] = _Partition()
            self.rounds += 1
        return self._taken.batch(weight)

    def newest_obsolete(self) -> int:
        """The newest of the entries of which nothing is left when the last `batch` is posted; 0 for none."""
        done = self.rounds
        if self._taken is not None and not self._taken.last:
            done -= 1
        else:
            # Where there is nothing, nothing is left.
            while done < self.rounds + PARTITIONS and not self._partitions[done % PARTITIONS]:
                done += 1
        newest = 0
        for number, round_, _ in self._entries:
            if round_ + PARTITIONS > done:
                break
            newest = number
        return newest

    def flushed(self) -> None:
        """The last `batch` is posted."""
        if self._taken is None:
            return
        done = self.newest_obsolete()
        if self._taken.last:
            self._taken = None
        else:
            self._taken.flushed()
        while self._entries and self._entries[0][0] <= done:
            self.bytes -= self._entries.popleft()[2]

    def all(self) -> list[Commit]:
        """All that is not posted yet, to be posted one after the other."""
        rest = [_commit(self._partitions)]
        return rest if self._taken is None else [self._taken.left(), *rest]

    def clear(self) -> None:
        """All of it is posted."""
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        self._taken = None
        self._entries.clear()
        self.rounds += 1
        self.bytes = 0


def _id_of(about: _Row) -> str:
    return about[0]


def _rows(about: list[_Row]) -> Commit:
    made = Commit([], [], [], [], [], [], [])
    for _, kind, row, _ in about:
        getattr(made, kind).append(row)
    return made


def _commit(partitions: list[_Partition]) -> Commit:
    made = Commit([], [], [], [], [], [], [])
    for partition in partitions:
        made.definitions += sorted(partition.definitions.items())
        made.definition_blobs += partition.definition_blobs
        made.aliases += partition.aliases.items()
        made.jobs += [partition.jobs[key] for key in sorted(partition.jobs)]
        made.results += [(*key, partition.results[key]) for key in sorted(partition.results)]
        made.result_blobs += [(*key, sha256) for key, keys in partition.result_blobs.items() for sha256 in keys]
        made.chunks += [partition.chunks[place] for place in sorted(partition.chunks)]
    return made
