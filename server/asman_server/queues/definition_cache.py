"""Definitions at hand, so that an assignment seldom waits for the database.

What was just submitted is remembered. A queue that was taken up again after a restart has its definitions in the
database alone; there, the definitions of those jobs that are next are read together, before their turn comes. That
makes the next assignment from a million stored jobs cost what it costs from ten (``python -m bench depth``: reading
each when it was needed took three times as long).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from asman_shared.definition import Definition
from asman_shared.units import KIB, MIB

from ..storage.reader import Reader, pack_definition

CACHED: Final = 64 * MIB
"""Bytes that definitions may take in memory, per queue."""
OVERHEAD: Final = KIB
"""Bytes that a definition takes in memory beside those it has when it is stored."""
AHEAD: Final = 128
"""Definitions read together."""
LOW: Final = 64
"""When fewer than this are left of them, the next are read."""


class DefinitionCache:
    """See the module.

    Args:
        store: Reads what is durable.
        upcoming: About so many ids of the jobs that are next.
    """

    def __init__(self, store: Reader, upcoming: Callable[[int], Iterable[str]]) -> None:
        self._store = store
        self._upcoming = upcoming
        self._known: OrderedDict[str, tuple[Definition, int]] = OrderedDict()
        self._bytes = 0
        self._ahead: set[str] = set()
        self._reading_ahead = False

    def get(self, job_id: str) -> Definition | None:
        """A definition, if it is at hand."""
        known = self._known.get(job_id)
        if known is None:
            return None
        self._known.move_to_end(job_id)
        self._ahead.discard(job_id)
        return known[0]

    def remember(self, job_id: str, definition: Definition, size: int) -> None:
        """Keeps a definition at hand, at the cost of those that were not needed for longest.

        Args:
            job_id: Its id.
            definition: It.
            size: Bytes that it has when it is stored.
        """
        if job_id in self._known:
            return
        self._known[job_id] = (definition, size + OVERHEAD)
        self._bytes += size + OVERHEAD
        while self._bytes > CACHED and len(self._known) > 1:
            old, (_, dropped) = self._known.popitem(last=False)
            self._ahead.discard(old)
            self._bytes -= dropped

    def drop(self, job_id: str) -> None:
        """A definition is not needed any more."""
        known = self._known.pop(job_id, None)
        if known is not None:
            self._bytes -= known[1]
            self._ahead.discard(job_id)

    @property
    def low(self) -> bool:
        """Whether it is time to `read_ahead`."""
        return self._reading_ahead and len(self._ahead) < LOW

    async def read(self, job_id: str) -> Definition | None:
        """A definition from the store, with those that will be needed next.

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

    async def _read(self, wanted: list[str]) -> dict[str, Definition]:
        ahead = [job_id for job_id in self._upcoming(AHEAD) if job_id not in self._known]
        self._reading_ahead = False
        found = await self._store.definitions([*wanted, *ahead])
        for job_id, definition in found.items():
            self.remember(job_id, definition, len(pack_definition(definition)))
        self._ahead.update(job_id for job_id in ahead if job_id in self._known)
        self._reading_ahead = bool(ahead)
        return found
