"""Requests for a log, and the answers; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from .ranges import ContextLines, LogPattern, Seq
from .states import Phase

Stream = Literal["stdout", "stderr", "system"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr", "system")
"""The streams of a log line, by their number."""


class Gap(Struct):
    """Lines ``since`` to ``until`` (not included) are no longer kept."""

    since: int
    until: int


class LogSelection(Struct, omit_defaults=True):
    r"""A selection of lines; the members apply together, in this order.

    Attributes:
        until: Only lines before this seq.
        streams: Only lines of these streams; all when empty.
        phases: Only lines of these phases; all when empty.
        around: ``first_error``: only the line that first looks like an error, and ``context`` lines on each side.
        grep: Only lines that match this: a regular expression in RE2's syntax, or plain text in ``\Q…\E``.
        ignore_case: ``grep`` ignores upper and lower case.
        context: Number of lines before and after each match of ``grep`` (default 0) or ``around`` (default 10).
        head: Only this many of the first lines; with ``grep``, of the matches, with the context of each.
        tail: Only this many of the last lines, likewise. With both, the first and the last.
        max_bytes: Only this many bytes of text, line ends included; with ``tail``, the last of them.
        before: In `LogPage.rest` only: the position of the search for a tail or an error.
        owed: In `LogPage.rest` only: number of lines that still belong to an earlier match.
        standing: In `LogPage.rest` only: the line to take if the search finds nothing.
    """

    until: Seq | None = None
    streams: Annotated[list[Stream], Meta(max_length=len(STREAMS))] = []
    phases: Annotated[list[Phase], Meta(max_length=len(Phase))] = []
    around: Literal["", "first_error"] = ""
    grep: LogPattern = ""
    ignore_case: bool = False
    context: ContextLines | None = None
    head: Seq | None = None
    tail: Seq | None = None
    max_bytes: Seq | None = None
    before: Seq | None = None
    owed: ContextLines = 0
    standing: Seq | None = None
