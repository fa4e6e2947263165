"""Which jobs a list is to show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asman_shared.messages import JobState
    from asman_shared.states import Reason, State


@dataclass(frozen=True, slots=True)
class Wanted:
    """See the module; made by `of`."""

    states: list[State]
    reasons: frozenset[Reason]
    image: str
    grep: str
    tags: frozenset[str]
    worker: str
    namespace: str
    since: int

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
        """From what a command line says.

        Raises:
            BadRequest: A state, reason or duration is none.
        """
        from asman_shared.errors import BadRequest
        from asman_shared.states import Reason, State
        from asman_shared.units import parse_duration

        states: dict[str, State] = {each.value.lower(): each for each in State if each is not State.REMOVED}
        reasons = {each.value.lower(): each for each in Reason}
        words = [each.lower() for each in state or ()]
        for word in words:
            if word not in states and word not in reasons:
                known = ", ".join(each.value for each in (*states.values(), *reasons.values()))
                raise BadRequest(f"'{word}' is neither a state nor a reason; there are {known}")
        of_reason = frozenset(reasons[word] for word in words if word in reasons)
        of_state = [states[word] for word in words if word in states]
        if of_reason and State.FINISHED not in of_state:
            of_state.append(State.FINISHED)
        elif State.FINISHED in of_state:
            of_reason = frozenset()
        oldest = 0 if since is None else time.time_ns() // 1_000_000 - parse_duration(since, field="since")
        return cls(of_state, of_reason, image, grep, frozenset(tags or ()), worker, namespace, oldest)

    def too_old(self, job: JobState) -> bool:
        """Whether this job, and so all that come behind it in a list, was submitted too long ago."""
        return job.queued < self.since

    def fits(self, job: JobState) -> bool:
        """Whether the job is one of them."""
        summary = job.summary
        image = (summary.image or summary.build) if summary else ""
        return (
            (not self.reasons or job.verdict is None or job.verdict.reason in self.reasons)
            and self.image in image
            and (not self.grep or (summary is not None and self.grep in summary.command))
            and (not self.tags or (summary is not None and self.tags <= set(summary.tags)))
            and (not self.worker or job.worker.startswith(self.worker))
            and (not self.namespace or self.namespace in job.namespaces)
        )
