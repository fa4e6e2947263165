"""Filters of ``asman job list``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import exits

if TYPE_CHECKING:
    from asman_shared.states import Reason, State


class Wanted:
    """The jobs that a list shows; made by `of`."""

    __slots__ = ("grep", "image", "namespace", "reasons", "since", "states", "tags", "worker")

    def __init__(
        self,
        states: list[State],
        reasons: frozenset[Reason],
        image: str,
        grep: str,
        tags: frozenset[str],
        worker: str,
        namespace: str,
        since: int,
    ) -> None:
        self.states = states
        self.reasons = reasons
        self.image = image
        self.grep = grep
        self.tags = tags
        self.worker = worker
        self.namespace = namespace
        self.since = since

    @classmethod
    def of(
        cls,
        state: list[str] | None,
        *,
        image: str,
        grep: str,
        tags: list[str] | None,
        worker: str,
        namespace: str,
        since: str | None,
    ) -> Wanted:
        """Builds the filter from the options of a command line.

        Raises:
            BadRequest: A state or reason is unknown, or the duration can't be parsed.
        """
        from asman_shared.errors import BadRequest
        from asman_shared.states import Reason, State
        from asman_shared.units import parse_duration

        states: dict[str, State] = {each.value.lower(): each for each in State if each is not State.REMOVED}
        reasons = {each.value.lower(): each for each in Reason}
        for given in state or ():
            if given.lower() not in states and given.lower() not in reasons:
                from difflib import get_close_matches  # slow to import

                names = [each.value for each in (*states.values(), *reasons.values())]
                near = get_close_matches(given.capitalize(), names, 1)
                more = f"did you mean {near[0]}? Use" if near else "use"
                raise exits.usage(
                    BadRequest(f"'{given}' is neither a state nor a reason: {more} one of {', '.join(names)}")
                )
        words = [each.lower() for each in state or ()]
        of_reason = frozenset(reasons[word] for word in words if word in reasons)
        of_state = [states[word] for word in words if word in states]
        if of_reason and State.FINISHED not in of_state:
            of_state.append(State.FINISHED)
        elif State.FINISHED in of_state:
            of_reason = frozenset()
        oldest = 0 if since is None else time.time_ns() // 1_000_000 - parse_duration(since, field="since")
        return cls(of_state, of_reason, image, grep, frozenset(tags or ()), worker, namespace, oldest)

    @property
    def filters_locally(self) -> bool:
        """True if there are filters that the hub does not apply, so that `matches` may refuse jobs of its answer."""
        return bool(self.reasons or self.image or self.grep or self.tags or self.worker or self.namespace)

    def too_old(self, job: Mapping[str, Any]) -> bool:
        """Checks whether this job, and thus every later one in a list, was submitted too long ago."""
        return bool(job.get("queued", 0) < self.since)

    def matches(self, job: Mapping[str, Any]) -> bool:
        """Checks whether a job, in its JSON form, passes the filters."""
        summary, verdict = job.get("summary") or {}, job.get("verdict")
        return (
            (not self.reasons or verdict is None or verdict["reason"] in self.reasons)
            and self.image in (summary.get("image") or summary.get("build") or "")
            and self.grep in summary.get("command", "")
            and self.tags <= set(summary.get("tags", ()))
            and job.get("worker", "").startswith(self.worker)
            and (not self.namespace or self.namespace in job.get("namespaces", ()))
        )
