"""Claims of a dialect's worker that were granted, and about whose runs the worker has proved nothing yet.

A worker stops a job that a whole list does not give to it, and never reports that. Such a list may be in flight when
the worker's claim is granted: then the hub holds a job for it that it has stopped. What the worker has sent about the
job is no proof then that it runs: it may be older than that list, and have waited here to be read. All lists after the
grant give the job to the worker. So it is asked for its status after the grant, and what it sends after its answer is
proof.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from msgspec import Struct


class _Claim(Struct):
    """A granted claim: the time of the grant, and the number of the first status request after it, or 0."""

    since: float
    asked: int = 0


class UnprovedClaims:
    """The unproved claims of one worker's connection, by job; times are of any clock, in seconds."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}
        self._asked = 0
        self._answered = 0

    def __bool__(self) -> bool:
        return bool(self._claims)

    def granted(self, job: str, now: float) -> None:
        """Notes a granted claim."""
        self._claims[job] = _Claim(now)

    def keep(self, held: Container[str]) -> None:
        """Forgets the claims of jobs that the worker no longer has."""
        self._claims = {job: claim for job, claim in self._claims.items() if job in held}

    def ask(self, send: Callable[[], bool]) -> None:
        """Asks the worker once after the newest grants; all lists that are sent after a grant give the job to it.

        Args:
            send: Sends a status request, and notes it by `sent`; returns whether that was possible.
        """
        new = [claim for claim in self._claims.values() if not claim.asked]
        if new and send():
            for claim in new:
                claim.asked = self._asked

    def sent(self) -> None:
        """Counts a status request."""
        self._asked += 1

    def answered(self) -> None:
        """Counts the answer to a status request; a worker answers each once and in order."""
        self._answered = min(self._answered + 1, self._asked)

    def heard(self, job: str) -> None:
        """Takes what the worker sends about a job as proof that it runs, unless it may be older than the lists."""
        claim = self._claims.get(job)
        if claim is not None and self._is_proof(claim):
            del self._claims[job]

    def _is_proof(self, claim: _Claim) -> bool:
        return 0 < claim.asked <= self._answered

    def oldest(self) -> float:
        """The time of the oldest grant.

        Raises:
            ValueError: There is no claim.
        """
        return min(claim.since for claim in self._claims.values())
