"""Caches definitions in memory, so that an assignment seldom waits for the database.

Newly submitted definitions are cached. After a restart a queue has its definitions in the database alone; the
definitions of the next jobs are then read together, before their turn comes. So an assignment from a million stored
jobs costs the same as one from ten (``python -m bench depth`` measures it).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from asman_shared.definition import Definition
from asman_shared.identity import names_urls, signed
from asman_shared.units import KIB, MIB

from ..storage.reader import Reader, pack_definition

CACHED: Final = 64 * MIB
"""Memory that the definitions of one queue may take, in bytes."""
OVERHEAD: Final = KIB
"""Memory that a definition takes beyond its stored size, in bytes."""
AHEAD: Final = 128
"""Number of definitions read together."""
LOW: Final = 64
"""Number of unused definitions below which the next ones are read ahead."""


class DefinitionCache:
    """The definitions of one queue that are kept in memory, with reading ahead.

    Args:
        store: Reads the durable state.
        upcoming: Returns about the given number of ids, of the jobs that are next.
        queue: The queue's name.
    """

    def __init__(self, store: Reader, upcoming: Callable[[int], Iterable[str]], queue: str) -> None:
        self._store = store
        self._queue = queue
        self._upcoming = upcoming
        self._known: OrderedDict[str, tuple[Definition, int]] = OrderedDict()
        self._bytes = 0
        self._ahead: set[str] = set()
        self._reading_ahead = False

    def get(self, job_id: str) -> Definition | None:
        """Returns a definition if it is cached."""
        known = self._known.get(job_id)
        if known is None:
            return None
        self._known.move_to_end(job_id)
        self._ahead.discard(job_id)
        return known[0]

    def remember(self, job_id: str, definition: Definition, size: int) -> None:
        """Caches a definition, in the place of an older one; the least recently used are dropped to make room.

        Args:
            job_id: The definition's id.
            definition: The definition.
            size: Stored size of the definition, in bytes.
        """
        self.drop(job_id)
        self._known[job_id] = (definition, size + OVERHEAD)
        self._bytes += size + OVERHEAD
        while self._bytes > CACHED and len(self._known) > 1:
            old, (_, dropped) = self._known.popitem(last=False)
            self._ahead.discard(old)
            self._bytes -= dropped

    def drop(self, job_id: str) -> None:
        """Drops a definition that is not needed any more."""
        known = self._known.pop(job_id, None)
        if known is not None:
            self._bytes -= known[1]
            self._ahead.discard(job_id)

    @property
    def low(self) -> bool:
        """Whether it is time to `read_ahead`."""
        return self._reading_ahead and len(self._ahead) < LOW

    async def read(self, job_id: str) -> Definition | None:
        """Reads a definition from the store, together with those that will be needed next.

        Raises:
            Unavailable: The store can't be read.
        """
        found = await self._read([job_id])
        self._ahead.discard(job_id)
        return found.get(job_id)

    async def read_ahead(self) -> None:
        """Reads the definitions that will be needed next.

        Raises:
            Unavailable: The store can't be read.
        """
        await self._read([])

    async def stored(self, ids: list[str]) -> dict[str, Definition]:
        """Returns definitions from the store, with the signatures of this queue; missing ones are left out.

        Raises:
            Unavailable: The store can't be read.
        """
        found = await self._store.definitions(ids)
        naming = [job_id for job_id, definition in found.items() if names_urls(definition)]
        if naming:
            ends = await self._store.signatures(self._queue, naming)
            found |= {job_id: signed(found[job_id], ends[job_id]) for job_id in naming if job_id in ends}
        return found

    async def _read(self, wanted: list[str]) -> dict[str, Definition]:
        ahead = [job_id for job_id in self._upcoming(AHEAD) if job_id not in self._known]
        self._reading_ahead = False
        found = await self.stored([*wanted, *ahead])
        for job_id, definition in found.items():
            if job_id not in self._known:  # a submission may have come meanwhile
                self.remember(job_id, definition, len(pack_definition(definition)))
        self._ahead.update(job_id for job_id in ahead if job_id in self._known)
        self._reading_ahead = bool(ahead)
        return found
