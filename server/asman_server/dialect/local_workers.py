"""Keeps workers without containers from the queue ``local``, whose name every page can guess.

A job of that queue is held by its container alone. The hub refuses a worker at its registration, and not the requests
for ``local`` while there is such a worker: a job that was submitted before would run on it all the same.
"""

from __future__ import annotations

from typing import Any, Final

from asman_shared.codec import Broken
from asman_shared.errors import Forbidden
from asman_shared.messages import WorkerMessage

from ..hub import Hub
from ..sessions.worker import WorkerSession

WITHOUT_CONTAINERS: Final = "process"
"""Name of the executor that runs jobs as plain processes of the worker's user."""


class ContainedWorkerSession(WorkerSession):
    """A worker's websocket that keeps workers without containers from the queue that ``local`` stands for."""

    async def first(self, kind: type[Any]) -> tuple[Any, list[WorkerMessage | Broken]]:
        """Returns the registration, and the other messages of the same frame.

        Raises:
            Forbidden: The worker has no containers, and the operator did not ask for ``local`` without them.
        """
        info, rest = await super().first(kind)
        check_contained(self._websocket.app.state.hub, self.access.queue, info.executor)
        return info, rest


def check_contained(hub: Hub, queue: str, executor: object) -> None:
    """Checks that a worker may serve a queue as it runs its jobs.

    Args:
        hub: The hub.
        queue: The queue.
        executor: What the worker says of how it runs jobs. Workers of the dialect need not say it: all that are known
            run them in containers.

    Raises:
        Forbidden: The worker has no containers, and the operator did not ask for ``local`` without them.
    """
    if executor != WITHOUT_CONTAINERS or hub.config.local_without_containers:
        return
    if hub.config.local_queue and queue == hub.config.local_queue:
        raise Forbidden(
            "web pages can use this queue under the name 'local', so its workers need containers: use --executor "
            "docker, or start the hub with 'asman up --local-port 0' or 'asman up --local-without-containers' "
            "(ASMAN_LOCAL_WITHOUT_CONTAINERS=true)"
        )
