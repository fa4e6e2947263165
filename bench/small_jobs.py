"""Frames of the smallest jobs there are, made and read at the least cost: a peer must not be what is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

CONCURRENT: Final = 100
"""Jobs that the worker takes at a time."""
WINDOW: Final = 1000
"""Jobs of the client that are not finished."""
IN_FRAME: Final = 250
"""Jobs that the client submits in one frame."""

encode: Final = msgspec.msgpack.Encoder().encode


class _Job(msgspec.Struct):
    """What these peers want to know of a job."""

    state: str


class FromHub(msgspec.Struct):
    """What these peers want to know of a message; all else is passed over unread."""

    type: str
    job: str | _Job | None = None
    attempt: int = 0
    message: str = ""

    @property
    def tells_end(self) -> bool:
        """Whether it says that a job has finished."""
        return self.type == "changed" and isinstance(self.job, _Job) and self.job.state == "Finished"


read: Final = msgspec.msgpack.Decoder(list[FromHub]).decode


def registration() -> bytes:
    """A worker's first frame."""
    return encode([{"type": "register", "incarnation": "bench-small-jobs", "name": "w", "cpus": CONCURRENT}])


def submits(first: int, count: int, run: int) -> bytes:
    """A frame that submits so many jobs, each another one."""
    definitions = ({"image": "a", "command": ["echo", f"{run}-{n}"]} for n in range(first, first + count))
    return encode([{"type": "submit", "ref": 0, "definition": each} for each in definitions])


def finishes(messages: Iterable[FromHub]) -> bytes:
    """A frame that reports success of every assigned job; empty when there was none."""
    outcome = {"kind": "exited", "exit_code": 0}
    ended = [
        {"type": "finished", "job": message.job, "attempt": message.attempt, "outcome": outcome}
        for message in messages
        if message.type == "assign"
    ]
    return encode(ended) if ended else b""
