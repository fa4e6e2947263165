r"""Search patterns for logs, matched by an engine that no pattern can stall.

Patterns come from strangers and run inside the hub. Python's own engine backtracks: it can take practically for ever
on ``(a+)+$``, and holds the interpreter meanwhile. RE2 matches in time that is linear in the text and in the size of
the pattern's program. That size is bounded here, and the length of a line in `asman_shared.limits`. RE2 releases the
interpreter while it matches in a thread, so the event loop continues. RE2 has no look-around and no back-references;
patterns that use them are refused with an error.
"""

from __future__ import annotations

from typing import Any, Final

import re2

from asman_shared.errors import BadRequest
from asman_shared.units import MIB

PROGRAM_STEPS: Final = 5000
"""Largest program that a pattern may compile to, in steps; a simple pattern takes about one step per character."""
PROGRAM_MEMORY: Final = 4 * MIB
"""Memory that one pattern may use, in bytes, including the automaton that RE2 builds while it matches."""


class Pattern:
    """A compiled pattern to search lines for.

    Args:
        text: The pattern, in RE2's syntax.
        ignore_case: Treats upper and lower case as the same.

    Raises:
        BadRequest: The pattern can't be compiled, or is too large.
    """

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        options = re2.Options()
        options.max_mem = PROGRAM_MEMORY
        options.log_errors = False
        options.never_capture = True
        options.case_sensitive = not ignore_case
        try:
            compiled: Any = re2.compile(text, options)
        except re2.error as error:
            said = error.args[0] if error.args else "it is not valid"
            said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            raise BadRequest(
                f"the pattern can't be used: {said} (RE2 syntax; plain text goes between \\Q and \\E)", field="grep"
            ) from None
        except UnicodeEncodeError:
            raise BadRequest("the pattern has a lone surrogate, which no text can have", field="grep") from None
        size = max(compiled.programsize, compiled.reverseprogramsize)
        if size > PROGRAM_STEPS:
            raise BadRequest(
                f"the pattern is too large: it takes {size} steps, and the maximum is {PROGRAM_STEPS}; repeat less",
                field="grep",
            )
        self._search = compiled.search
        self._sub = compiled.sub

    def found(self, text: str) -> bool:
        """Returns whether a line matches the pattern."""
        return self._search(text) is not None

    def without(self, text: str) -> str:
        """Returns a line with a space in the place of each match."""
        return str(self._sub(" ", text))
