"""Keeps a view for each queue that has a socket of the dialect, and the ids of older clients."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from asman_shared.definition import SHA256
from asman_shared.errors import NotFound, Unavailable

from ..clock import Clock
from ..queues.shell import QueueShell
from ..storage.reader import Reader
from .as_sent import Kept, Submissions
from .ids import Identified
from .incoming import EarlyRoom
from .queue_view import QueueView

ALIASES: Final = 100_000
"""Number of ids of older clients that are remembered; other ids are read when they are needed."""


class Aliases:
    """Finds jobs by id: a job's own id, or the id by which an older client knows it.

    Args:
        store: Reads the durable ids.
    """

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._known: OrderedDict[str, str] = OrderedDict()

    def remember(self, alias: str, job: str) -> None:
        """Remembers that an alias means a job, which never changes."""
        self._known[alias] = job
        self._known.move_to_end(alias)
        if len(self._known) > ALIASES:
            self._known.popitem(last=False)

    async def job(self, key: str, shell: QueueShell | None = None) -> str:
        """Returns the id of the job that ``key`` means; ``key`` itself when it is not an alias.

        Raises:
            NotFound: The key can't be the id of a job, so the database is not asked.
            Unavailable: The database can't be read now.
        """
        if SHA256.fullmatch(key) is None:
            raise NotFound("a job id is a sha256 in 64 lowercase hex digits")
        if shell is not None and key in shell.core.jobs:
            return key
        known = self._known.get(key)
        if known is None:
            known = await self._store.unaliased(key)
            if known is not None:
                self.remember(key, known)
        return known or key


class QueueViews:
    """The views of the queues that sockets of the dialect use, one per queue, while they are used.

    Args:
        store: Reads the durable state.
        clock: Returns the current time, in milliseconds.
        kept: The stored parts of submissions that lists show; None for a hub that does not store them.
    """

    def __init__(self, store: Reader, clock: Clock, kept: Kept | None = None) -> None:
        self.aliases = Aliases(store)
        self.submissions = Submissions(kept)
        self.early = EarlyRoom()
        self._store = store
        self._clock = clock
        self._views: dict[QueueShell, QueueView] = {}
        self._opening: dict[QueueShell, asyncio.Task[QueueView]] = {}
        self._users: dict[QueueShell, int] = {}

    async def before(self, shell: QueueShell, job: str) -> None:
        """Finds out what is remembered of a job before a submission of it, if there is such a job.

        Raises:
            Unavailable: The database can't be read now, and the queue may have the job.
        """
        try:
            await shell.job(job)
        except NotFound:
            self.submissions.begin(shell.name, job)
        else:
            await self.submissions.read(shell.name, job)

    def submitted(self, queue: str, found: Identified, debug: Any) -> None:
        """Remembers what a submission said besides its job, after `before`, and before the job is shown."""
        if found.alias:
            self.aliases.remember(found.alias, found.job)
        if self.submissions.remember(queue, found.job, found.definition, debug, found.alias):
            self._look_again(queue, found.job)

    async def known_as(self, queue: str, job: str, key: str, loaded: Mapping[str, QueueShell]) -> None:
        """Lists a job of a queue also under the id by which a client just asked for it, from now on.

        A job that is being removed is left alone: what is stored of it now would stay.

        Args:
            queue: The queue.
            job: The job's own id.
            key: The id.
            loaded: The loaded queues, by name. Single jobs of other queues are not removed meanwhile.
        """
        if key == job:
            return
        deletions = self.submissions.deletions
        await self.submissions.read(queue, job)
        if deletions != self.submissions.deletions:
            return
        if (shell := loaded.get(queue)) is not None:
            try:
                await shell.job(job)
            except (NotFound, Unavailable):
                return
        if self.submissions.known_as(queue, job, key):
            self._look_again(queue, job)

    def _look_again(self, queue: str, job: str) -> None:
        for shell, view in self._views.items():
            if shell.name == queue:
                view.look_again(job)

    def get(self, shell: QueueShell) -> QueueView | None:
        """Returns the view of a queue, if there is one now."""
        return self._views.get(shell)

    @asynccontextmanager
    async def using(self, shell: QueueShell) -> AsyncIterator[QueueView]:
        """Yields the view of a queue, made for its first user and kept while it has users.

        Raises:
            Unavailable: The database can't be read now.
        """
        self._users[shell] = self._users.get(shell, 0) + 1
        try:
            yield await self._view(shell)
        finally:
            self._users[shell] -= 1
            if not self._users[shell]:
                del self._users[shell]
                view = self._views.pop(shell, None)
                if view is not None:
                    view.close()

    async def _view(self, shell: QueueShell) -> QueueView:
        view = self._views.get(shell)
        if view is not None:
            return view
        opening = self._opening.get(shell)
        if opening is None:
            opening = self._opening[shell] = asyncio.get_running_loop().create_task(self._open(shell))
        return await asyncio.shield(opening)

    async def _open(self, shell: QueueShell) -> QueueView:
        view = QueueView(shell, self._store, self._clock, self.submissions)
        try:
            await view.open()
        finally:
            del self._opening[shell]
        if shell in self._users:
            self._views[shell] = view
        else:
            view.close()
        return view
