"""Exit codes of the commands.

A command that runs a job or waits for one exits with the job's own exit code. All other codes are in `EXIT_CODES`;
shells and container engines use the same codes for the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from asman_shared.errors import AsmanError
    from asman_shared.messages import Verdict

E = TypeVar("E", bound="AsmanError")
T = TypeVar("T")

OK: Final = 0
USAGE: Final = 2
TIMED_OUT: Final = 124
NOT_RUN: Final = 125
WORKER_LOST: Final = 126
HUNG_UP: Final = 129
CANCELLED: Final = 130
OUT_OF_MEMORY: Final = 137
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143

EXIT_CODES: Final = {
    OK: "success; a job exited with 0",
    USAGE: "the command line is invalid",
    TIMED_OUT: "a time limit was exceeded: the job's, or the command's own",
    NOT_RUN: "the command failed: no hub, no such image, bad definition, no such job, …",
    WORKER_LOST: "the job lost its worker too often",
    HUNG_UP: "the command was stopped because its terminal was closed (SIGHUP)",
    CANCELLED: "the job was cancelled, replaced or deleted, or the command was interrupted",
    OUT_OF_MEMORY: "the job used more memory than it was given",
    BROKEN_PIPE: "the reader of the output went away (broken pipe)",
    TERMINATED: "the command was stopped (SIGTERM)",
}
"""Meanings of the exit codes of ``asman``; a job that ran to its end determines the exit code itself."""


def of_verdict(verdict: Verdict) -> int:
    """Returns the exit code for a job's verdict."""
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
    """Returns the exit code for an error of Asman."""
    from asman_shared.errors import TimedOut

    from ..errors import JobFailed

    if getattr(error, _MARK, False):
        return USAGE
    if isinstance(error, JobFailed):
        return of_verdict(error.verdict)
    return TIMED_OUT if isinstance(error, TimedOut) else NOT_RUN


_MARK: Final = "of_command_line"
"""Attribute of errors about the command line."""


def usage(error: E) -> E:
    """Returns an error about the command line itself, marked for its exit code, which is `USAGE`."""
    setattr(error, _MARK, True)
    return error


def settings(load: Callable[..., T], **flags: Any) -> T:
    """Reads the settings of a process; a wrong one that a flag has given is an error about the command line.

    Args:
        load: Reads them from all sources.
        **flags: The values on the command line; None for a flag that was not given.
    """
    from asman_shared.errors import BadRequest

    try:
        return load(**flags)
    except BadRequest as error:
        if error.field and flags.get(error.field.partition(".")[0]) is not None:
            usage(error)
        raise


@contextmanager
def of_command_line() -> Iterator[None]:
    """Marks the errors in the block, which reads values of the command line, for their exit code, which is `USAGE`."""
    from asman_shared.errors import BadRequest

    try:
        yield
    except BadRequest as error:
        usage(error)
        raise
