"""Remembers what a submission of the dialect said that a run does not depend on, so that lists show it again.

That includes the first-generation ids by which clients of a queue know a job: lists have the job under them, too, also
after a restart of the hub. So all of it is stored in a row beside the job's, and removed with the job.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.definition import Definition
from asman_shared.definition_check import shape_of
from asman_shared.errors import Unavailable

from ..storage.database import unavailable
from ..storage.row_kinds import AS_SENT, Row, RowKind
from ..storage.tables import as_sent

log = logging.getLogger("asman.hub.dialect")

REMEMBERED: Final = 100_000
"""Number of jobs about which this is remembered; the oldest are forgotten first, and read again when it is needed."""

ALIASES: Final = 4
"""Largest number of first-generation ids under which lists show one job; the oldest is forgotten first."""
AT_ONCE: Final = 500
"""Largest number of jobs whose rows are read in one statement."""


class Names(Enum):
    """The ids under which a list has a job that first-generation ids were used for.

    A client that has named jobs by ids of one generation alone would count a job twice that is listed under both.
    """

    ALL = "all"
    OWN = "own"
    FIRST = "first"

    def of(self, job: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the ids of a job with these first-generation ids."""
        if self is Names.OWN or not aliases:
            return (job,)
        return aliases if self is Names.FIRST else (job, *aliases)


class AsSent(Struct, frozen=True, omit_defaults=True):
    """Parts of a submission; a row has them in msgpack.

    Attributes:
        debug: The member ``debug``.
        cpus: Whether ``requirements.cpus`` was given. The hub stores the number alone, and 1 is that of most jobs.
        duration: The longest run time that the job asks for, in milliseconds; 0 if it names none. The hub stores it
            only while the job is not finished.
        aliases: First-generation ids that were used for the job in its queue, the newest last.
    """

    debug: bool | UnsetType = UNSET
    cpus: bool = False
    duration: int = 0
    aliases: tuple[str, ...] = ()

    @staticmethod
    def of(definition: Definition, debug: Any) -> AsSent:
        """Returns what a submission says, without ids.

        Raises:
            BadUnit: A duration can't be read.
        """
        requirements = definition.requirements
        return AsSent(
            debug=debug if isinstance(debug, bool) else UNSET,
            cpus=requirements is not None and requirements.cpus is not None,
            duration=shape_of(definition).duration,
        )

    def known_as(self, alias: str) -> AsSent:
        """Returns the same with another id, which stays in its place if it is among them."""
        if not alias or alias in self.aliases:
            return self
        return replace(self, aliases=(*self.aliases, alias)[-ALIASES:])


NOTHING: Final = AsSent()
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(AsSent).decode


class Writer(Protocol):
    """Writes rows about jobs: the group commit."""

    def put(self, kind: RowKind, row: Row) -> None:
        """Writes a row soon, in the place of an older one."""


class Kept:
    """The stored parts of submissions, one row for each job that has any.

    Args:
        engine: The database.
        writer: Writes rows. A reader may not see a row of this process yet, which is remembered then.
    """

    def __init__(self, engine: AsyncEngine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    def keep(self, queue: str, job: str, sent: AsSent) -> None:
        """Stores the parts with the next commit."""
        self._writer.put(AS_SENT, (queue, job, _encode(sent)))

    async def of(self, queue: str, jobs: Iterable[str]) -> dict[str, AsSent]:
        """Returns the parts of these jobs; jobs without any are left out.

        Raises:
            Unavailable: The database can't be read now.
        """
        found: dict[str, AsSent] = {}
        rest = iter(jobs)
        while part := list(islice(rest, AT_ONCE)):
            query = select(as_sent.c.id, as_sent.c.body).where(as_sent.c.queue == queue, as_sent.c.id.in_(part))
            with unavailable("the hub can't read its database now ({}); try again"):
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(query)).all()
            for job, body in rows:
                try:
                    found[job] = _decode(body)
                except msgspec.MsgspecError as error:  # a list shows the job without it
                    log.warning("a row can't be read", extra={"job": job[:12], "error": str(error)})
        return found


class _Known(Struct):
    """The parts that are known of a job, and those in its row; None if the row was not read."""

    sent: AsSent = NOTHING
    stored: AsSent | None = None


class Submissions:
    """The parts that were sent last of each job of each queue, if they are more than nothing.

    Args:
        kept: The stored parts; None for a hub that does not store them.

    Attributes:
        deletions: Number of queues that were deleted. What was read before the last one may be of it.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        self.deletions = 0
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._kept = kept

    def remember(self, queue: str, job: str, definition: Definition, debug: Any, alias: str = "") -> bool:
        """Remembers an accepted submission, and stores it with the commit of its job if the row was read before.

        Returns:
            Whether lists must now show the job in another way.
        """
        said = replace(AsSent.of(definition, debug), aliases=self.of(queue, job).aliases)
        return self._say(queue, job, said.known_as(alias))

    def known_as(self, queue: str, job: str, alias: str) -> bool:
        """Remembers a first-generation id of a job, and stores it if the row was read before.

        Returns:
            Whether lists must now show the job in another way.
        """
        return self._say(queue, job, self.of(queue, job).known_as(alias))

    def begin(self, queue: str, job: str) -> None:
        """Notes that a queue has no such job, so that there is nothing of an earlier one to be shown or stored."""
        self._set(queue, job, _Known(stored=NOTHING))

    def forget(self, queue: str, job: str) -> None:
        """Forgets a job that was removed."""
        self._known.pop((queue, job), None)

    def queue_deleted(self, queue: str) -> None:
        """Forgets all jobs of a queue."""
        self.deletions += 1
        for key in [key for key in self._known if key[0] == queue]:
            del self._known[key]

    async def read(self, queue: str, job: str) -> None:
        """Reads the row of a job, unless that was done; while that can't be, later submissions are not stored."""
        try:
            await self.load(queue, [job])
        except Unavailable as error:
            log.info("what was said of a job can't be read now", extra={"error": error.message})
            return
        if (queue, job) not in self._known:
            self._set(queue, job, _Known(stored=NOTHING))

    async def load(self, queue: str, jobs: Iterable[str]) -> None:
        """Reads the rows of jobs of a queue that were not read yet, before lists show them.

        Raises:
            Unavailable: The database can't be read now.
        """
        if self._kept is None:
            return
        unread = [job for job in jobs if not self._is_read(queue, job)]
        found: dict[str, AsSent] = {}
        deletions = -1
        while unread and deletions != self.deletions:  # what was read before a deletion may be of that queue
            deletions = self.deletions
            found = await self._kept.of(queue, unread)
        for job in unread:
            known = self._known.get((queue, job))
            if self._is_read(queue, job) or (known is None and job not in found):
                continue
            sent, stored = self.of(queue, job), found.get(job, NOTHING)
            older = (each for each in stored.aliases if each not in sent.aliases)
            aliases = (*older, *sent.aliases)[-ALIASES:]
            newer = sent if replace(sent, aliases=()) != NOTHING else stored
            self._set(queue, job, _Known(replace(newer, aliases=aliases), stored))

    def _is_read(self, queue: str, job: str) -> bool:
        known = self._known.get((queue, job))
        return known is not None and known.stored is not None

    def _say(self, queue: str, job: str, sent: AsSent) -> bool:
        """Remembers parts, and stores them; returns whether they are others than before."""
        known = self._known.get((queue, job)) or _Known()
        changed, known.sent = known.sent != sent, sent
        if self._kept is not None and known.stored is not None and known.stored != sent:
            self._kept.keep(queue, job, sent)
            known.stored = sent
        if sent == NOTHING and known.stored in (None, NOTHING):
            self.forget(queue, job)
        else:
            self._set(queue, job, known)
        return changed

    def _set(self, queue: str, job: str, known: _Known) -> None:
        self._known[queue, job] = known
        self._known.move_to_end((queue, job))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def of(self, queue: str, job: str) -> AsSent:
        """Returns what is remembered of a job."""
        known = self._known.get((queue, job))
        return known.sent if known is not None else NOTHING
