"""Mirrors of the async client's objects, with their arguments, types and text.

Made from them by `python -m scripts.sync_client`; a test checks that it is current.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from asman.address import Address
from asman.bulk import WINDOW, Item, from_thread
from asman.changes import Change
from asman.deadline import Duration
from asman.definitions import Defined, JobFields
from asman.definitions import SubmitFields as SubmitFields
from asman.inputs import Data
from asman_shared import messages as m
from asman_shared.definition import DataRef, Definition
from asman_shared.states import AnyReuse, Phase
from asman_shared.transfer import Progress

from .jobs import Job
from .mirror import MirroredQueue


class Queue(MirroredQueue):
    """A connection to a queue, made by `connect` and open inside ``with``."""

    @property
    def address(self) -> Address:
        """The queue's address."""
        return self._inner.address

    @property
    def url(self) -> str:
        """The queue's URL; anyone who has it can do anything with the queue, or what the key in it grants."""
        return self._inner.url

    def keys(self) -> dict[str, str]:
        """Returns URLs of the queue that grant less than its own: ``read``, ``submit``, ``work`` and ``submit_read``.

        They are derived from the queue's name, without asking the hub, which knows them once the queue has been used
        by its name. Each stands wherever the queue's URL does.

        Raises:
            Forbidden: The queue was opened by a key, which makes no other keys.
        """
        return self._inner.keys()

    @property
    def rights(self) -> frozenset[str]:
        """The rights of the address: ``read``, ``submit``, ``work``, and ``own`` for the queue's name alone.

        Known once the connection was opened; empty for a hub that knows no keys.
        """
        return self._inner.rights

    @property
    def counts(self) -> m.Counts:
        """Numbers of jobs and workers at the time when the connection was last opened."""
        return self._inner.counts

    def submit(
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
        return Job(
            self._loop.run(
                self._inner.submit(
                    definition,
                    namespace=namespace,
                    priority=priority,
                    reuse=reuse,
                    timeout=timeout,
                    queue_timeout=queue_timeout,
                    phase_timeouts=phase_timeouts,
                    max_attempts=max_attempts,
                    follow=follow,
                    progress=progress,
                    callbacks=callbacks,
                    **fields,
                )
            ),
            self._loop,
        )

    def define(
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
        return self._loop.run(self._inner.define(definition, progress=progress, **fields))

    def submit_many(
        self, items: Iterable[Item], *, window: int = WINDOW, **shared: Unpack[SubmitFields]
    ) -> Iterator[Job]:
        """Submits thousands of jobs and yields each once the hub has stored it durably, in the order of the items.

        If the hub restarts or says that it is overloaded, this waits for it; no job is submitted twice because of
        that. Keep only the handles that you need: a dropped handle costs nothing.

        .. code-block:: python

            for job in queue.submit_many({"command": ["./simulate", str(seed)]} for seed in range(100_000)):
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
        return (
            Job(each, self._loop)
            for each in self._loop.each(self._inner.submit_many(from_thread(items), window=window, **shared))
        )

    def run_many(
        self, items: Iterable[Item], *, window: int = WINDOW, ordered: bool = False, **shared: Unpack[SubmitFields]
    ) -> Iterator[Job]:
        """Runs thousands of jobs and yields each when it is finished, with its ``job.verdict`` and `Job.result`.

        Args:
            items: As for `submit_many`.
            window: Maximum number of jobs that are unfinished, or finished and not yet yielded.
            ordered: Yield in the order of the items instead of the order of completion.
            **shared: As for `submit_many`.

        Raises:
            AsmanError: As for `submit_many`. A job that fails raises nothing.
        """
        return (
            Job(each, self._loop)
            for each in self._loop.each(
                self._inner.run_many(from_thread(items), window=window, ordered=ordered, **shared)
            )
        )

    def get(self, job: str, *, namespace: str = "_", timeout: Duration | None = None) -> Job:
        """Returns a handle of a job on this queue.

        Args:
            job: The job's id, the beginning of it that no other job of the queue has, or the job's URL.
            namespace: The slot that `Job.cancel` releases.
            timeout: In seconds.

        Raises:
            NotFound: There is no such job.
            BadRequest: The text does not name a job, or several jobs begin with it.
        """
        return Job(self._loop.run(self._inner.get(job, namespace=namespace, timeout=timeout)), self._loop)

    def put_blob(
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
        return self._loop.run(self._inner.put_blob(source, progress=progress, timeout=timeout))

    def get_blob(self, key: str, *, timeout: Duration | None = None) -> bytes:
        """Fetches the bytes of a blob and verifies them.

        Args:
            key: The blob's sha256.
            timeout: In seconds.

        Raises:
            NotFound: The blob is not stored.
            AsmanError: The blob can't be read.
        """
        return self._loop.run(self._inner.get_blob(key, timeout=timeout))

    def save_blob(
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
        return self._loop.run(self._inner.save_blob(key, path, progress=progress, timeout=timeout))

    def blob_size(self, key: str, *, timeout: Duration | None = None) -> int:
        """Returns the size of a blob, in bytes.

        Raises:
            NotFound: The blob is not stored.
        """
        return self._loop.run(self._inner.blob_size(key, timeout=timeout))

    def validate(
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
        return self._loop.run(self._inner.validate(definition, timeout=timeout, **fields))

    def jobs(self, states: str | Iterable[str] = ()) -> Iterator[m.JobState]:
        """Yields the queue's jobs, newest first.

        Args:
            states: Only jobs in one of these states (`State`), or finished for one of these reasons (`Reason`), as
                names in upper or lower case: ``"running"``, ``["Failed", "TimedOut"]``. All jobs when empty.

        Raises:
            BadRequest: There is no such state or reason; the error lists them.
        """
        return self._loop.each(self._inner.jobs(states))

    def workers(self, timeout: Duration | None = None) -> list[m.WorkerState]:
        """Returns the queue's workers.

        Args:
            timeout: In seconds.
        """
        return self._loop.run(self._inner.workers(timeout))

    def changes(self, recent: int | None = None) -> Iterator[Change]:
        """Yields every change of the queue, starting with the states of all workers and jobs.

        It uses a connection of its own. A slow reader gets the newest state of each job and worker and misses
        intermediate ones. After a break, the missed changes follow, or all states again.

        Args:
            recent: Number of the newest jobs to start with; None for all jobs, which may be a million.
        """
        return self._loop.each(self._inner.changes(recent))

    def configure(
        self, *, retention: Duration | None = None, paused: bool | None = None, timeout: Duration | None = None
    ) -> m.Configured:
        """Sets how long the queue keeps its finished jobs, or pauses and resumes it; or returns the present settings.

        Args:
            retention: In seconds, or as text (``30d``); 0 to use the hub's setting; None to change nothing.
            paused: True to give no jobs to workers from now on, False to give some again; None to change nothing. A
                paused queue takes submissions, and what runs goes on.
            timeout: In seconds.

        Returns:
            The present settings: ``retention`` in milliseconds, whether it is the queue's ``own``, and ``paused``, the
            time since which it is paused in epoch milliseconds, or 0.

        Raises:
            BadRequest: The time is too short, or longer than the hub allows.
        """
        return self._loop.run(self._inner.configure(retention=retention, paused=paused, timeout=timeout))

    def purge(
        self,
        states: str | Iterable[str] = "Finished",
        *,
        older_than: Duration | None = None,
        timeout: Duration | None = None,
    ) -> int:
        """Removes jobs with their results and logs; returns how many. Jobs that run, or that are kept, stay.

        Args:
            states: ``Queued``, ``Finished``, or reasons for which finished jobs ended (``Failed``); one or several.
            older_than: Only jobs that were queued or finished that long ago, in seconds or as text (``7d``).
            timeout: In seconds.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        return self._loop.run(self._inner.purge(states, older_than=older_than, timeout=timeout))

    def delete(self, *, timeout: Duration | None = None) -> m.DeletedQueue:
        """Deletes the queue with its jobs, results, logs, settings and keys; what runs is stopped.

        This connection and all others to the queue end. A later use of the same name begins another queue.

        Args:
            timeout: In seconds.

        Returns:
            The number of ``jobs`` that are gone, and of ``workers`` that were connected.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        return self._loop.run(self._inner.delete(timeout=timeout))

    def drain(self, worker: str, *, undo: bool = False, timeout: Duration | None = None) -> list[m.WorkerState]:
        """Drains a worker: it gets no more jobs, and leaves when it has none; returns the workers that are meant.

        Args:
            worker: Its id or its name, as `workers` returns them.
            undo: Let it take jobs again, if it is still here.
            timeout: In seconds.

        Raises:
            NotFound: The queue has no such worker.
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        return self._loop.run(self._inner.drain(worker, undo=undo, timeout=timeout))
