"""The exception for a job that did not succeed, and the sentences that describe its end."""

from __future__ import annotations

from collections.abc import Sequence

from asman_shared.errors import AsmanError
from asman_shared.messages import Verdict
from asman_shared.states import Reason

_SENTENCES = {
    Reason.TIMED_OUT: "ran out of time",
    Reason.OUT_OF_MEMORY: "used more memory than it was given",
    Reason.CANCELLED: "was cancelled",
    Reason.REPLACED: "was replaced by a newer job of the same namespace",
    Reason.WORKER_LOST: "lost its worker too often",
    Reason.DELETED: "was deleted",
    Reason.ERROR: "could not be run",
}


def describe(verdict: Verdict) -> str:
    """Describes how a job ended, as the end of a sentence that begins with the job."""
    if verdict.reason is Reason.SUCCESS:
        text = "succeeded"
    elif verdict.reason is Reason.FAILED:
        text = f"exited with code {verdict.exit_code}"
    elif verdict.reason is Reason.ERROR and verdict.exit_code is not None:
        text = f"exited with code {verdict.exit_code}, but its result is not complete"
    else:
        text = _SENTENCES[verdict.reason]
    return f"{text}: {verdict.message}" if verdict.message else text


class JobFailed(AsmanError):
    """A job did not succeed.

    Args:
        job: The job's id.
        verdict: The job's verdict.
        lines: The last lines of its log.

    Attributes:
        exit_code: Exit code of the container, or None if it did not run to its end.
    """

    code = "job_failed"
    status = 422

    def __init__(self, job: str, verdict: Verdict, lines: Sequence[str] = ()) -> None:
        super().__init__(f"job {job[:12]} {describe(verdict)}")
        self.job = job
        self.verdict = verdict
        self.exit_code = verdict.exit_code
        self.lines = list(lines)
        self.hint = verdict.hint

    def __str__(self) -> str:
        if not self.lines:
            return self.message
        return "\n".join([self.message, "last lines of its log:", *(f"  {line}" for line in self.lines)])
