"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from errno import EACCES
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from ..address import Address
    from ..client import Queue
    from ..job import Job

QUEUE_VARIABLE: Final = "ASMAN_QUEUE"
_SHORTEST: Final = 4

QueueArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="QUEUE",
        help="The queue's URL, @name, or its name with --hub. Default: $ASMAN_QUEUE.",
        show_default=False,
    ),
]
HubOption = Annotated[
    str | None, typer.Option("--hub", help="The hub, when QUEUE is a name.", envvar="ASMAN_HUB", show_default=False)
]
ImageOption = Annotated[
    str | None,
    typer.Option("--image", "-i", help="Container image. Default: $ASMAN_IMAGE, or the hub's.", envvar="ASMAN_IMAGE"),
]
FileOption = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", help="A file or folder to put below /inputs, as PATH or NAME=PATH. Repeatable."),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", help="An environment variable: NAME=VALUE, or NAME to pass on yours. Repeatable."),
]
CpusOption = Annotated[float | None, typer.Option("--cpus", help="Cpus that it needs.", show_default=False)]
MemoryOption = Annotated[str | None, typer.Option("--memory", "-m", help="Memory that it needs: 512MiB, 2g, …")]
GpusOption = Annotated[int | None, typer.Option("--gpus", help="Gpus that it needs.", show_default=False)]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="A tag that its worker must carry. Repeatable.")]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", help="How long it may run: 90s, 20m, 1h30m.", show_default=False)
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="A folder to save its outputs in.", show_default=False)
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="PATTERN",
        help="Outputs to keep: '*.csv', 'plots/**'; the others stay behind. Part of what the job is. Repeatable.",
    ),
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", help="A slot that holds one job at a time; a newer job replaces the older.")
]
PriorityOption = Annotated[int, typer.Option("--priority", min=-100, max=100, help="Higher runs first.")]
ReuseOption = Annotated[
    str, typer.Option("--reuse", help="'never' runs it again although there is a result.", metavar="cached|never")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes on standard error.")]


def find_queue(queue: str | None, hub: str | None) -> Address:
    """The queue that a command line names: by its URL, its name, or as ``@name`` by what this user calls it.

    Raises:
        BadRequest: It names none, or one that can't be read.
        NotFound: This user has no queue of that name.
    """
    from asman_shared.errors import BadRequest

    from ..address import parse_address
    from . import known

    given = queue or os.environ.get(QUEUE_VARIABLE)
    if not given:
        raise BadRequest(f"no queue was named: give its URL, or set {QUEUE_VARIABLE}")
    return parse_address(known.named(given[1:]) if given.startswith("@") else given, hub)


@asynccontextmanager
async def open_queue(queue: str | None, hub: str | None) -> AsyncIterator[Queue]:
    """A connection to the queue that a command line names; the queue is remembered for ``asman queue list``.

    Raises:
        AsmanError: It names none, or it can't be reached.
    """
    from ..client import connect
    from . import known

    address = find_queue(queue, hub)
    async with connect(address.url) as opened:
        known.remember(address.url)
        yield opened


def check_output(folder: Path | None) -> None:
    """Checks that outputs can be saved in a folder, before a job is run for hours to make them.

    Raises:
        BadRequest: It can't be a folder.
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
    """Whether an option has its value from the environment: then what is said of this one job goes before."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def read_files(given: list[str] | None) -> dict[str, Path]:
    """Input names and paths from ``PATH`` and ``NAME=PATH``.

    Raises:
        BadDefinition: Two have the same name.
    """
    from asman_shared.errors import BadDefinition

    from ..inputs import name_files

    named: dict[str, Path] = {}
    for text in given or ():
        name, equals, path = text.partition("=")
        one = {name: Path(path)} if equals and name and path and not Path(text).exists() else name_files([text])
        for key in one:
            if key in named:
                raise BadDefinition(f"two files have the name '{key}': name one of them, as NAME=PATH")
        named.update(one)
    return named


def read_env(given: list[str] | None) -> dict[str, str]:
    """Environment variables from ``NAME=VALUE`` and ``NAME``.

    Raises:
        BadDefinition: A name alone is not set here.
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


async def find_job(queue: Queue, named: str) -> Job:
    """The job that a command line names: by id, by the beginning of its id, or by its URL.

    Raises:
        NotFound: There is none.
        BadRequest: The name can't be a job's, or several jobs have it.
    """
    from asman_shared.definition import SHA256
    from asman_shared.errors import BadRequest, NotFound

    start = named.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2].lower()
    if SHA256.fullmatch(start):
        return await queue.get(start)
    if len(start) < _SHORTEST or set(start) - set("0123456789abcdef"):
        raise BadRequest(f"'{named}' is not a job: give its id, at least the first {_SHORTEST} digits, or its URL")
    found = [job.id async for job in queue.jobs() if job.id.startswith(start)]
    if not found:
        raise NotFound(f"no job on this queue begins with '{start}'")
    if len(found) > 1:
        raise BadRequest(f"{len(found)} jobs begin with '{start}': give more of its id")
    return await queue.get(found[0])
