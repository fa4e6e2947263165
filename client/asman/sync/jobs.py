"""Mirrors of the async client's objects, with their arguments, types and text.

Made from them by `python -m scripts.sync_client`; a test checks that it is current.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from asman import job, outputs
from asman.address import Address
from asman.deadline import Duration
from asman.logs import Line
from asman_shared import messages as m
from asman_shared.definition import Definition
from asman_shared.states import Phase
from asman_shared.transfer import Progress

from .mirror import Mirror, MirroredMapping


class Output(Mirror[outputs.Output]):
    """One output file of a job; its bytes stay on the hub until they are read."""

    @property
    def name(self) -> str:
        """Path of the file below ``/outputs``."""
        return self._inner.name

    @property
    def size(self) -> int:
        """In bytes; 0 also if `size_known` is false."""
        return self._inner.size

    @property
    def size_known(self) -> bool:
        """False for a file that a worker named without telling its size."""
        return self._inner.size_known

    @property
    def sha256(self) -> str:
        """Hash of the bytes; empty if the worker did not tell it. The bytes are then not verified."""
        return self._inner.sha256

    @property
    def media_type(self) -> str:
        """Guessed from the name."""
        return self._inner.media_type

    def read_bytes(self) -> bytes:
        """Reads the file's bytes and verifies them by their sha256, if it is known.

        Raises:
            NotFound: The bytes are no longer stored.
            Unauthentic: The bytes do not match their sha256.
            ConnectionFailed: The bytes can't be read now.
        """
        return self._loop.run(self._inner.read_bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        """Reads the file as text.

        Raises:
            UnicodeDecodeError: The file is not text in this encoding.
            AsmanError: As for `read_bytes`.
        """
        return self._loop.run(self._inner.read_text(encoding))

    def json(self) -> Any:
        """Reads the file as a JSON value.

        Raises:
            ValueError: The file does not hold JSON.
            AsmanError: As for `read_bytes`.
        """
        return self._loop.run(self._inner.json())

    def read_json(self) -> Any:
        """Reads the file as a JSON value; another name of `json`."""
        return self._loop.run(self._inner.read_json())

    def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Saves the output as a file, or in a folder under the last part of its name; never leaves a partial file.

        Args:
            path: The file or an existing folder; missing parent folders are created, and so is a folder that ends in
                ``/``.
            progress: Called with the number of bytes received since the last call; negative when some have to be
                received again.

        Returns:
            The path of the saved file.

        Raises:
            OSError: The file can't be written.
            BadRequest: The path is empty, or no path.
            AsmanError: As for `read_bytes`.
        """
        return self._loop.run(self._inner.save(path, progress))

    @property
    def executable(self) -> bool:
        """True if the file is a program; no other permission bit of the job's file is kept."""
        return self._inner.executable

    @property
    def key(self) -> str | None:
        """Key of the file in the hub's store, or None if it is not stored there."""
        return self._inner.key


Outputs = MirroredMapping[Output]
"""A job's outputs by name."""


class JobResult(Mirror[outputs.JobResult]):
    """The verdict and the outputs of a finished job."""

    @property
    def job(self) -> str:
        """The job's id."""
        return self._inner.job

    @property
    def verdict(self) -> m.Verdict:
        """The job's verdict."""
        return self._inner.verdict

    @property
    def exit_code(self) -> int | None:
        """Exit code of the container, or None if it did not run to its end."""
        return self._inner.exit_code

    @property
    def outputs(self) -> Outputs:
        """The output files by name."""
        return Outputs(self._inner.outputs, lambda each: Output(each, self._loop))

    @property
    def skipped(self) -> dict[str, str]:
        """Files in ``/outputs`` that were not kept, with the reason for each."""
        return self._inner.skipped

    @property
    def phases(self) -> dict[Phase, int]:
        """Duration of each phase, in milliseconds."""
        return self._inner.phases

    @property
    def image_digest(self) -> str:
        """Digest of the image that ran."""
        return self._inner.image_digest

    @property
    def worker(self) -> str:
        """The worker that ran the job."""
        return self._inner.worker

    @property
    def ok(self) -> bool:
        """True if the container ran and exited with 0."""
        return self._inner.ok

    def save_outputs(self, folder: str | os.PathLike[str], progress: Progress | None = None) -> list[Path]:
        """Saves all outputs in a folder, under their names.

        The job chose the names: a name that would leave the folder is refused before anything is written. An output
        that can't be read does not keep the others from being saved.

        Raises:
            BadDefinition: The name of an output would leave the folder.
            ProtocolError: An output has the name of another one's folder.
            OSError: A file can't be written.
            BadRequest: The folder is empty, or no path.
            AsmanError: As for `Output.read_bytes`.
        """
        return self._loop.run(self._inner.save_outputs(folder, progress))


class Job(Mirror[job.Job]):
    """A handle of one job."""

    @property
    def id(self) -> str:
        """The hash of the job's definition: 64 hex digits."""
        return self._inner.id

    @property
    def answer(self) -> str:
        """Outcome of submitting the job.

        ``queued`` for a new run, ``joined`` for a run that existed, ``cached`` for a stored result; empty if this
        handle did not submit it.
        """
        return self._inner.answer

    @property
    def able(self) -> int:
        """Number of connected workers that could run the job when it was submitted."""
        return self._inner.able

    @property
    def why(self) -> str:
        """The reason that no worker could run it, in a sentence; otherwise empty."""
        return self._inner.why

    @property
    def earlier(self) -> m.Verdict | None:
        """With the answer ``queued``: the end of the job's run before, if there was one."""
        return self._inner.earlier

    @property
    def namespace(self) -> str:
        """The slot that holds the job."""
        return self._inner.namespace

    @property
    def definition(self) -> Definition:
        """The job's definition."""
        return self._inner.definition

    @property
    def url(self) -> str:
        """The job's address for a browser, with a key that reads this one job."""
        return self._inner.url

    @property
    def address(self) -> Address:
        """Address of the job's queue."""
        return self._inner.address

    def save_blob(self, key: str, path: str | os.PathLike[str]) -> None:
        """Writes a blob of the job's definition to a file; see `Queue.save_blob`."""
        self._loop.run(self._inner.save_blob(key, path))

    @property
    def state(self) -> m.JobState:
        """The newest known state; the hub pushes it, so reading it sends no request."""
        return self._inner.state

    @property
    def verdict(self) -> m.Verdict | None:
        """The job's verdict, or None while it is not finished."""
        return self._inner.verdict

    @property
    def progress(self) -> m.PhaseProgress | None:
        """Progress of the present phase (``done`` of ``total`` in ``unit``), such as a pull; None if it is unknown.

        It is pushed while the job is followed, which `wait`, `changes` and submitting it start.
        """
        return self._inner.progress

    def wait(self, timeout: Duration | None = None, *, show: bool = False) -> m.Verdict:
        """Waits until the job is finished.

        Args:
            timeout: In seconds, or as text (``5m``); None for no limit.
            show: Whether to show the job's phases and their progress meanwhile, on a terminal or in a notebook; for
                many jobs there is `asman.progress`.

        Returns:
            The verdict: the job succeeded or failed.

        Raises:
            TimedOut: The job is not finished by then; it keeps running. The message has the reason, as `explain` does.
            NotFound: The hub no longer knows the job.
            ConnectionFailed: The hub was away for longer than allowed.
        """
        return self._loop.run(self._inner.wait(timeout, show=show))

    def changes(self) -> Iterator[m.JobState]:
        """Yields each newer state of the job, up to the final one; states in quick succession are merged."""
        return self._loop.each(self._inner.changes())

    def steps(self) -> Iterator[tuple[m.JobState, m.PhaseProgress | None]]:
        """Yields each newer state and progress of the job, at most a few times a second; ends as `changes` does."""
        return self._loop.each(self._inner.steps())

    def result(self, timeout: Duration | None = None, *, check: bool = True) -> JobResult:
        """Waits until the job is finished and returns its result.

        Args:
            timeout: In seconds, or as text (``5m``); None for no limit.
            check: Whether a job that did not succeed raises. Without it, look at ``ok`` and ``exit_code``.

        Raises:
            JobFailed: The job did not succeed (with ``check``); the error has its exit code and last lines.
            TimedOut: The job is not finished by then; it keeps running.
            AsmanError: As for `wait`.
        """
        return JobResult(self._loop.run(self._inner.result(timeout, check=check)), self._loop)

    def logs(
        self,
        since: int = 0,
        *,
        follow: bool | None = None,
        until: int | None = None,
        head: int | None = None,
        tail: int | None = None,
        grep: str = "",
        ignore_case: bool = False,
        context: int | None = None,
        stream: str | Iterable[str] = (),
        phase: str | Iterable[str] = (),
        around: str = "",
        max_bytes: int | None = None,
        run: int = 0,
    ) -> Iterator[Line]:
        """Yields the job's log: the lines so far, then new ones, until the job is finished and its log is complete.

        Arguments select a part of it, in this order: streams and phases; the lines around the first error; the lines
        that match ``grep``; the first and the last lines; a number of bytes.

        Args:
            since: The ``seq`` of the first line.
            follow: False to end with the present lines, which is the default if a part is selected. True can be
                combined with ``tail``, ``stream`` and ``phase``.
            until: Only lines before this ``seq``.
            head: Only this many of the first lines; with ``grep``, of the matching lines, together with their context.
            tail: Only this many of the last lines, likewise; with ``head``, the first and the last.
            grep: Only lines that match this regular expression (RE2 syntax).
            ignore_case: Whether ``grep`` ignores case.
            context: Number of lines to add before and after each match; 10 around an error, otherwise none.
            stream: ``stdout``, ``stderr`` or ``system``, or several of them.
            phase: A phase such as ``building`` or ``running``, or several.
            around: ``first_error``: only the lines around the first one that looks like an error.
            max_bytes: Only this many bytes of text; with ``tail``, the last ones.
            run: The number of an earlier run, whose log is read (`Job.runs`); 0 for the present one.

        Raises:
            BadRequest: The selection is invalid or can't be followed.
            NotFound: The log of that run is not kept.
            AsmanError: As for `wait`.
        """
        return self._loop.each(
            self._inner.logs(
                since,
                follow=follow,
                until=until,
                head=head,
                tail=tail,
                grep=grep,
                ignore_case=ignore_case,
                context=context,
                stream=stream,
                phase=phase,
                around=around,
                max_bytes=max_bytes,
                run=run,
            )
        )

    def log_parts(
        self, since: int = 0, *, follow: bool | None = None, select: m.LogSelection | None = None, run: int = 0
    ) -> Iterator[list[Line]]:
        """Yields lines as `logs` does, but many at a time, for programs that show a million of them."""
        return self._loop.each(self._inner.log_parts(since, follow=follow, select=select, run=run))

    def runs(self, timeout: Duration | None = None) -> list[m.Run]:
        """Returns the job's last runs, oldest first: how, when and where each ended. One is the `present`.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        return self._loop.run(self._inner.runs(timeout))

    def summary(self, timeout: Duration | None = None) -> m.JobSummary:
        """Returns a one-page summary of the job: phase, build step, last lines, and the first error.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        return self._loop.run(self._inner.summary(timeout))

    def explain(self, timeout: Duration | None = None) -> m.Explanation:
        """Explains the job's present state: ``sentence`` for people, the rest for programs.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        return self._loop.run(self._inner.explain(timeout))

    def cancel(self, namespace: str | None = None, timeout: Duration | None = None) -> bool:
        """Releases the job from its namespace; the job stops unless another namespace holds it too.

        Args:
            namespace: Another slot, or ``*`` for all of them.
            timeout: In seconds.

        Returns:
            Whether there was anything to release.
        """
        return self._loop.run(self._inner.cancel(namespace, timeout))

    def delete(self, timeout: Duration | None = None) -> None:
        """Stops the job if it is running, and deletes it and its result from the hub.

        Args:
            timeout: In seconds.
        """
        self._loop.run(self._inner.delete(timeout))

    def keep(self, keep: bool = True, timeout: Duration | None = None) -> None:
        """Keeps the job with its result and log beyond the queue's retention, or no longer.

        Args:
            keep: False to let it be removed again when its retention ends.
            timeout: In seconds.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        self._loop.run(self._inner.keep(keep, timeout))
