"""Checks and identifies a submission once, in one form for the native websocket, REST and the dialect."""

from __future__ import annotations

from typing import Any

from asman_shared import identity, limits
from asman_shared.definition import Definition, Shape, is_bare
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition, BadRequest, BadUnit
from asman_shared.messages import Callbacks, Submit
from asman_shared.states import Phase, Reuse
from asman_shared.units import parse_duration

from ..access import Access
from ..access.table import PARTS
from ..core import events as ev
from ..core.callbacks import Calls
from ..core.job_state import summarise
from ..storage.blob_changes import blobs_of_definition
from ..webhooks.calls import calls_of


def time_limit(given: int | str, field: str) -> int:
    """Returns a time limit of a submission in milliseconds; one that is left out is none, and zero is refused.

    Args:
        given: In milliseconds, or a duration as text (``20m``).
        field: The field that holds it, for the error.

    Raises:
        BadUnit: It can't be read, is zero, or is out of range.
    """
    limit = given if isinstance(given, int) else parse_duration(given, field=field) if given.strip() else 0
    if limit == 0:
        shown = given if isinstance(given, int) or given.strip() else "an empty text"
        raise BadUnit(f"{shown} is no time limit, which has at least 1 ms: leave it out for no limit", field=field)
    if not 0 < limit <= limits.WHOLE:
        raise BadUnit(f"a time limit has 1 to {limits.WHOLE} milliseconds, not {str(limit)[:40]}", field=field)
    return limit


def _check_limits(request: Submit) -> None:
    if request.time_limit is not None:
        time_limit(request.time_limit, "time_limit")
    if request.queue_limit is not None:
        time_limit(request.queue_limit, "queue_limit")
    if request.phase_limits:
        for phase, limit in request.phase_limits.items():
            time_limit(limit, f"phase_limits.{phase}")


def tells_name(callbacks: Callbacks | None) -> bool:
    """Whether webhooks tell their receivers the queue's name, which is all rights to it."""
    if callbacks is None:
        return False
    queued, finished = callbacks.queued, callbacks.finished
    return (queued is not None and queued.whole_queue) or (finished is not None and finished.whole_queue)


class Submission:
    """A request to run a job, with everything that follows from it alone.

    Made by `of`; the native websocket, REST and the dialect use the same one.

    Attributes:
        request: The request; its ``ref`` does not matter to the queue.
        job_id: Id of the job.
        shape: The resources that the job needs.
        alias: Another id by which the submitter knows the definition, stored with the job; empty when there is none.
        bare: Whether the definition `is_bare`, so that it names no file.
        note: What the door keeps about the job besides its definition, stored with it; empty for nothing.
        sender: The key and the sender that it came from, if that sender has limits.
    """

    __slots__ = ("_calls", "alias", "bare", "job_id", "note", "request", "sender", "shape")

    def __init__(
        self, request: Submit, job_id: str, shape: Shape, calls: Calls | None, alias: str, *, bare: bool
    ) -> None:
        self.request = request
        self.bare = bare
        self.job_id = job_id
        self.shape = shape
        self.alias = alias
        self.note = b""
        self.sender: Access | None = None
        self._calls = calls

    @staticmethod
    def of(
        request: Submit,
        access: Access | None = None,
        *,
        private_webhooks: bool = False,
        alias: str = "",
        known_id: str = "",
    ) -> Submission:
        """Checks and identifies a request.

        Args:
            request: The request, whose definition has been decoded.
            access: The rights of the key that it came with; None for all.
            private_webhooks: Webhooks may lead to addresses that are not on the public internet.
            alias: Another id by which the submitter knows the definition.
            known_id: The definition's id, for a definition whose file names were replaced by sha256 afterwards.

        Raises:
            BadDefinition: The definition, its id or the namespace is wrong.
            BadUnit: A time limit is zero or out of range.
            BadRequest: The limit of a phase or a webhook is wrong.
            Forbidden: The key does not grant all that is asked for.
        """
        if access is not None and tells_name(request.callbacks):
            access.need_all(PARTS["callbacks.whole_queue"])
        definition = request.definition
        bare = is_bare(definition)
        shape = check(definition, bare=bare)
        job_id = known_id or identity.job_id(definition, bare=bare)
        if request.id is not None and request.id != job_id:
            raise BadDefinition(
                f"the id {request.id[:12]}… is not this definition's, which is {job_id[:12]}…", field="id"
            )
        if request.namespace == "*":
            raise BadDefinition("the namespace '*' means all of them and can't hold a job", field="namespace")
        if request.phase_limits and Phase.ASSIGNED in request.phase_limits:
            raise BadRequest("only the hub limits the phase 'assigned'", field="phase_limits.assigned")
        _check_limits(request)
        calls = None
        if request.callbacks is not None:
            calls = calls_of(request.callbacks, allow_private=private_webhooks, known_as=alias)
        made = Submission(request, job_id, shape, calls, alias, bare=bare)
        if access is not None and access.sender:
            made.sender = access
        return made

    @property
    def ref(self) -> int:
        """The ref under which the submitter waits for the answer."""
        return self.request.ref

    @property
    def reuse(self) -> Reuse:
        """The results that may answer the submission; older clients say ``cached`` for ``any``."""
        wanted = self.request.reuse
        return "any" if wanted == "cached" else wanted

    def effective(self) -> Definition:
        """Returns the part of the definition that the id covers; nothing else reaches the container."""
        definition = self.request.definition
        return definition if self.bare else identity.effective(definition)

    def blobs(self) -> list[str]:
        """Returns the sha256 of each blob that the definition names, once each."""
        return [] if self.bare else blobs_of_definition(self.request.definition)

    def event(self, definition: Definition, reply_to: Any) -> ev.Submitted:
        """Returns the event that puts the submission into the core.

        Args:
            definition: The effective definition.
            reply_to: The receiver of the answer.
        """
        request, shape = self.request, self.shape
        phase_limits = request.phase_limits
        limits_of_run = (request.time_limit, shape.duration, phase_limits.get(Phase.RUNNING))
        return ev.Submitted(
            job=self.job_id,
            shape=shape,
            summary=summarise(definition, shape),
            reply_to=reply_to,
            namespace=request.namespace,
            priority=request.priority,
            reuse=self.reuse,
            run_limit=min(filter(None, limits_of_run)) if any(limits_of_run) else 0,
            queue_limit=request.queue_limit or 0,
            phase_limits=dict(phase_limits) or None,
            max_attempts=request.max_attempts,
            calls=self._calls,
        )
