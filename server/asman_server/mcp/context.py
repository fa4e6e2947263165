"""The surroundings of one call: the hub, the rights of the key, and how to wait for a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request

from asman_shared.messages import JobState
from asman_shared.states import Phase, State

from ..access import Access, Right
from ..front import address_of
from ..hub import Hub
from ..queues.shell import QueueShell
from ..queues.watch import JobWatch
from ..rest.requests import existing
from .exchange import Progress
from .in_flight import InFlight
from .protocol import Call

REPORT_SECONDS: Final = 2.0
"""Time between two reports of progress, in seconds, besides those about a change."""


class Context(Struct, frozen=True):
    """The surroundings of one call.

    Attributes:
        hub: The hub.
        request: The HTTP request.
        access: The queue, and the rights of the key in the address.
        call: The call.
        progress: Tells the caller how far the call is.
        in_flight: The hub's calls.
    """

    hub: Hub
    request: Request
    access: Access
    call: Call
    progress: Progress
    in_flight: InFlight

    def reading(self) -> AbstractAsyncContextManager[QueueShell]:
        """Returns the queue, if it exists and the key may read it; see `asman_server.rest.requests.existing`."""
        return existing(self.request, Right.READ)

    def changing(self) -> AbstractAsyncContextManager[QueueShell]:
        """Returns the queue, if it exists and the key may submit to it."""
        return existing(self.request, Right.SUBMIT)

    def address(self, job: str, output: str = "") -> str:
        """Returns the address of a job, or of one of its outputs, for readers without the queue's name."""
        hub = address_of(self.request, self.hub.config.public_url)
        path = self.hub.links.path(self.access.queue, job, whole=self.access.sees_definitions)
        return f"{hub}{path}/outputs/{output}" if output else f"{hub}{path}"

    async def over(self, shell: QueueShell, job: str, seconds: float) -> JobState:
        """Waits for the end of a job, and tells the caller meanwhile how far it is; returns its newest state.

        The wait ends early when nobody reads the answer any more, or the hub is about to close.

        Raises:
            NotFound: The queue has no such job.
            Overloaded: Too many calls wait.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with JobWatch(shell, job) as watch:
            if watch.state.state.over:
                return watch.state
            with self.in_flight.waits(self.access.queue, job):
                while not self._ends():
                    left = begun + seconds - loop.time()
                    if left <= 0 or _over(watch):
                        break
                    self.progress.tell(round(loop.time() - begun + 0.001, 3), doing(watch.state, watch.job.phase))
                    async with _any_of(watch.news(), self.hub.closing.wait(), self.progress.unread.wait()) as tasks:
                        pause = min(left, REPORT_SECONDS) if self.progress.wanted else left
                        await asyncio.wait(tasks, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            return watch.state

    def _ends(self) -> bool:
        return self.hub.closing.is_set() or self.progress.unread.is_set()


def _over(watch: JobWatch) -> bool:
    return watch.state.state.over


def doing(state: JobState, phase: Phase | None = None) -> str:
    """Returns the state of a job, or the phase that it is in, as one word."""
    return str(phase if state.state is State.RUNNING and phase is not None else state.state)


@asynccontextmanager
async def _any_of(*waits: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Runs several waits until the end of the block."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
