"""Answers polls at once: clients ask for the smallest view of each task several times a second.

A poll is answered here where the answer is known without a wait: the queue and the task are in memory, and the present
state of the task is durable. All else takes the way of other requests, such as every error. Both ways give one answer,
byte for byte: the parts that do not change are made by the functions of the other way.
"""

from __future__ import annotations

import re
from typing import Final

from asman_shared.errors import BadRequest

from ..access.table import REQUESTS
from ..delivery.prompts import Prompts
from ..hub import LOCAL, Hub
from ..rest.base import as_json, shown_to_pages
from .states import STATES, TaskState, task_state
from .views import smallest

_PATH: Final = re.compile(r"/q/([^/]+)/(?:ga4gh/tes/)?v1/tasks/([0-9a-f]{64})")
_QUERIES: Final = (b"", b"view=MINIMAL")
_RIGHTS: Final = REQUESTS["get_task"] or frozenset()
_ANY_TASK: Final = "0" * 64


class Polls(Prompts):
    """The answers to polls for tasks of one hub, which must be open."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._parts = {state: _parts(state) for state in STATES}

    def answer(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        """Answers a poll for the smallest view of a task, if its state is at hand."""
        found = _PATH.fullmatch(path)
        if found is None or query not in _QUERIES or found[1] == LOCAL:
            return None
        try:
            access = self._hub.keys.at_hand(found[1])
        except BadRequest:
            return None
        if access is None or not access.rights >= _RIGHTS:
            return None
        shell = self._hub.registry.at_hand(access.queue)
        job = None if shell is None else shell.core.jobs.get(found[2])
        if job is None or not self._hub.committer.settled(access.queue, job.id):
            return None
        headers, before, after = self._parts[task_state(job.state, job.phase, job.verdict)]
        return headers, b"%b%b%b" % (before, job.id.encode(), after)


def _parts(state: TaskState) -> tuple[bytes, bytes, bytes]:
    """Returns the lines of the headers of an answer with a state, and its body before and after the task's id."""
    response = shown_to_pages(as_json(smallest(_ANY_TASK, state)))
    before, _, after = bytes(response.body).partition(_ANY_TASK.encode())
    return b"".join(b"%b: %b\r\n" % header for header in response.raw_headers), before, after
