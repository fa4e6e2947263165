"""``asman blob …``: bytes under their sha256, for inputs that many jobs share."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import options as o
from ..terminal import Terminal, progress


def put(
    words: Annotated[
        list[str], typer.Argument(metavar="[QUEUE] FILE", help="The queue (default: $ASMAN_QUEUE) and the file.")
    ],
    hub: o.HubOption = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Store a file unless the hub has it, and print its sha256.

    A blob that no job uses is deleted after a while.
    """
    queue, name = two_words(words, "a file")
    path = Path(name)
    size = path.stat().st_size
    terminal = Terminal(json=json, quiet=quiet)

    async def work() -> str:
        async with o.open_queue(queue, hub) as opened:
            with progress("uploading", size, quiet=quiet) as moved:
                return str((await opened.put_blob(path, progress=moved)).value)

    key = asyncio.run(work())
    if json:
        terminal.value({"sha256": key, "size": size, "ref": {"type": "key", "value": key}})
    else:
        terminal.result(key)


def get(
    words: Annotated[
        list[str], typer.Argument(metavar="[QUEUE] SHA256", help="The queue (default: $ASMAN_QUEUE) and the blob.")
    ],
    hub: o.HubOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write [standard output].", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Describe the saved file as JSON (with -o).")] = False,
    quiet: o.QuietOption = False,
) -> None:
    """Fetch a blob, verify it, and write it to a file or to standard output."""
    from asman_shared.errors import BadRequest

    queue, key = two_words(words, "a blob")
    if json and output is None:
        raise BadRequest("--json needs -o: without it, the blob itself goes to standard output")
    if output is None and sys.stdout.isatty():
        raise BadRequest("a blob may be binary, and standard output is a terminal: give -o FILE, or use a pipe")
    terminal = Terminal(json=json, quiet=quiet)

    async def work() -> None:
        async with o.open_queue(queue, hub) as opened:
            if output is None:
                terminal.data(await opened.get_blob(key))
                return
            size = await opened.blob_size(key)
            with progress("downloading", size, quiet=quiet) as moved:
                await opened.save_blob(key, output, progress=moved)
            if json:
                terminal.value({"sha256": key, "size": size, "saved": str(output)})
            else:
                terminal.note(f"saved {output}")

    asyncio.run(work())


def two_words(words: list[str], what: str) -> tuple[str | None, str]:
    """Splits the words of a command into a queue, if it is named, and the item that the command is about.

    Raises:
        BadRequest: There are more than two words.
    """
    from asman_shared.errors import BadRequest

    if len(words) > 2:
        raise BadRequest(f"unexpected argument '{words[2]}': give a queue and {what}")
    return (None, words[0]) if len(words) == 1 else (words[0], words[1])
