"""Webhooks that submissions asked for, in a compact form."""

from __future__ import annotations

from msgspec import Struct


class Call(Struct, frozen=True, array_like=True, gc=False):
    """One requested webhook.

    Attributes:
        url: Its address.
        payload: The JSON text sent as ``config``; empty when none was given.
        known_as: The id by which the submitter knows the job, when it differs from the job's id.
        whole_queue: The body has the queue's whole name instead of the short one.
    """

    url: str
    payload: bytes = b""
    known_as: str = ""
    whole_queue: bool = False


class Calls(Struct, frozen=True, gc=False):
    """The webhooks of one submission."""

    queued: Call | None = None
    finished: Call | None = None


class Hook(Struct, frozen=True, array_like=True, gc=False):
    """A webhook that is called at the end of the run."""

    namespace: str
    call: Call

    @property
    def size(self) -> int:
        """Size in bytes that counts towards the limit of a job."""
        return len(self.namespace) + len(self.call.url) + len(self.call.payload)
