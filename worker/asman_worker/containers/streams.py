"""Commands whose standard streams are files in the container: how they are started, and what the log has of them.

The image's shell opens the files, so they may have any size, and a restart of the worker does not matter. When the
command has ended, the log gets the end of what it wrote.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import Final

from asman_shared.definition import Definition
from asman_shared.definition_check import volume_of
from asman_shared.messages import STDERR, STDOUT
from asman_shared.units import KIB, format_size

from ..execution.folders import JobFolder
from ..execution.interface import Reporter
from ..files.inside import end_of

LOGGED: Final = 64 * KIB
"""Bytes of a file that go into the log: its end."""
_SHELL: Final = ("/bin/sh", "-c")


def redirected(definition: Definition, entrypoint: list[str] | None, command: list[str] | None) -> list[str]:
    """Returns the arguments of the shell that runs a command with its streams; empty if these are the usual ones.

    The image's own entrypoint is not used.
    """
    streams = [("<", definition.stdin), (">", definition.stdout), ("2>", definition.stderr)]
    opened = [f"{sign} {shlex.quote(path)}" for sign, path in streams if path]
    if definition.stdout and definition.stdout == definition.stderr:
        opened[-1] = "2>&1"  # opened twice, each stream would overwrite the other
    if not opened:
        return []
    return [*_SHELL, " ".join(('exec "$@"', *opened)), "sh", *(entrypoint or ()), *(command or ())]


async def log_ends(definition: Definition, folder: JobFolder, report: Reporter) -> None:
    """Puts the ends of the files of a command's standard output and standard error into the log.

    Args:
        definition: The command, with the job's volumes.
        folder: The attempt's folders.
        report: Receives the text.
    """
    for stream, path in ((STDOUT, definition.stdout), (STDERR, definition.stderr)):
        if not path or (stream == STDERR and path == definition.stdout):
            continue
        outermost = volume_of(path, definition.volumes)
        name = path.removeprefix(f"{outermost}/")
        try:
            text, size = await asyncio.to_thread(end_of, folder.volume(outermost), name, LOGGED)
        except OSError:  # the command has removed it, or never began
            continue
        if size > len(text):
            report.say(f"the log has the last {format_size(len(text))} of the {format_size(size)} in {path}")
        report.output(stream, text)
        await report.room()
