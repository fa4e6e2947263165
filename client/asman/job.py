"""Handles of jobs on a queue."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final

from asman_shared import messages as m
from asman_shared.errors import AsmanError, BadDefinition, BadRequest
from asman_shared.states import Reason

from .arguments import check_key, text, whole
from .arguments import path as checked_path
from .blobs import Blobs
from .connection import Connection
from .deadline import Duration, deadline
from .display import html
from .display.answers import explanation, summary
from .display.html import state_words
from .display.live import watch
from .display.tables import command_of
from .errors import JobFailed
from .inputs import InputValue, stand_in
from .logs import Line, LogReader, followable, last_lines, selection
from .outputs import JobResult
from .tracking import Tracker

if TYPE_CHECKING:
    import os

    from asman_shared.definition import Definition

    from .address import Address

LAST_LINES: Final = 20
"""Number of log lines that a `JobFailed` carries."""
DELAY_SECONDS: Final = 2.0
"""Time limit for asking why a job is not finished, in seconds."""


class Job:
    """A handle of one job.

    Attributes:
        id: The hash of the job's definition: 64 hex digits.
        answer: Outcome of submitting the job: ``queued`` for a new run, ``joined`` for a run that existed, ``cached``
            for a stored result; empty if this handle did not submit it.
        able: Number of connected workers that could run the job when it was submitted.
        why: The reason that no worker could run it, in a sentence; otherwise empty.
        earlier: With the answer ``queued``: the end of the job's run before, if there was one.
        namespace: The slot that holds the job.
        definition: The job's definition.
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
        self.id: Final[str] = state.id
        self._links = connection.welcome.links if connection.welcome else ""
        self.answer: str = accepted.answer if accepted else ""
        self.able: int = accepted.able if accepted else 0
        self.why: str = accepted.why if accepted else ""
        self.earlier: m.Verdict | None = accepted.earlier if accepted else None
        self.namespace: str = namespace
        self.definition: Definition = definition

    def __repr__(self) -> str:
        return f"Job({self.id[:12]}, {state_words(self.state)})"

    def _repr_html_(self) -> str:
        verdict, state = self.verdict, self.state
        code = "" if verdict is None or verdict.exit_code is None else str(verdict.exit_code)
        rows = (
            ("state", html.badge(state)),
            ("exit code", code),
            ("took", "" if verdict is None else html.took(verdict.duration)),
            ("command", f"<code>{html.text(command_of(self))}</code>"),
            ("image", html.text(self.definition.image or "")),
            ("message", "" if verdict is None else html.text(verdict.message)),
            ("why it waits", "" if verdict is not None or self.able else html.text(self.why)),
        )
        facts = html.facts(f"Job {html.link(self.url, self.id[:12])}", rows)
        return facts if verdict is not None else f"<div>{facts}{html.as_of(time.time(), html.AGAIN)}</div>"

    @property
    def url(self) -> str:
        """The job's address for a browser, with a key that reads this one job."""
        return self.address.job_url(self.id, self._links)

    @property
    def address(self) -> Address:
        """Address of the job's queue."""
        return self._connection.address

    async def save_blob(self, key: str, path: str | os.PathLike[str]) -> None:
        """Writes a blob of the job's definition to a file; see `Queue.save_blob`."""
        await self._blobs.save(self._blobs.wanted(check_key(key)), checked_path("path", path), executable=False)

    @property
    def state(self) -> m.JobState:
        """The newest known state; the hub pushes it, so reading it sends no request."""
        return self._tracker.state or self._first

    @property
    def verdict(self) -> m.Verdict | None:
        """The job's verdict, or None while it is not finished."""
        return self._tracker.verdict

    @property
    def progress(self) -> m.PhaseProgress | None:
        """Progress of the present phase (``done`` of ``total`` in ``unit``), such as a pull; None if it is unknown.

        It is pushed while the job is followed, which `wait`, `changes` and submitting it start.
        """
        return self._tracker.progress

    async def _follow(self) -> None:
        if not self._tracker.followed and self._tracker.verdict is None:
            follow = m.Follow(ref=0, job=self.id)
            await self._connection.request(follow, m.Following, tracker=self._tracker)

    async def _delay(self) -> str:
        """The reason why the job is not finished, as the hub explains it; empty if it does not answer at once."""
        try:
            return (await self.explain(DELAY_SECONDS)).sentence
        except AsmanError:
            return ""

    async def wait(self, timeout: Duration | None = None, *, show: bool = False) -> m.Verdict:
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
        if timeout is None:
            return await self._wait(show=show)
        async with deadline(timeout, f"waiting for job {self.id[:12]}", self._delay):
            return await self._wait(show=show)

    async def _wait(self, *, show: bool) -> m.Verdict:
        await self._follow()
        if show:
            await watch(self)
        while (verdict := self._tracker.verdict) is None:
            await self._tracker.change()
        return verdict

    async def changes(self) -> AsyncIterator[m.JobState]:
        """Yields each newer state of the job, up to the final one; states in quick succession are merged."""
        await self._follow()
        seen: tuple[int, int] | None = None
        while True:
            state = self.state
            if state.version != seen:
                seen = state.version
                yield state
            elif self._tracker.verdict is not None:
                return
            else:
                await self._tracker.change()

    async def steps(self) -> AsyncIterator[tuple[m.JobState, m.PhaseProgress | None]]:
        """Yields each newer state and progress of the job, at most a few times a second; ends as `changes` does."""
        await self._follow()
        seen: tuple[tuple[int, int], m.PhaseProgress | None] | None = None
        while True:
            state, progress = self.state, self._tracker.progress
            if (state.version, progress) != seen:
                seen = (state.version, progress)
                yield state, progress
            elif self._tracker.verdict is not None:
                return
            else:
                await self._tracker.change()

    async def result(self, timeout: Duration | None = None, *, check: bool = True) -> JobResult:
        """Waits until the job is finished and returns its result.

        Args:
            timeout: In seconds, or as text (``5m``); None for no limit.
            check: Whether a job that did not succeed raises. Without it, look at ``ok`` and ``exit_code``.

        Raises:
            JobFailed: The job did not succeed (with ``check``); the error has its exit code and last lines.
            TimedOut: The job is not finished by then; it keeps running.
            AsmanError: As for `wait`.
        """
        async with deadline(timeout, f"waiting for the result of job {self.id[:12]}", self._delay):
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
        run: int = 0,
    ) -> AsyncIterator[Line]:
        r"""Yields the job's log: the lines so far, then new ones, until the job is finished and its log is complete.

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
        async for lines in self.log_parts(since, follow=follow, select=select, run=run):
            for line in lines:
                yield line

    def log_parts(
        self, since: int = 0, *, follow: bool | None = None, select: m.LogSelection | None = None, run: int = 0
    ) -> AsyncIterator[list[Line]]:
        """Yields lines as `logs` does, but many at a time, for programs that show a million of them."""
        whole("since", since, least=0)
        reader = LogReader(self._connection, self._tracker, self.id, since, whole("run", run, least=0))
        if run:
            if follow:
                raise BadRequest("an earlier run can't be followed, since it is over", field="follow")
            return reader.selected(select or m.LogSelection())
        if follow or (follow is None and select is None):
            if select is not None and not followable(select):
                raise BadRequest("follow can be combined only with tail, stream and phase", field="follow")
            return reader.live(select)
        return reader.stored() if select is None else reader.selected(select)

    async def runs(self, timeout: Duration | None = None) -> list[m.Run]:
        """Returns the job's last runs, oldest first: how, when and where each ended. One is the `present`.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        async with deadline(timeout, f"asking about job {self.id[:12]}"):
            return (await self._connection.request(m.ListRuns(ref=0, job=self.id), m.RunList)).runs

    async def summary(self, timeout: Duration | None = None) -> m.JobSummary:
        """Returns a one-page summary of the job: phase, build step, last lines, and the first error.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        async with deadline(timeout, f"asking about job {self.id[:12]}"):
            return summary(await self._connection.request(m.Summarise(ref=0, job=self.id), m.JobSummary))

    async def explain(self, timeout: Duration | None = None) -> m.Explanation:
        """Explains the job's present state: ``sentence`` for people, the rest for programs.

        Args:
            timeout: In seconds.

        Raises:
            NotFound: The hub no longer knows the job.
        """
        async with deadline(timeout, f"asking about job {self.id[:12]}"):
            return explanation(await self._connection.request(m.Explain(ref=0, job=self.id), m.Explanation))

    async def cancel(self, namespace: str | None = None, timeout: Duration | None = None) -> bool:
        """Releases the job from its namespace; the job stops unless another namespace holds it too.

        Args:
            namespace: Another slot, or ``*`` for all of them.
            timeout: In seconds.

        Returns:
            Whether there was anything to release.
        """
        slot = self.namespace if namespace is None else text("namespace", namespace)
        request = m.Cancel(ref=0, job=self.id, namespace=slot or self.namespace)
        async with deadline(timeout, f"cancelling job {self.id[:12]}"):
            answer = await self._connection.request(request, m.Cancelled)
        if self._tracker.verdict is None:
            self._tracker.answered(answer.job)
        return answer.released

    async def delete(self, timeout: Duration | None = None) -> None:
        """Stops the job if it is running, and deletes it and its result from the hub.

        Args:
            timeout: In seconds.
        """
        async with deadline(timeout, f"deleting job {self.id[:12]}"):
            await self._connection.request(m.Delete(ref=0, job=self.id), m.Deleted)

    async def keep(self, keep: bool = True, timeout: Duration | None = None) -> None:
        """Keeps the job with its result and log beyond the queue's retention, or no longer.

        Args:
            keep: False to let it be removed again when its retention ends.
            timeout: In seconds.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        async with deadline(timeout, f"keeping job {self.id[:12]}"):
            answer = await self._connection.request(m.Keep(0, self.id, keep), m.Keeping)
            self._tracker.answered(answer.job)


@stand_in.register
def _job_as_input(value: Job, where: str) -> InputValue:
    raise BadDefinition(
        "a job can't be an input: wait for its result with job.result(), and pass one of its outputs, "
        'result.outputs["name"]',
        field=where,
    )
