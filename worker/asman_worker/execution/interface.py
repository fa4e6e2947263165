"""The interface between attempts and the executors that run their jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from asman_shared.definition import Definition, Shape, Source
from asman_shared.messages import StepEnd
from asman_shared.states import Phase

from .folders import JobFolder

Key = tuple[str, int]

FetchBlob = Callable[[str, Path, int], Awaitable[None]]
"""Downloads a blob by its sha256 to a path; the third argument is its maximum size in bytes."""


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """One attempt, with all that an executor needs to run it.

    Attributes:
        job: The job's id.
        attempt: The attempt's number within the job.
        definition: The job's definition.
        shape: The resources that the job needs.
        folder: The attempt's files; created and staged if the executor uses folders.
        cache: The folder that jobs of this queue share.
        mounts: Config files by their absolute path in the container.
        shared: Folders that the operator shares, by their path in the container: the folder, and whether it is
            writable there.
        time_limit: Longest run, in milliseconds; 0 for no limit.
        time_spent: Time that earlier commands of the attempt took of it, in milliseconds.
        url: The job's own address on the hub.
        gpus: The ids of the gpus that the attempt has to itself while it runs.
        fetch: Downloads a blob of the job's queue.
        step: Number of the command that is meant, where an executor runs the steps of a job.
    """

    job: str
    attempt: int
    definition: Definition
    shape: Shape
    folder: JobFolder
    cache: Path
    mounts: dict[str, Path] = field(default_factory=dict)
    shared: dict[str, tuple[str, bool]] = field(default_factory=dict)
    time_limit: int = 0
    time_spent: int = 0
    url: str = ""
    gpus: tuple[str, ...] = ()
    fetch: FetchBlob | None = None
    step: int = 0

    @property
    def key(self) -> Key:
        """The attempt's key: job id and attempt number."""
        return (self.job, self.attempt)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run.

    Attributes:
        kind: ``exited``, ``timed_out`` or ``out_of_memory``.
        exit_code: The exit code of the process.
        message: One sentence; for ``exited`` it is about a trouble beside the exit code, and mostly empty.
        image_digest: Digest of the image that ran.
        origin: Source of a built image, else empty.
        steps: The ends of the commands of a job with steps, as far as they ran.
    """

    kind: Literal["exited", "timed_out", "out_of_memory"] = "exited"
    exit_code: int | None = None
    message: str = ""
    image_digest: str = ""
    origin: str = ""
    steps: tuple[StepEnd, ...] = ()


class Interrupted(Exception):
    """The run ended because its engine ended; the attempt counts as not run.

    Args:
        message: One sentence that says what happened.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Reporter(Protocol):
    """Receives the phases and the output of one attempt."""

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Reports that a phase began or advanced."""
        ...

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Takes bytes of stdout or stderr; ``when`` is their time in epoch milliseconds."""
        ...

    def say(self, text: str) -> None:
        """Adds a line of the worker's own to the log of the job."""
        ...

    def close_streams(self) -> None:
        """Ends unfinished lines: what follows is written by another command."""
        ...

    async def room(self) -> None:
        """Waits while the hub is slower than the job; executors await it between pieces of output."""
        ...

    def start_at(self, seq: int) -> None:
        """Sets the seq of the next line; called before the first output of a resumed attempt."""
        ...

    @property
    def clean(self) -> bool:
        """True while all output so far was whole lines."""
        ...

    @property
    def next_line(self) -> int:
        """The seq of the next line."""
        ...

    @property
    def sent_line(self) -> int:
        """The seq before which all lines have been handed to the connection."""
        ...


class JobExecutor(Protocol):
    """Runs attempts. Methods may be called concurrently for different attempts.

    Attributes:
        name: The name that the worker registers: ``process``, or ``docker``, with a word on a network that is not the
            usual one.
        uses_folder: True if jobs have files: inputs are staged, the run is prepared and outputs are collected.
            If false, only `run` is called, which suits simulations and benchmarks.
        own_tags: Tags that tell of abilities that not every executor has.
        sources: The jobs that it runs, as in `Register`; empty for all.
        resumes: True if a run continues after this process ends and can be resumed by the next one.
    """

    uses_folder: bool
    resumes: bool
    own_tags: tuple[str, ...]
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """The name that the worker registers."""
        ...

    async def open(self) -> str:
        """Prepares the executor; returns the platform of the jobs that it can run, for example ``linux/amd64``.

        Raises:
            Unavailable: The executor can't work on this machine; the message says how to fix it.
        """
        ...

    async def close(self) -> None:
        """Releases all resources except running attempts."""
        ...

    def check(self, definition: Definition) -> None:
        """Refuses a definition that this executor can't run.

        Raises:
            ExecutionError: The definition is refused; the message gives the reason.
        """
        ...

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Gets a missing image, in phase ``pulling`` or ``building``.

        Raises:
            ExecutionError: The image can't be pulled or built.
        """
        ...

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Runs the attempt to its end or time limit, in phase ``running``.

        All output has been reported when this returns. A cancelled run is killed before this returns.

        Raises:
            ExecutionError: The attempt could not be run.
            Interrupted: The engine ended, and the run with it.
        """
        ...

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Continues an attempt that an earlier process of this worker began.

        Lines are reported again from the position that the earlier process recorded; the hub drops those it has.

        Raises:
            ExecutionError: Nothing is left of the run.
        """
        ...

    async def remove(self, key: Key) -> None:
        """Removes the remains of an ended attempt from the engine; finding none is no error."""
        ...

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes everything that this worker owns in the engine, except attempts in ``known``.

        Returns:
            The attempts of ``known`` that still exist and can be resumed.
        """
        ...
