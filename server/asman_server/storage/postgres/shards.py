"""Shards of queues, and the fence: a commit counts only while its hub owns the shards that it touches.

A queue belongs to one of `SHARDS` shards. Who takes a shard over raises its epoch in one committed statement and reads
the state after it, in statements of their own. Every commit first locks the rows of its shards at the epochs that its
hub has; if one is missing, another hub has taken it, and nothing is written. The lock on the row lets a takeover wait
for the commit before it, and ends with the transaction. So the order of the two is that of the database, whatever was
frozen, reconnected or pooled meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from asman_shared.errors import Misconfigured, Unavailable

from ..commit import Commit, KeyRow, QueueRow, ShardsLost, WebhookRow
from ..database import DATABASE_ERRORS, reason_of
from ..primary import Primary

log = logging.getLogger("asman.hub.database")

SHARDS: Final = 256
"""Number of shards, for ever: it is part of the way from a queue to its shard."""
KNOWN_QUEUES: Final = 65_536
"""Largest number of queues whose shard is kept in memory."""
PATIENCE_SECONDS: Final = 0.5
"""Time that a takeover waits for commits of the present owner before it ends their sessions, in seconds."""
TAKE_SECONDS: Final = 20.0
"""Time limit for a takeover, in seconds."""
PAUSE_SECONDS: Final = 0.1
"""Pause between two looks at what a takeover waits for, in seconds."""

GUARD: Final = (
    "SELECT count(*) = cardinality($1::integer[]) AS whole FROM (SELECT s.id FROM shards AS s JOIN"
    " unnest($1::integer[], $2::bigint[]) AS mine(id, epoch) ON s.id = mine.id AND s.epoch = mine.epoch"
    " FOR SHARE OF s) AS held"
)
"""Locks the rows of some shards at some epochs, and returns whether all of them are there."""
GUARDS: Final = 2
"""Number of its parameters: the shards, and the epoch of each."""

_FILL: Final = (
    "INSERT INTO shards (id, epoch, owner) SELECT id, 0, '' FROM generate_series(0, $1::integer - 1) AS id"
    " ON CONFLICT DO NOTHING"
)
_TAKE: Final = "UPDATE shards SET epoch = epoch + 1, owner = $1 RETURNING id, epoch"
_BLOCKERS: Final = "SELECT unnest(pg_blocking_pids($1))"
_END: Final = "SELECT pg_terminate_backend($1)"


class Fence:
    """The shards that a hub owns, at the epochs at which it took them.

    Args:
        epochs: The epoch of each shard.
        secret: The hub's secret, without which nobody can tell the shard of a queue.
    """

    def __init__(self, epochs: Mapping[int, int], secret: bytes) -> None:
        self.epochs = dict(epochs)
        self._shard_of = lru_cache(KNOWN_QUEUES)(lambda queue: shard_of(queue, secret))

    async def hold(self, connection: AsyncConnection) -> None:
        """Lets a transaction that is about any queue count only while the hub owns all of its shards.

        Raises:
            ShardsLost: Another hub owns one of them.
        """
        parameters = (list(self.epochs), list(self.epochs.values()))
        if not (await connection.exec_driver_sql(GUARD, parameters)).scalar():
            raise lost()

    def of(self, commit: Commit) -> tuple[list[int], list[int]]:
        """The parameters of `GUARD` for a commit; one that is about no queue depends on the first shard."""
        found = sorted({self._shard_of(queue) for queue in queues_of(commit)}) or [min(self.epochs)]
        return found, [self.epochs.get(shard, -1) for shard in found]


@asynccontextmanager
async def fenced(engine: AsyncEngine, fence: Fence | None) -> AsyncIterator[AsyncConnection]:
    """Begins a transaction beside the commits, such as when a hub starts; the end of the block commits it.

    Args:
        engine: The database.
        fence: The shards that the hub owns in Postgres; None where nobody else writes.

    Raises:
        ShardsLost: Another hub has taken a shard. Nothing was written.
    """
    async with engine.begin() as connection:
        if fence is not None:
            await fence.hold(connection)
        yield connection


def lost() -> ShardsLost:
    """Returns the error of a hub whose shards another one has taken."""
    return ShardsLost("another hub has taken over the queues of this one; nothing that this one does counts any more")


def shard_of(queue: str, secret: bytes) -> int:
    """Returns the shard of a queue."""
    return hashlib.blake2b(queue.encode("utf-8", "replace"), key=secret[:64], digest_size=8).digest()[0]


def queues_of(commit: Commit) -> set[str]:
    """Returns the queues that a commit is about."""
    found = {key[0] for kind, rows in commit.puts.items() if kind.group[0] == "queue" for key in rows}
    if commit.in_any_order and not (commit.drop_chunks or commit.webhooks or commit.keys):
        return found
    found.update(commit.erase)
    found.update(commit.forget_queues)
    keyed: Iterable[tuple[Any, ...]] = (*commit.forget, *commit.trim, *commit.drop_chunks, *commit.forget_keys)
    found.update(key[0] for key in keyed)
    rows: Iterable[WebhookRow | QueueRow | KeyRow] = (*commit.webhooks, *commit.queues, *commit.keys)
    found.update(row.queue for row in rows)
    return found


async def take_over(primary: Primary, owner: str) -> dict[int, int]:
    """Takes all shards, and returns the epoch of each. What is read after this holds all that earlier owners wrote.

    Sessions whose commits are in the way are ended after `PATIENCE_SECONDS`. That is for speed alone.

    Args:
        primary: Makes the connections.
        owner: The name of this hub.

    Raises:
        Unavailable: The database can't be reached, or the shards can't be had in time.
        Misconfigured: A session of another user of the database is in the way.
    """
    connections: list[Any] = []
    try:
        taker, ender = connections = [await primary.connect(), await primary.connect()]
        await taker.execute(_FILL, SHARDS)
        taking = asyncio.create_task(taker.fetch(_TAKE, owner[:128]))
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                await asyncio.wait([taking], timeout=PATIENCE_SECONDS)
                while not taking.done():
                    await _end_blockers(ender, taker.get_server_pid())
                    await asyncio.wait([taking], timeout=PAUSE_SECONDS)
            return dict(map(tuple, await taking))
        finally:
            taking.cancel()
            await asyncio.wait([taking])
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"another user of the database is in the way of a takeover ({reason_of(error)}): all hubs on one database"
            " are the same user"
        ) from error
    except DATABASE_ERRORS as error:
        raise Unavailable(f"the hub can't take its queues over from the last one: {reason_of(error)}") from error
    finally:
        for connection in connections:
            connection.terminate()


async def _end_blockers(connection: Any, pid: int) -> None:
    """Ends the sessions that a session waits for; it takes a moment until they are gone."""
    for row in await connection.fetch(_BLOCKERS, pid):
        log.warning("a session of another hub is in the way and is ended", extra={"session": row[0]})
        with suppress(asyncpg.UndefinedObjectError):
            await connection.fetchval(_END, row[0])
