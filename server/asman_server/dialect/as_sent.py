"""Remembers what a submission of the dialect said that a run does not depend on, so that lists show it again.

That includes the first-generation ids by which clients of a queue know a job: lists have the job under them, too, also
after a restart of the hub. So these are stored, in the table of the other ids of definitions, which has a row for each
id that was used in a queue: its key is a hash of queue, job and place, and it leads to the id.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.definition import Definition
from asman_shared.errors import Unavailable

from ..storage.database import unavailable
from ..storage.tables import aliases as rows

log = logging.getLogger("asman.hub.dialect")

REMEMBERED: Final = 100_000
"""Number of jobs about which this is remembered; the oldest are forgotten first, and all when the hub ends."""

ALIASES: Final = 4
"""Largest number of first-generation ids under which lists show one job; the oldest is forgotten first. The first ones
that were used are stored."""
SAID: Final = "said"
"""Place of what was said of a job besides its ids: words of `AsSent.words`."""
AT_ONCE: Final = 500
"""Largest number of jobs whose ids are read in one statement."""


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


class AsSent(Struct, frozen=True):
    """Parts of a submission.

    Attributes:
        debug: The member ``debug``.
        cpus: Whether ``requirements.cpus`` was given. The hub stores the number alone, and 1 is that of most jobs.
        aliases: First-generation ids that were used for the job in its queue.
        stored: The stored ones, in their places; None if they were not read.
    """

    debug: bool | UnsetType = UNSET
    cpus: bool = False
    aliases: tuple[str, ...] = ()
    stored: tuple[str, ...] | None = None

    @property
    def words(self) -> str:
        """The parts besides ids, in words as the store has them; empty for none."""
        debug = {True: ["debug"], False: ["no-debug"]}.get(self.debug, []) if isinstance(self.debug, bool) else []
        return " ".join([*debug, *(["cpus"] if self.cpus else [])])

    def saying(self, words: str) -> AsSent:
        """Returns the same with what the store has."""
        told = words.split()
        debug = True if "debug" in told else False if "no-debug" in told else UNSET
        return replace(self, debug=debug, cpus="cpus" in told)


NOTHING: Final = AsSent()


class Writer(Protocol):
    """Writes other ids of definitions: the group commit."""

    def alias(self, alias: str, job_id: str) -> None:
        """Writes an id soon."""


class UsedIds:
    """The stored first-generation ids that were used for jobs of queues.

    Args:
        engine: The database.
        writer: Writes rows. A reader may not see a row of this process yet, which is remembered then.
    """

    def __init__(self, engine: AsyncEngine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    def keep(self, queue: str, job: str, place: int, alias: str) -> None:
        """Stores an id in a free place of a job."""
        self._writer.alias(_row(queue, job, place), alias)

    def keep_said(self, queue: str, job: str, words: str) -> None:
        """Stores what else was said of a job, unless that was done before."""
        self._writer.alias(_row(queue, job, SAID), words)

    async def said(self, queue: str, jobs: Iterable[str]) -> dict[str, str]:
        """Returns what else was said first of these jobs.

        Raises:
            Unavailable: The database can't be read now.
        """
        found: dict[str, str] = {}
        rest = iter(jobs)
        while part := list(islice(rest, AT_ONCE)):
            found |= await self._read(queue, part, SAID)
        return found

    async def of(self, queue: str, jobs: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Returns the ids of these jobs, in the order of their first use; jobs without any are left out.

        Raises:
            Unavailable: The database can't be read now.
        """
        found: dict[str, tuple[str, ...]] = {}
        rest = iter(jobs)
        while part := list(islice(rest, AT_ONCE)):
            for place in range(ALIASES):
                part = await self._next(queue, part, place, found)
        return found

    async def _next(self, queue: str, jobs: list[str], place: int, found: dict[str, tuple[str, ...]]) -> list[str]:
        """Adds the ids in one place; returns the jobs that have one there."""
        here = await self._read(queue, jobs, place) if jobs else {}
        for job, alias in here.items():
            found[job] = (*found.get(job, ()), alias)
        return list(here)

    async def _read(self, queue: str, jobs: list[str], place: int | str) -> dict[str, str]:
        """Returns what is stored in one place of these jobs."""
        by_row = {_row(queue, job, place): job for job in jobs}
        with unavailable("the hub can't read its database now ({}); try again"):
            async with self._engine.connect() as connection:
                told = await connection.execute(select(rows.c.alias, rows.c.id).where(rows.c.alias.in_(by_row)))
                return {by_row[row]: value for row, value in told}


def _row(queue: str, job: str, place: int | str) -> str:
    """The key of a row: no id of a definition, which is a hash of JSON. Nobody finds it without the queue's name."""
    return hashlib.sha256(f"a first id in a list\0{queue}\0{job}\0{place}".encode("utf-8", "replace")).hexdigest()


class Submissions:
    """The parts that were sent last of each job of each queue, if they are more than nothing.

    Args:
        used: The stored ids; None for a hub that does not store them.
    """

    def __init__(self, used: UsedIds | None = None) -> None:
        self._known: OrderedDict[tuple[str, str], AsSent] = OrderedDict()
        self._used = used

    def remember(self, queue: str, job: str, definition: Definition, debug: Any, alias: str = "") -> bool:
        """Remembers a submission; returns whether lists must now show the job in another way."""
        before = self.of(queue, job)
        requirements = definition.requirements
        made = replace(
            before,
            debug=debug if isinstance(debug, bool) else UNSET,
            cpus=requirements is not None and requirements.cpus is not None,
            aliases=_with(before.aliases, alias),
        )
        if self._used is not None and made.words and made.words != before.words:
            self._used.keep_said(queue, job, made.words)
        return self._keep(queue, job, made)

    def known_as(self, queue: str, job: str, alias: str) -> bool:
        """Remembers a first-generation id of a job; returns whether lists must now show the job in another way."""
        before = self.of(queue, job)
        return self._keep(queue, job, replace(before, aliases=_with(before.aliases, alias)))

    async def prepare(self, queue: str, job: str) -> None:
        """Finds out whether there is room for another stored id of a job; not while the database can't be read."""
        try:
            await self.load(queue, [job])
        except Unavailable as error:
            log.info("an id is not stored now", extra={"error": error.message})

    def store(self, queue: str, job: str, alias: str) -> None:
        """Stores a first-generation id of a job with the next commit, after `prepare`, if there is room for it.

        If it could not be prepared, the next use of the id stores it.
        """
        known = self.of(queue, job)
        if self._used is None or known.stored is None or alias in known.stored or len(known.stored) == ALIASES:
            return
        self._used.keep(queue, job, len(known.stored), alias)
        self._keep(queue, job, replace(known, stored=(*known.stored, alias)))

    async def load(self, queue: str, jobs: Iterable[str]) -> None:
        """Reads the stored ids of jobs of a queue that were not read yet, before lists show them.

        Raises:
            Unavailable: The database can't be read now.
        """
        if self._used is None:
            return
        unread = [job for job in jobs if self.of(queue, job).stored is None]
        found = await self._used.of(queue, unread)
        said = await self._used.said(queue, unread)
        for job in unread:
            known, stored = self.of(queue, job), found.get(job, ())
            if job in said and not known.words:
                known = known.saying(said[job])
            if known.stored is None and (stored or known != NOTHING):
                older = (each for each in stored if each not in known.aliases)
                self._keep(queue, job, replace(known, aliases=(*older, *known.aliases)[-ALIASES:], stored=stored))

    def _keep(self, queue: str, job: str, made: AsSent) -> bool:
        before = self._known.pop((queue, job), NOTHING)
        if made != NOTHING:
            self._known[queue, job] = made
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return made != before

    def of(self, queue: str, job: str) -> AsSent:
        """Returns what is remembered of a job."""
        return self._known.get((queue, job), NOTHING)


def _with(aliases: tuple[str, ...], alias: str) -> tuple[str, ...]:
    """Returns the ids with another one, which stays in its place if it is among them."""
    return aliases if not alias or alias in aliases else (*aliases, alias)[-ALIASES:]
