"""Command lines that a test runs, and jobs that a test's hub plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asman_shared import messages as m
from asman_shared.states import Reason
from tests.unit.client.fake_hub import FakeHub, Visitor


@dataclass
class Ended:
    """The output and the exit code of a command."""

    code: Any
    out: str
    err: str


Run = Callable[..., Any]
Typed = Callable[[str], None]


def play(hub: FakeHub, exit_code: int | None = 0, reason: Reason | None = None, **more: Any) -> None:
    """Makes each new run write to both streams, produce a file, and end."""

    def submit(visitor: Visitor, message: m.Submit) -> None:
        before = {job: kept.runs for job, kept in hub.jobs.items()}
        hub._submit(visitor, message)
        for job in [job for job, kept in hub.jobs.items() if kept.runs != before.get(job)]:
            hub.log(job, "one")
            hub.log(job, "two", stream=m.STDERR)
            hub.output(job, "made.txt", b"made")
            hub.finish(job, exit_code, reason, **more)

    hub.on[m.Submit] = submit
