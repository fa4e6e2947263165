"""Webhooks that a submission asked for, as small as they can be kept."""

from __future__ import annotations

from msgspec import Struct


class Call(Struct, frozen=True, array_like=True, gc=False):
    """A webhook that is wanted.

    Attributes:
        url: Where it goes.
        payload: What is sent as ``config``, already JSON; empty when nothing was given.
        known_as: The id by which the submission knows the job, when that is not the job's own.
    """

    url: str
    payload: bytes = b""
    known_as: str = ""


class Calls(Struct, frozen=True, gc=False):
    """Everything that one submission wants called."""

    queued: Call | None = None
    finished: Call | None = None


class Hook(Struct, frozen=True, array_like=True, gc=False):
    """A call that waits with its job for the end of the run."""

    namespace: str
    call: Call

    @property
    def size(self) -> int:
        """Bytes that it is counted with."""
        return len(self.namespace) + len(self.call.url) + len(self.call.payload)
