"""The course of a job with several commands: which one runs, how those before it ended, and the time that is left.

It is noted in a file before each container is created, so that a later process of the worker goes on with it. Each
executor with containers runs jobs this way.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from asman_shared.definition import Definition, Step
from asman_shared.errors import ExecutionError
from asman_shared.messages import StepEnd

from ..execution.disk_use import Account
from ..execution.interface import AttemptSpec, Ended, Reporter

_NOTES: Final = "steps"
"""Name of the file."""


def commands_of(spec: AttemptSpec) -> list[AttemptSpec]:
    """Returns an attempt for each command of a job; one for a job without steps."""
    definition = spec.definition
    if not definition.steps:
        return [spec]
    first = msgspec.structs.replace(definition, steps=None)
    later = [_command(first, step) for step in definition.steps]
    return [replace(spec, definition=each, step=number) for number, each in enumerate((first, *later))]


def _command(job: Definition, step: Step) -> Definition:
    return msgspec.structs.replace(
        job,
        image=step.image or job.image,
        build=job.build if not step.image or job.image else None,
        command=step.command,
        entrypoint=step.entrypoint,
        workdir=step.workdir,
        env=step.env,
        stdin=step.stdin,
        stdout=step.stdout,
        stderr=step.stderr,
        ignore_failure=step.ignore_failure,
    )


class Course(Struct):
    """The progress of the commands of an attempt.

    Attributes:
        began: Time at which the first one began, in epoch milliseconds.
        started: Time at which the present one began, likewise.
        line: Seq of its first log line.
        ends: The ends of those before it.
        account: What they were charged for the job cache: the bound of the disk is one for all commands.
    """

    began: int
    started: int
    line: int
    ends: list[StepEnd] = []
    account: Account = msgspec.field(default_factory=Account)

    @classmethod
    def begin(cls, line: int) -> Self:
        """Returns the course of an attempt that begins now."""
        now = _now()
        return cls(began=now, started=now, line=line)

    @classmethod
    def load(cls, spec: AttemptSpec) -> Self:
        """Returns the course that an earlier process noted.

        Raises:
            OSError: The file can't be read.
            msgspec.MsgspecError: The file is broken.
        """
        return msgspec.json.decode(_file(spec).read_bytes(), type=cls)

    @property
    def step(self) -> int:
        """Number of the present command."""
        return len(self.ends)

    def note(self, spec: AttemptSpec) -> None:
        """Writes the course to its file, whole or not at all."""
        file = _file(spec)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self))
        fresh.replace(file)

    @property
    def spent(self) -> int:
        """Time that the commands before the present one took of the limit of all, in milliseconds."""
        return max(0, self.started - self.began)

    def present(self, commands: list[AttemptSpec]) -> AttemptSpec:
        """Returns the present command of a job, which may run for what those before it left of the job's limit."""
        return replace(commands[self.step], time_spent=self.spent)

    def ended(self, ended: Ended, line: int, *, ignored: bool) -> bool:
        """Notes the end of the present command; returns whether the next one may run.

        Args:
            ended: The end.
            line: Seq of the next log line.
            ignored: Whether a failure does not matter.
        """
        now = _now()
        code = ended.exit_code
        self.ends.append(StepEnd(0 if code is None else code, self.started, now, self.line, line))
        self.started, self.line = now, line
        return ended.kind == "exited" and (code == 0 or ignored)


def course_of(spec: AttemptSpec, report: Reporter) -> Course:
    """Returns the course that an earlier process noted.

    Raises:
        ExecutionError: It can't be read.
    """
    try:
        course = Course.load(spec)
    except (OSError, msgspec.MsgspecError) as error:
        raise ExecutionError(f"the steps that ran before the restart are not known: {error}", fault="worker") from error
    report.start_at(course.line)
    return course


def end_of_job(commands: list[AttemptSpec], course: Course, ended: Ended) -> Ended:
    """Returns the end of a job by the end of the last of its commands that ran."""
    ignored = ended.kind == "exited" and commands[course.step - 1].definition.ignore_failure
    return replace(ended, exit_code=0 if ignored else ended.exit_code, steps=tuple(course.ends))


def _file(spec: AttemptSpec) -> Path:
    return spec.folder.root / _NOTES


def _now() -> int:
    return round(time.time() * 1000)
