"""Writes outputs to the places that a job names for them, such as S3 buckets and shared folders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, ExecutionError
from asman_shared.globs import Globs
from asman_shared.places.urls import output_of, url_within

from ..files.places import Places

AT_A_TIME: Final = 4
"""Largest number of files of one attempt that are written at a time."""
_LITERAL: Final = re.compile(r"\[([*?\[])\]")
_WILD: Final = re.compile(r"[*?\[]")


class Destinations:
    """The places for the outputs of one attempt.

    Attributes:
        patterns: The patterns of all outputs, without their URLs; None for all files.
        written: The URLs that each file was written to, by its name.
        failed: The errors of each file by its name, with the URLs that it was not written to.
    """

    def __init__(self, entries: Sequence[str] | None, places: Places) -> None:
        split = [output_of(entry) for entry in entries or ()]
        self.patterns = list(dict.fromkeys(pattern for pattern, _ in split)) if entries else None
        self.written: dict[str, list[str]] = {}
        self.failed: dict[str, dict[str, AsmanError]] = {}
        self._places = places
        kept = [pattern for pattern, url in split if not url]
        self._kept = Globs(kept) if kept or not split else None
        self._targets = [(Globs([pattern]), *_base(pattern), url) for pattern, url in split if url]

    def keeps(self, name: str) -> bool:
        """Whether the hub keeps a file."""
        return self._kept is not None and self._kept.takes(name)

    def left(self, names: Iterable[str]) -> list[str]:
        """Returns the files that were neither written nor refused so far."""
        return [name for name in names if self._wanted(name) and name not in self.written and name not in self.failed]

    async def write(self, names: Iterable[str], opened: Callable[[str], int], size: Callable[[str], int]) -> None:
        """Writes files to their places; one that fails does not keep the others from it.

        Args:
            names: The files.
            opened: Opens a file for reading.
            size: Returns the size of a file, in bytes.
        """
        slots = asyncio.Semaphore(AT_A_TIME)

        async def each(name: str, url: str) -> None:
            async with slots:
                try:
                    await self._places.write(url, partial(opened, name), size(name))
                except AsmanError as error:
                    self.failed.setdefault(name, {})[url] = error
                except OSError as error:
                    why = ExecutionError(f"it can't be read: {error.strerror or error}", fault="worker")
                    self.failed.setdefault(name, {})[url] = why
                else:
                    self.written.setdefault(name, []).append(url)

        async with asyncio.TaskGroup() as tasks:
            for name in names:
                for url in self._wanted(name):
                    tasks.create_task(each(name, url))

    def _wanted(self, name: str) -> list[str]:
        """Returns the URLs that a file is to be written to."""
        found: list[str] = []
        for globs, base, exact, url in self._targets:
            if globs.takes(name):
                inner = name.removeprefix(base).removeprefix("/") if base else name
                of_file = exact and not inner
                if of_file == url.endswith("/"):
                    found.append(url if of_file else f"{url}/")  # refused when it is written: one is a folder
                else:
                    found.append(url_within(url, inner))
        return list(dict.fromkeys(found))


def check_destinations(definition: Definition, places: Places) -> None:
    """Refuses a job with outputs for places that this worker can't write to.

    Raises:
        ExecutionError: There is one; the error names the option of the worker.
    """
    for entry in definition.outputs or ():
        _, url = output_of(entry)
        if url:
            places.check_writable(url)


def _base(pattern: str) -> tuple[str, bool]:
    """Returns the path to which names are relative, and whether the pattern is that path and nothing else."""
    still: list[str] = []
    parts = pattern.split("/")
    for part in parts:
        if _WILD.search(_LITERAL.sub("", part)):
            break
        still.append(_LITERAL.sub(r"\1", part))
    return "/".join(still), len(still) == len(parts)
