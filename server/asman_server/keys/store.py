"""Reads the stored keys, and makes them again for a hub that has another secret than the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.keys.derived import KeyKind

from ..storage.commit import KeyRow
from ..storage.database import unavailable
from ..storage.postgres.shards import Fence, fenced
from ..storage.tables import facts, jobs, queue_keys, queues

FACT: Final = "queue keys"
"""Name of the fact that tells which secret the stored hashes were made with."""
AT_ONCE: Final = 500
"""Number of queues whose keys are written in one statement, or looked up together."""
_AWAY: Final = "the hub can't read its database now ({}); try again"


class Found(NamedTuple):
    """The queue that a key belongs to, and the key's kind."""

    queue: str
    kind: str


class KeyStore:
    """Reads the table of keys.

    Args:
        engine: The database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, hashed: str) -> Found | None:
        """Returns the queue of a key by its hash; None if no key has it.

        Raises:
            Unavailable: The database can't be read now.
        """
        query = select(queue_keys.c.queue, queue_keys.c.kind).where(queue_keys.c.hash == hashed)
        with unavailable(_AWAY):
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).first()
        return None if row is None else Found(row.queue, row.kind)

    async def used(self, queue: str) -> int:
        """Returns when the use of a queue was last noted, in epoch milliseconds; 0 if its keys are not stored.

        Raises:
            Unavailable: The database can't be read now.
        """
        query = select(func.count(), func.max(queue_keys.c.used)).where(queue_keys.c.queue == queue)
        with unavailable(_AWAY):
            async with self._engine.connect() as connection:
                count, used = (await connection.execute(query)).one()
        return int(used) if count >= len(KeyKind) else 0

    async def unused(self, before: int) -> list[str]:
        """Returns some of the queues without jobs and configuration that were last used before a time.

        Raises:
            Unavailable: The database can't be read now.
        """
        keys = queue_keys.c
        query = (
            select(keys.queue)
            .where(keys.used < before)
            .where(~select(jobs.c.id).where(jobs.c.queue == keys.queue).exists())
            .where(~select(queues.c.queue).where(queues.c.queue == keys.queue).exists())
            .distinct()
            .limit(AT_ONCE)
        )
        with unavailable(_AWAY):
            async with self._engine.connect() as connection:
                return list(await connection.scalars(query))


async def make_again(
    engine: AsyncEngine, mark: str, rows: Callable[[str], Iterable[KeyRow]], fence: Fence | None = None
) -> tuple[int, bool]:
    """Writes the keys to all queues, unless that was done with the same secret.

    Queues of hubs that knew no keys get theirs in this way, and all queues when the hub's secret has changed.

    Args:
        engine: The database, in its newest schema.
        mark: Tells the secret from others.
        rows: Makes the keys to a queue.
        fence: The shards that the hub owns in Postgres; None where nobody else writes.

    Returns:
        The number of queues whose keys were written, and whether the database was used with another secret before.

    Raises:
        ShardsLost: Another hub has taken over the queues. Nothing was written.
        Unavailable: The database can't be written.
    """
    with unavailable("the keys of the queues can't be written to the database: {}"):
        async with fenced(engine, fence) as connection:
            known = await connection.scalar(select(facts.c.value).where(facts.c.name == FACT))
            if known == mark:
                return 0, False
            names = select(jobs.c.queue).union(select(queues.c.queue), select(queue_keys.c.queue))
            found = list(await connection.scalars(names))
            await connection.execute(delete(queue_keys))
            for some in _parts(found):
                if made := [row._asdict() for name in some for row in rows(name)]:
                    await connection.execute(insert(queue_keys), made)
            if known is None:
                await connection.execute(facts.insert().values(name=FACT, value=mark))
            else:
                await connection.execute(update(facts).where(facts.c.name == FACT).values(value=mark))
    return len(found), known is not None


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while part := list(islice(rest, AT_ONCE)):
        yield part
