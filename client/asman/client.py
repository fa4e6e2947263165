"""A queue, for Python programs: ``async with asman.connect(address) as queue``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Unpack, cast

import msgspec

from asman_shared import messages as m
from asman_shared.definition import DataRef, Definition
from asman_shared.errors import BadRequest
from asman_shared.identity import job_id
from asman_shared.states import Phase, State
from asman_shared.transfer import Progress

from .address import Address, parse_address
from .blobs import Blobs, check_key
from .bulk import WINDOW, Item, Items, patiently, stream
from .callbacks import read_callbacks
from .changes import Change, pages, watch
from .connection import Connection
from .deadline import deadline, milliseconds
from .definitions import JobFields, make
from .inputs import blob_of
from .job import Job
from .tracking import Tracker


class Queue:
    """A connection to a queue. Made by `connect`; open inside ``async with``.

    Attributes:
        address: Where it is.
    """

    def __init__(self, address: Address, *, timeout: float, reconnect: float | None) -> None:
        self.address = address
        self._timeout = timeout
        self._reconnect = reconnect
        self._connection = Connection(address, timeout=timeout, reconnect=reconnect)
        self._blobs = Blobs(self._connection)

    def __repr__(self) -> str:
        return f"Queue(on {self.address.host})"

    @property
    def url(self) -> str:
        """The queue's URL; who has it can do anything with the queue."""
        return self.address.url

    @property
    def counts(self) -> m.Counts:
        """How many jobs and workers there were when the connection was last opened."""
        welcome = self._connection.welcome
        return m.Counts() if welcome is None else welcome.counts

    async def open(self) -> None:
        """Connects; ``async with`` does it.

        Raises:
            ConnectionFailed: The hub can't be reached; the sentence says why.
            ProtocolError: What answers there is not a hub of this version.
        """
        await self._connection.open()

    async def close(self) -> None:
        """Ends the connection; ``async with`` does it. Jobs go on."""
        await self._connection.close()
        await self._blobs.close()

    async def __aenter__(self) -> Queue:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --------------------------------------------------------------------------------------------------------- jobs

    async def submit(
        self,
        definition: Definition | Mapping[str, Any] | None = None,
        *,
        namespace: str = "_",
        priority: int = 0,
        reuse: Literal["cached", "never"] = "cached",
        timeout: str | float | None = None,
        queue_timeout: str | float | None = None,
        phase_timeouts: Mapping[Phase | str, str | float] | None = None,
        max_attempts: int | None = None,
        follow: bool = True,
        progress: Progress | None = None,
        callbacks: m.Callbacks | Mapping[str, Any] | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Runs a job, joins the run that exists, or finds its result; ``job.answer`` says which.

        Submitting the same definition twice runs it once. A connection that breaks on the way is made again and the
        submit repeated, without doubling the job.

        Args:
            definition: A whole definition, as an object or in its JSON form; ``fields`` replace parts of it.
            namespace: A slot that holds one job at a time: a newer job in it releases the older. ``_`` is exempt.
            priority: From -100 to 100; higher runs first.
            reuse: ``never`` forces a new run although there is a result.
            timeout: How long it may run, in seconds or as text (``20m``).
            queue_timeout: How long it may wait to run, likewise.
            phase_timeouts: How long its other phases may take, likewise: ``{"pulling": "10m"}``.
            max_attempts: Lost workers after which it is given up.
            follow: Whether its changes are pushed from now on; without, they are asked for when needed.
            progress: Is told how many bytes of inputs were uploaded, piece by piece; a negative number takes back what
                has to be sent again.
            callbacks: Webhooks for the hub to call: ``{"queued": {"url": …}, "finished": {"url": …, "payload": …}}``.
            **fields: See `JobFields`: ``image``, ``command``, ``env``, ``inputs``, ``files``, ``cpus``, ….

        Returns:
            The job, once the hub has it durably.

        Raises:
            BadDefinition: Something in it is wrong; the error's ``field`` names what.
            AsmanError: The hub refused it or can't be reached.
        """
        made = await self.define(definition, progress=progress, **fields)
        submit = m.Submit(
            ref=0,
            definition=made,
            namespace=namespace,
            priority=priority,
            reuse=reuse,
            time_limit=milliseconds(timeout, field="timeout"),
            queue_limit=milliseconds(queue_timeout, field="queue_timeout"),
            phase_limits=_phase_limits(phase_timeouts),
            follow=follow,
            callbacks=read_callbacks(callbacks),
        )
        if max_attempts is not None:
            submit.max_attempts = max_attempts
        tracker = Tracker()
        accepted = await self._connection.request(submit, m.Accepted, tracker=tracker)
        return self._job(tracker, accepted.job, made, namespace=namespace, accepted=accepted)

    async def define(
        self,
        definition: Definition | Mapping[str, Any] | None = None,
        *,
        progress: Progress | None = None,
        **fields: Unpack[JobFields],
    ) -> Definition:
        """The whole definition that `submit` would send, with everything that it names stored on the hub.

        Many jobs that have much in common are quicker when that is defined once and given to each.

        Args:
            definition: As for `submit`.
            progress: As for `submit`.
            **fields: As for `submit`.

        Raises:
            BadDefinition: Something in it is wrong; the error's ``field`` names what.
            AsmanError: What it names can't be stored.
        """
        slow = any(fields.get(name) for name in ("inputs", "files", "config_files", "build"))
        made, blobs = await asyncio.to_thread(make, definition, fields) if slow else make(definition, fields)
        if made.image is None and made.build is None and self._connection.welcome is not None:
            made.image = self._connection.welcome.default_image or None
        if blobs:
            # A definition that is too large is told before anything is sent.
            await asyncio.to_thread(job_id, made)
            await self._blobs.store(blobs.values(), progress)
        return made

    def _job(
        self,
        tracker: Tracker,
        state: m.JobState,
        definition: Definition,
        *,
        namespace: str = "_",
        accepted: m.Accepted | None = None,
    ) -> Job:
        return Job(self._connection, self._blobs, tracker, state, definition, namespace=namespace, accepted=accepted)

    async def submit_many(
        self, items: Items, *, window: int = WINDOW, **shared: Unpack[SubmitFields]
    ) -> AsyncIterator[Job]:
        """Submits thousands of jobs, and gives each once the hub has it durably, in the order of the items.

        A hub that is killed on the way, or says that it is overloaded, is waited for; no job is submitted twice for
        it. Keep only those handles that are needed: one that is dropped costs nothing.

        .. code-block:: python

            async for job in queue.submit_many({"command": ["./simulate", str(seed)]} for seed in range(100_000)):
                ...

        Args:
            items: Each a `Definition`, or a mapping with what `submit` would be told by keyword; read as there is room.
            window: How many may be without an answer at a time.
            **shared: What `submit` is told for all of them; an item's own word goes before.

        Raises:
            AsmanError: What the first item that is refused meets; those before it were given. The error's note says
                which it was.
        """
        async with aclosing(stream(self._submitter(shared), items, window=window, ordered=True)) as jobs:
            async for job in jobs:
                yield job

    async def run_many(
        self, items: Items, *, window: int = WINDOW, ordered: bool = False, **shared: Unpack[SubmitFields]
    ) -> AsyncIterator[Job]:
        """Runs thousands of jobs, and gives each when it is finished; ``job.verdict`` says how, `Job.result` the rest.

        Args:
            items: As for `submit_many`.
            window: How many may be unfinished, or finished and not yet given, at a time.
            ordered: In the order of the items, instead of as they finish.
            **shared: As for `submit_many`.

        Raises:
            AsmanError: As `submit_many`. A job that fails raises nothing.
        """
        submit = self._submitter({**shared, "follow": True})

        async def run(item: Item) -> Job:
            job = await submit(item)
            await job.wait()
            return job

        async with aclosing(stream(run, items, window=window, ordered=ordered)) as jobs:
            async for job in jobs:
                yield job

    def _submitter(self, shared: SubmitFields) -> Callable[[Item], Coroutine[Any, Any, Job]]:
        async def submit(item: Item) -> Job:
            if isinstance(item, Definition):
                item = {"definition": item}
            unknown = item.keys() - SUBMIT_FIELDS
            if unknown:
                raise BadRequest(f"'{min(map(str, unknown))}' is not something that a job can be told by keyword")
            own = cast(SubmitFields, {**shared, **item})
            return await patiently(partial(self.submit, **own), self._reconnect)

        return submit

    async def get(self, job: str, *, namespace: str = "_", timeout: float | None = None) -> Job:
        """A handle of a job that is on this queue.

        Args:
            job: Its id.
            namespace: The slot that `Job.cancel` releases.
            timeout: Seconds.

        Raises:
            NotFound: There is no such job.
        """
        tracker = Tracker()
        async with deadline(timeout, f"asking for job {job[:12]}"):
            answer = await self._connection.request(m.Get(ref=0, job=job), m.Job, tracker=tracker)
        return self._job(tracker, answer.job, answer.definition, namespace=namespace)

    async def put_blob(
        self, source: bytes | str | os.PathLike[str], *, progress: Progress | None = None, timeout: float | None = None
    ) -> DataRef:
        """Stores bytes or a file under their sha256, unless the hub has them; for inputs that many jobs share.

        Args:
            source: The bytes, or the path of a file.
            progress: Is told how many bytes were sent, piece by piece; a negative number takes back what has to be
                sent again.
            timeout: Seconds.

        Returns:
            A ref to use as an input. What no job names is forgotten after a while.

        Raises:
            BadDefinition: The file can't be read.
            AsmanError: It can't be stored.
        """
        blob = await asyncio.to_thread(blob_of, source)
        async with deadline(timeout, f"storing {blob.label}"):
            await self._blobs.store([blob], progress)
        return DataRef(blob.sha256, "key")

    async def get_blob(self, key: str, *, timeout: float | None = None) -> bytes:
        """The bytes of a blob, verified.

        Args:
            key: Its sha256.
            timeout: Seconds.

        Raises:
            NotFound: It is not stored.
            AsmanError: It can't be read.
        """
        async with deadline(timeout, f"reading blob {key[:12]}"):
            return await self._blobs.read(self._blobs.wanted(check_key(key)))

    async def save_blob(
        self,
        key: str,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Path:
        """Writes a blob into a file, verified; never leaves half a file.

        Args:
            key: Its sha256.
            path: The file; what is there is replaced.
            progress: Is told how many bytes came, piece by piece; a negative number takes back what has to come again.
            timeout: Seconds.

        Raises:
            NotFound: It is not stored.
            OSError: The file can't be written.
            AsmanError: It can't be read.
        """
        to = Path(path)
        async with deadline(timeout, f"reading blob {key[:12]}"):
            await self._blobs.save(self._blobs.wanted(check_key(key)), to, progress, executable=False)
        return to

    async def blob_size(self, key: str, *, timeout: float | None = None) -> int:
        """The bytes that a blob has.

        Raises:
            NotFound: It is not stored.
        """
        async with deadline(timeout, f"asking for blob {key[:12]}"):
            return (await self._blobs.links([check_key(key)]))[key].size

    async def validate(
        self,
        definition: Definition | Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        **fields: Unpack[JobFields],
    ) -> m.Validated:
        """Says what submitting a job would meet, without doing it and without uploading anything.

        A mapping alone is sent as it is, with all its faults; ``fields`` are made into a definition here first, so that
        large inputs count as blobs that the hub may not have yet.

        Args:
            definition: As for `submit`.
            timeout: Seconds.
            **fields: As for `submit`.

        Raises:
            BadDefinition: ``fields`` can't be made into a definition.
            AsmanError: The hub can't be reached.
        """
        if isinstance(definition, Mapping) and not fields:
            value: dict[str, Any] = dict(definition)
        else:
            made, _ = await asyncio.to_thread(make, definition, fields)
            value = msgspec.to_builtins(made)
        async with deadline(timeout, "validating a job"):
            return await self._connection.request(m.Validate(ref=0, definition=value), m.Validated)

    async def configure(self, *, retention: str | float | None = None, timeout: float | None = None) -> m.Configured:
        """Says how long the queue keeps its finished jobs, or only asks.

        Args:
            retention: Seconds, or text such as ``30d``; 0 for as long as the hub does; None to ask.
            timeout: Seconds.

        Returns:
            What holds now: ``retention`` in milliseconds, and whether it is the queue's ``own`` word.

        Raises:
            BadRequest: It is too short, or longer than the hub allows.
        """
        wanted = None if retention is None else 0 if retention == 0 else milliseconds(retention, field="retention")
        async with deadline(timeout, "configuring the queue"):
            return await self._connection.request(m.Configure(ref=0, retention=wanted), m.Configured)

    async def jobs(self, states: Iterable[State] = ()) -> AsyncIterator[m.JobState]:
        """The queue's jobs, newest first.

        Args:
            states: Only those in one of these; all when empty.
        """
        async for page in pages(self._connection, list(states)):
            for job in page.jobs:
                yield job

    async def workers(self, timeout: float | None = None) -> list[m.WorkerState]:
        """The queue's workers.

        Args:
            timeout: Seconds.
        """
        async with deadline(timeout, "asking for the workers"):
            return (await self._connection.request(m.Workers(ref=0), m.WorkerPage)).workers

    def changes(self, recent: int | None = None) -> AsyncIterator[Change]:
        """Every change of the queue, beginning with all workers and jobs as they are.

        Runs on a connection of its own. A reader that is slow gets the newest state of each job and worker and misses
        steps on the way; after a break everything missed is given, or all states again.

        Args:
            recent: Begin with so many of the newest jobs only: a queue may hold a million.
        """
        return watch(self.address, timeout=self._timeout, reconnect=self._reconnect, recent=recent)


class SubmitFields(JobFields, total=False):
    """What `Queue.submit` can be told by keyword."""

    definition: Definition | Mapping[str, Any] | None
    namespace: str
    priority: int
    reuse: Literal["cached", "never"]
    timeout: str | float | None
    queue_timeout: str | float | None
    phase_timeouts: Mapping[Phase | str, str | float] | None
    max_attempts: int | None
    follow: bool
    callbacks: m.Callbacks | Mapping[str, Any] | None


SUBMIT_FIELDS: Final = SubmitFields.__required_keys__ | SubmitFields.__optional_keys__


def _phase_limits(timeouts: Mapping[Phase | str, str | float] | None) -> dict[Phase, int]:
    limits = {}
    for name, timeout in (timeouts or {}).items():
        if name not in tuple(Phase):
            raise BadRequest(f"'{name}' is no phase; there are {', '.join(Phase)}", field="phase_timeouts")
        limits[Phase(name)] = milliseconds(timeout, field=f"phase_timeouts.{name}")
    return limits


def connect(
    address: str | None = None, hub: str | None = None, *, timeout: float = 30.0, reconnect: float | None = 300.0
) -> Queue:
    """A queue to be opened with ``async with``.

    Args:
        address: The queue's URL, ``https://hub.example/q/<queue>``, or its name; without it the environment variable
            ``ASMAN_QUEUE``.
        hub: The hub, for a name; without it the environment variable ``ASMAN_HUB``.
        timeout: Seconds for connecting, and for each answer of a hub that is there.
        reconnect: Seconds that the hub may be away before what waits fails; None for as long as it takes.

    Raises:
        BadRequest: The address can't be read.
    """
    return Queue(parse_address(address, hub), timeout=timeout, reconnect=reconnect)
