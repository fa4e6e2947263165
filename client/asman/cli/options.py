"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from errno import EACCES
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from asman_shared import limits

if TYPE_CHECKING:
    from ..address import Address
    from ..client import Queue

NOBODY_HERE: Final = "this queue has no jobs and no workers: is its name right?"
"""Note about a queue that exists only because somebody asked for it, as with a mistyped name."""
QUEUE_VARIABLE: Final = "ASMAN_QUEUE"
"""Environment variable with the default queue."""

QueueArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="QUEUE",
        help="The queue's URL, @name, or its name with --hub. Default: $ASMAN_QUEUE.",
        show_default=False,
    ),
]
HubOption = Annotated[
    str | None, typer.Option("--hub", help="The hub, if QUEUE is a name.", envvar="ASMAN_HUB", show_default=False)
]
ImageOption = Annotated[
    str | None,
    typer.Option("--image", "-i", help="Container image. Default: $ASMAN_IMAGE, or the hub's.", envvar="ASMAN_IMAGE"),
]
FileOption = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        "-f",
        help="File or folder to put below $JOB_INPUTS (/inputs in a container), as PATH or NAME=PATH. Repeatable.",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", help="Environment variable: NAME=VALUE, or NAME to copy it from here. Repeatable."),
]
CpusOption = Annotated[
    float | None,
    typer.Option("--cpus", min=limits.LEAST_CPUS, max=limits.CPUS, help="CPUs that the job needs.", show_default=False),
]
MemoryOption = Annotated[str | None, typer.Option("--memory", "-m", help="Memory that the job needs: 512MiB, 2g, …")]
GpusOption = Annotated[
    int | None,
    typer.Option("--gpus", min=0, max=limits.GPUS, help="GPUs that the job needs.", show_default=False),
]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="Tag that the worker must have. Repeatable.")]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", help="Maximum run time: 90s, 20m, 1h30m.", show_default=False)
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder to save the outputs in.", show_default=False)
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="PATTERN",
        help="Outputs to keep: '*.csv', 'plots/**'; others are dropped. Part of the job's identity. Repeatable.",
    ),
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", help="Slot that holds one job at a time; a newer job replaces the older.")
]
PriorityOption = Annotated[
    int, typer.Option("--priority", min=-limits.PRIORITY, max=limits.PRIORITY, help="Higher priorities run first.")
]
ReuseOption = Annotated[
    str,
    typer.Option(
        "--reuse",
        help="Results that answer instead of a new run: of a success, of any run that ended by itself, or never.",
        metavar="success|any|never",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Write no notes to standard error.")]


class UsageError(typer.BadParameter):
    """The command line as a whole is invalid; the exit code says so."""

    def format_message(self) -> str:
        """Returns the sentence alone, as no single option is to blame."""
        return self.message


def with_queue(url: str, command: str) -> str:
    """Returns a command line for a queue by its variable, because all users of a machine can read its arguments."""
    return f"{QUEUE_VARIABLE}={url} {command}"


def find_queue(queue: str | None, hub: str | None) -> Address:
    """Finds the queue that a command line names by its URL, by its name, or as ``@name`` by this user's own name.

    Raises:
        BadRequest: No queue is named, or the address can't be parsed.
        NotFound: This user has no queue with that name.
        OSError: The file with this user's names can't be read.
    """
    from ..address import parse_address

    return parse_address(queue, hub)


def with_names(queues: str) -> str:
    """Returns the queues that a worker is given, with the URL in the place of each ``@name`` of this user.

    Raises:
        NotFound: This user has no queue with that name.
    """
    from asman_shared.address import words_of

    from . import known

    return " ".join(known.named(word[1:]) if word.startswith("@") else word for word in words_of(queues))


@asynccontextmanager
async def open_queue(queue: str | None, hub: str | None) -> AsyncIterator[Queue]:
    """Connects to the queue that a command line names, and records its use for ``asman queue list``.

    Raises:
        AsmanError: No queue is named, or the queue can't be reached.
    """
    from ..client import connect
    from . import known

    address = find_queue(queue, hub)
    async with connect(address.url) as opened:
        known.remember(address.url)
        yield opened


def check_output(folder: Path | None) -> None:
    """Checks that outputs can be saved in a folder, before a job runs for hours to produce them.

    Raises:
        BadRequest: The path can't become a folder.
        PermissionError: This user may not write there.
    """
    if folder is None:
        return
    from asman_shared.errors import BadRequest

    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise BadRequest(f"outputs can't be saved in '{folder}': '{there}' is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(EACCES, os.strerror(EACCES), str(there))


def only_of_environment(ctx: typer.Context, name: str) -> bool:
    """Checks whether an option has its value from the environment, so that the job's own value takes precedence."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def read_files(given: list[str] | None) -> dict[str, Path]:
    """Parses ``PATH`` and ``NAME=PATH`` into input names and paths.

    Raises:
        BadDefinition: Two files have the same name.
    """
    from asman_shared.errors import BadDefinition

    from ..inputs import name_files

    named: dict[str, Path] = {}
    for text in given or ():
        name, equals, path = text.partition("=")
        one = {name: Path(path)} if equals and name and path and not Path(text).exists() else name_files([text])
        for key in one:
            if key in named:
                raise BadDefinition(f"two files have the name '{key}': give one another name with NAME=PATH")
        named.update(one)
    return named


def read_env(given: list[str] | None) -> dict[str, str]:
    """Parses ``NAME=VALUE`` and ``NAME`` into environment variables.

    Raises:
        BadDefinition: A variable without a value is not set here.
    """
    from asman_shared.errors import BadDefinition

    env: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            if name not in os.environ:
                raise BadDefinition(f"the environment variable {name} is not set here: write {name}=VALUE")
            value = os.environ[name]
        env[name] = value
    return env


def is_queue(word: str) -> bool:
    """Whether a word has the form of a queue's address, or of a URL with a job; a bare name has not."""
    return word.startswith("@") or any(sign in word for sign in ("/q/", "://", "#"))


def is_job(word: str) -> bool:
    """Whether a word has the form of a job, which is an id, its beginning, or a URL with one."""
    from asman_shared.errors import BadRequest

    from ..arguments import job_named

    try:
        job_named(word)
    except BadRequest:
        return False
    return "/" not in word or "/j/" in word
