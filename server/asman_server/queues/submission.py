"""Checks and identifies a submission once, in one form for the native websocket, REST and the dialect."""

from __future__ import annotations

from typing import Any

from asman_shared import identity
from asman_shared.definition import Definition, Shape
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition, BadRequest
from asman_shared.messages import Submit
from asman_shared.states import Phase

from ..core import events as ev
from ..core.callbacks import Calls
from ..core.job_state import summarise
from ..webhooks.calls import calls_of


class Submission:
    """A request to run a job, with everything that follows from it alone.

    Made by `of`; the native websocket, REST and the dialect use the same one.

    Attributes:
        request: The request; its ``ref`` does not matter to the queue.
        job_id: Id of the job.
        shape: The resources that the job needs.
        alias: Another id by which the submitter knows the definition, stored with the job; empty when there is none.
    """

    __slots__ = ("_calls", "alias", "job_id", "request", "shape")

    def __init__(self, request: Submit, job_id: str, shape: Shape, calls: Calls | None, alias: str) -> None:
        self.request = request
        self.job_id = job_id
        self.shape = shape
        self.alias = alias
        self._calls = calls

    @staticmethod
    def of(request: Submit, *, private_webhooks: bool = False, alias: str = "", known_id: str = "") -> Submission:
        """Checks and identifies a request.

        Args:
            request: The request, whose definition has been decoded.
            private_webhooks: Webhooks may lead to addresses that are not on the public internet.
            alias: Another id by which the submitter knows the definition.
            known_id: The definition's id, for a definition whose file names were replaced by sha256 afterwards.

        Raises:
            BadDefinition: The definition, its id or the namespace is wrong.
            BadRequest: A time limit or a webhook is wrong.
        """
        shape = check(request.definition)
        job_id = known_id or identity.job_id(request.definition)
        if request.id is not None and request.id != job_id:
            raise BadDefinition(
                f"the id {request.id[:12]}… is not this definition's, which is {job_id[:12]}…", field="id"
            )
        if request.namespace == "*":
            raise BadDefinition("the namespace '*' means all of them and can't hold a job", field="namespace")
        if request.phase_limits and Phase.ASSIGNED in request.phase_limits:
            raise BadRequest("only the hub limits the phase 'assigned'", field="phase_limits.assigned")
        calls = None
        if request.callbacks is not None:
            calls = calls_of(request.callbacks, allow_private=private_webhooks, known_as=alias)
        return Submission(request, job_id, shape, calls, alias)

    @property
    def ref(self) -> int:
        """The ref under which the submitter waits for the answer."""
        return self.request.ref

    def effective(self) -> Definition:
        """Returns the part of the definition that the id covers; nothing else reaches the container."""
        return identity.effective(self.request.definition)

    def event(self, definition: Definition, reply_to: Any) -> ev.Submitted:
        """Returns the event that puts the submission into the core.

        Args:
            definition: The effective definition.
            reply_to: The receiver of the answer.
        """
        request, shape = self.request, self.shape
        phase_limits = request.phase_limits
        limits_of_run = (request.time_limit, shape.duration, phase_limits.get(Phase.RUNNING, 0))
        return ev.Submitted(
            job=self.job_id,
            shape=shape,
            summary=summarise(definition, shape),
            reply_to=reply_to,
            namespace=request.namespace,
            priority=request.priority,
            reuse=request.reuse,
            run_limit=min(filter(None, limits_of_run)) if any(limits_of_run) else 0,
            queue_limit=request.queue_limit,
            phase_limits={phase: limit for phase, limit in phase_limits.items() if limit} if phase_limits else None,
            max_attempts=request.max_attempts,
            calls=self._calls,
        )
