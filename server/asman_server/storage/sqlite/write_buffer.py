"""Rows that are durable in the write-ahead table but not yet in their own tables, partitioned by id.

Ids are hashes, so each new job falls on its own page of every index. The buffer keeps rows by the first digits of their
ids and flushes one partition at a time: rows of many commits that belong on the same few pages.

A large partition is flushed in several batches, in the order of its ids; a batch holds all rows about some ids. Rows
that are added meanwhile go to a new partition, which is flushed in the next round. So newer rows are always flushed
after older ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from asman_shared.errors import Unavailable
from asman_shared.units import KIB

from .. import row_kinds
from ..commit import Commit
from ..row_kinds import LOG_CHUNKS, Puts, RowKey, RowKind

PARTITIONS: Final = 32
"""Number of partitions. An entry is fully flushed once all of them were flushed after it."""
CHUNK_BYTES: Final = 32 * KIB
"""Largest size of an entry's log lines, in bytes. More lines share pages anyway, so buffering them gains nothing."""
PAGE: Final = 4 * KIB
"""Size of a row's body that weighs as much as the row, in bytes: larger bodies take pages of their own."""

_PARTITION_OF: Final = {f"{first:02x}": first * PARTITIONS // 256 for first in range(256)}
_Item = tuple[str, RowKind, RowKey, Any, int]
"""(id that the row is about, kind, key, value in `Puts`, weight)."""


# --------------------------------------------------------------------------------- entries of the write-ahead table


def version() -> int:
    """The version of the entries that this hub writes."""
    return max(kind.since for kind in row_kinds.KINDS)


def bufferable(commit: Commit) -> bool:
    """Returns whether a commit can become an entry: it only puts rows, and few log lines."""
    chunks = LOG_CHUNKS.rows(commit.puts)
    return commit.only_puts and (not chunks or sum(map(LOG_CHUNKS.body_size, chunks)) <= CHUNK_BYTES)


def encode_entry(puts: Puts) -> bytes:
    """A commit's rows as an entry: msgpack of the version and one array of rows for each kind."""
    return _encode([version(), *(kind.rows(puts) for kind in row_kinds.KINDS)])


def decode_entry(body: bytes) -> Puts:
    """The rows of an entry.

    Raises:
        Unavailable: The entry is broken, or a newer hub wrote it.
    """
    puts: Puts = {}
    try:
        written, *arrays = _decode(body)
        if msgspec.msgpack.decode(written, type=int) > version():
            raise Unavailable("a newer hub was killed before it could flush its write buffer: start that version again")
        # An older hub's entry has no arrays for the kinds that were added later.
        for kind, array in zip(row_kinds.KINDS, arrays, strict=False):
            rows = msgspec.msgpack.decode(array, type=list[kind.row_type])  # type: ignore[name-defined]
            puts[kind] = {key: [] for key in puts[kind.parts_of]} if kind.parts_of is not None else {}
            puts[kind].update(kind.puts(rows))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(f"the write buffer of the database can't be read: {error}") from error
    return Commit(puts).puts  # with the rows that commits add by themselves and an older hub did not


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


# ------------------------------------------------------------------------------------------------------- partitions


def weight_of(puts: Puts, size: int) -> int:
    """The weight of rows whose bodies have ``size`` bytes in all; see `WriteBuffer.batch`."""
    return row_kinds.count(puts) + size // PAGE


class _Partition:
    """The newest rows about some ids."""

    __slots__ = ("ids", "puts")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.puts: Puts = {kind: {} for kind in row_kinds.KINDS}

    @property
    def weight(self) -> int:
        """The weight of all rows; see `WriteBuffer.batch`."""
        return weight_of(self.puts, row_kinds.size(self.puts))

    def by_id(self) -> list[_Item]:
        """All rows in the order of the ids that they are about."""
        items: list[_Item] = []
        for kind, rows in self.puts.items():
            for key in sorted(rows):
                value = rows[key]
                weight = kind.weight + (0 if kind.body is None else len(value[kind.body]) // PAGE)
                items.append((key[kind.about], kind, key, value, weight))
        return sorted(items, key=itemgetter(0))


class _Flush:
    """A partition that is being flushed in batches."""

    def __init__(self, partition: _Partition) -> None:
        self.partition = partition
        self._items: list[_Item] | None = None
        """In the order of ids; None before the first batch, empty if that is the whole partition."""
        self._at = 0
        self._end = 0

    def batch(self, weight: int) -> Puts:
        """The next rows to flush, the same until `flushed`; see `WriteBuffer.batch`."""
        if self._end == self._at:
            if self._items is None:
                whole = self.partition.weight <= weight
                self._items = [] if whole else self.partition.by_id()
            self._end = self._until(self._items, weight)
        if not self._items:
            return _merged([self.partition])
        return _puts(self._items[self._at : self._end])

    def _until(self, items: list[_Item], weight: int) -> int:
        end = self._at
        while end < len(items) and (weight > 0 or items[end][0] == items[end - 1][0]):
            weight -= items[end][4]
            end += 1
        return end

    @property
    def last(self) -> bool:
        """Returns whether the current batch is the last one."""
        return self._items is not None and self._end == len(self._items)

    def flushed(self) -> None:
        """Marks the current batch as flushed."""
        self._at = self._end

    def rest(self) -> Puts:
        """The rows that are not flushed yet."""
        return _puts(self._items[self._at :]) if self._items else _merged([self.partition])


class WriteBuffer:
    """The buffer of rows that are not yet in their tables, with the entries that hold them.

    Partitions are flushed in turn. `holds` may be called from any thread; everything else happens in the writer thread.

    Attributes:
        number: Number of the newest entry.
        bytes: Size of the entries that are not fully flushed, in bytes.
        rounds: Number of partitions whose flush has begun so far.
    """

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0
        self.rounds = 0
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        self._taken: _Flush | None = None
        self._entries: deque[tuple[int, int, int]] = deque()
        """(number, turns when it was added, bytes)."""

    def __bool__(self) -> bool:
        return bool(self._entries)

    def holds(self, ids: Iterable[str]) -> bool:
        """Returns whether any row about one of these jobs, definitions or aliases is not flushed yet.

        Other threads may ask: a partition is put into ``_taken`` before a new one replaces it, and this looks at the
        partition first and at ``_taken`` second.
        """
        for i in ids:
            if i in self._partition(i).ids:
                return True
            taken = self._taken
            if taken is not None and i in taken.partition.ids:
                return True
        return False

    def _partition(self, about: str) -> _Partition:
        return self._partitions[_PARTITION_OF.get(about[:2], 0)]

    def note(self, puts: Puts, size: int) -> None:
        """Adds the rows of the next entry, which is durable and has ``size`` bytes."""
        self.number += 1
        self.bytes += size
        self._entries.append((self.number, self.rounds, size))
        for kind, rows in puts.items():
            newest = bool(kind.values) or kind.parts_of is not None
            about = kind.about
            for key, value in rows.items():
                partition = self._partition(key[about])
                partition.ids.add(key[about])
                if newest:
                    partition.puts[kind][key] = value
                else:
                    partition.puts[kind].setdefault(key, value)

    def batch(self, weight: int) -> Puts:
        """The next batch of rows to flush; the same again until `flushed`.

        Args:
            weight: The weight of the batch, at least 1. Each row weighs 1, and 1 more for each `PAGE` bytes of its
                body. The batch is smaller at the end of a partition. All rows about an id stay together.
        """
        if self._taken is None:
            last = self.rounds + PARTITIONS - 1
            while self.rounds < last and not self._partitions[self.rounds % PARTITIONS].ids:
                self.rounds += 1
            at = self.rounds % PARTITIONS
            # In this order: see `holds`.
            self._taken = _Flush(self._partitions[at])
            self._partitions[at] = _Partition()
            self.rounds += 1
        return self._taken.batch(weight)

    def newest_obsolete(self) -> int:
        """Number of the newest entry that is fully flushed once the current batch commits (0 = none)."""
        done = self.rounds
        if self._taken is not None and not self._taken.last:
            done -= 1
        else:
            # An empty partition needs no flush.
            while done < self.rounds + PARTITIONS and not self._partitions[done % PARTITIONS].ids:
                done += 1
        newest = 0
        for number, round_, _ in self._entries:
            if round_ + PARTITIONS > done:
                break
            newest = number
        return newest

    def flushed(self) -> None:
        """Marks the last `batch` as flushed."""
        if self._taken is None:
            return
        done = self.newest_obsolete()
        if self._taken.last:
            self._taken = None
        else:
            self._taken.flushed()
        while self._entries and self._entries[0][0] <= done:
            self.bytes -= self._entries.popleft()[2]

    def all(self) -> list[Puts]:
        """All rows that are not flushed yet, to be written one part after the other."""
        rest = [_merged(self._partitions)]
        return rest if self._taken is None else [self._taken.rest(), *rest]

    def clear(self) -> None:
        """Marks all rows as flushed."""
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        self._taken = None
        self._entries.clear()
        self.rounds += 1
        self.bytes = 0


def _puts(items: list[_Item]) -> Puts:
    made: Puts = {kind: {} for kind in row_kinds.KINDS}
    for _, kind, key, value, _ in items:
        made[kind][key] = value
    return made


def _merged(partitions: Sequence[_Partition]) -> Puts:
    """The rows of partitions, whose ids differ, in the order of keys within each partition."""
    return {
        kind: {key: rows[key] for partition in partitions for rows in [partition.puts[kind]] for key in sorted(rows)}
        for kind in row_kinds.KINDS
    }
