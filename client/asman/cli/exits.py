"""What a command's exit code says.

A command that runs a job or waits for one exits with the job's own exit code. All other codes are in `EXIT_CODES`;
they are those that shells and container engines use for the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asman_shared.errors import AsmanError
    from asman_shared.messages import Verdict

OK: Final = 0
USAGE: Final = 2
TIMED_OUT: Final = 124
NOT_RUN: Final = 125
WORKER_LOST: Final = 126
CANCELLED: Final = 130
OUT_OF_MEMORY: Final = 137
BROKEN_PIPE: Final = 141

EXIT_CODES: Final = {
    OK: "done; a job exited 0",
    USAGE: "the command line can't be read",
    TIMED_OUT: "a time limit passed: the job's, or the command's own",
    NOT_RUN: "it could not be done: no hub, no such image, bad definition, no such job, …",
    WORKER_LOST: "the job lost its worker too often",
    CANCELLED: "the job was cancelled, replaced or deleted, or the command was interrupted",
    OUT_OF_MEMORY: "the job used more memory than it was given",
    BROKEN_PIPE: "nobody reads the output any more",
}
"""Exit codes of ``asman``; where a job ran to its end its own exit code comes instead."""


def of_verdict(verdict: Verdict) -> int:
    """The exit code for how a job ended."""
    from asman_shared.states import Reason

    match verdict.reason:
        case Reason.SUCCESS:
            return OK
        case Reason.FAILED:
            return verdict.exit_code or 1
        case Reason.TIMED_OUT:
            return TIMED_OUT
        case Reason.OUT_OF_MEMORY:
            return OUT_OF_MEMORY
        case Reason.CANCELLED | Reason.REPLACED | Reason.DELETED:
            return CANCELLED
        case Reason.WORKER_LOST:
            return WORKER_LOST
        case Reason.ERROR:
            return NOT_RUN


def of_error(error: AsmanError) -> int:
    """The exit code for an error of ours."""
    from asman_shared.errors import TimedOut

    from ..errors import JobFailed

    if isinstance(error, JobFailed):
        return of_verdict(error.verdict)
    return TIMED_OUT if isinstance(error, TimedOut) else NOT_RUN
