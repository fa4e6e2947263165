"""Questions about a log, and the answers; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from . import limits
from .states import Phase

Stream = Literal["stdout", "stderr", "system"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr", "system")
"""The streams of a log line, by their number."""

Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Gap(Struct):
    """Lines ``since`` to ``until`` (not included) are no longer kept."""

    since: int
    until: int


class LogSelection(Struct, omit_defaults=True):
    r"""The wanted part of a log; members work together, in this order.

    Attributes:
        until: Only lines before this seq.
        streams: Only lines of these streams; all when empty.
        phases: Only lines of these phases; all when empty.
        around: ``first_error``: only the line that first looks like an error, and ``context`` lines on each side.
        grep: Only lines in which this is found: a regular expression in RE2's syntax, or plain text in ``\Q…\E``.
        ignore_case: ``grep`` takes upper and lower case for the same.
        context: Lines before and after each that ``grep`` or ``around`` found; without, none and 10.
        head: Only the first so many; with ``grep`` of those found, and what is around them comes along.
        tail: Only the last so many, likewise. With both, the first and the last.
        max_bytes: Only so many bytes of text, each line counted with its end; with ``tail`` the last of them.
        before: In `LogPage.rest` only: how far a tail or an error was looked for.
        owed: In `LogPage.rest` only: lines that still belong to what was found before.
        standing: In `LogPage.rest` only: the line to take if what is looked for does not come.
    """

    until: Seq | None = None
    streams: Annotated[list[Stream], Meta(max_length=len(STREAMS))] = []
    phases: Annotated[list[Phase], Meta(max_length=len(Phase))] = []
    around: Literal["", "first_error"] = ""
    grep: Annotated[str, Meta(max_length=limits.LOG_PATTERN_LENGTH)] = ""
    ignore_case: bool = False
    context: Annotated[int, Meta(ge=0, le=limits.LOG_CONTEXT_LINES)] | None = None
    head: Seq | None = None
    tail: Seq | None = None
    max_bytes: Seq | None = None
    before: Seq | None = None
    owed: Annotated[int, Meta(ge=0, le=limits.LOG_CONTEXT_LINES)] = 0
    standing: Seq | None = None
