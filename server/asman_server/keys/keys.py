"""The keys to the queues of one hub: finds the queue that a key belongs to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.address import is_queue_key
from asman_shared.errors import CLOSE_REASONS, AsmanError, BadRequest, CloseCode, Forbidden, NotFound
from asman_shared.keys.derived import KeyKind, derived_keys

from ..access import Access
from ..access.rights import DERIVED, access
from ..clock import Clock
from ..storage.commit import KeyRow
from ..storage.group_commit import GroupCommitter
from ..storage.postgres.shards import Fence
from .store import Found, KeyStore, make_again

log = logging.getLogger("asman.hub.keys")

REMEMBERED: Final = 100_000
"""Number of stored keys that are remembered; others are looked up when they are needed."""
DAY_MS: Final = 24 * 60 * 60_000
"""Time after which the use of a queue is noted again, in milliseconds."""
KEPT_MS: Final = 90 * DAY_MS
"""Time for which the keys to a queue without jobs and settings of its own work after its last use, in milliseconds."""
LOOK_SECONDS: Final = 3600.0
"""Time between two lookups of keys to forget, in seconds."""


class Keys:
    """Finds the queues of keys.

    The keys to a queue work while the queue is in memory, from its first job or configuration on also without that,
    and for `KEPT_MS` after its last use.

    Args:
        secret: The hub's secret, with which keys are hashed.
        store: Reads stored keys.
        committer: Stores keys.
        clock: Returns the current time.
    """

    def __init__(self, secret: bytes, store: KeyStore, committer: GroupCommitter, clock: Clock) -> None:
        self._secret = secret
        self._store = store
        self._committer = committer
        self._clock = clock
        self._present: dict[str, Found] = {}
        self._noted: dict[str, int] = {}
        self._known: OrderedDict[str, Found] = OrderedDict()
        self._deleted = 0

    async def access(self, given: str, sender: str = "") -> Access:
        """Returns the queue that a name or key in an address belongs to, with the rights that it grants.

        No queue is made or loaded.

        Args:
            given: The name of a queue, an older name of it, or a key to it.
            sender: The party that uses it, for its limits; see `Access`.

        Raises:
            BadRequest: The text can be none of them.
            NotFound: It has the form of a key, and no queue has that key.
            Unavailable: The database can't be read now.
        """
        at_hand = self.at_hand(given, sender)
        if at_hand is not None:
            return at_hand
        hashed = self._hash(given)
        deleted = self._deleted
        found = await self._store.find(hashed)
        if found is None:
            raise NotFound(CLOSE_REASONS[CloseCode.UNKNOWN_KEY], field="queue")
        if deleted != self._deleted:
            return _access_of(found, hashed, sender)  # it may be of a queue that is gone, so it is not remembered
        self._known[hashed] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return _access_of(found, hashed, sender)

    def at_hand(self, given: str, sender: str = "") -> Access | None:
        """Returns the same as `access`; None for a key that has to be looked up.

        Raises:
            BadRequest: The text can be neither a name nor a key.
        """
        if not given.startswith("~"):
            return access(given, sender)
        if not is_queue_key(given):
            raise BadRequest("the key of a queue has '~' and then 52 letters and digits", field="queue")
        hashed = self._hash(given)
        found = self._present.get(hashed) or self._known.get(hashed)
        return None if found is None else _access_of(found, hashed, sender)

    # -------------------------------------------------------------------------------------------- calls of the registry

    async def loaded(self, queue: str) -> None:
        """Makes the keys to a queue that is in memory work, whether they are stored or not.

        Raises:
            Unavailable: The database can't be read now.
        """
        self._noted[queue] = await self._store.used(queue)
        for row in self._rows(queue):
            self._present[row.hash] = Found(queue, row.kind)

    def keep(self, queue: str) -> None:
        """Stores the keys to a queue with the run that begins now, unless that was done today."""
        now = self._clock()
        if now - self._noted.get(queue, 0) < DAY_MS:
            return
        self._noted[queue] = now
        for row in self._rows(queue):
            self._committer.key(row)

    def unloaded(self, queue: str) -> None:
        """Forgets a queue that has left memory; its stored keys go on working."""
        self._noted.pop(queue, None)
        for row in self._rows(queue):
            self._present.pop(row.hash, None)

    def deleted(self, queue: str) -> None:
        """Forgets a queue that is deleted with its stored keys."""
        self._deleted += 1
        for row in self._rows(queue):
            self._present.pop(row.hash, None)
            self._known.pop(row.hash, None)

    # ---------------------------------------------------------------------------------------------------- upkeep

    async def make_again(self, engine: AsyncEngine, fence: Fence | None = None) -> None:
        """Stores the keys to all queues when the hub starts, unless that was done; see `store.make_again`."""
        mark = hmac.new(self._secret, b"asman queue keys v1", hashlib.sha256).hexdigest()
        count, changed = await make_again(engine, mark, lambda queue: list(self._rows(queue)), fence)
        if changed:
            log.warning(
                "the file 'secret' in the data folder is not the one with which this database was used before: links "
                "to jobs and results, and the keys of webhooks, that were made with that one have ended; to use them "
                "again, put that file back and start the hub again"
            )
        if count:
            log.info("stored the keys of the queues", extra={"queues": count})

    async def look_after(self) -> None:
        """Forgets the keys of queues that were not used for long, until it is cancelled."""
        while True:
            try:
                await self.forget_unused()
            except AsmanError as error:
                log.info("keys can't be forgotten now: %s", error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def forget_unused(self) -> None:
        """Removes the keys to queues without jobs and settings that were last used longer than `KEPT_MS` ago.

        Raises:
            Unavailable: The database can't be used now.
        """
        before = self._clock() - KEPT_MS
        last: list[str] = []
        while (unused := await self._store.unused(before)) and unused != last:
            for queue in unused:
                self._committer.forget_keys(queue, before)
            await self._committer.written()
            self._known.clear()
            last = unused

    def _rows(self, queue: str) -> Iterator[KeyRow]:
        """Yields the keys to a queue; a name from which nobody derives keys, such as ``local``, has none."""
        now = self._clock()
        try:
            keys = derived_keys(queue)
        except (BadRequest, Forbidden):
            return
        for kind, key in keys.items():
            yield KeyRow(self._hash(key), queue, kind.value, now)

    def _hash(self, key: str) -> str:
        return hmac.new(self._secret, b"asman key v1\n" + key.encode(), hashlib.sha256).hexdigest()


def _access_of(found: Found, hashed: str, sender: str) -> Access:
    return Access(found.queue, DERIVED[KeyKind(found.kind)], hashed, sender)
