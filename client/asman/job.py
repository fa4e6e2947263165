"""A handle of one job on a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asman_shared import messages as m
from asman_shared.errors import BadRequest
from asman_shared.states import Reason

from .blobs import Blobs, check_key
from .connection import Connection
from .deadline import deadline
from .errors import JobFailed
from .logs import Line, LogReader, followable, last_lines, selection
from .outputs import JobResult
from .tracking import Tracker

if TYPE_CHECKING:
    import os

    from asman_shared.definition import Definition

    from .address import Address

LAST_LINES: Final = 20
"""Log lines that a `JobFailed` carries."""


class Job:
    """A job, as this program follows it.

    Attributes:
        id: The hash of its definition: 64 hex digits.
        url: Where a browser finds it.
        answer: What submitting it did: ``queued`` a new run, ``joined`` one that exists, or found it ``cached``;
            empty when it was not submitted here.
        able: How many connected workers could run it, as of then.
        why: When none could: why, in a sentence.
        namespace: The slot that holds it.
        definition: What is run.
    """

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        tracker: Tracker,
        state: m.JobState,
        definition: Definition,
        *,
        namespace: str = "_",
        accepted: m.Accepted | None = None,
    ) -> None:
        self._connection = connection
        self._blobs = blobs
        self._tracker = tracker
        self._first = state
        self.id: Final = state.id
        self.url: Final = connection.address.job_url(state.id)
        self.answer = accepted.answer if accepted else ""
        self.able = accepted.able if accepted else 0
        self.why = accepted.why if accepted else ""
        self.namespace = namespace
        self.definition = definition

    def __repr__(self) -> str:
        return f"Job({self.id[:12]}, {self.state.state.value})"

    @property
    def address(self) -> Address:
        """The queue that it is on."""
        return self._connection.address

    async def save_blob(self, key: str, path: str | os.PathLike[str]) -> None:
        """Writes a blob that its definition names into a file; see `Queue.save_blob`."""
        await self._blobs.save(self._blobs.wanted(check_key(key)), Path(path), executable=False)

    @property
    def state(self) -> m.JobState:
        """The newest state heard of; it is pushed, so reading it costs nothing."""
        return self._tracker.state or self._first

    @property
    def verdict(self) -> m.Verdict | None:
        """How it ended, when it has."""
        return self._tracker.verdict

    @property
    def progress(self) -> m.PhaseProgress | None:
        """How far its present phase is (``done`` of ``total`` in ``unit``), such as a pull; None when nobody says so.

        It is pushed while the job is followed, which `wait`, `changes` and submitting it do.
        """
        return self._tracker.progress

    async def _follow(self) -> None:
        if not self._tracker.followed and self._tracker.verdict is None:
            follow = m.Follow(ref=0, job=self.id)
            await self._connection.request(follow, m.Following, tracker=self._tracker)

    async def wait(self, timeout: float | None = None) -> m.Verdict:
        """Waits until the job is finished.

        Args:
            timeout: Seconds; None for as long as it takes.

        Returns:
            How it ended, well or not.

        Raises:
            TimedOut: It is not finished by then; it goes on.
            NotFound: The hub does not know the job any more.
            ConnectionFailed: The hub stayed away for longer than allowed.
        """
        async with deadline(timeout, f"waiting for job {self.id[:12]}"):
            await self._follow()
            while (verdict := self._tracker.verdict) is None:
                await self._tracker.change()
        return verdict

    async def changes(self) -> AsyncIterator[m.JobState]:
        """Each newer state of the job, ending with the one that finishes it; states in quick succession merge."""
        await self._follow()
        seen = -1
        while True:
            state = self.state
            if state.rev != seen:
                seen = state.rev
                yield state
            elif self._tracker.verdict is not None:
                return
            else:
                await self._tracker.change()

    async def steps(self) -> AsyncIterator[tuple[m.JobState, m.PhaseProgress | None]]:
        """Each newer state of the job and how far its phase is, a few times a second at most; ends as `changes`."""
        await self._follow()
        seen: tuple[int, m.PhaseProgress | None] = (-1, None)
        while True:
            state, progress = self.state, self._tracker.progress
            if (state.rev, progress) != seen:
                seen = (state.rev, progress)
                yield state, progress
            elif self._tracker.verdict is not None:
                return
            else:
                await self._tracker.change()

    async def result(self, timeout: float | None = None, *, check: bool = True) -> JobResult:
        """Waits until the job is finished and gives what it made.

        Args:
            timeout: Seconds; None for as long as it takes.
            check: Whether anything but exit code 0 raises. Without it, look at ``ok`` and ``exit_code``.

        Raises:
            JobFailed: It did not succeed (with ``check``); the error has its exit code and last lines.
            TimedOut: It is not finished by then; it goes on.
            AsmanError: As `wait`.
        """
        async with deadline(timeout, f"waiting for the result of job {self.id[:12]}"):
            verdict = await self.wait()
            if check and not verdict.ok:
                raise JobFailed(self.id, verdict, await last_lines(self._connection, self.id, verdict, LAST_LINES))
            if verdict.reason is Reason.DELETED:
                return JobResult(self.id, verdict, m.Result(), self._blobs)
            answer = await self._connection.request(m.Get(ref=0, job=self.id), m.Job)
        return JobResult(self.id, verdict, answer.result or m.Result(), self._blobs)

    async def logs(
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
    ) -> AsyncIterator[Line]:
        r"""The job's log: what there is and then each line as it comes, until it is finished and all lines came.

        Or a part of it, in this order: of these streams and phases; around the first error; with what is looked for;
        the first and the last; so many bytes.

        Args:
            since: The ``seq`` of the first line that is wanted.
            follow: False to end with the lines there are now, as it does by itself when a part is asked for. True goes
                together with ``tail``, ``stream`` and ``phase``.
            until: Only lines before this ``seq``.
            head: Only the first so many; with ``grep`` of those found, and what is around them comes along.
            tail: Only the last so many, likewise; with ``head``, the first and the last.
            grep: Only lines in which this is found: a regular expression in RE2's syntax.
            ignore_case: ``grep`` takes upper and lower case for the same.
            context: Lines before and after each that was found; 10 around an error, otherwise none.
            stream: ``stdout``, ``stderr`` or ``system``, or several of them.
            phase: Such as ``building`` or ``running``, or several.
            around: ``first_error``: only what is around the first line that looks like an error.
            max_bytes: Only so many bytes of text; with ``tail`` the last of them.

        Raises:
            BadRequest: What is asked for can't be, or can't be followed.
            AsmanError: As `wait`.
        """
        select = selection(
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
        )
        async for lines in self.log_parts(since, follow=follow, select=select):
            for line in lines:
                yield line

    def log_parts(
        self, since: int = 0, *, follow: bool | None = None, select: m.LogSelection | None = None
    ) -> AsyncIterator[list[Line]]:
        """As `logs`, but many lines at a time: for whoever shows a million of them."""
        reader = LogReader(self._connection, self._tracker, self.id, since)
        if follow or (follow is None and select is None):
            if select is not None and not followable(select):
                raise BadRequest("only tail, stream and phase go together with follow", field="follow")
            return reader.live(select)
        return reader.stored() if select is None else reader.selected(select)

    async def summary(self, timeout: float | None = None) -> m.JobSummary:
        """How the job went or goes, in one page: phase, build step, last lines, and the first error.

        Args:
            timeout: Seconds.

        Raises:
            NotFound: The hub does not know the job any more.
        """
        async with deadline(timeout, f"asking about job {self.id[:12]}"):
            return await self._connection.request(m.Summarise(ref=0, job=self.id), m.JobSummary)

    async def explain(self, timeout: float | None = None) -> m.Explanation:
        """Why the job is where it is: ``sentence`` for people, the rest for programs.

        Args:
            timeout: Seconds.

        Raises:
            NotFound: The hub does not know the job any more.
        """
        async with deadline(timeout, f"asking about job {self.id[:12]}"):
            return await self._connection.request(m.Explain(ref=0, job=self.id), m.Explanation)

    async def cancel(self, namespace: str | None = None, timeout: float | None = None) -> bool:
        """Releases the job from its namespace; it is stopped when nobody else holds it.

        Args:
            namespace: Another slot, or ``*`` for all of them.
            timeout: Seconds.

        Returns:
            Whether there was anything to release.
        """
        request = m.Cancel(ref=0, job=self.id, namespace=namespace or self.namespace)
        async with deadline(timeout, f"cancelling job {self.id[:12]}"):
            answer = await self._connection.request(request, m.Cancelled)
        if self._tracker.verdict is None:
            self._tracker.answered(answer.job)
        return answer.released

    async def delete(self, timeout: float | None = None) -> None:
        """Stops the job if it runs, and makes the hub forget it and its result.

        Args:
            timeout: Seconds.
        """
        async with deadline(timeout, f"deleting job {self.id[:12]}"):
            await self._connection.request(m.Delete(ref=0, job=self.id), m.Deleted)
