"""What is durable but not yet in its tables: the entries of the daybook, by the ids that they are about.

Ids are hashes, so each new job belongs on a page of its own in every index. A commit of 1,000 jobs into a database of
100,000 wrote 21 KiB for each job. Here, entries are kept by the first digits of their ids instead, and posted a section
at a time: rows of many commits that belong on the same few pages (`posting_ledger`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from asman_shared.units import KIB

from .commit import Commit, JobRow, Key, LogChunk

SECTIONS: Final = 32
"""Sections of a daybook: after so many commits, everything of the first of them is posted."""
CHUNK_BYTES: Final = 32 * KIB
"""Log bytes of an entry at most: lines of one job belong together as they come, and would only be written twice."""
VERSION: Final = 1

_SECTION_OF: Final = {f"{first:02x}": first * SECTIONS // 256 for first in range(256)}


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


class _Section:
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


class Daybook:
    """See the module.

    Attributes:
        number: Of the newest entry.
        bytes: Of the entries that are not all posted yet.
        turns: Sections that have been posted so far.
    """

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0
        self.turns = 0
        self._sections = [_Section() for _ in range(SECTIONS)]
        self._entries: deque[tuple[int, int, int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def holds(self, ids: Iterable[str]) -> bool:
        """Whether anything about one of these jobs, definitions or aliases is not posted yet."""
        return any(i in self._section(i).ids for i in ids)

    def _section(self, about: str) -> _Section:
        return self._sections[_SECTION_OF.get(about[:2], 0)]

    def note(self, entry: Entry, size: int) -> None:
        """Takes the next entry in: it is durable, and has so many bytes."""
        self.number += 1
        self.bytes += size
        self._entries.append((self.number, self.turns, size))
        for job_id, body in entry.definitions:
            section = self._section(job_id)
            section.definitions.setdefault(job_id, body)
            section.ids.add(job_id)
        for pair in entry.definition_blobs:
            self._section(pair[0]).definition_blobs[pair] = None
        for alias, job_id in entry.aliases:
            section = self._section(alias)
            section.aliases.setdefault(alias, job_id)
            section.ids.add(alias)
        for row in entry.jobs:
            section = self._section(row.id)
            section.jobs[row.queue, row.id] = row
            section.ids.add(row.id)
        for queue, job_id, body in entry.results:
            section = self._section(job_id)
            section.results[queue, job_id] = body
            section.result_blobs[queue, job_id] = []
            section.ids.add(job_id)
        for queue, job_id, sha256 in entry.result_blobs:
            self._section(job_id).result_blobs[queue, job_id].append(sha256)
        for chunk in entry.chunks:
            section = self._section(chunk.job)
            section.chunks[chunk.queue, chunk.job, chunk.first] = chunk
            section.ids.add(chunk.job)

    def next_section(self) -> Commit:
        """What is to be posted next, in the order of its keys."""
        return _commit([self._sections[self.turns % SECTIONS]])

    def outdated(self) -> int:
        """The newest of the entries of which nothing will be left when `next_section` is posted; 0 for none."""
        newest = 0
        for number, turn, _ in self._entries:
            if turn + SECTIONS > self.turns + 1:
                break
            newest = number
        return newest

    def posted(self) -> None:
        """`next_section` is posted."""
        done = self.outdated()
        self._sections[self.turns % SECTIONS] = _Section()
        self.turns += 1
        while self._entries and self._entries[0][0] <= done:
            self.bytes -= self._entries.popleft()[2]

    def all(self) -> Commit:
        """All that is not posted yet."""
        return _commit(self._sections)

    def clear(self) -> None:
        """All of it is posted."""
        self._sections = [_Section() for _ in range(SECTIONS)]
        self._entries.clear()
        self.turns += 1
        self.bytes = 0


def _commit(sections: list[_Section]) -> Commit:
    made = Commit([], [], [], [], [], [], [])
    for section in sections:
        made.definitions += sorted(section.definitions.items())
        made.definition_blobs += section.definition_blobs
        made.aliases += section.aliases.items()
        made.jobs += [section.jobs[key] for key in sorted(section.jobs)]
        made.results += [(*key, section.results[key]) for key in sorted(section.results)]
        made.result_blobs += [(*key, sha256) for key, keys in section.result_blobs.items() for sha256 in keys]
        made.chunks += [section.chunks[place] for place in sorted(section.chunks)]
    return made
