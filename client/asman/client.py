"""Queues for Python programs: ``async with asman.connect(address) as queue``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Unpack, cast

import msgspec

from asman_shared import messages as m
from asman_shared.definition import DataRef, Definition
from asman_shared.errors import BadRequest, BadUnit
from asman_shared.identity import job_id
from asman_shared.keys.derived import key_addresses
from asman_shared.limits import PRIORITY
from asman_shared.states import AnyReuse, Phase
from asman_shared.transfer import Progress

from .address import Address, parse_argument
from .arguments import check_key, job_named, known, limit, read_callbacks, read_states, seconds, shown, text, whole
from .arguments import path as checked_path
from .blobs import Blobs
from .bulk import WINDOW, Item, Items, fields_of, retry_while_unavailable, stream
from .changes import Change, id_beginning_with, pages, watch
from .connection import Connection
from .deadline import Duration, deadline, milliseconds, phase_limits
from .definitions import JOB_FIELDS, REUSES, SUBMIT_ARGUMENTS, SUBMIT_FIELDS, Defined, JobFields, make
from .definitions import SubmitFields as SubmitFields
from .display import html
from .inputs import Data, blob_of
from .job import Job
from .owning.owned_queue import OwnedQueue
from .tracking import Tracker


class Queue(OwnedQueue):
    """A connection to a queue, made by `connect` and open inside ``async with``.

    Attributes:
        address: The queue's address.
    """

    def __init__(self, address: Address, *, timeout: float, reconnect: float | None) -> None:
        self.address: Address = address
        self._timeout = timeout
        self._reconnect = reconnect
        self._connection = Connection(address, timeout=timeout, reconnect=reconnect)
        self._blobs = Blobs(self._connection)

    def __repr__(self) -> str:
        return f"Queue(on {self.address.host})"

    def _repr_html_(self) -> str:
        # The queue's name grants everything on it, and notebooks are passed on: it is not shown.
        return html.queue(self.address.host, self._connection.welcome)

    @property
    def url(self) -> str:
        """The queue's URL; anyone who has it can do anything with the queue, or what the key in it grants."""
        return self.address.url

    def keys(self) -> dict[str, str]:
        """Returns URLs of the queue that grant less than its own: ``read``, ``submit``, ``work`` and ``submit_read``.

        They are derived from the queue's name, without asking the hub, which knows them once the queue has been used
        by its name. Each stands wherever the queue's URL does.

        Raises:
            Forbidden: The queue was opened by a key, which makes no other keys.
        """
        return {kind.replace("+", "_"): address.url for kind, address in key_addresses(self.address).items()}

    @property
    def rights(self) -> frozenset[str]:
        """The rights of the address: ``read``, ``submit``, ``work``, and ``own`` for the queue's name alone.

        Known once the connection was opened; empty for a hub that knows no keys.
        """
        welcome = self._connection.welcome
        return frozenset() if welcome is None else frozenset(welcome.rights)

    @property
    def counts(self) -> m.Counts:
        """Numbers of jobs and workers at the time when the connection was last opened."""
        welcome = self._connection.welcome
        return m.Counts() if welcome is None else welcome.counts

    async def open(self) -> None:
        """Connects to the hub; ``async with`` does this.

        Raises:
            ConnectionFailed: The hub can't be reached; the message says why.
            NotFound: The hub knows no queue with the key in the address.
            Forbidden: The key in the address grants neither to read nor to submit.
            ProtocolError: The server at this address is not a hub of this version.
        """
        await self._connection.open()

    async def close(self) -> None:
        """Closes the connection; ``async with`` does this. Jobs keep running."""
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
        definition: Definition | Mapping[str, Any] | Defined | None = None,
        *,
        namespace: str = "_",
        priority: int = 0,
        reuse: AnyReuse = "success",
        timeout: Duration | None = None,
        queue_timeout: Duration | None = None,
        phase_timeouts: Mapping[Phase | str, Duration] | None = None,
        max_attempts: int | None = None,
        follow: bool = True,
        progress: Progress | None = None,
        callbacks: m.Callbacks | Mapping[str, Any] | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Runs a job, joins the run that exists, or finds its result; ``job.answer`` says which.

        Submitting the same definition twice runs it once. If the connection breaks, it is opened again and the request
        is repeated, without doubling the job.

        Args:
            definition: A complete definition: an object, its JSON form, or a job that has it; ``fields`` replace parts.
            namespace: A slot that holds one job at a time: a newer job in it releases the older. ``_`` is exempt.
            priority: From -100 to 100; higher runs first.
            reuse: The results that answer instead of a new run: ``success``; ``any``, also that of a job that failed;
                or ``never``.
            timeout: Maximum run time, in seconds or as text (``20m``).
            queue_timeout: Maximum time to wait for a worker, in seconds or as text.
            phase_timeouts: Maximum times of other phases, in seconds or as text: ``{"pulling": "10m"}``.
            max_attempts: Number of lost workers after which the job fails.
            follow: Whether the hub pushes the job's changes from now on; otherwise they are requested when needed.
            progress: Called with the number of input bytes sent since the last call; negative when some have to be
                sent again.
            callbacks: Webhooks for the hub to call: ``{"queued": {"url": …}, "finished": {"url": …, "payload": …}}``.
            **fields: See `JobFields`: ``image``, ``command``, ``env``, ``inputs``, ``files``, ``cpus``, ….

        Returns:
            The job, once the hub has stored it durably.

        Raises:
            BadDefinition: The definition is wrong; the error's ``field`` names the part.
            AsmanError: The hub refused the job or can't be reached.
        """
        known(fields.keys(), JOB_FIELDS, SUBMIT_ARGUMENTS)
        if reuse not in REUSES:
            raise BadRequest(f"reuse is {shown(reuse)}; pass 'success', 'any' or 'never'", field="reuse")
        submit = m.Submit(
            ref=0,
            definition=Definition(),
            namespace=text("namespace", namespace),
            priority=whole("priority", priority, least=-PRIORITY, most=PRIORITY),
            reuse=reuse,
            time_limit=milliseconds(timeout, field="timeout"),
            queue_limit=milliseconds(queue_timeout, field="queue_timeout"),
            phase_limits=phase_limits(phase_timeouts),
            follow=bool(follow),
            callbacks=read_callbacks(callbacks),
        )
        if max_attempts is not None:
            submit.max_attempts = whole("max_attempts", max_attempts, least=1)
        submit.definition = made = await self.define(definition, progress=progress, **fields)
        tracker = Tracker()
        accepted = await self._connection.request(submit, m.Accepted, tracker=tracker)
        return self._job(tracker, accepted.job, made, namespace=namespace, accepted=accepted)

    async def define(
        self,
        definition: Definition | Mapping[str, Any] | Defined | None = None,
        *,
        progress: Progress | None = None,
        **fields: Unpack[JobFields],
    ) -> Definition:
        """Builds the complete definition that `submit` would send, and stores its files on the hub.

        Many jobs with much in common are submitted faster when the common part is defined once and passed to each.

        Args:
            definition: As for `submit`.
            progress: As for `submit`.
            **fields: As for `submit`.

        Raises:
            BadDefinition: The definition is wrong; the error's ``field`` names the part.
            AsmanError: A file can't be stored.
        """
        slow = any(fields.get(name) for name in ("inputs", "files", "config_files", "build"))
        made, blobs = await asyncio.to_thread(make, definition, fields) if slow else make(definition, fields)
        if made.image is None and made.build is None and self._connection.welcome is not None:
            made.image = self._connection.welcome.default_image or None
        if blobs:
            # Computing the id refuses a definition that is too large, before anything is sent.
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
        """Submits thousands of jobs and yields each once the hub has stored it durably, in the order of the items.

        If the hub restarts or says that it is overloaded, this waits for it; no job is submitted twice because of
        that. Keep only the handles that you need: a dropped handle costs nothing.

        .. code-block:: python

            async for job in queue.submit_many({"command": ["./simulate", str(seed)]} for seed in range(100_000)):
                ...

        Args:
            items: Each is a mapping of `submit` arguments, a `Definition`, or a job whose definition is taken; they are
                read as the window allows.
            window: Maximum number of unanswered submissions.
            **shared: Arguments of `submit` for all items; those of an item take precedence.

        Raises:
            AsmanError: The error of the first item that is refused; its note names the item. All jobs before it were
                yielded.
        """
        submit = self._submitter(shared, {"window"})
        async with aclosing(stream(submit, items, window=window, ordered=True)) as jobs:
            async for job in jobs:
                yield job

    async def run_many(
        self, items: Items, *, window: int = WINDOW, ordered: bool = False, **shared: Unpack[SubmitFields]
    ) -> AsyncIterator[Job]:
        """Runs thousands of jobs and yields each when it is finished, with its ``job.verdict`` and `Job.result`.

        Args:
            items: As for `submit_many`.
            window: Maximum number of jobs that are unfinished, or finished and not yet yielded.
            ordered: Yield in the order of the items instead of the order of completion.
            **shared: As for `submit_many`.

        Raises:
            AsmanError: As for `submit_many`. A job that fails raises nothing.
        """
        submit = self._submitter({**shared, "follow": True}, {"window", "ordered"})

        async def run(item: Item) -> Job:
            job = await submit(item)
            await job.wait()
            return job

        async with aclosing(stream(run, items, window=window, ordered=ordered)) as jobs:
            async for job in jobs:
                yield job

    def _submitter(self, shared: SubmitFields, others: set[str]) -> Callable[[Item], Coroutine[Any, Any, Job]]:
        known(shared.keys(), SUBMIT_FIELDS, others)

        async def submit(item: Item) -> Job:
            fields = fields_of(item)
            known(fields.keys(), SUBMIT_FIELDS)
            own = cast(SubmitFields, {**shared, **fields})
            return await retry_while_unavailable(partial(self.submit, **own), self._reconnect)

        return submit

    async def get(self, job: str, *, namespace: str = "_", timeout: Duration | None = None) -> Job:
        """Returns a handle of a job on this queue.

        Args:
            job: The job's id, the beginning of it that no other job of the queue has, or the job's URL.
            namespace: The slot that `Job.cancel` releases.
            timeout: In seconds.

        Raises:
            NotFound: There is no such job.
            BadRequest: The text does not name a job, or several jobs begin with it.
        """
        named, tracker = job_named(job), Tracker()
        text("namespace", namespace)
        async with deadline(timeout, f"asking for job {named[:12]}"):
            found = named if len(named) == 64 else await id_beginning_with(named, self._connection)
            answer = await self._connection.request(m.Get(ref=0, job=found), m.Job, tracker=tracker)
        return self._job(tracker, answer.job, answer.definition, namespace=namespace)

    async def put_blob(
        self,
        source: Data | str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: Duration | None = None,
    ) -> DataRef:
        """Stores bytes or a file under their sha256, unless the hub has them; for inputs that many jobs share.

        Args:
            source: The bytes, or the path of a file.
            progress: Called with the number of bytes sent since the last call; negative when some have to be sent
                again.
            timeout: In seconds.

        Returns:
            A ref to use as an input. A blob that no job uses is deleted after a while.

        Raises:
            BadDefinition: The file can't be read.
            AsmanError: The blob can't be stored.
        """
        blob = await asyncio.to_thread(blob_of, source)
        async with deadline(timeout, f"storing {blob.label}"):
            await self._blobs.store([blob], progress)
        return DataRef(blob.sha256, "key")

    async def get_blob(self, key: str, *, timeout: Duration | None = None) -> bytes:
        """Fetches the bytes of a blob and verifies them.

        Args:
            key: The blob's sha256.
            timeout: In seconds.

        Raises:
            NotFound: The blob is not stored.
            AsmanError: The blob can't be read.
        """
        async with deadline(timeout, f"reading blob {check_key(key)[:12]}"):
            return await self._blobs.read(self._blobs.wanted(key))

    async def save_blob(
        self,
        key: str,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: Duration | None = None,
    ) -> Path:
        """Writes a blob to a file and verifies it; never leaves a partial file.

        Args:
            key: The blob's sha256.
            path: The file; an existing file is replaced.
            progress: Called with the number of bytes received since the last call; negative when some have to be
                received again.
            timeout: In seconds.

        Raises:
            NotFound: The blob is not stored.
            OSError: The file can't be written.
            AsmanError: The blob can't be read.
        """
        to = checked_path("path", path)
        async with deadline(timeout, f"reading blob {check_key(key)[:12]}"):
            await self._blobs.save(self._blobs.wanted(key), to, progress, executable=False)
        return to

    async def blob_size(self, key: str, *, timeout: Duration | None = None) -> int:
        """Returns the size of a blob, in bytes.

        Raises:
            NotFound: The blob is not stored.
        """
        async with deadline(timeout, f"asking for blob {check_key(key)[:12]}"):
            return (await self._blobs.links([key]))[key].size

    async def validate(
        self,
        definition: Definition | Mapping[str, Any] | Defined | None = None,
        *,
        timeout: Duration | None = None,
        **fields: Unpack[JobFields],
    ) -> m.Validated:
        """Checks a job as submitting it would, without submitting it or uploading anything.

        A mapping without ``fields`` is sent unchanged, with all its faults. Otherwise a definition is built here first,
        so that large inputs count as blobs that the hub may not have yet.

        Args:
            definition: As for `submit`.
            timeout: In seconds.
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

    async def jobs(self, states: str | Iterable[str] = ()) -> AsyncIterator[m.JobState]:
        """Yields the queue's jobs, newest first.

        Args:
            states: Only jobs in one of these states (`State`), or finished for one of these reasons (`Reason`), as
                names in upper or lower case: ``"running"``, ``["Failed", "TimedOut"]``. All jobs when empty.

        Raises:
            BadRequest: There is no such state or reason; the error lists them.
        """
        wanted, reasons = read_states(states)
        async for page in pages(self._connection, wanted):
            for job in page.jobs:
                if not reasons or job.verdict is None or job.verdict.reason in reasons:
                    yield job

    async def workers(self, timeout: Duration | None = None) -> list[m.WorkerState]:
        """Returns the queue's workers.

        Args:
            timeout: In seconds.
        """
        async with deadline(timeout, "asking for the workers"):
            return (await self._connection.request(m.Workers(ref=0), m.WorkerPage)).workers

    def changes(self, recent: int | None = None) -> AsyncIterator[Change]:
        """Yields every change of the queue, starting with the states of all workers and jobs.

        It uses a connection of its own. A slow reader gets the newest state of each job and worker and misses
        intermediate ones. After a break, the missed changes follow, or all states again.

        Args:
            recent: Number of the newest jobs to start with; None for all jobs, which may be a million.
        """
        return watch(self.address, timeout=self._timeout, reconnect=self._reconnect, recent=recent)


def connect(
    address: str | None = None,
    hub: str | None = None,
    *,
    timeout: float = 30.0,
    reconnect: float | None = 300.0,
    **unknown: Never,
) -> Queue:
    """Returns a queue to open with ``async with``.

    Args:
        address: The queue's URL, ``https://hub.example/q/<queue>``, its name, or ``@name`` for the name that ``asman
            queue add`` gave it; the default is the environment variable ``ASMAN_QUEUE``.
        hub: The hub, if ``address`` is a name; the default is the environment variable ``ASMAN_HUB``.
        timeout: Time limit for connecting and for each answer of a connected hub, in seconds.
        reconnect: Time that the hub may be away before pending calls fail, in seconds; None for no limit.
        **unknown: Any other argument is an error, which names the nearest one.

    Raises:
        BadRequest: The address can't be parsed, or an argument is unknown or wrong.
        NotFound: This user has no queue with that ``@name``.
    """
    known(unknown.keys(), set(), ("address", "hub", "timeout", "reconnect"))
    if (patience := seconds("timeout", timeout)) <= 0:
        raise BadUnit(f"timeout must be above zero, not {shown(timeout)}", field="timeout")
    return Queue(parse_argument(address, hub), timeout=patience, reconnect=limit("reconnect", reconnect))
