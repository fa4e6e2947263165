"""The synchronous client: the same as `asman.connect`, without ``await``.

.. code-block:: python

    import asman.sync

    with asman.sync.connect("https://hub.example/q/my-queue") as queue:
        job = queue.submit(image="alpine", command="echo hello")
        for line in job.logs():
            print(line.text)
        result = job.result()

The async client runs on an event loop in a thread of its own, and each call here waits for one of its calls. Several
threads may use one queue.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from asman_shared import messages as m
from asman_shared.definition import Definition

from . import client, job, outputs
from .address import Address
from .background import BackgroundLoop
from .bulk import WINDOW, Item, from_thread
from .changes import Change
from .logs import Line

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class _Mirror:
    """An object of the async client, for use from another thread."""

    def __init__(self, inner: Any, loop: BackgroundLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._inner)


def _call(method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """Makes a method that calls ``method`` of the mirrored object and waits for its result."""

    def mirrored(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._loop.run(method(self._inner, *args, **kwargs))
        return result

    mirrored.__doc__ = method.__doc__
    mirrored.__name__ = method.__name__
    return mirrored


def _each(method: Callable[Concatenate[A, P], AsyncIterator[T]]) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """Makes a method that iterates over the items of ``method`` of the mirrored object."""

    def mirrored(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        found: Iterator[T] = self._loop.each(method(self._inner, *args, **kwargs))
        return found

    mirrored.__doc__ = method.__doc__
    mirrored.__name__ = method.__name__
    return mirrored


class Output(_Mirror):
    """One output file of a job; see `asman.Output`."""

    read_bytes = _call(outputs.Output.read_bytes)
    read_text = _call(outputs.Output.read_text)
    json = _call(outputs.Output.json)
    save = _call(outputs.Output.save)

    @property
    def name(self) -> str:
        """Path of the file below ``/outputs``."""
        return str(self._inner.name)

    @property
    def size(self) -> int:
        """Size of the file, in bytes."""
        return int(self._inner.size)

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return str(self._inner.sha256)


class JobResult:
    """The verdict and the outputs of a finished job; see `asman.JobResult`."""

    def __init__(self, inner: outputs.JobResult, loop: BackgroundLoop) -> None:
        self._inner = inner
        self._loop = loop
        self.job = inner.job
        self.verdict = inner.verdict
        self.exit_code = inner.exit_code
        self.ok = inner.ok
        self.outputs: Mapping[str, Output] = _Outputs(inner.outputs, loop)

    def save_outputs(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Saves all outputs in a folder, under their names; see `asman.JobResult.save_outputs`."""
        return self._loop.run(self._inner.save_outputs(folder))


class _Outputs(Mapping[str, Output]):
    def __init__(self, inner: outputs.Outputs, loop: BackgroundLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getitem__(self, name: str) -> Output:
        return Output(self._inner[name], self._loop)

    def __contains__(self, name: object) -> bool:
        return name in self._inner

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


class Job(_Mirror):
    """A handle of one job; see `asman.Job`."""

    wait = _call(job.Job.wait)
    explain = _call(job.Job.explain)
    summary = _call(job.Job.summary)
    cancel = _call(job.Job.cancel)
    delete = _call(job.Job.delete)
    logs: Callable[..., Iterator[Line]] = _each(job.Job.logs)
    changes: Callable[..., Iterator[m.JobState]] = _each(job.Job.changes)
    steps: Callable[..., Iterator[tuple[m.JobState, m.PhaseProgress | None]]] = _each(job.Job.steps)
    _result = _call(job.Job.result)

    def result(self, timeout: float | None = None, *, check: bool = True) -> JobResult:
        """Waits until the job is finished and returns its result; see `asman.Job.result`."""
        return JobResult(self._result(timeout, check=check), self._loop)

    @property
    def id(self) -> str:
        """The hash of the job's definition."""
        return str(self._inner.id)

    @property
    def url(self) -> str:
        """The job's address for a browser."""
        return str(self._inner.url)

    @property
    def answer(self) -> str:
        """Outcome of submitting the job: ``queued``, ``joined`` or ``cached``."""
        return str(self._inner.answer)

    @property
    def able(self) -> int:
        """Number of connected workers that could run the job when it was submitted."""
        return int(self._inner.able)

    @property
    def why(self) -> str:
        """The reason that no worker could run the job; otherwise empty."""
        return str(self._inner.why)

    @property
    def state(self) -> m.JobState:
        """The newest known state."""
        found: m.JobState = self._inner.state
        return found

    @property
    def progress(self) -> m.PhaseProgress | None:
        """Progress of the present phase; see `asman.Job.progress`."""
        progress: m.PhaseProgress | None = self._inner.progress
        return progress

    @property
    def verdict(self) -> m.Verdict | None:
        """The job's verdict, or None while it is not finished."""
        found: m.Verdict | None = self._inner.verdict
        return found


class Queue(_Mirror):
    """A connection to a queue, for use in ``with``; see `asman.Queue`."""

    workers = _call(client.Queue.workers)
    validate = _call(client.Queue.validate)
    configure = _call(client.Queue.configure)
    jobs: Callable[..., Iterator[m.JobState]] = _each(client.Queue.jobs)
    changes: Callable[..., Iterator[Change]] = _each(client.Queue.changes)
    _submit = _call(client.Queue.submit)
    _get = _call(client.Queue.get)

    def submit(self, definition: Definition | Mapping[str, Any] | None = None, **fields: Any) -> Job:
        """Runs a job, joins the run that exists, or finds its result; see `asman.Queue.submit`."""
        return Job(self._submit(definition, **fields), self._loop)

    def get(self, job: str, *, namespace: str = "_", timeout: float | None = None) -> Job:
        """Returns a handle of a job on this queue; see `asman.Queue.get`."""
        return Job(self._get(job, namespace=namespace, timeout=timeout), self._loop)

    def submit_many(self, items: Iterable[Item], *, window: int = WINDOW, **shared: Any) -> Iterator[Job]:
        """Submits thousands of jobs and yields each in order; see `asman.Queue.submit_many`.

        A thread of its own reads the items, so a generator of them may be slow and may use this queue.
        """
        many = self._inner.submit_many(from_thread(items), window=window, **shared)
        return (Job(job, self._loop) for job in self._loop.each(many))

    def run_many(
        self, items: Iterable[Item], *, window: int = WINDOW, ordered: bool = False, **shared: Any
    ) -> Iterator[Job]:
        """Runs thousands of jobs and yields each when it is finished; see `asman.Queue.run_many` and `submit_many`."""
        many = self._inner.run_many(from_thread(items), window=window, ordered=ordered, **shared)
        return (Job(job, self._loop) for job in self._loop.each(many))

    @property
    def address(self) -> Address:
        """The queue's address."""
        found: Address = self._inner.address
        return found

    @property
    def url(self) -> str:
        """The queue's URL."""
        return str(self._inner.url)

    def close(self) -> None:
        """Closes the connection and ends its thread; jobs keep running."""
        try:
            self._loop.run(self._inner.close())
        finally:
            self._loop.stop()

    def __enter__(self) -> Queue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str | None = None, hub: str | None = None, *, timeout: float = 30.0, reconnect: float | None = 300.0
) -> Queue:
    """Connects to a queue, with the arguments and errors of `asman.connect`."""
    loop = BackgroundLoop()
    try:
        inner = loop.run(_open(address, hub, timeout, reconnect))
    except BaseException:
        loop.stop()
        raise
    return Queue(inner, loop)


async def _open(address: str | None, hub: str | None, timeout: float, reconnect: float | None) -> client.Queue:
    queue = client.connect(address, hub, timeout=timeout, reconnect=reconnect)
    await queue.open()
    return queue
