"""What runs a job: one small interface, behind which an engine can be anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from asman_shared.definition import Definition, Shape
from asman_shared.states import Phase

from .folders import JobFolder

Key = tuple[str, int]

FetchBlob = Callable[[str, Path, int], Awaitable[None]]
"""Brings a blob by its sha256 to a path, with at most so many bytes."""


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """One attempt, ready to be run.

    Attributes:
        job: The job's id.
        attempt: Which attempt of the job.
        definition: The job.
        shape: What it needs.
        folder: Its files; made and staged when the executor uses them.
        cache: The folder that jobs of this queue share.
        mounts: Config files by their absolute path in the container.
        time_limit: Milliseconds it may run, 0 for any.
        url: The job's own address on the hub.
        gpus: The ids of the gpus that are its own while it runs.
        fetch: Brings a blob of the job's queue, by sha256, to a path, with at most so many bytes.
    """

    job: str
    attempt: int
    definition: Definition
    shape: Shape
    folder: JobFolder
    cache: Path
    mounts: dict[str, Path] = field(default_factory=dict)
    time_limit: int = 0
    url: str = ""
    gpus: tuple[str, ...] = ()
    fetch: FetchBlob | None = None

    @property
    def key(self) -> Key:
        """What names the attempt."""
        return (self.job, self.attempt)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        kind: ``exited``, ``timed_out`` or ``out_of_memory``.
        exit_code: The process's.
        message: One sentence, for anything but ``exited``.
        image_digest: Of the image that ran.
        origin: What the image was built of, when it was.
    """

    kind: Literal["exited", "timed_out", "out_of_memory"] = "exited"
    exit_code: int | None = None
    message: str = ""
    image_digest: str = ""
    origin: str = ""


class Interrupted(Exception):
    """What ran was ended by its engine's own end, not by itself: as if it had not been run.

    Args:
        message: A sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Reporter(Protocol):
    """What a run tells about itself."""

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """A phase has begun, or got on."""
        ...

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Bytes of stdout or stderr; ``when`` in epoch milliseconds."""
        ...

    def say(self, text: str) -> None:
        """A line of the worker's own, about the job."""
        ...

    async def room(self) -> None:
        """To be awaited between pieces of output: waits while the hub is slower than the job."""
        ...

    def start_at(self, seq: int) -> None:
        """The next line has this seq; before the first output of an attempt that is gone on with."""
        ...

    @property
    def clean(self) -> bool:
        """Whether all output so far was whole lines."""
        ...

    @property
    def next_line(self) -> int:
        """The seq of the next line."""
        ...

    @property
    def sent_line(self) -> int:
        """All lines before this seq have been given to the connection."""
        ...


class JobExecutor(Protocol):
    """Runs attempts. All methods may be called at once for different attempts.

    Attributes:
        name: As workers register it: ``docker`` or ``process``.
        uses_folder: Whether jobs have files, so that inputs are staged, the run is prepared and outputs are collected.
            Without, there is nothing but `run`, as a simulation or a benchmark wants it.
        resumes: Whether what runs goes on when this process ends, and can be found again.
    """

    name: str
    uses_folder: bool
    resumes: bool

    async def open(self) -> str:
        """Gets ready; returns the platform of what it runs, such as ``linux/amd64``.

        Raises:
            Unavailable: It can't work here; the sentence says what to do.
        """
        ...

    async def close(self) -> None:
        """Lets go of everything but what runs."""
        ...

    def check(self, definition: Definition) -> None:
        """Refuses what it can't run.

        Raises:
            ExecutionError: Why.
        """
        ...

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Gets the image, in phase ``pulling`` or ``building``, when it is not there.

        Raises:
            ExecutionError: It can't be had.
        """
        ...

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Runs the attempt to its end or time limit, in phase ``running``.

        All output has been reported when this returns. When it is cancelled, what runs is killed before it returns.

        Raises:
            ExecutionError: It could not be run.
            Interrupted: The engine ended it with itself.
        """
        ...

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Goes on with an attempt that an earlier process of this worker began.

        Lines are reported again from where the earlier process noted them; the hub says which it has.

        Raises:
            ExecutionError: Nothing is left of it.
        """
        ...

    async def remove(self, key: Key) -> None:
        """Removes what an ended attempt left in the engine; quiet when there is nothing."""
        ...

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes everything of this worker's own in the engine but attempts in ``known``.

        Returns:
            Those of ``known`` that are there, to be gone on with by `resume`.
        """
        ...
